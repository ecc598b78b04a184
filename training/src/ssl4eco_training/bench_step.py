"""Ways of training, for the benchmark: transfer, views, step, and loader and step together."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count, repeat

import torch

from ssl4eco_training.batch import Batch
from ssl4eco_training.bench_figures import Turn
from ssl4eco_training.bench_reading import Way
from ssl4eco_training.build import Parts
from ssl4eco_training.loader import SeasonLoader
from ssl4eco_training.recipes import Recipe
from ssl4eco_training.run import train_step
from ssl4eco_training.transforms import make_views
from ssl4eco_training.upload import uploaded

_RATE = 0.0
"""Learning rate: the same work, and a batch that is seen a thousand times does not drive the weights away."""


def timed(work: Callable[[], None], device: torch.device) -> tuple[float, float]:
    """(seconds until the device has done the work, by its own events on a GPU; processor seconds)."""
    cpu = time.process_time()
    if device.type != "cuda":
        clock = time.perf_counter()
        work()
        return time.perf_counter() - clock, time.process_time() - cpu
    begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3, time.process_time() - cpu


class Steps:
    """What is timed of a recipe with its parts on a device; the first call of each way warms it up."""

    def __init__(self, recipe: Recipe, parts: Parts, device: torch.device, batch: Batch) -> None:
        self._recipe, self._parts, self._device = recipe, parts, device
        self._given, self._there = batch, batch.to(device)

    def transfer(self) -> Way:
        """A batch to the device, again and again."""
        return self._way(lambda: self._given.to(self._device), self._there.rows.numel())

    def views(self) -> Way:
        """Views of a batch that is on the device."""
        spec, plans = self._parts.spec, self._parts.objective.views
        return self._way(lambda: make_views(self._there, plans, spec), self._there.rows.numel())

    def step(self) -> Way:
        """Views, forward, backward and optimiser with a batch that is on the device."""
        same = repeat(self._there)
        return self._way(
            lambda: train_step(self._recipe, self._parts, same, _RATE, self._device), self._recipe.batch
        )

    def both(self, opened: Callable[[int], SeasonLoader], step_seconds: Callable[[], float]) -> Way:
        """Steps with batches of a loader; as many as take the turn's seconds at ``step_seconds`` each.

        Each turn has a loader of its own and one step that is not counted, while it reads ahead.
        """
        starts = count(0, self._recipe.batch)

        def turn(seconds: float) -> Turn:
            n = max(2, round(seconds / step_seconds()))
            with opened(next(starts)) as loader:
                batches = uploaded(loader, self._device, (1 + n) * self._recipe.accumulate + 1)

                def steps(n: int) -> None:
                    for _ in range(n):
                        train_step(self._recipe, self._parts, batches, _RATE, self._device)

                timed(lambda: steps(1), self._device)
                waited = loader.stall_s
                spent, cpu = timed(lambda: steps(n), self._device)
                return Turn(
                    items=n * self._recipe.batch,
                    seconds=spent,
                    cpu_seconds=cpu,
                    stall_seconds=loader.stall_s - waited,
                )

        return turn

    def _way(self, once: Callable[[], object], items: int) -> Way:
        """A way of calls that are not waited for one by one."""

        def calls(n: int) -> None:
            for _ in range(n):
                once()

        timed(lambda: calls(1), self._device)
        each, _ = timed(lambda: calls(1), self._device)

        def turn(seconds: float) -> Turn:
            n = max(1, round(seconds / max(each, 1e-6)))
            spent, cpu = timed(lambda: calls(n), self._device)
            return Turn(items=n * items, seconds=spent, cpu_seconds=cpu)

        return turn
