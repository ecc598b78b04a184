"""The ways of reading patches that ``benchmarks.store`` compares, each into the same buffers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from numcodecs import blosc

from ssl4eco_data.store.codec import CRC_BYTES, split_shard
from ssl4eco_data.store.shards import ShardReader

Arrays = Mapping[str, npt.NDArray[Any]]
Batch = Sequence[tuple[int, int]]
Way = Callable[[Batch, Arrays], None]


def ours(root: Path, names: Sequence[str], verify: bool) -> Way:
    """The reader for training, without threads."""
    reader = ShardReader(root, names, verify=verify)

    def read(batch: Batch, out: Arrays) -> None:
        reader.read_batch(batch, {name: values[: len(batch)] for name, values in out.items()})

    return read


def zarr_python(root: Path, names: Sequence[str]) -> Way:
    """One ``array[row, season]`` a patch, its fastest way."""
    arrays = {n: zarr.open_array(root / "patches.zarr/sentinel2" / n, mode="r") for n in names}

    def read(batch: Batch, out: Arrays) -> None:
        for i, (row, season) in enumerate(batch):
            for name, array in arrays.items():
                out[name][i] = array[row, season]

    return read


def decoding(root: Path, names: Sequence[str]) -> Way:
    """The limit for compressed data: chunks that lie in memory already are unpacked, and nothing else."""
    reader = ShardReader(root, names)
    chunks: dict[str, list[bytes | None]] = {}
    for name, array in reader.arrays.items():
        shards = range(-(-array.shape[0] // array.per_shard))
        files = [root / "patches.zarr/sentinel2" / array.key(shard) for shard in shards]
        found = [c for path in files for c in split_shard(path.read_bytes(), array.chunks_per_shard)]
        chunks[name] = [c and c[:-CRC_BYTES] for c in found]
    seasons = reader.shape[1]

    def read(batch: Batch, out: Arrays) -> None:
        for i, (row, season) in enumerate(batch):
            for name, found in chunks.items():
                blosc.decompress(found[row * seasons + season], out[name][i])

    return read


def memmap(folder: Path, plain: Arrays, names: Sequence[str]) -> Way:
    """The limit of files: pixels as they are, copied from a mapped file."""
    mapped = {}
    for name in names:
        path = folder / f"{name}.npy"
        if not path.exists():
            np.save(path, plain[name])
        mapped[name] = np.load(path, mmap_mode="r")
    return memcpy(mapped, names)


def memcpy(plain: Arrays, names: Sequence[str]) -> Way:
    """The limit of memory: pixels copied from arrays."""

    def read(batch: Batch, out: Arrays) -> None:
        for i, (row, season) in enumerate(batch):
            for name in names:
                np.copyto(out[name][i], plain[name][row, season])

    return read
