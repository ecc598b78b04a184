"""The errors of this package; each says the value, the place and the way out."""

from __future__ import annotations


class TrainingError(Exception):
    """A run cannot begin or go on: its message says why, and what to change."""


class RecipeError(TrainingError):
    """A recipe or an override on the command line that cannot be meant."""


class CheckpointError(TrainingError):
    """A checkpoint or exported weights that do not fit, or are damaged."""
