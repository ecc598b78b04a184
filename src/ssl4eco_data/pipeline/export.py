"""Part of a dataset for other programs: GeoTIFFs with a table for R and QGIS, or Parquet as Major TOM has it.

Every file is whole or absent. ``export.json`` is written first and says what the folder holds; the table is
written last, so a folder with its table is complete. The same export into the same folder goes on where
it was.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import pandas as pd
import xarray as xr

from ssl4eco_data.errors import StoreError
from ssl4eco_data.pipeline.export_majortom import METADATA, image_row, metadata_table, part_bytes, part_name
from ssl4eco_data.pipeline.export_table import csv_bytes, file_names, patch_table
from ssl4eco_data.pipeline.export_tiff import COG, SCL, rasters, suffixes, tiff_bytes
from ssl4eco_data.store import (
    TEMPORARY_SUFFIX,
    Ledger,
    Place,
    clean_temporary,
    stored_bands,
    write_atomic,
    write_table,
)
from ssl4eco_data.store.selection import refuse_unknown

Item = TypeVar("Item")
Made = TypeVar("Made")
MANIFEST, TABLE = "export.json", "patches.csv"
ExportFormat: TypeAlias = Literal["cog", "major-tom"]
Advance: TypeAlias = Callable[[int], None]
"""Told how many patches were finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What the files of an export look like.

    ``bands`` are in the order wanted (empty: all, and the scene classification ``SCL``). ``native`` writes
    GeoTIFFs at each resolution as stored instead of one stack at 10 m. ``part_rows`` is the number of
    patches in a Parquet file, all in memory at once.
    """

    format: ExportFormat = "cog"
    bands: tuple[str, ...] = ()
    native: bool = False
    part_rows: int = 64

    def __post_init__(self) -> None:
        if self.part_rows < 1:
            raise ValueError(f"part_rows must be at least 1, got {self.part_rows}")
        if self.native and self.format == "major-tom":
            raise ValueError("native goes with the format cog; major-tom is at native resolution always")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """How many patches an export holds, how many files it wrote and how many were there, and its table."""

    patches: int
    written: int
    kept: int
    table: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """What is exported where; :func:`plan_export` makes one."""

    dataset: xr.Dataset
    table: pd.DataFrame
    bands: tuple[str, ...]
    to: Place
    options: ExportOptions
    manifest: Mapping[str, Any]

    @property
    def there(self) -> pd.DataFrame:
        """The rows of the table that have a patch."""
        return self.table[self.table["scene_id"] != ""].reset_index(drop=True)


def plan_export(root: Place, chosen: xr.Dataset, to: Place, options: ExportOptions) -> ExportJob:
    """How to write the patches of ``chosen``, selected from the dataset at ``root``, into the folder ``to``.

    Raises ``ValueError`` for unknown bands and where the selection has no patch.
    """
    table, bands = patch_table(root, chosen), _bands(chosen, options.bands)
    if not (table["scene_id"] != "").any():
        raise ValueError("no patch is left to export: the selection has none")
    manifest = {
        "ssl4eco_export": 1,
        **asdict(options),
        "bands": list(bands),
        "patches": int((table["scene_id"] != "").sum()),
        "table_sha256": hashlib.sha256(csv_bytes(table)).hexdigest(),
        "pixels_sha256": _pixels_digest(root),
    }
    return ExportJob(dataset=chosen, table=table, bands=bands, to=to, options=options, manifest=manifest)


def export(job: ExportJob, advance: Advance = lambda patches: None) -> Exported:
    """Write what is not there yet, the table last.

    Raises :class:`StoreError` where the folder holds anything but this very export or does not take a file
    (all files there are whole then, and the same call goes on), or where a patch is damaged.
    """
    _claim(job.to, job.manifest)
    return (_write_tiffs if job.options.format == "cog" else _write_parts)(job, advance)


def _bands(chosen: xr.Dataset, asked: Sequence[str]) -> tuple[str, ...]:
    known = (*stored_bands(chosen), SCL)
    refuse_unknown("band", asked, pd.Series(known, dtype=object).to_numpy())
    if len(set(asked)) < len(asked):
        raise ValueError(f"bands must be different, got {', '.join(asked)}")
    return tuple(asked) or known


def _pixels_digest(root: Place) -> str:
    """Over the checksums of all shards, as the ledger has them; the same while no pixel changes."""
    ledger, digest = Ledger(root), hashlib.sha256()
    for block in ledger.blocks("patches"):
        mark = ledger.read("patches", block)
        for file in mark.files if mark else ():
            digest.update(f"{file.path} {file.sha256}\n".encode())
    return digest.hexdigest()


def _claim(to: Place, manifest: Mapping[str, Any]) -> None:
    """Make the folder this export's own. Raises :class:`StoreError` where it holds something else."""
    path = to / MANIFEST
    if path.is_file():
        try:
            there = json.loads(path.read_bytes())
        except ValueError as error:
            raise StoreError(f"cannot read {path}: {error}; export to another folder") from error
        names = [
            name for name in manifest if not isinstance(there, dict) or there.get(name) != manifest[name]
        ]
        if names:
            raise StoreError(
                f"{to} holds another export (it differs in {', '.join(names)}); export to another folder"
            )
        clean_temporary(to)
        return
    if to.exists() and (not to.is_dir() or _has_files(to)):
        raise StoreError(f"{to} holds something that is no export; export to an empty folder")
    write_atomic(path, json.dumps(dict(manifest), indent=1).encode() + b"\n")


def _has_files(folder: Place) -> bool:
    """Whether a folder holds anything but what a killed writer left."""
    return any(path.suffix != TEMPORARY_SUFFIX for path in folder.glob("*"))


def _write_tiffs(job: ExportJob, advance: Advance) -> Exported:
    """GeoTIFFs, then the table that names them."""
    ends = suffixes(job.bands, job.options.native)
    named = job.table.assign(**file_names(job.table, ends))
    patches: list[dict[Hashable, Any]] = named[named["scene_id"] != ""].to_dict("records")

    def write(facts: Mapping[Hashable, Any]) -> int:
        paths = {end: job.to / facts[f"file{end}"] for end in ends}
        if all(path.is_file() for path in paths.values()):
            return 0
        where = facts["location_id"], facts["season"]
        for end, raster in rasters(job.dataset, *where, job.bands, job.options.native):
            write_atomic(paths[end], tiff_bytes(raster, COG))
        return len(paths)

    written = 0
    for count in _in_threads(write, patches):
        written += count
        advance(1)
    write_atomic(job.to / TABLE, csv_bytes(named))
    kept = len(patches) * len(ends) - written
    return Exported(patches=len(patches), written=written, kept=kept, table=job.to / TABLE)


def _write_parts(job: ExportJob, advance: Advance) -> Exported:
    """Parquet with images, then the table that says where each patch is."""
    there, size = job.there, job.options.part_rows
    written = 0
    for part, first in enumerate(range(0, len(there), size)):
        path, rows = job.to / part_name(part), there.iloc[first : first + size]
        if not path.is_file():
            facts = [row for _, row in rows.iterrows()]
            images = _in_threads(lambda row: image_row(job.dataset, row, job.bands), facts)
            write_atomic(path, part_bytes(images, job.bands))
            written += 1
        advance(len(rows))
    write_table(job.to / METADATA, metadata_table(there, size))
    parts = -(-len(there) // size)
    return Exported(patches=len(there), written=written, kept=parts - written, table=job.to / METADATA)


def _in_threads(make: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[Made]:
    """What is made of each item, in order; a few at a time, so that memory stays bounded."""
    threads = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(items), 4 * threads):
            yield from pool.map(make, items[first : first + 4 * threads])
