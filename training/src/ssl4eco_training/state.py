"""What a run saves and goes on from: weights, queues, momenta, generators, statistics of the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ssl4eco_training import checkpoint
from ssl4eco_training.build import Parts, Source
from ssl4eco_training.distributed import Processes, everyone_here, gathered
from ssl4eco_training.gather import average_running_statistics
from ssl4eco_training.inputs import InputSpec
from ssl4eco_training.monitor import refuse_not_finite
from ssl4eco_training.recipes import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A checkpoint that a run may go on from, and what differs harmlessly, a line each."""

    path: Path
    state: Mapping[str, Any]
    changed: tuple[str, ...]

    @property
    def spec(self) -> InputSpec:
        """How the encoder was fed, statistics included."""
        return InputSpec.from_dict(self.state["input"])


def folder_of(recipe: Recipe) -> Path:
    """Where the checkpoints of a run lie."""
    return Path(recipe.folder) / "checkpoints"


def saved(recipe: Recipe, found: Source, processes: Processes) -> Saved | None:
    """The newest checkpoint of the run's folder, the same on all processes; None where there is none.

    Raises CheckpointError for one that cannot be read, and for one of another recipe or dataset.
    """
    path = gathered(processes, checkpoint.newest(folder_of(recipe)))[0]
    if path is None:
        return None
    state = checkpoint.load(path)
    changed = checkpoint.refuse_other(path, state, recipe.as_dict(), found.fingerprint, found.locations)
    return Saved(path=path, state=state, changed=changed)


def restore(found: Saved, recipe: Recipe, parts: Parts, processes: Processes) -> tuple[int, tuple[str, ...]]:
    """Set ``parts`` and torch's generators to a checkpoint's: (the step to go on from, lines to say)."""
    state, changed = found.state, found.changed
    checkpoint.fill(found.path, state, parts.objective, parts.optimiser, parts.scaler)
    if state["processes"] == processes.count:
        _set_generators(state["generators"][processes.rank], processes.device)
    else:
        changed += (_other_count(recipe, state["processes"], processes.count),)
    return state["step"], (f"going on from {found.path} at step {state['step']}", *changed)


def save(recipe: Recipe, found: Source, parts: Parts, processes: Processes, step: int, loss: float) -> None:
    """A checkpoint of all processes, written by the first; the others wait for it.

    Raises TrainingError, and writes nothing, when ``loss`` or a weight of any process is no number.
    """
    finite = all(bool(weights.isfinite().all()) for weights in parts.objective.parameters())
    everywhere = all(gathered(processes, finite))
    refuse_not_finite(step, loss, everywhere, checkpoint.newest(folder_of(recipe)))
    average_running_statistics(parts.objective)
    generators = gathered(processes, _generators(processes.device))
    if processes.first:
        state = {
            "step": step,
            "position": step * recipe.batch,
            "processes": processes.count,
            "recipe": recipe.as_dict(),
            "dataset": found.fingerprint,
            "locations": found.locations,
            "input": parts.spec.as_dict(),
            "objective": parts.objective.state_dict(),
            "optimiser": parts.optimiser.state_dict(),
            "scaler": parts.scaler.state_dict(),
            "generators": generators,
        }
        checkpoint.save(checkpoint.path_of(folder_of(recipe), step), state)
        checkpoint.prune(folder_of(recipe), checkpoint.Kept(newest=recipe.keep, every=recipe.keep_every))
    everyone_here(processes)


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
