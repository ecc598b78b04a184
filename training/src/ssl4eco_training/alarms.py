"""Signs that a run learns nothing: collapse, keys that are too old, accuracies at chance or too good."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ssl4eco_training.recipes import Recipe

_SETTLED_STEPS, _SETTLED_SHARE = 500, 0.4
"""Values are judged from this step on, or from this share of a shorter run: at first embeddings are alike."""
_TOO_GOOD = 0.999


def at_start(recipe: Recipe) -> list[str]:
    """Alarms that need no step: a line for each."""
    age = recipe.queue / recipe.batch
    memory = 1 / (1 - recipe.twin_momentum)
    if age <= memory:
        return []
    return [
        (
            f"queue age: a key stays {age:.0f} steps, but the twin (momentum {recipe.twin_momentum}) "
            f"forgets all after {memory:.0f}: the oldest keys are of another encoder; a smaller "
            "queue or a larger batch helps"
        )
    ]


def at_step(recipe: Recipe, step: int, steps: int, shown: Mapping[str, float]) -> dict[str, str]:
    """Alarms from the values of a step of ``steps``: by the name of the value, a line for each.

    ``shown`` are an objective's: ``embedding_std`` is the deviation of unit embeddings (1/sqrt(dim) when they
    fill the sphere, 0 when all are one); names with ``accuracy`` are shares.
    """
    if step < min(_SETTLED_STEPS, _SETTLED_SHARE * steps):
        return {}
    found = {
        name: _accuracy(recipe, step, name, value) for name, value in shown.items() if "accuracy" in name
    }
    bound = recipe.collapse_bound / math.sqrt(recipe.dim)
    spread = shown.get("embedding_std", bound)
    if spread < bound:
        found["embedding_std"] = (
            f"collapse: embedding_std = {spread:.2g} is below {bound:.2g} ({recipe.collapse_bound:g} / "
            f"sqrt(dim = {recipe.dim})): embeddings become one; a smaller learning rate or a warm-up helps"
        )
    return {name: text for name, text in found.items() if text}


def _accuracy(recipe: Recipe, step: int, name: str, value: float) -> str:
    others = recipe.queue + 2 * recipe.batch  # keys at most: SeCo's batch has two other views
    if value <= 1 / (1 + others):
        return f"{name} = {value:.2g} is at chance after {step} steps: nothing is learned"
    if value >= _TOO_GOOD:
        return f"{name} = {value:.4f}: the task is too easy, or solved by a short cut (batch statistics?)"
    return ""
