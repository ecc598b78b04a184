"""Checkpoints: one file each, written whole or not at all, with all that a run needs to go on."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ssl4eco_training.errors import CheckpointError

FORMAT = 2
_NAME = re.compile(r"step-(\d{9})\.pt")
_BEHIND = ".partial"
_UNREADABLE = (OSError, zipfile.BadZipFile, pickle.UnpicklingError)
FIXED = (
    "objective",
    "encoder",
    "mode",
    "bands",
    "ndvi",
    "image_px",
    "dim",
    "queue",
    "bn_group",
    "batch",
    "split",
    "weighted",
    "seed",
)
"""Fields of a recipe that must not change within a run: shapes, the objective, the order of samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Which checkpoints stay: the ``newest``, and those of every ``every``-th step (0: none)."""

    newest: int
    every: int = 0


def path_of(folder: Path, step: int) -> Path:
    """Where the checkpoint after ``step`` steps lies."""
    return folder / f"step-{step:09d}.pt"


def newest(folder: Path) -> Path | None:
    """The newest checkpoint of a run; None where there is none."""
    return max(_all(folder).items())[1] if _all(folder) else None


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, text, lists, dicts) as one file.

    It is written beside, flushed to the disk and renamed: a reader sees the old file or the whole new one.
    Raises OSError when the disk is full, say.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}{_BEHIND}")
    try:
        _write(beside, {"format": FORMAT, **state})
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(path: Path, state: Mapping[str, Any]) -> None:
    """One file, on the disk. torch makes a RuntimeError of a failed write: the OSError is raised."""
    try:
        with path.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    except RuntimeError as error:
        beneath = error.__context__
        if not isinstance(beneath, OSError):
            raise
        raise OSError(beneath.errno, beneath.strerror, str(path)) from error
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def load(path: Path) -> dict[str, Any]:
    """What :func:`save` wrote, on the CPU; all sums are compared, and no code in the file is run.

    Raises CheckpointError for a damaged file, a foreign one and one of a newer format.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken:
            raise CheckpointError(f"{path} is damaged ({broken}): {_way_out(path)}")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}") from error
    except (*_UNREADABLE, RuntimeError, ValueError, EOFError) as error:
        raise CheckpointError(f"{path} is damaged or no checkpoint ({error}): {_way_out(path)}") from error
    if not isinstance(state, dict) or "format" not in state:
        raise CheckpointError(f"{path} is no checkpoint of a run")
    if state["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has format {state['format']}, this version reads {FORMAT}: go on with "
            "the version that wrote it"
        )
    return state


def prune(folder: Path, kept: Kept) -> None:
    """Remove the checkpoints that ``kept`` does not keep, and what broken writes left behind."""
    found = _all(folder)
    last = set(sorted(found)[-kept.newest :])
    for step, path in found.items():
        if step not in last and not (kept.every and step % kept.every == 0):
            path.unlink()
    for path in folder.glob(f"*{_BEHIND}"):
        path.unlink()


def refuse_other(
    path: Path, state: Mapping[str, Any], recipe: Mapping[str, Any], dataset: str, locations: str
) -> tuple[str, ...]:
    """What differs harmlessly between a checkpoint and now, a line each.

    ``dataset`` and ``locations`` are fingerprints. Raises CheckpointError, with both values, when one of them
    or a field of ``FIXED`` differs.
    """
    out = "go on with the recipe and dataset it was made by, or choose another folder: --folder"
    if state["dataset"] != dataset:
        raise CheckpointError(
            f"{path} was trained on the dataset {state['dataset']}, {recipe['dataset']} is {dataset}: {out}"
        )
    before = state["recipe"]
    for name in FIXED:
        if before.get(name) != recipe[name]:
            raise CheckpointError(f"{path} has {name} = {before.get(name)}, the recipe {recipe[name]}: {out}")
    if state["locations"] != locations:
        raise CheckpointError(
            f"{path} was trained on other locations (fingerprint {state['locations']}) than the split "
            f"{recipe['split'] or 'of all'!r} of {recipe['dataset']} has now ({locations}): {out}"
        )
    return tuple(
        f"{name} was {before.get(name)}, is now {now}"
        for name, now in recipe.items()
        if before.get(name) != now
    )


def fill(
    path: Path,
    state: Mapping[str, Any],
    objective: nn.Module,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> None:
    """Set objective, optimiser (momenta; its rates are the recipe's) and scaler to a checkpoint's.

    Raises CheckpointError for other names or shapes.
    """
    own = objective.state_dict()
    saved = state["objective"]
    if missing := sorted(own.keys() ^ saved.keys()):
        side = "the checkpoint" if missing[0] in saved else "the objective"
        raise CheckpointError(f"{path} is of another objective: only {side} has {missing[0]}")
    for name, value in own.items():
        if isinstance(value, torch.Tensor) and value.shape != saved[name].shape:
            raise CheckpointError(
                f"{path} is of another objective: {name} is {tuple(saved[name].shape)} there, here "
                f"{tuple(value.shape)}"
            )
    objective.load_state_dict(saved)
    rates = [{k: v for k, v in group.items() if k != "params"} for group in optimiser.param_groups]
    optimiser.load_state_dict(state["optimiser"])
    for group, mine in zip(optimiser.param_groups, rates, strict=True):
        group.update(mine)
    if scaler.is_enabled() and state["scaler"]:
        scaler.load_state_dict(state["scaler"])


def _all(folder: Path) -> dict[int, Path]:
    matches = ((_NAME.fullmatch(path.name), path) for path in folder.glob("step-*.pt"))
    return {int(match[1]): path for match, path in matches if match}


def _way_out(path: Path) -> str:
    older = [found for found in sorted(_all(path.parent).values()) if found < path]
    if older:
        return f"remove it to go on from {older[-1].name}"
    return "remove it to begin anew"
