"""The objectives: SeCo and MoCo."""
