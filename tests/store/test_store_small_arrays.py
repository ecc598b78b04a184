"""Labels, times and numbers without xarray are those of the analysis API."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_dataset import SEASONS, Small, build_small

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import open_dataset
from ssl4eco_data.store.small_arrays import read_small_arrays


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return build_small(tmp_path_factory.mktemp("labels") / "dataset")


def test_all_small_arrays_are_those_of_xarray(small: Small) -> None:
    dataset = open_dataset(small.root)
    names = [str(name) for name in dataset.coords if name not in ("location", "spatial_ref")]
    assert {"location_id", "split", "time", "scene_id", "season", "biome", "lon"} <= set(names)
    for name, values in read_small_arrays(small.root, names).items():
        expected = dataset[name].to_numpy()
        assert values.shape == expected.shape
        if values.dtype.kind == "U":
            assert values.tolist() == [[*map(str, e)] if np.ndim(e) else str(e) for e in expected]
        elif values.dtype.kind == "M":
            np.testing.assert_array_equal(values, expected.astype("datetime64[ms]"))
        else:
            assert values.dtype == expected.dtype
            np.testing.assert_array_equal(values, expected)
    found = read_small_arrays(small.root / "patches.zarr", ["season", "time", "location_id"])
    assert found["season"].tolist() == list(SEASONS)
    assert found["location_id"].tolist() == list(small.ids)
    assert (~np.isnat(found["time"]) == small.present).all()


def test_what_is_not_there_or_no_small_array_is_named(small: Small) -> None:
    with pytest.raises(ValueError, match=r"no array 'wieght'; there are: .*biome"):
        read_small_arrays(small.root, ["wieght"])
    with pytest.raises(ValueError, match="r10 is no small array"):
        read_small_arrays(small.root, ["r10"])
    with pytest.raises(StoreError, match="there is no"):
        read_small_arrays(small.root / "elsewhere", ["season"])


def test_damage_is_told_by_file(small: Small, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(small.root, own)
    chunk = own / "patches.zarr/sentinel2/lon/c/0"
    data = bytearray(chunk.read_bytes())
    data[-9] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(StoreError, match=r"lon/c/0"):
        read_small_arrays(own, ["lon"])
    chunk.unlink()
    with pytest.raises(StoreError, match=r"lon/c/0"):
        read_small_arrays(own, ["lon"])
    document = own / "patches.zarr/sentinel2/season/zarr.json"
    document.write_bytes(document.read_bytes().replace(b'"spring",', b""))
    with pytest.raises(StoreError, match="codes 0 to 3 have no labels"):
        read_small_arrays(own, ["season"])
    document.write_bytes(b"{")
    with pytest.raises(StoreError, match=r"season/zarr\.json"):
        read_small_arrays(own, ["season"])


def test_reading_for_training_needs_no_torch_and_no_xarray_objects(small: Small) -> None:
    code = (
        "import sys; from ssl4eco_data.store.shards import ShardReader; "
        "from ssl4eco_data.store.small_arrays import read_small_arrays; "
        f"r = ShardReader({str(small.root)!r}); r.read_into(0, 0, r.empty()); "
        f"read_small_arrays({str(small.root)!r}, ['season']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
