"""What embeddings are asked to tell: tasks from the dataset itself, which need no labels from outside.

``biome``, ``ecoregion``: the classes of the layer of strata. ``season``: which phenological season an image
shows, one sample per image. ``greenup``: the climatological date, as sine and cosine of the day of the year,
so that 31 December is beside 1 January. ``latitude``: degrees. All but ``season`` are of a location, whose
embedding is the mean over its seasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl4eco_data.store import Place, read_small_arrays
from ssl4eco_training.embeddings import Embeddings
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.metrics import METRICS, Floats, Kind

OWN_TASKS = ("biome", "ecoregion", "season", "greenup", "latitude")
K = 10
"""Neighbours of the tasks from the dataset; the paper's Biomes has 10."""
DAYS_IN_YEAR = 365.2425
_NO_CLASS = ("", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Samples with labels, none missing: the rows of ``embeddings`` have the ``truth``.

    ``truth`` is codes ``(n,)`` int64 of *single*, ``(n, l)`` bool of *multi*, ``(n, t)`` float64 of
    *regression*;
    ``outputs`` names its classes, labels or targets. ``left_out`` samples had no label.
    """

    name: str
    kind: Kind
    metric: str
    k: int
    embeddings: Embeddings
    truth: npt.NDArray[Any]
    outputs: tuple[str, ...]
    left_out: int

    def __post_init__(self) -> None:
        if self.metric not in METRICS[self.kind] or self.k < 1:
            raise TrainingError(
                f"task {self.name}: a {self.kind} task has the metrics {', '.join(METRICS[self.kind])} "
                "and k of at "
                f"least 1, got {self.metric!r}, {self.k}"
            )


def own_task(name: str, root: str | Place, embeddings: Embeddings) -> Task:
    """A task of ``OWN_TASKS`` for embeddings of the dataset at ``root``.

    Raises TrainingError for an unknown name, and for labels that are all missing or all the same.
    """
    if name == "season":
        return classes_task(name, embeddings, embeddings.season, k=K)
    if name not in OWN_TASKS:
        raise TrainingError(
            f"there is no task {name!r}; there are {', '.join(OWN_TASKS)}, and tables (--table)"
        )
    pooled = embeddings.per_location()
    if name == "latitude":
        return regression_task(name, pooled, pooled.lat_deg[:, None], ("latitude",), k=K)
    labels = _column(root, name, pooled.location_id)
    if name == "greenup":
        angle = 2 * np.pi * labels.astype(np.float64) / DAYS_IN_YEAR
        targets = np.stack([np.sin(angle), np.cos(angle)], axis=1)
        return regression_task(name, pooled, targets, ("sine", "cosine"), k=K)
    return classes_task(name, pooled, labels, k=K)


def classes_task(
    name: str, embeddings: Embeddings, labels: npt.NDArray[np.str_], *, k: int, metric: str = "macro_f1"
) -> Task:
    """One class per row, empty (and ``none``) where there is no label; classes are ordered by name."""
    known = ~np.isin(labels, _NO_CLASS)
    classes, codes = np.unique(labels[known], return_inverse=True)
    if classes.size < 2:
        what = f"the one class {str(classes[0])!r}" if classes.size else "no label"
        raise _nothing(name, len(labels), what)
    return Task(
        name=name,
        kind="single",
        metric=metric,
        k=k,
        embeddings=embeddings.take(known),
        truth=codes.astype(np.int64),
        outputs=tuple(classes.tolist()),
        left_out=int((~known).sum()),
    )


def labels_task(
    name: str,
    embeddings: Embeddings,
    given: Mapping[str, npt.NDArray[np.bool_]],
    known: npt.NDArray[np.bool_],
    *,
    k: int,
    metric: str = "micro_f1",
) -> Task:
    """Any number of labels per row; rows that are not ``known`` are left out."""
    truth = np.stack([given[label] for label in given], axis=1)[known] if given else np.empty((0, 0), bool)
    if not truth.any() or truth.all():
        raise _nothing(name, known.size, "no label" if not truth.any() else "all labels everywhere")
    return Task(
        name=name,
        kind="multi",
        metric=metric,
        k=k,
        embeddings=embeddings.take(known),
        truth=truth,
        outputs=tuple(given),
        left_out=int((~known).sum()),
    )


def regression_task(
    name: str,
    embeddings: Embeddings,
    targets: Floats,
    outputs: tuple[str, ...],
    *,
    k: int,
    metric: str = "mean_r2",
) -> Task:
    """Numbers per row ``(n, t)``; rows where one is no finite number are left out."""
    known = np.asarray(np.isfinite(targets).all(axis=1))
    values = targets[known]
    if not len(values) or bool((values == values[0]).all()):
        raise _nothing(
            name, len(targets), "no value" if not len(values) else f"the one value {values[0].tolist()}"
        )
    return Task(
        name=name,
        kind="regression",
        metric=metric,
        k=k,
        embeddings=embeddings.take(known),
        truth=values,
        outputs=outputs,
        left_out=int((~known).sum()),
    )


def _column(root: str | Place, name: str, location_id: npt.NDArray[np.str_]) -> npt.NDArray[Any]:
    """Values of an array along ``location`` for locations by name."""
    try:
        arrays = read_small_arrays(root, ("location_id", name))
    except ValueError as error:
        raise TrainingError(f"task {name}: {error}; choose other --tasks") from error
    order = np.argsort(arrays["location_id"])
    ordered = arrays["location_id"][order]
    place = np.minimum(np.searchsorted(ordered, location_id), ordered.size - 1)
    if (ordered[place] != location_id).any():
        stranger = location_id[ordered[place] != location_id][0]
        raise TrainingError(f"{root} has no location {stranger}: the embeddings are of another dataset")
    found: npt.NDArray[Any] = arrays[name][order[place]]
    return found


def _nothing(name: str, samples: int, what: str) -> TrainingError:
    return TrainingError(
        f"task {name}: {samples} samples have {what}, nothing to tell apart; choose other --tasks or a "
        "larger --split"
    )
