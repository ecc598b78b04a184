"""The training loop."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from ssl4eco_training import build, state
from ssl4eco_training.batch import Batch
from ssl4eco_training.build import Parts, Source
from ssl4eco_training.distributed import Agreement, Processes, everyone_here, joined
from ssl4eco_training.errors import RecipeError, TrainingError
from ssl4eco_training.monitor import Monitor, Plan, means
from ssl4eco_training.protocols import Loss
from ssl4eco_training.recipes import Recipe
from ssl4eco_training.roofline import cost_of, known_gpu, locations_s
from ssl4eco_training.schedules import learning_rate
from ssl4eco_training.stopping import GRACE_S, Asked, watched
from ssl4eco_training.transforms import make_views
from ssl4eco_training.upload import uploaded
from ssl4eco_training.weights import save_encoder

WEIGHTS = "encoder.safetensors"
_PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Steps done of those planned, the signal that stopped the run (0: none), the last values shown, and
    the encoder's file (None: not finished)."""

    step: int
    steps: int
    signal: int = 0
    last: Mapping[str, float] = field(default_factory=dict)
    weights: Path | None = None


def train(recipe: Recipe, *, grace_s: float = GRACE_S) -> Outcome:
    """Train, from the newest checkpoint of the run's folder if there is one, until the end or a signal.

    After a signal all processes save at the end of a step; one that comes to none in ``grace_s`` ends.
    Raises TrainingError (RecipeError, CheckpointError) for all that a person can mend.
    """
    with watched(grace_s) as asked, joined(recipe.device) as processes:
        try:
            return _train(recipe, processes, asked)
        except torch.OutOfMemoryError as error:
            share = build.share_of(recipe, processes)
            raise TrainingError(
                f"the GPU's memory is too small for {share} locations at once (batch {recipe.batch} / "
                f"{processes.count} processes / accumulate {recipe.accumulate}): --accumulate "
                f"{2 * recipe.accumulate} keeps the batch (SeCo: fewer negatives at once), or --batch "
                f"{recipe.batch // 2}, --precision bf16, a smaller --image_px; {error}"
            ) from error


def _train(recipe: Recipe, processes: Processes, asked: Asked) -> Outcome:
    found = build.source(recipe)
    build.share_of(recipe, processes)
    parts, begin, notes = _begun(recipe, found, processes)
    steps, warmup = _planned(recipe, found)
    agreement, signal = Agreement(processes), 0
    with build.loader_of(recipe, processes, parts.spec, parts.objective, begin * recipe.batch) as loader:
        plan = _plan(recipe, found, parts, processes, begin, steps)
        with Monitor(recipe, plan, loader, first=processes.first) as monitor:
            for note in notes:
                monitor.say(begin, "resumed", note)
            batches = uploaded(loader, processes.device, max(0, steps - begin) * recipe.accumulate)
            step = begin
            while step < steps and not signal:
                rate = learning_rate(
                    step, peak=recipe.learning_rate, schedule=recipe.schedule, steps=steps, warmup=warmup
                )
                losses = train_step(recipe, parts, batches, rate, processes.device)
                step += 1
                monitor.after(step, losses, rate)
                signal = agreement.say(asked.signal)
                if signal or step == steps or step % recipe.save_every == 0:
                    state.save(recipe, found, parts, processes, step, means(losses)["loss"])
                asked.moved()
            agreement.hear()
            if step < steps:
                monitor.say(
                    step, "stopped", f"signal {signal}: saved at step {step}; the same command goes on"
                )
    weights = _export(recipe, found, parts, processes, step) if step >= steps else None
    ended = 0 if weights else signal
    return Outcome(step=step, steps=steps, signal=ended, last=monitor.last, weights=weights)


def _begun(recipe: Recipe, found: Source, processes: Processes) -> tuple[Parts, int, tuple[str, ...]]:
    """The parts, new or as the newest checkpoint has them; the step to go on from; lines to say."""
    saved = state.saved(recipe, found, processes)
    if saved is None:
        return build.parts(recipe, found, processes, build.input_of(recipe, found)), 0, ()
    parts = build.parts(recipe, found, processes, saved.spec)
    return parts, *state.restore(saved, recipe, parts, processes)


def train_step(
    recipe: Recipe, parts: Parts, batches: Iterator[Batch], rate: float, device: torch.device
) -> list[Loss]:
    """One step of the optimiser over ``recipe.accumulate`` of ``batches``, on ``device``; the values of each.

    Nothing here waits for the device.
    """
    losses: list[Loss] = []
    for group in parts.optimiser.param_groups:
        group["lr"] = rate
    parts.optimiser.zero_grad(set_to_none=True)
    parts.objective.before_step()
    for micro in range(recipe.accumulate):
        views = make_views(next(batches), parts.objective.views, parts.spec)
        if recipe.channels_last:
            views = [view.contiguous(memory_format=torch.channels_last) for view in views]
        with _unsynchronised(parts, last=micro == recipe.accumulate - 1):
            with _precision(recipe, device):
                loss: Loss = parts.module(views)
            parts.scaler.scale(loss.total / recipe.accumulate).backward()  # type: ignore[no-untyped-call]
        losses.append(Loss(loss.total.detach(), loss.shown))
    parts.scaler.step(parts.optimiser)
    parts.scaler.update()
    parts.objective.after_step()
    return losses


def _precision(recipe: Recipe, device: torch.device) -> AbstractContextManager[Any]:
    kind = _PRECISIONS.get(recipe.precision)
    return torch.autocast(device.type, dtype=kind) if kind else nullcontext()


def _unsynchronised(parts: Parts, *, last: bool) -> AbstractContextManager[Any]:
    """Gradients go to the other processes with the last micro-batch only."""
    if last or not isinstance(parts.module, DistributedDataParallel):
        return nullcontext()
    return parts.module.no_sync()


def _planned(recipe: Recipe, found: Source) -> tuple[int, int]:
    """(steps of the run, steps of the warm-up)."""
    per_epoch = found.rows.size / recipe.batch
    steps = recipe.steps or math.ceil(recipe.epochs * per_epoch)
    if not steps:
        raise RecipeError("epochs = 0 and steps = 0: nothing to do; --epochs 100")
    return steps, math.ceil(recipe.warmup_epochs * per_epoch)


def _plan(recipe: Recipe, found: Source, parts: Parts, processes: Processes, begin: int, steps: int) -> Plan:
    limit = None
    gpu = known_gpu(torch.cuda.get_device_name(processes.device)) if processes.device.type == "cuda" else None
    if gpu is not None and recipe.objective in ("seco", "moco"):
        cost = cost_of(parts.objective.encoder, parts.spec.channels, recipe.image_px)
        keys = len(parts.objective.views) - 1
        alone = locations_s(cost, gpu, trained=1, forward_only=keys, precision=recipe.precision)
        limit = alone * processes.count
    return Plan(begin=begin, steps=steps, epoch_locations=found.rows.size, limit_s=limit)


def _export(recipe: Recipe, found: Source, parts: Parts, processes: Processes, step: int) -> Path:
    """The encoder's file, written by the first process when all steps are done."""
    path = Path(recipe.folder) / WEIGHTS
    if processes.first:
        save_encoder(
            path,
            parts.objective.encoder,
            parts.spec,
            arch=recipe.encoder,
            dataset=found.fingerprint,
            extra={
                "objective": recipe.objective,
                "mode": recipe.mode,
                "split": recipe.split,
                "steps": str(step),
            },
        )
    everyone_here(processes)
    return path
