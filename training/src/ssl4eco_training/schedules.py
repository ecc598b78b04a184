"""Learning rates as pure functions of the step."""

from __future__ import annotations

import math


def learning_rate(step: int, *, peak: float, schedule: str, steps: int, warmup: int) -> float:
    """The learning rate of step number ``step`` (from 0) of ``steps``.

    It rises in ``warmup`` equal stairs to ``peak``, then stays (*constant*) or falls along half a cosine
    (Loshchilov & Hutter 2017, without restarts) towards 0, which the step after the last would have.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    if schedule != "cosine":
        raise ValueError(f"schedule must be constant or cosine, got {schedule!r}")
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * 0.5 * (1 + math.cos(math.pi * done))
