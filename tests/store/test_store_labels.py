"""Labels in the Zarr arrays are those of the tables, and a code that is another one is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssl4eco_data.store import check, open_dataset, read_small_arrays, read_table, write_atomic
from ssl4eco_data.store.codec import ChunkCodec, decode_chunk

LABELS = ("ecoregion", "biome", "realm", "split")


def test_labels_and_reasons_are_those_of_the_tables(built_config: Path) -> None:
    root = built_config.parent / "dataset"
    located = read_table(root / "locations.parquet")
    small = read_small_arrays(root, [*LABELS, "location_id", "reason", "season"])
    with open_dataset(root) as opened:
        for name in (*LABELS, "location_id"):
            wanted = located[name].fillna("").tolist()
            assert small[name].tolist() == wanted, name
            assert opened[name].to_numpy().tolist() == wanted, name
    assert all(located[name].nunique() > 1 for name in ("ecoregion", "biome", "split"))
    chosen = [read_table(p) for p in sorted((root / "scenes/choices").glob("*.parquet"))]
    reasons = {(r.location_id, r.season): r.reason or "" for t in chosen for r in t.itertuples()}
    for i, j in np.ndindex(small["reason"].shape):
        assert small["reason"][i, j] == reasons[small["location_id"][i], small["season"][j]]


@pytest.mark.parametrize("name", ["ecoregion", "biome", "split"])
def test_a_wrong_code_that_unpacks_well_is_found(name: str, finished_config: Path) -> None:
    root = finished_config.parent / "dataset"
    path = root / "patches.zarr/sentinel2" / name / "c/0"
    n = len(read_table(root / "locations.parquet"))
    labels = read_small_arrays(root, [name])[name]
    codes = decode_chunk(path.read_bytes(), (n,), np.dtype("<i2")).copy()
    codes[0] = codes[np.flatnonzero(labels != labels[0])[0]]
    write_atomic(path, ChunkCodec().encode(codes))
    assert read_small_arrays(root, [name])[name][0] != labels[0], "no reader notices"
    (problem,) = check(root)
    assert (problem.stage, problem.block) == ("close", 0)
    assert problem.file == path.relative_to(root).as_posix()
