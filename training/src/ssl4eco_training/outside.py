"""Tasks from label tables in the format of the reference's index files: ``lon``, ``lat``, label columns.

The patches of such a table come from a dataset that was built from the same file (``[locations.source]``
with ``kind = "points"``). Labels find their location by ``location_id`` where the table has that column,
else by place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ssl4eco_training.embeddings import Embeddings
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.folds import EARTH_RADIUS_KM, unit_vectors
from ssl4eco_training.metrics import METRICS, Floats, Kind
from ssl4eco_training.tasks import Task, classes_task, labels_task, regression_task

K, WITHIN_M = 10, 100.0
PAPER = {
    "biomes": (10, "macro_f1"),
    "cavm": (20, "macro_f1"),
    "bigearthnet": (30, "micro_map"),
    "euforest": (5, "micro_f1"),
    "treesatai": (5, "micro_f1"),
    "chelsa": (10, "mean_r2"),
    "biomassters": (1, "mean_r2"),
    "clef": (1, "micro_f1"),
}
"""Neighbours and metric per task of the paper."""
SEPARATOR = ","
"""Between the labels of one sample: ``Eucalyptus, Pinus``."""
_NO_ROW = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable:
    """A table of labels (CSV or Parquet) and how it is read.

    ``columns`` hold classes (*single*, one column), labels parted by commas (*multi*, one column) or 0 and 1
    (*multi*, several), numbers (*regression*). A location takes the row nearest to it within ``within_m``
    metres. ``k`` 0 is the paper's of a task of this name, else 10; an empty ``metric`` the paper's,
    where it goes with the kind, else the usual one.
    """

    path: Path
    columns: tuple[str, ...]
    kind: Kind
    name: str = ""
    metric: str = ""
    k: int = 0
    within_m: float = WITHIN_M

    def __post_init__(self) -> None:
        if not self.columns or self.k < 0 or not 0 < self.within_m <= 100_000:
            raise TrainingError(
                f"a table needs label columns, k of at least 0 and a distance in (0, 100000] m, got "
                f"{self.columns}, {self.k}, {self.within_m:g}"
            )
        if self.kind == "single" and len(self.columns) > 1:
            raise TrainingError(f"a single-label task has one label column, got {', '.join(self.columns)}")

    @property
    def task(self) -> str:
        """The name that is shown."""
        return self.name or self.path.stem

    @property
    def neighbours(self) -> int:
        """k, looked up where it is 0."""
        return self.k or self._of_paper[0]

    @property
    def scored_by(self) -> str:
        """The metric, looked up where it is empty."""
        usual, paper = METRICS[self.kind], self._of_paper[1]
        return self.metric or (paper if paper in usual else usual[0])

    @property
    def _of_paper(self) -> tuple[int, str]:
        return PAPER.get(self.task.lower().replace("-", "").replace("_", ""), (K, ""))


def outside_task(table: LabelTable, embeddings: Embeddings) -> Task:
    """The task of a table for embeddings, one sample per location (mean of its seasons).

    Raises TrainingError for a file or column that is not there, for values that do not fit the kind, and
    when no location has a label.
    """
    frame = _read(table)
    pooled = embeddings.per_location()
    row = _matched(table, frame, pooled)
    if (row == _NO_ROW).all():
        raise TrainingError(
            f"{table.path}: none of {len(row)} locations has a row within {table.within_m:g} m; build the "
            "dataset from "
            "these points, add location_id, or raise --within-m"
        )
    labels = frame[list(table.columns)].reset_index(drop=True).reindex(row).reset_index(drop=True)
    metric = table.scored_by
    if table.kind == "single":
        texts = labels.iloc[:, 0].map(_text, na_action="ignore").fillna("").to_numpy().astype(str)
        return classes_task(table.task, pooled, texts, k=table.neighbours, metric=metric)
    if table.kind == "multi":
        known, given = _flags(table, labels)
        return labels_task(table.task, pooled, given, known, k=table.neighbours, metric=metric)
    return regression_task(
        table.task, pooled, _numbers(table, labels), table.columns, k=table.neighbours, metric=metric
    )


def nearest_rows(
    points: tuple[Floats, Floats], places: tuple[Floats, Floats], within_m: float
) -> npt.NDArray[np.int64]:
    """``(n,)`` for each place (lon, lat in degrees) the nearest of the points within a distance, -1 for none.

    Of equally near ones the first. Great circles on a sphere of 6371 km.
    """
    lon, lat = points
    order = np.argsort(lat, kind="stable")
    vectors, wanted = unit_vectors(lon, lat)[order], unit_vectors(*places)
    reach_deg = np.degrees(within_m / 1000 / EARTH_RADIUS_KM) * 1.001
    low = np.searchsorted(lat[order], places[1] - reach_deg, side="left")
    high = np.searchsorted(lat[order], places[1] + reach_deg, side="right")
    chord = 2 * np.sin(within_m / 1000 / EARTH_RADIUS_KM / 2)
    found = np.full(len(wanted), _NO_ROW, dtype=np.int64)
    for i, (start, stop) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        far = np.linalg.norm(vectors[start:stop] - wanted[i], axis=1)
        if far.size and far.min() <= chord:
            found[i] = order[start:stop][far == far.min()].min()
    return found


def _read(table: LabelTable) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(table.path) if table.path.suffix == ".parquet" else pd.read_csv(table.path)
    except FileNotFoundError:
        raise TrainingError(f"there is no {table.path}: check --table") from None
    except (ValueError, OSError) as error:
        raise TrainingError(f"{table.path} cannot be read as a table: {error}") from error
    place = ("location_id",) if "location_id" in frame else ("lon", "lat")
    missing = [name for name in (*place, *table.columns) if name not in frame]
    if missing:
        raise TrainingError(
            f"{table.path} has no column {', '.join(missing)}; there are {', '.join(map(str, frame.columns))}"
        )
    return frame


def _matched(table: LabelTable, frame: pd.DataFrame, pooled: Embeddings) -> npt.NDArray[np.int64]:
    """``(n,)`` the row of the table of each location, -1 for none."""
    if "location_id" in frame:
        names = pd.Index(frame["location_id"].astype(str))
        if names.has_duplicates:
            twice = names[names.duplicated()][0]
            raise TrainingError(
                f"{table.path}: location_id {twice} comes twice; keep one row for each location"
            )
        return names.get_indexer(pooled.location_id.tolist()).astype(np.int64)
    places = frame[["lon", "lat"]].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    good = np.isfinite(places).all(axis=1) & (np.abs(places) <= (180, 90)).all(axis=1)
    if not good.all():
        raise TrainingError(
            f"{table.path}: lon must be in [-180, 180] and lat in [-90, 90], got "
            f"{places[~good][0].tolist()} in row "
            f"{int(np.flatnonzero(~good)[0])}"
        )
    return nearest_rows((places[:, 0], places[:, 1]), (pooled.lon_deg, pooled.lat_deg), table.within_m)


def _flags(
    table: LabelTable, labels: pd.DataFrame
) -> tuple[npt.NDArray[np.bool_], dict[str, npt.NDArray[np.bool_]]]:
    """(rows that have labels, the rows of each label)."""
    known = labels.notna().all(axis=1).to_numpy()
    if len(table.columns) == 1:
        sets = [
            set(_parted(text)) if there else set()
            for text, there in zip(labels.iloc[:, 0], known, strict=True)
        ]
        every = sorted(set().union(*sets))
        return known, {label: np.array([label in here for here in sets]) for label in every}
    numbers = _numbers(table, labels)
    if not np.isin(numbers[known], (0, 1)).all():
        raise TrainingError(f"{table.path}: the columns {', '.join(table.columns)} must hold 0 and 1")
    return known, {name: numbers[:, i] == 1 for i, name in enumerate(table.columns)}


def _parted(text: object) -> Iterator[str]:
    return (label.strip() for label in _text(text).split(SEPARATOR) if label.strip())


def _text(value: object) -> str:
    """A label as text; 4.0, which a missing neighbour made of 4, is 4."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _numbers(table: LabelTable, labels: pd.DataFrame) -> Floats:
    try:
        values: Floats = labels.astype(np.float64).to_numpy()
    except (TypeError, ValueError) as error:
        raise TrainingError(
            f"{table.path}: the columns {', '.join(table.columns)} must hold numbers: {error}"
        ) from error
    return values
