"""Writing patches: the metadata of their arrays, and whole shards that each have one owner."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.codec import encode_shard
from ssl4eco_data.store.files import remove, write_atomic
from ssl4eco_data.store.metadata import DOCUMENT, group_document, read_document, to_bytes
from ssl4eco_data.store.objects import Place
from ssl4eco_data.store.schema import ARRAYS, GROUP, Layout, PatchArray
from ssl4eco_data.types import BoolArray

Kept = Mapping[tuple[int, int], Sequence[bytes]]
"""(row of the block, season) -> encoded chunks, one of each array of the layout."""
ENCODE_THREADS = 2
"""Chunks of a block compressed at a time; compressing releases the interpreter's lock."""


def create(root: Place, layout: Layout) -> list[Place]:
    """Write the metadata of the patch arrays into the Zarr store ``root``; the files, sorted.

    Again with the same layout gives the same bytes; with more locations the arrays grow. Raises
    :class:`StoreError` for any other difference to what is there. The groups' own metadata is made here
    only where it is missing or outdated: :func:`~ssl4eco_data.store.write_coordinates` completes it.
    """
    group = root / GROUP
    documents = {group / array.name / DOCUMENT: array.document() for array in layout.arrays}
    _refuse_others(group, layout)
    for path, wanted in documents.items():
        if there := _read(path):
            _refuse_difference(path, there, wanted)
    _ensure_group(root / DOCUMENT, {f"{GROUP}/{path.parent.name}": d for path, d in documents.items()})
    _ensure_group(group / DOCUMENT, {path.parent.name: d for path, d in documents.items()})
    for path, wanted in documents.items():
        write_atomic(path, to_bytes(wanted))
    return sorted(documents)


def stored_locations(root: Place) -> int | None:
    """How many locations the Zarr store ``root`` has room for, ``None`` where it has no arrays of patches."""
    documents = (_read(root / GROUP / name / DOCUMENT) for name in ARRAYS)
    return max((int(there["shape"][0]) for there in documents if there), default=None)


def unfinish(root: Place) -> None:
    """Take the labels from the Zarr store ``root``, if there is one: readers refuse it until it is closed."""
    for path in (root / DOCUMENT, root / GROUP / DOCUMENT):
        if path.exists():
            write_atomic(path, to_bytes(group_document({})))


def write_block(
    root: Place,
    layout: Layout,
    first_row: int,
    patches: Mapping[str, npt.NDArray[Any]],
    present: BoolArray,
    kept: Kept | None = None,
) -> list[Place]:
    """Write all shards of a block of locations; the files that hold something, sorted.

    ``patches`` maps each array's name to ``(location, season, band, y, x)`` (``scl``: no band axis) of the
    layout's type, ``present`` is ``(location, season)``: what is not present is absent from its shard
    whatever its pixels, and a shard with nothing present has no file. Rows start at ``first_row``, the
    first of a shard. ``kept`` are chunks encoded before, which are written as they are by row of the block
    and season; their pixels are not looked at. Raises ``ValueError`` for arrays that do not fit the layout,
    :class:`StoreError` when the disk does not take a file. Needs memory for twice the compressed bytes of
    one shard.
    """
    _check_block(layout, first_row, patches, present)
    per_shard = layout.parameters.shard_locations
    written = []
    with ThreadPoolExecutor(ENCODE_THREADS) as pool:
        for number, array in enumerate(layout.arrays):
            pixels = patches[array.name]
            ready = {place: chunks[number] for place, chunks in (kept or {}).items()}
            for start in range(0, len(present), per_shard):
                rows = slice(start, start + per_shard)
                path = root / GROUP / shard_key(array, (first_row + start) // per_shard)
                if not present[rows].any():
                    remove(path)
                    continue
                here = {(i - start, j): chunk for (i, j), chunk in ready.items() if i >= start}
                write_atomic(path, _encode(array, pixels[rows], present[rows], here, pool))
                written.append(path)
    return sorted(written)


def shard_key(array: PatchArray, shard: int) -> str:
    """Place, below the group, of a shard."""
    return array.key(shard, *[0] * (len(array.dims) - 1))


def _encode(
    array: PatchArray,
    pixels: npt.NDArray[Any],
    present: BoolArray,
    ready: Mapping[tuple[int, int], bytes],
    pool: ThreadPoolExecutor,
) -> bytes:
    places = [(i, j) for i, j in np.ndindex(present.shape) if present[i, j]]
    encoded = pool.map(lambda place: ready.get(place) or array.codec.encode(pixels[place]), places)
    chunks: list[bytes | None] = [None] * array.chunks_per_file
    for (i, j), chunk in zip(places, encoded, strict=True):
        chunks[i * present.shape[1] + j] = chunk
    return encode_shard(chunks)


def _check_block(
    layout: Layout, first_row: int, patches: Mapping[str, npt.NDArray[Any]], present: BoolArray
) -> None:
    per_shard, n, n_seasons = layout.parameters.shard_locations, len(present), len(layout.seasons)
    end = first_row + n
    if first_row < 0 or first_row % per_shard:
        raise ValueError(f"first_row must be the first of a shard of {per_shard} locations, got {first_row}")
    if end > layout.n_locations or (n % per_shard and end != layout.n_locations):
        raise ValueError(
            f"a block must be whole shards of {per_shard} locations, or end with the dataset at "
            f"{layout.n_locations}, got rows {first_row} to {end}"
        )
    if present.dtype != np.bool_ or present.shape != (n, n_seasons):
        raise ValueError(f"present must be bool ({n}, {n_seasons}), got {present.dtype} {present.shape}")
    names = [array.name for array in layout.arrays]
    if sorted(patches) != sorted(names):
        raise ValueError(f"patches must be {', '.join(names)}, got {', '.join(patches)}")
    for array in layout.arrays:
        wanted, got = (n, *array.shape[1:]), patches[array.name]
        if got.shape != wanted or got.dtype != np.dtype(array.dtype):
            raise ValueError(f"{array.name} must be {array.dtype} {wanted}, got {got.dtype} {got.shape}")


def _refuse_others(group: Place, layout: Layout) -> None:
    known = {array.name for array in layout.arrays}
    there = {name for name in ARRAYS if (group / name / DOCUMENT).is_file()}
    for name in sorted(there - known):
        raise StoreError(f"{group} has {name}, which the configuration has no bands for; {_WAY_OUT}")


def _refuse_difference(path: Place, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        if name != "shape" and there.get(name) != value:
            what, old, new = _narrow(name, there.get(name), value)
            raise StoreError(f"{path}: {what} is {_short(old)} there and {_short(new)} asked; {_WAY_OUT}")
    old, new = there.get("shape", []), wanted["shape"]
    if old[1:] != new[1:] or old[0] > new[0]:
        raise StoreError(f"{path}: shape is {old} there and {new} asked; {_WAY_OUT}")


_WAY_OUT = "only the number of locations may grow: choose another dataset root, or remove this store"


def _narrow(name: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    """The innermost mapping's entry that differs: its dotted name and both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        key = min(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
        return _narrow(f"{name}.{key}", old.get(key), new.get(key))
    return name, old, new


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _ensure_group(path: Place, arrays: Mapping[str, Any]) -> None:
    """Write an empty group unless there is one that says the same of ``arrays``, or nothing of them."""
    there = _read(path)
    if there and there.get("node_type") == "group":
        inside = there.get("consolidated_metadata", {}).get("metadata", {})
        if not inside or all(inside.get(name) == document for name, document in arrays.items()):
            return
    write_atomic(path, to_bytes(group_document({})))


def _read(path: Place) -> dict[str, Any] | None:
    """A metadata document; ``None`` when it is absent or damaged, so that it is written anew."""
    try:
        return read_document(path)
    except (FileNotFoundError, StoreError):
        return None
