"""From a recipe to the things of a run: input, objective, optimiser, loader. Refuses what does not fit."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import ShardReader, read_small_arrays
from ssl4eco_data.store import fingerprint as fingerprint_of
from ssl4eco_training.distributed import Processes
from ssl4eco_training.errors import RecipeError, TrainingError
from ssl4eco_training.identity import dataset_fingerprint
from ssl4eco_training.imports import load_object
from ssl4eco_training.inputs import InputSpec
from ssl4eco_training.loader import SeasonLoader
from ssl4eco_training.norm import grouped
from ssl4eco_training.objectives.contrastive import SHUFFLED_GROUPS
from ssl4eco_training.objectives.moco import MoCo
from ssl4eco_training.objectives.seco import SeCo
from ssl4eco_training.recipes import Recipe
from ssl4eco_training.resnet import resnet
from ssl4eco_training.statistics import standardised

_DEPTHS = {"resnet18": 18, "resnet34": 34, "resnet50": 50}
_METHODS = ("before_step", "after_step")
_OBJECTIVES: dict[str, Callable[..., Any]] = {"seco": SeCo, "moco": MoCo}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The dataset of a run: its fingerprint, the locations (rows) to train on and a fingerprint of these."""

    fingerprint: str
    rows: npt.NDArray[np.int64]
    locations: str
    seasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a step works with. ``module`` is the objective, in DDP where there are several processes."""

    spec: InputSpec
    objective: Any
    module: nn.Module
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler


def source(recipe: Recipe) -> Source:
    """What the dataset offers a recipe. Raises TrainingError that names what is missing and the way out."""
    try:
        reader = ShardReader(recipe.dataset)
        fingerprint = dataset_fingerprint(recipe.dataset)
    except StoreError as error:
        raise TrainingError(
            f"{error}; another dataset: --dataset (make pretrain builds data/demo-pretrain)"
        ) from error
    there = {band for name in ("r10", "r20") if name in reader.arrays for band in reader.bands(name)}
    if lacking := [band for band in recipe.bands if band not in there]:
        raise RecipeError(
            f"{recipe.dataset} has no band {', '.join(lacking)} at 10 or 20 m; there are: "
            f"{','.join(sorted(there))} (--bands)"
        )
    rows, ids = _rows(recipe)
    if recipe.batch > rows.size:
        raise RecipeError(
            f"batch = {recipe.batch}, but the split {recipe.split or 'of all'!r} of {recipe.dataset} "
            f"has {rows.size} locations: one would stand twice in a batch; --batch {rows.size} "
            "or less, with a --queue that is a multiple of it"
        )
    locations = fingerprint_of(np.sort(ids))
    return Source(fingerprint=fingerprint, rows=rows, locations=locations, seasons=reader.seasons)


def _rows(recipe: Recipe) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Locations of the split that have a season: places in the dataset, and their ``location_id``."""
    known = read_small_arrays(recipe.dataset, ("location_id", "split", "time"))
    splits, seen = known["split"], ~np.isnat(known["time"]).all(axis=1)
    chosen = np.flatnonzero(seen & ((splits == recipe.split) if recipe.split else True))
    if not chosen.size:
        names = ", ".join(sorted(set(splits.tolist()) - {""})) or "none"
        raise RecipeError(
            f"{recipe.dataset} has no location with a patch in the split {recipe.split!r}; there are: {names}"
        )
    return chosen.astype(np.int64), known["location_id"][chosen]


def input_of(recipe: Recipe, found: Source) -> InputSpec:
    """How the encoder is fed: DN / 255 in parity mode, standardised in corrected mode."""
    if recipe.mode == "parity":
        return InputSpec(bands=recipe.bands, ndvi=recipe.ndvi, image_px=recipe.image_px)
    plain = InputSpec(bands=recipe.bands, ndvi=recipe.ndvi, image_px=recipe.image_px)
    return standardised(plain, recipe.dataset, found.rows, recipe.seed)


def share_of(recipe: Recipe, processes: Processes) -> int:
    """Locations of a micro-batch of one process. Raises RecipeError when the batch cannot be dealt so."""
    share, rest = divmod(recipe.batch, recipe.accumulate * processes.count)
    if rest or not share:
        raise RecipeError(
            f"batch = {recipe.batch} cannot be dealt to {processes.count} processes x accumulate = "
            f"{recipe.accumulate}: make it a multiple of {processes.count * recipe.accumulate}"
        )
    block = recipe.bn_group * SHUFFLED_GROUPS
    if recipe.mode == "corrected" and recipe.encoder in _DEPTHS and share % block:
        raise RecipeError(
            f"bn_group = {recipe.bn_group} and the {SHUFFLED_GROUPS} groups among which keys are dealt do "
            f"not part the {share} locations of a process and micro-batch (batch {recipe.batch} / "
            f"{processes.count} processes / accumulate {recipe.accumulate}): make these a multiple of "
            f"{block}, or --bn_group smaller"
        )
    return share


def encoder_maker(recipe: Recipe, channels: int) -> Callable[[], nn.Module]:
    """A maker of encoders; batch norm is in groups in corrected mode."""
    if ":" in recipe.encoder:
        own: Callable[[int], nn.Module] = load_object(recipe.encoder)
        return lambda: own(channels)
    if recipe.encoder not in _DEPTHS:
        raise RecipeError(f"encoder must be {', '.join(_DEPTHS)} or module:name, got {recipe.encoder!r}")
    norm = grouped(recipe.bn_group) if recipe.mode == "corrected" else None
    pad = recipe.channels_last and recipe.precision != "fp32"
    return lambda: resnet(_DEPTHS[recipe.encoder], channels, norm=norm, pad_channels=pad)


def objective_of(recipe: Recipe, found: Source, spec: InputSpec) -> Any:
    """The objective; one of your own is called as the known ones, with the arguments it takes.

    ``make_encoder``, ``dim``, ``queue``, ``temperature``, ``momentum``, ``mode``, ``spec``, ``seed``.
    """
    if ":" not in recipe.objective and recipe.objective not in _OBJECTIVES:
        raise RecipeError(
            f"objective must be {', '.join(_OBJECTIVES)} or module:name, got {recipe.objective!r}"
        )
    make = _OBJECTIVES.get(recipe.objective) or load_object(recipe.objective)
    offered = {
        "make_encoder": encoder_maker(recipe, spec.channels),
        "dim": recipe.dim,
        "queue": recipe.queue,
        "temperature": recipe.temperature,
        "momentum": recipe.twin_momentum,
        "mode": recipe.mode,
        "spec": spec,
        "seed": recipe.seed,
    }
    taken = inspect.signature(make).parameters
    try:
        objective = make(**{name: value for name, value in offered.items() if name in taken})
    except (ValueError, TypeError) as error:
        raise RecipeError(f"{recipe.objective} with {recipe.encoder}: {error}") from error
    if lacking := [name for name in _METHODS if not callable(getattr(objective, name, None))]:
        raise RecipeError(f"{recipe.objective} lacks {', '.join(lacking)}: see ssl4eco_training.protocols")
    if objective.images > len(found.seasons):
        raise RecipeError(
            f"{recipe.objective} contrasts {objective.images} seasons of a location, {recipe.dataset} "
            f"has {len(found.seasons)} ({', '.join(found.seasons)}): build it with more, or choose an "
            "objective of fewer (moco: 2)"
        )
    return objective


def parts(recipe: Recipe, found: Source, processes: Processes, spec: InputSpec) -> Parts:
    """All that a step works with, on the device of this process, from the recipe's seed.

    ``spec`` is that of :func:`input_of`, or of the checkpoint that the run goes on from.
    """
    torch.manual_seed(recipe.seed)
    objective = objective_of(recipe, found, spec).to(processes.device).train()
    if recipe.channels_last:
        objective.to(memory_format=torch.channels_last)
    if recipe.compile:
        for module in list(objective.modules()):
            if isinstance(module, type(objective.encoder)):
                module.compile()
    torch.manual_seed(recipe.seed + 1 + processes.rank)
    return Parts(
        spec=spec,
        objective=objective,
        module=_joined(objective, processes),
        optimiser=_optimiser(recipe, objective, processes.device),
        scaler=torch.amp.GradScaler(processes.device.type, enabled=recipe.precision == "fp16"),
    )


def _joined(objective: nn.Module, processes: Processes) -> nn.Module:
    """In DDP, without a broadcast of buffers: each process has batch statistics of its own, as the reference
    has on its one GPU, and queues are alike because keys are gathered."""
    if processes.count == 1:
        return objective
    devices = [processes.device] if processes.device.type == "cuda" else None
    return DistributedDataParallel(
        objective, device_ids=devices, broadcast_buffers=False, gradient_as_bucket_view=True
    )


def _optimiser(recipe: Recipe, objective: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        [p for p in objective.parameters() if p.requires_grad],
        lr=recipe.learning_rate,
        momentum=recipe.sgd_momentum,
        weight_decay=recipe.weight_decay,
        fused=True if device.type == "cuda" else None,
    )


def loader_of(
    recipe: Recipe, processes: Processes, spec: InputSpec, objective: Any, start: int
) -> SeasonLoader:
    """The batches of this process from sample number ``start`` of the run on."""
    return SeasonLoader(
        recipe.dataset,
        batch=share_of(recipe, processes),
        images=objective.images,
        views=len(objective.views),
        spec=spec,
        seed=recipe.seed,
        split=recipe.split or None,
        weighted=recipe.weighted,
        threads=recipe.threads,
        rank=processes.rank,
        processes=processes.count,
        start=start,
        ahead=recipe.ahead,
        pin=processes.device.type == "cuda",
    )
