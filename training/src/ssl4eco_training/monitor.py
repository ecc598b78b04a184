"""What a person sees of a run: a bar, lines every few steps, alarms. Only the first process writes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ssl4eco_training import alarms
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.gather import averaged
from ssl4eco_training.journal import Journal
from ssl4eco_training.protocols import Loss
from ssl4eco_training.recipes import Recipe


class Fed(Protocol):
    """What the monitor asks of a loader."""

    stall_s: float
    read_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps of the run, where it begins, locations of an epoch, and locations/s at most (None: unknown)."""

    begin: int
    steps: int
    epoch_locations: int
    limit_s: float | None


class Monitor:
    """Shows and writes what :meth:`after` is given; as context manager it closes bar and files.

    Between two lines nothing is asked of the device: values are fetched at once, every ``log_every`` steps.
    """

    def __init__(self, recipe: Recipe, plan: Plan, loader: Fed, *, first: bool) -> None:
        self._recipe, self._plan, self._loader = recipe, plan, loader
        self._console = Console(stderr=True, quiet=not first)
        self._bar = _bar(self._console)
        self._task = self._bar.add_task("", total=plan.steps, completed=plan.begin)
        self._journal = (
            Journal(Path(recipe.folder), step=plan.begin, tensorboard=recipe.tensorboard) if first else None
        )
        self._then = (time.perf_counter(), plan.begin, loader.stall_s, loader.read_bytes)
        self._alarmed: set[str] = set()
        self._smooth: dict[str, float] = {}
        self.last: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        self._write("start", self._plan.begin, {"recipe": self._recipe.as_dict()})
        for alarm in alarms.at_start(self._recipe):
            self.alarm(self._plan.begin, alarm)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._journal is not None:
            self._journal.close()

    def say(self, step: int, event: str, text: str) -> None:
        """A line for the person and the log."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        self._write(event, step, {"text": text})

    def alarm(self, step: int, text: str) -> None:
        """A line that asks for attention."""
        self.say(step, "alarm", f"ALARM at step {step}: {text}")

    def after(self, step: int, losses: Sequence[Loss], learning_rate: float) -> None:
        """Called in all processes when ``step`` steps are done; every ``log_every``-th writes a line.

        ``losses`` are the micro-batches' of this process; the line has the means over those of all.
        """
        self._bar.update(self._task, completed=step)
        if step % self._recipe.log_every and step != self._plan.steps:
            return
        self.last = means(losses)
        refuse_not_finite(step, self.last["loss"])
        values = self.last | self._rates(step) | {"learning_rate": learning_rate, "epoch": self._epoch(step)}
        self._write("step", step, values)
        self._bar.update(self._task, description=f"loss {self.last['loss']:.3f}")
        if not self._console.is_terminal:
            self._console.print(_line(step, self._plan.steps, values), highlight=False, soft_wrap=True)
        self._judge(step)

    def _judge(self, step: int) -> None:
        """Say the alarms that were not there before; a line counts a fifth, as batches are noisy."""
        before = self._smooth or self.last
        self._smooth = {
            n: before.get(n, now) + (now - before.get(n, now)) / 5 for n, now in self.last.items()
        }
        found = alarms.at_step(self._recipe, step, self._plan.steps, self._smooth)
        for name in found.keys() - self._alarmed:
            self.alarm(step, found[name])
        self._alarmed = set(found)

    def _epoch(self, step: int) -> float:
        return step * self._recipe.batch / self._plan.epoch_locations

    def _rates(self, step: int) -> dict[str, float]:
        """Since the line before: locations/s, share of waiting for data, GB/s read, share of the limit."""
        now = (time.perf_counter(), step, self._loader.stall_s, self._loader.read_bytes)
        seconds = max(now[0] - self._then[0], 1e-9)
        speed = (step - self._then[1]) * self._recipe.batch / seconds
        rates = {
            "locations_s": speed,
            "stall_share": (now[2] - self._then[2]) / seconds,
            "read_gb_s": (now[3] - self._then[3]) / seconds / 1e9,
        }
        if self._plan.limit_s is not None:
            rates["roofline_share"] = speed / self._plan.limit_s
        self._then = now
        return rates

    def _write(self, event: str, step: int, values: Mapping[str, Any]) -> None:
        if self._journal is not None:
            self._journal.write(event, step, values)


def means(losses: Sequence[Loss]) -> dict[str, float]:
    """``loss`` and what is shown, each the mean over some micro-batches and all processes.

    All processes call it. It waits for the device, once.
    """
    names, device = tuple(losses[0].shown), losses[0].total.device
    values = [value for loss in losses for value in (loss.total, *(loss.shown[name] for name in names))]
    flat = torch.stack([value.detach().to(device, torch.float32).reshape(()) for value in values])
    mean = averaged(flat.reshape(len(losses), -1).mean(dim=0))
    return dict(zip(("loss", *names), mean.tolist(), strict=True))


def refuse_not_finite(step: int, loss: float, finite: bool = True, newest: Path | None = None) -> None:
    """Raise TrainingError when a loss, or a weight (``finite`` false), is no number; it is not saved."""
    if math.isfinite(loss) and finite:
        return
    what = f"the loss is {loss}" if not math.isfinite(loss) else "weights are no numbers any more"
    again = f"goes on from {newest.name}; remove that to go on from an older one" if newest else "begins anew"
    raise TrainingError(
        f"{what} at step {step}: start the run again (it {again}) with a smaller --learning_rate, a longer "
        "--warmup_epochs, or another --precision than fp16 or bf16"
    )


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
        console=console,
    )


def _line(step: int, steps: int, values: Mapping[str, float]) -> str:
    told = " ".join(f"{name} {value:.4g}" for name, value in values.items())
    return f"step {step} of {steps}: {told}"
