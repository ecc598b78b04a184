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

from ssl4eco_training import build, checkpoint
from ssl4eco_training.batch import Batch
from ssl4eco_training.build import Parts, Source
from ssl4eco_training.distributed import Agreement, Processes, everyone_here, gathered, joined
from ssl4eco_training.errors import RecipeError, TrainingError
from ssl4eco_training.gather import average_running_statistics
from ssl4eco_training.monitor import Monitor, Plan, refuse_not_finite
from ssl4eco_training.protocols import Loss
from ssl4eco_training.recipes import Recipe
from ssl4eco_training.roofline import cost_of, known_gpu, locations_s
from ssl4eco_training.schedules import learning_rate
from ssl4eco_training.stopping import Asked, watched
from ssl4eco_training.transforms import make_views
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


def train(recipe: Recipe) -> Outcome:
    """Train, from the newest checkpoint of the run's folder if there is one, until the end or a signal.

    After a signal all processes save at the end of a step. Raises TrainingError (RecipeError,
    CheckpointError) for all that a person can mend.
    """
    with joined(recipe.device) as processes, watched() as asked:
        try:
            return _train(recipe, processes, asked)
        except torch.OutOfMemoryError as error:
            share = build.share_of(recipe, processes)
            raise TrainingError(
                f"the GPU's memory is too small for {share} locations at once (batch {recipe.batch} / "
                f"{processes.count} processes / accumulate {recipe.accumulate}): --accumulate "
                f"{2 * recipe.accumulate} keeps the batch (with fewer negatives at once), or --batch "
                f"{recipe.batch // 2}, --precision bf16, a smaller --image_px; {error}"
            ) from error


def _train(recipe: Recipe, processes: Processes, asked: Asked) -> Outcome:
    found = build.source(recipe)
    build.share_of(recipe, processes)
    parts = build.parts(recipe, found, processes)
    begin, notes = _restore(recipe, found, parts, processes)
    steps, warmup = _planned(recipe, found)
    agreement, signal, loss = Agreement(processes), 0, None
    with build.loader_of(recipe, processes, parts.spec, parts.objective, begin * recipe.batch) as loader:
        plan = _plan(recipe, found, parts, processes, begin, steps)
        with Monitor(recipe, plan, loader, first=processes.first) as monitor:
            for note in notes:
                monitor.say(begin, "resumed", note)
            batches, step = iter(loader), begin
            while step < steps and not signal:
                rate = learning_rate(
                    step, peak=recipe.learning_rate, schedule=recipe.schedule, steps=steps, warmup=warmup
                )
                loss = train_step(recipe, parts, batches, rate, processes.device)
                step += 1
                monitor.after(step, loss, rate)
                signal = agreement.say(asked.signal)
                if signal or step == steps or step % recipe.save_every == 0:
                    _save(recipe, found, parts, processes, step, loss)
            agreement.hear()
            if step < steps:
                monitor.say(
                    step, "stopped", f"signal {signal}: saved at step {step}; the same command goes on"
                )
    weights = _export(recipe, found, parts, processes, step) if step >= steps else None
    ended = 0 if weights else signal
    return Outcome(step=step, steps=steps, signal=ended, last=monitor.last, weights=weights)


def train_step(
    recipe: Recipe, parts: Parts, batches: Iterator[Batch], rate: float, device: torch.device
) -> Loss:
    """One step of the optimiser over ``recipe.accumulate`` micro-batches; the last one's values.

    Nothing here waits for the device.
    """
    for group in parts.optimiser.param_groups:
        group["lr"] = rate
    parts.optimiser.zero_grad(set_to_none=True)
    parts.objective.before_step()
    for micro in range(recipe.accumulate):
        batch = next(batches).to(device)
        views = make_views(batch, parts.objective.views, parts.spec)
        if recipe.channels_last:
            views = [view.contiguous(memory_format=torch.channels_last) for view in views]
        with _unsynchronised(parts, last=micro == recipe.accumulate - 1):
            with _precision(recipe, device):
                loss: Loss = parts.module(views)
            parts.scaler.scale(loss.total / recipe.accumulate).backward()  # type: ignore[no-untyped-call]
    parts.scaler.step(parts.optimiser)
    parts.scaler.update()
    return loss


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


def _folder(recipe: Recipe) -> Path:
    return Path(recipe.folder) / "checkpoints"


def _save(recipe: Recipe, found: Source, parts: Parts, processes: Processes, step: int, loss: Loss) -> None:
    """A checkpoint of all processes, written by the first; the others wait for it."""
    average_running_statistics(parts.objective)
    generators = gathered(processes, _generators(processes.device))
    for last, finite in gathered(processes, _health(parts, loss)):
        refuse_not_finite(step, last, finite, checkpoint.newest(_folder(recipe)))
    if processes.first:
        state = {
            "step": step,
            "position": step * recipe.batch,
            "processes": processes.count,
            "recipe": recipe.as_dict(),
            "dataset": found.fingerprint,
            "locations": int(found.rows.size),
            "input": parts.spec.as_dict(),
            "objective": parts.objective.state_dict(),
            "optimiser": parts.optimiser.state_dict(),
            "scaler": parts.scaler.state_dict(),
            "generators": generators,
        }
        checkpoint.save(checkpoint.path_of(_folder(recipe), step), state)
        checkpoint.prune(_folder(recipe), checkpoint.Kept(newest=recipe.keep, every=recipe.keep_every))
    everyone_here(processes)


def _health(parts: Parts, loss: Loss) -> tuple[float, bool]:
    """(the last loss of this process, whether all its weights are finite)."""
    finite = all(bool(weights.isfinite().all()) for weights in parts.objective.parameters())
    return float(loss.total.detach()), finite


def _restore(
    recipe: Recipe, found: Source, parts: Parts, processes: Processes
) -> tuple[int, tuple[str, ...]]:
    """(the step to go on from, lines to say); (0, ()) where the run has no checkpoint."""
    path = gathered(processes, checkpoint.newest(_folder(recipe)))[0]
    if path is None:
        return 0, ()
    state = checkpoint.load(path)
    changed = checkpoint.refuse_other(path, state, recipe.as_dict(), found.fingerprint, found.rows.size)
    checkpoint.fill(path, state, parts.objective, parts.optimiser, parts.scaler)
    if state["processes"] == processes.count:
        _set_generators(state["generators"][processes.rank], processes.device)
    else:
        changed += (_other_count(recipe, state["processes"], processes.count),)
    return state["step"], (f"going on from {path} at step {state['step']}", *changed)


def _other_count(recipe: Recipe, before: int, now: int) -> str:
    text = (
        f"{before} processes before, {now} now: the same samples in the same batches of {recipe.batch}; "
        "torch's generators begin anew"
    )
    if recipe.mode == "parity":
        return f"{text}; batch norm now sees {recipe.batch // now // recipe.accumulate} locations at once"
    return f"{text}; batch norm keeps its groups of {recipe.bn_group}"


def _generators(device: torch.device) -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def _set_generators(states: Mapping[str, torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


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
