"""What earlier runs judged: a choice with other thresholds asks the archive only for the rest.

The scores lie in ``runs/judged``, beside the data and not in it: which scenes a table says are judged
follows from the configuration alone, however the dataset came about.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import date

import pandas as pd
import xarray as xr
from shapely.geometry.base import BaseGeometry

from ssl4eco_data.archives import Archive
from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import fingerprint, read_table, write_table
from ssl4eco_data.store.objects import Place
from ssl4eco_data.types import Footprint, Location, PatchStats, Scene, UInt16Array

FOLDER = "runs/judged"
_PATCH = ("epsg", "west_m", "north_m", "size_m")
_SCORES = tuple(each.name for each in fields(PatchStats))
_BASIS = "basis"
Key = tuple[Footprint, str]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class RememberingArchive:
    """An archive that is asked for the scores of a scene on a patch once; all else goes straight to it."""

    archive: Archive
    known: dict[Key, PatchStats] = field(default_factory=dict)

    def judge(self, scenes: Sequence[Scene], footprint: Footprint) -> Sequence[PatchStats]:
        """As the protocol says; what is known is not asked for."""
        unknown = [scene for scene in scenes if (footprint, scene.scene_id) not in self.known]
        if unknown:
            for stats in self.archive.judge(unknown, footprint):
                self.known[footprint, stats.scene_id] = stats
        return [self.known[footprint, scene.scene_id] for scene in scenes]

    def search(self, area: BaseGeometry, start: date, end: date) -> Sequence[Scene]:
        """As the protocol says."""
        return self.archive.search(area, start, end)

    def get(self, scene_ids: Sequence[str]) -> Mapping[str, Scene]:
        """As the protocol says."""
        return self.archive.get(scene_ids)

    def read(self, scene: Scene, footprint: Footprint, bands: Sequence[str]) -> Mapping[str, UInt16Array]:
        """As the protocol says."""
        return self.archive.read(scene, footprint, bands)

    def vegetation_series(self, locations: Sequence[Location], start: date, end: date) -> xr.Dataset:
        """As the protocol says."""
        return self.archive.vegetation_series(locations, start, end)


@contextmanager
def remembering(archive: Archive, root: Place, block: int, *basis: object) -> Iterator[RememberingArchive]:
    """The archive with what earlier runs judged in this block; what it judges is kept, come what may.

    ``basis`` is what the scores follow from besides the scene and the patch: scores of another basis, and
    a file that cannot be read, are forgotten.
    """
    path = root / FOLDER / f"{block:05d}.parquet"
    mark = fingerprint(_SCORES, *basis)
    known = _read(path, mark)
    before = len(known)
    try:
        yield RememberingArchive(archive, known)
    finally:
        if len(known) > before:
            _keep(path, mark, known)


def _read(path: Place, mark: str) -> dict[Key, PatchStats]:
    try:
        frame = read_table(path)
        if list(frame.columns) != [_BASIS, *_PATCH, *_SCORES] or (frame[_BASIS] != mark).any():
            return {}
    except FileNotFoundError:
        return {}
    except StoreError as error:
        logger.warning("scores of earlier runs are judged again: %s", error)
        return {}
    try:
        return _scores(frame)
    except ValueError as error:
        logger.warning("scores of earlier runs are judged again: %s: %s", path, error)
        return {}


def _scores(frame: pd.DataFrame) -> dict[Key, PatchStats]:
    """The scores of a table; ValueError where one cannot be."""
    rows = frame.drop(columns=_BASIS).to_dict("records")
    return {
        (Footprint(**{name: row[name] for name in _PATCH}), row["scene_id"]): PatchStats(
            **{name: row[name] for name in _SCORES}
        )
        for row in rows
    }


def _keep(path: Place, mark: str, known: Mapping[Key, PatchStats]) -> None:
    """Write the scores; a disk that does not take them costs the next run time, and this one nothing."""
    try:
        _write(path, mark, known)
    except StoreError as error:
        logger.warning("scores of judged scenes are not kept: %s", error)


def _write(path: Place, mark: str, known: Mapping[Key, PatchStats]) -> None:
    rows = [
        {_BASIS: mark}
        | {name: getattr(footprint, name) for name in _PATCH}
        | {name: getattr(stats, name) for name in _SCORES}
        for (footprint, _), stats in known.items()
    ]
    write_table(path, pd.DataFrame(rows))
