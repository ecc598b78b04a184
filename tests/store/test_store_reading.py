"""A closed dataset: xarray opens it with labels, and one location is a map in the right place."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  (registers the accessor)
import xarray as xr
from tests.store.small_dataset import EMPTY_ROW, SEASONS, Small, build_small, phenology, small_layout, tables

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import (
    create,
    cube,
    describe_dataset,
    ndvi,
    open_dataset,
    read_dataset_block,
    write_coordinates,
    write_dataset_block,
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return build_small(tmp_path_factory.mktemp("small"))


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_two_builds_are_byte_identical(small: Small, tmp_path: Path) -> None:
    build_small(tmp_path)
    assert files(tmp_path) == files(small.root)


def test_xarray_opens_it_as_it_is_without_a_warning(small: Small) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw = xr.open_zarr(small.root / "patches.zarr", group="sentinel2")
        alone = xr.open_zarr(small.root / "patches.zarr" / "sentinel2")
    assert raw["r10"].dims == ("location", "season", "band_10m", "y_10m", "x_10m")
    assert raw["r10"].dtype == np.uint16
    assert raw["time"].dtype.kind == "M"
    assert raw["season"].attrs["labels"] == list(SEASONS)
    assert set(raw.data_vars) == {"r10", "r20", "r60", "scl"}
    xr.testing.assert_identical(raw.load(), alone.load())


def test_labels_and_times_come_back(small: Small) -> None:
    dataset = open_dataset(small.root)
    located, choices = tables(small)
    assert dataset["location"].to_numpy().tolist() == list(small.ids)
    assert dataset["season"].to_numpy().tolist() == list(SEASONS)
    assert dataset["band_10m"].to_numpy().tolist() == ["B02", "B03", "B04", "B08"]
    assert dataset["biome"].to_numpy().tolist() == located["biome"].fillna("").tolist()
    np.testing.assert_array_equal(dataset["epsg"], located["epsg"])
    np.testing.assert_array_equal(dataset["greenup"], 100.0 + np.arange(5))
    for row in choices.itertuples():
        here = dataset.sel(location=row.location_id, season=row.season)
        if row.failure:
            assert (here["scene_id"].item(), here["reason"].item()) == ("", "unreadable")
            assert np.isnat(here["time"].to_numpy())
        elif row.scene_id is None or pd.isna(row.scene_id):
            assert (here["scene_id"].item(), here["reason"].item()) == ("", "all_cloudy")
            assert np.isnat(here["time"].to_numpy())
        else:
            assert (here["scene_id"].item(), here["reason"].item()) == (row.scene_id, "")
            assert here["time"].to_numpy() == np.datetime64(row.time.tz_localize(None))


def test_pixels_are_read_where_they_were_written(small: Small) -> None:
    dataset = open_dataset(small.root)
    for (i, j), there in np.ndenumerate(small.present):
        seen = dataset["r20"][i, j].to_numpy()
        np.testing.assert_array_equal(seen, small.pixels["r20"][i, j] if there else 0)


def test_dask_is_a_choice(small: Small) -> None:
    assert open_dataset(small.root)["r10"].chunks is None
    assert open_dataset(small.root, chunks={})["r10"].chunks[0] == (1, 1, 1, 1, 1)


def test_a_location_is_a_map(small: Small) -> None:
    seen = cube(open_dataset(small.root / "patches.zarr"), small.ids[0], "spring")
    assert seen.dims == ("band", "y", "x")
    assert seen["band"].to_numpy().tolist() == ["B01", "B02", "B03", "B04", "B05", "B08"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        assert seen.rio.crs.to_epsg() == 32631
        assert tuple(seen.rio.transform())[:6] == (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_600_000.0)
    np.testing.assert_array_equal(seen.sel(band="B04"), small.pixels["r10"][0, 0, 2])
    np.testing.assert_array_equal(seen.sel(band="B05")[1::2, ::2], small.pixels["r20"][0, 0, 0])


def test_60_m_pixels_are_the_ones_that_hold_the_centre(small: Small) -> None:
    seen = cube(open_dataset(small.root), small.ids[0], "summer").sel(band="B01")
    native = small.pixels["r60"][0, 1, 0]
    for i, y in enumerate(seen["y"].to_numpy()):
        for j, x in enumerate(seen["x"].to_numpy()):
            row, column = int((5_600_020 - y) // 60), int((x - 499_960) // 60)
            assert seen[i, j] == native[row, column]


def test_all_seasons_of_a_location(small: Small) -> None:
    seen = cube(open_dataset(small.root), small.ids[EMPTY_ROW])
    assert seen.dims == ("season", "band", "y", "x")
    assert not seen.any()
    full = cube(open_dataset(small.root), small.ids[0])
    assert full["time"].dims == ("season",)
    np.testing.assert_array_equal(
        full.sel(season="spring"), cube(open_dataset(small.root), small.ids[0], "spring")
    )


def test_unknown_labels_are_named(small: Small) -> None:
    dataset = open_dataset(small.root)
    with pytest.raises(ValueError, match="no location 'X' in this dataset; there are L0ü"):
        cube(dataset, "X")
    with pytest.raises(ValueError, match="no season 'monsoon'"):
        cube(dataset, small.ids[0], "monsoon")


def test_ndvi(small: Small) -> None:
    index = ndvi(open_dataset(small.root).isel(location=[0, EMPTY_ROW]))
    red, nir = (small.pixels["r10"][0, 0, k].astype(np.float64) for k in (2, 3))
    valid = (red > 0) & (nir > 0)
    wanted = np.where(valid, (nir - red) / np.maximum(nir + red, 1), np.nan)
    np.testing.assert_allclose(index[0, 0], wanted, rtol=1e-6)
    assert np.isnan(index[1].to_numpy()).all()
    assert index.dtype == np.float32


def test_a_description(small: Small) -> None:
    facts = dict(describe_dataset(small.root))
    assert facts["locations"] == "5"
    assert facts["patches"] == f"{int(small.present.sum())} of 20"
    assert facts["r60"].endswith("B01")


def test_nothing_unfinished_and_newer_datasets_are_told_apart(small: Small, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="build it first"):
        open_dataset(tmp_path / "nowhere")
    create(tmp_path / "begun" / "patches.zarr", small.layout)
    with pytest.raises(StoreError, match="not finished"):
        open_dataset(tmp_path / "begun")
    build_small(tmp_path / "newer")
    for document in (tmp_path / "newer" / "patches.zarr").rglob("zarr.json"):
        changed = document.read_text().replace('"ssl4eco_format_version": 1', '"ssl4eco_format_version": 99')
        document.write_text(changed)
    with pytest.raises(StoreError, match=r"format version 99.*update"):
        open_dataset(tmp_path / "newer")


def test_tables_that_do_not_fit_are_refused(small: Small, tmp_path: Path) -> None:
    located, choices = tables(small)
    wanted = {"locations": located, "phenology": phenology(small), "choices": choices}
    for changes, what in (
        ({"locations": located.iloc[:4]}, "5 different rows"),
        ({"phenology": phenology(small).iloc[1:]}, "exactly one row"),
        ({"choices": pd.concat([choices, choices.iloc[:1]])}, "at most one row"),
        ({"choices": choices.assign(season="monsoon")}, "at most one row"),
        ({"choices": choices.assign(lon=1.0)}, "column lon"),
    ):
        with pytest.raises(ValueError, match=what):
            write_coordinates(tmp_path, small.layout, **{**wanted, **changes})


def test_more_locations_close_again(tmp_path: Path) -> None:
    small = build_small(tmp_path)
    grown = small_layout(6)
    create(tmp_path / "patches.zarr", grown)
    with pytest.raises(StoreError, match="not finished"):
        open_dataset(tmp_path)
    located, choices = tables(small)
    more = located.iloc[[0]].assign(location_id="new")
    write_coordinates(
        tmp_path / "patches.zarr",
        grown,
        locations=pd.concat([located, more]),
        phenology=pd.concat([phenology(small), phenology(small).iloc[[0]].assign(location_id="new")]),
        choices=choices,
    )
    dataset = open_dataset(tmp_path)
    assert dataset.sizes["location"] == 6
    assert not dataset["r10"].sel(location="new").any()


def block_dataset() -> xr.Dataset:
    rng = np.random.default_rng(0)
    shape = (2, 3, 3, 4)
    return xr.Dataset(
        {
            "date": (
                ("location", "y", "x", "cycle"),
                rng.normal(size=shape),
                {"units": "days since 1970-01-01"},
            ),
            "status": (
                ("location", "y", "x"),
                rng.integers(0, 4, shape[:3]).astype(np.int8),
                {"flag_values": [0, 1]},
            ),
            "flag": (("location",), np.array([True, False])),
            "seen": (("location",), np.array(["2020-01-01T00:00:00.5", "NaT"], dtype="datetime64[ns]")),
        },
        coords={"location": ["ä", "b"], "metric": ["greenup", "peak"], "cycle": np.arange(4)},
        attrs={"index": "evi", "n": np.int64(3)},
    )


def test_a_block_of_any_arrays_comes_back(tmp_path: Path) -> None:
    wanted = block_dataset()
    written = write_dataset_block(tmp_path / "00000", wanted)
    assert write_dataset_block(tmp_path / "again", wanted)
    assert files(tmp_path / "00000") == files(tmp_path / "again")
    assert {p.relative_to(tmp_path / "00000").as_posix() for p in written} == files(tmp_path / "00000").keys()
    back = read_dataset_block(tmp_path / "00000")
    assert back["location"].to_numpy().tolist() == ["ä", "b"]
    assert back["metric"].to_numpy().tolist() == ["greenup", "peak"]
    days = (back["date"].to_numpy() - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
    np.testing.assert_allclose(days, wanted["date"], atol=1e-8)
    for name in ("status", "flag", "seen", "cycle"):
        np.testing.assert_array_equal(back[name].to_numpy(), wanted[name].to_numpy())
        assert back[name].dtype == wanted[name].dtype
    assert back.attrs["index"] == "evi"


def test_a_type_without_a_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="complex128"):
        write_dataset_block(tmp_path / "x", xr.Dataset({"z": ("a", np.zeros(2, complex))}))
