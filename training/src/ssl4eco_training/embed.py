"""Embed a dataset: ``python -m ssl4eco_training.embed DATASET --encoder ... --to embeddings.parquet``."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from ssl4eco_data.errors import Ssl4ecoError
from ssl4eco_data.store import Place, ShardReader, read_small_arrays, write_atomic
from ssl4eco_training.embeddings import Embeddings, encoded, join_files, joined, to_table
from ssl4eco_training.encoders import Judged, judged
from ssl4eco_training.errors import TrainingError, told
from ssl4eco_training.identity import dataset_fingerprint
from ssl4eco_training.transforms import centre, channels_of

Ints = npt.NDArray[np.int64]
PART_LOCATIONS = 256
SPLITS = {"validation": "val"}
"""Other names of splits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The rows of a dataset that are embedded, and what is written beside their vectors."""

    root: str | Place
    reader: ShardReader
    fingerprint: str
    rows: Ints
    location_id: npt.NDArray[np.str_]
    lon_deg: npt.NDArray[np.float64]
    lat_deg: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How it is done, without effect on the result: images at a time, reading threads, device."""

    batch: int = 64
    threads: int = 2
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


def open_source(root: str | Place, encoder: Judged, split: str | None) -> Source:
    """The locations of a split (None: all) for an encoder.

    Raises TrainingError for a split that has none and for bands that the dataset lacks, ``StoreError``
    where there is no finished dataset.
    """
    arrays = read_small_arrays(root, ("location_id", "lon", "lat", "split"))
    rows = rows_of(root, arrays["split"], split)
    try:
        reader = ShardReader(root, bands=encoder.spec.bands)
    except ValueError as error:
        raise TrainingError(f"{root} does not fit {encoder.model}: {error}") from error
    return Source(
        root=root,
        reader=reader,
        fingerprint=dataset_fingerprint(root),
        rows=rows,
        location_id=arrays["location_id"],
        lon_deg=arrays["lon"],
        lat_deg=arrays["lat"],
    )


def rows_of(root: str | Place, splits: npt.NDArray[np.str_], split: str | None) -> Ints:
    """The rows of a split; raises TrainingError that names the splits there are for one that has none."""
    wanted = SPLITS.get(split, split) if split is not None else None
    rows = np.arange(len(splits)) if wanted is None else np.flatnonzero(splits == wanted)
    if not rows.size:
        names, counts = np.unique(splits, return_counts=True)
        there = ", ".join(f"{name or 'none'} ({count})" for name, count in zip(names, counts, strict=True))
        raise TrainingError(f"{root} has no location in the split {split!r}; there are: {there}, or all")
    return rows.astype(np.int64)


def embedded(source: Source, encoder: Judged, rows: Ints, pace: Pace) -> Embeddings:
    """The embeddings of all seasons that the rows have, by row and season.

    Raises TrainingError when the encoder gives no features ``(N, D)``, or values that are no numbers.
    """
    n_seasons = source.reader.shape[1]
    places = np.stack([np.repeat(rows, n_seasons), np.tile(np.arange(n_seasons), rows.size)], axis=1)
    found, vectors = [], []
    for part, pixels in _read_ahead(source.reader, places, pace):
        if not len(part):
            continue
        out = _features(source, encoder, pixels, pace.device)
        if not np.isfinite(out).all():
            row, season = part[np.flatnonzero(~np.isfinite(out).all(axis=1))[0]]
            raise TrainingError(
                f"{encoder.model} gives values that are no numbers for {source.location_id[row]}, season "
                f"{source.reader.seasons[season]}: check its weights and its normalisation"
            )
        found.append(part)
        vectors.append(out)
    kept = np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)
    return Embeddings(
        location_id=source.location_id[kept[:, 0]],
        season=np.array(source.reader.seasons)[kept[:, 1]],
        lon_deg=source.lon_deg[kept[:, 0]],
        lat_deg=source.lat_deg[kept[:, 0]],
        vectors=np.concatenate(vectors) if vectors else np.empty((0, 0), dtype=np.float32),
        model=encoder.model,
        dataset=source.fingerprint,
    )


def embed_dataset(source: Source, encoder: Judged, pace: Pace) -> Embeddings:
    """The embeddings of all rows of a source, in memory; raises TrainingError when no row has a patch."""
    encoder.to(pace.device)
    parts = [embedded(source, encoder, rows, pace) for rows in _blocks(source.rows)]
    return joined(_some(source, [part for part in parts if part.vectors.size]))


def embed_to(path: Path, source: Source, encoder: Judged, pace: Pace) -> int:
    """Write the embeddings of a source as one GeoParquet file; the number of parts made now.

    Parts lie beside it until all are there, so that a run that was stopped goes on where it was; parts of
    other weights, settings, rows or of another dataset are made again, and all parts of a plain function,
    of which nobody can tell whether it is still the same.
    """
    encoder.to(pace.device)
    folder = path.with_name(f"{path.name}.parts")
    parts, made = [], 0
    for number, rows in enumerate(_blocks(source.rows)):
        part = folder / f"{number:05d}.parquet"
        identity = {"encoder": encoder.identity(), "dataset": source.fingerprint, "rows": rows.tolist()}
        if not (encoder.weights and _is_part(part, identity)):
            here = embedded(source, encoder, rows, pace)
            write_atomic(part, encoded(to_table(here, {"ssl4eco_part": identity})))
            made += 1
        parts.append(part)
    join_files(path, _some(source, [part for part in parts if pq.read_metadata(part).num_rows]))
    shutil.rmtree(folder)
    return made


def _some(source: Source, parts: list[Any]) -> list[Any]:
    if not parts:
        raise TrainingError(
            f"{source.root}: none of {source.rows.size} locations has a patch: choose another split"
        )
    return parts


def _is_part(part: Path, identity: dict[str, Any]) -> bool:
    try:
        metadata = pq.read_schema(part).metadata or {}
    except (FileNotFoundError, pa.ArrowInvalid, OSError):
        return False
    return bool(metadata.get(b"ssl4eco_part", b"").decode() == json.dumps(identity, sort_keys=True))


def _blocks(rows: Ints) -> Iterator[Ints]:
    for start in range(0, rows.size, PART_LOCATIONS):
        yield rows[start : start + PART_LOCATIONS]


def _read_ahead(
    reader: ShardReader, places: Ints, pace: Pace
) -> Iterator[tuple[Ints, dict[str, npt.NDArray[Any]]]]:
    """(places that have a patch, their pixels) batch by batch; the next is read meanwhile."""

    def read(start: int) -> tuple[Ints, dict[str, npt.NDArray[Any]]]:
        part = places[start : start + pace.batch]
        pixels = reader.empty(len(part))
        present = reader.read_batch(part, pixels, pace.threads)
        return part[present], {name: values[present] for name, values in pixels.items()}

    with ThreadPoolExecutor(1, thread_name_prefix="ssl4eco-embed") as pool:
        starts = range(0, len(places), pace.batch)
        ahead = pool.submit(read, 0)
        for start in starts:
            ready = ahead.result()
            if start + pace.batch < len(places):
                ahead = pool.submit(read, start + pace.batch)
            yield ready


def images_of(
    source: Source, encoder: Judged, pixels: dict[str, npt.NDArray[Any]], device: torch.device
) -> Tensor:
    """``(N, C, px, px)`` float32 as the encoder takes them, from what the source's reader read.

    Raises TrainingError when the source does not fit the encoder.
    """
    tensors = {name: torch.from_numpy(values).to(device) for name, values in pixels.items()}
    bands = {name: source.reader.bands(name) for name in tensors}
    try:
        channels_NCYX = channels_of(tensors, bands, encoder.spec)
    except ValueError as error:
        raise TrainingError(f"{source.root} does not fit {encoder.model}: {error}") from error
    return encoder.prepare(centre(channels_NCYX, encoder.spec.image_px))


@torch.inference_mode()
def _features(
    source: Source, encoder: Judged, pixels: dict[str, npt.NDArray[Any]], device: torch.device
) -> npt.NDArray[np.float32]:
    images_NCYX = images_of(source, encoder, pixels, device)
    out: Tensor = encoder.encoder(images_NCYX)
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != len(images_NCYX):
        shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise TrainingError(
            f"{encoder.model} must give features (N, D) of {len(images_NCYX)} images, got {shape}: pool "
            "its output"
        )
    return out.float().cpu().numpy()


def device_of(name: str) -> torch.device:
    """A device by name, *auto* the GPU if there is one. Raises TrainingError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise TrainingError(f"--device {name}: there is no GPU that torch can use; take --device cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise TrainingError(f"--device {name}: {error}") from error


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options that embedding and evaluation share."""
    parser.add_argument("dataset", help="folder or address of a dataset")
    parser.add_argument("--batch", type=int, default=64, help="images at a time (default 64)")
    parser.add_argument("--threads", type=int, default=2, help="threads that read (default 2)")
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, ... (default: the GPU if there is one)"
    )


def pace_of(options: argparse.Namespace) -> Pace:
    """The pace that the options ask for; raises TrainingError for one that cannot be meant."""
    if min(options.batch, options.threads) < 1:
        raise TrainingError(
            f"--batch and --threads must be at least 1, got {options.batch}, {options.threads}"
        )
    return Pace(batch=options.batch, threads=options.threads, device=device_of(options.device))


def main(arguments: Sequence[str] | None = None) -> int:
    """Embed a dataset; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ssl4eco_training.embed", description=__doc__)
    add_common(parser)
    parser.add_argument("--encoder", required=True, help="*.safetensors, or module:function")
    parser.add_argument("--to", type=Path, required=True, help="the GeoParquet file to write")
    parser.add_argument("--split", default="all", help="train, validation, test or all (default)")
    options = parser.parse_args(arguments)
    try:
        encoder = judged(options.encoder)
        split = None if options.split == "all" else options.split
        source = open_source(options.dataset, encoder, split)
        embed_to(options.to, source, encoder, pace_of(options))
    except (TrainingError, Ssl4ecoError, OSError) as error:
        print(told(error), file=sys.stderr)
        return 1
    print(f"{options.to}: {pq.read_metadata(options.to).num_rows} embeddings of {encoder.model}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
