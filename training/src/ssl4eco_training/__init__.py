"""Pretraining from an SSL4Eco dataset: loader, objectives, loop, evaluation."""
