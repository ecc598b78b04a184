"""Analysis of a dataset: selection, one location as a map in the right place, indices and masks by name."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import rioxarray  # noqa: F401  (registers the accessor)
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.store.small_dataset import EMPTY_ROW, SEASONS, Small, build_small
from xarray.core.indexing import LazilyIndexedArray

import ssl4eco_data as s4e
from ssl4eco_data.bands import SCL_CLASSES
from ssl4eco_data.errors import ConfigError, StoreError
from ssl4eco_data.patches import mask_fractions
from ssl4eco_data.store.pixels import PatchPixels
from ssl4eco_data.store.selection import in_box

DIMS = ("location", "season", "band_10m", "y_10m", "x_10m")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return build_small(tmp_path_factory.mktemp("analysis"))


@pytest.fixture(params=[None, {}, {"location": 2}], ids=["numpy", "dask", "dask by two"])
def dataset(small: Small, request: pytest.FixtureRequest) -> xr.Dataset:
    """The dataset, opened in each way; no test may see a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return s4e.open_dataset(small.root, chunks=request.param)


def quiet() -> warnings.catch_warnings[None]:
    return warnings.catch_warnings(action="error")


def test_labels_choose_and_nothing_is_read(dataset: xr.Dataset, small: Small) -> None:
    with quiet():
        chosen = s4e.select(dataset, biome="Mangroves", season=["autumn", "spring"], split="train")
    assert chosen["location"].to_numpy().tolist() == [small.ids[1], small.ids[4]]
    assert chosen["season"].to_numpy().tolist() == ["spring", "autumn"], "the order is the dataset's"
    assert isinstance(chosen["r10"].variable._data, type(dataset["r10"].variable._data))
    with quiet():
        pixels = chosen["r20"].to_numpy()
    for i, row in enumerate((1, 4)):
        for j, column in enumerate((0, 2)):
            wanted = small.pixels["r20"][row, column] if small.present[row, column] else 0
            np.testing.assert_array_equal(pixels[i, j], wanted)


def test_boxes_and_ids_choose(dataset: xr.Dataset, small: Small) -> None:
    lon, lat = dataset["lon"].to_numpy(), dataset["lat"].to_numpy()
    edge = (float(lon[1]), float(lat[1]), float(lon[2]), float(lat[2]))
    assert s4e.select(dataset, box=edge)["location"].to_numpy().tolist() == list(small.ids[1:3])
    assert s4e.select(dataset, location=small.ids[2::-1]).sizes["location"] == 3
    nobody = s4e.select(dataset, box=edge, location=small.ids[0])
    assert dict(nobody.sizes)["location"] == 0
    assert s4e.select(dataset).sizes == dataset.sizes


def test_what_is_not_there_is_refused_with_the_nearest(dataset: xr.Dataset) -> None:
    for asked, what in (
        ({"biome": "Mangrove"}, "no biome 'Mangrove' in this dataset; did you mean 'Mangroves'?"),
        ({"season": "sumer"}, "did you mean 'summer'"),
        ({"split": ["train", "zzzz"]}, "no split 'zzzz' in this dataset; there are train"),
        ({"biome": ""}, "no biome ''"),
        ({"realm": "Nearctic"}, "have no realm"),
        ({"box": (0.0, 10.0, 1.0, 0.0)}, "south <= north"),
        ({"box": (0.0, 0.0, 200.0, 1.0)}, r"longitudes in \[-180, 180\]"),
        ({"box": (6.0, 45.0, 8.0)}, "west, south, east, north.*got"),
        ({"box": "6,45,8,47"}, "west, south, east, north.*got '6,45,8,47'"),
    ):
        with pytest.raises(ValueError, match=what):
            s4e.select(dataset, **asked)


def test_mistakes_of_a_caller_are_told_as_such(small: Small) -> None:
    dataset = s4e.open_dataset(small.root)
    with pytest.raises(ValueError, match="scene classification"):
        s4e.masks(s4e.cube(dataset, small.ids[0], "spring"))
    with pytest.raises(TypeError, match="location must be a label, got a DataArray"):
        s4e.cube(dataset, dataset["location"][0], "spring")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pixel_m must be one of 10, 20, 60, got '20'"):
        s4e.native(dataset, small.ids[0], "spring", "20")  # type: ignore[arg-type]
    for chunks in ("auto", {"location": 0}, {"location": "auto"}):
        with pytest.raises(ValueError, match="chunks must be lengths by dimension"):
            s4e.open_dataset(small.root, chunks=chunks)  # type: ignore[arg-type]
    assert s4e.open_dataset(small.root, chunks={"location": -1})["r10"].chunks[0] == (5,)
    with pytest.raises(ConfigError, match=r"example\.org/x must be a folder, or begin with one of s3://"):
        s4e.open_dataset("https://example.org/x")


@given(
    st.lists(st.tuples(st.integers(-180, 180), st.integers(-90, 90)), min_size=1, max_size=20, unique=True),
    st.tuples(st.integers(-180, 180), st.integers(-90, 90), st.integers(-180, 180), st.integers(-90, 90)),
)
def test_a_box_is_what_one_walks_through_eastwards(
    points: list[tuple[int, int]], corners: tuple[int, int, int, int]
) -> None:
    """An independent definition: whole degrees from west to east, whatever their name."""
    west, south, east, north = corners
    south, north = sorted((south, north))
    steps = east - west if west <= east else east - west + 360
    walked = {(west + step + 180) % 360 for step in range(steps + 1)}
    wanted = [(lon + 180) % 360 in walked and south <= lat <= north for lon, lat in points]
    lon, lat = (np.array(axis, dtype=float) for axis in zip(*points, strict=True))
    assert in_box(lon, lat, (west, south, east, north)).tolist() == wanted


PARTS = st.tuples(
    *(
        st.one_of(
            st.integers(0, n - 1),
            st.lists(st.integers(0, n - 1), max_size=4),
            st.slices(n).filter(lambda part: (part.step or 1) > 0),
        )
        for n in (5, 4, 4, 16, 16)
    )
)


@settings(deadline=None)
@given(first=PARTS, second=st.integers(0, 3))
def test_any_index_gives_what_numpy_gives(small: Small, first: tuple, second: int) -> None:
    whole = np.where(small.present[..., None, None, None], small.pixels["r10"], 0).astype(np.uint16)
    wanted = xr.Variable(DIMS, whole)
    array = s4e.open_dataset(small.root)["r10"].variable
    parts = dict(zip(DIMS, first, strict=True))
    xr.testing.assert_equal(array.isel(parts), wanted.isel(parts))
    twice = {dim: slice(second, None) for dim in wanted.isel(parts).dims}
    xr.testing.assert_equal(array.isel(parts).isel(twice), wanted.isel(parts).isel(twice))


class Counting:
    """A reader that counts how it is asked."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.asked = pixels, []

    def read_into(self, row: int, season: int, out: dict[str, np.ndarray]) -> bool:
        self.asked.append((row, season))
        out["r10"][:] = self.pixels[row, season]
        return True


def test_each_patch_is_one_read(small: Small) -> None:
    pixels = small.pixels["r10"]
    counting = Counting(pixels)
    array = LazilyIndexedArray(PatchPixels(counting, "r10", pixels.shape, pixels.dtype))
    part = xr.Variable(DIMS, array).isel(location=[4, 1], season=[0, 2, 3], band_10m=[2], y_10m=slice(0, 4))
    assert counting.asked == []
    np.testing.assert_array_equal(part, pixels[[4, 1]][:, [0, 2, 3]][:, :, [2], :4])
    assert sorted(counting.asked) == [(i, j) for i in (1, 4) for j in (0, 2, 3)]


def bounds(small: Small, row: int) -> tuple[float, float, float, float]:
    west = 500_000.0 + 1000 * row
    return west, 5_600_000.0 - 160, west + 160, 5_600_000.0


def test_a_raster_of_a_cube_is_the_scene_in_its_place(
    dataset: xr.Dataset, small: Small, tmp_path: Path
) -> None:
    row, path = 4, tmp_path / "cube.tif"
    season = int(np.flatnonzero(small.present[row])[0])
    with quiet():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # rasterio 1.4 with affine 3
        seen = s4e.cube(dataset, small.ids[row], SEASONS[season])
        seen.rio.to_raster(path)
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 32631
        assert tuple(file.bounds) == bounds(small, row)
        assert file.res == (10.0, 10.0)
        assert file.dtypes == ("uint16",) * 6
        assert file.nodata == 0
        assert file.descriptions == ("B01", "B02", "B03", "B04", "B05", "B08")
        for k, band in ((2, "B02"), (3, "B03"), (4, "B04"), (6, "B08")):
            native = small.pixels["r10"][row, season][["B02", "B03", "B04", "B08"].index(band)]
            np.testing.assert_array_equal(file.read(k), native)
        x, y = (float(v) for v in file.xy(7, 3))
        (value,) = file.sample([(x, y)], indexes=5)
        west, _, _, north = bounds(small, row)
        wanted = small.pixels["r20"][row, season, 0, int((north - y) // 20), int((x - west) // 20)]
        assert value[0] == wanted == seen.sel(band="B05", x=x, y=y)


def test_native_pixels_lie_where_the_scene_has_them(
    dataset: xr.Dataset, small: Small, tmp_path: Path
) -> None:
    season = int(np.flatnonzero(small.present[1])[0])
    for pixel_m, name in ((10, "r10"), (20, "r20"), (60, "r60")):
        path = tmp_path / f"{pixel_m}.tif"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            s4e.native(dataset, small.ids[1], SEASONS[season], pixel_m).rio.to_raster(path)
        with rasterio.open(path) as file:
            west, _, _, north = bounds(small, 1)
            corner = (west - 40, north + 20) if pixel_m == 60 else (west, north)
            assert (file.bounds.left, file.bounds.top) == corner
            assert file.res == (pixel_m, pixel_m) and file.crs.to_epsg() == 32631
            np.testing.assert_array_equal(file.read(), small.pixels[name][1, season])
    with pytest.raises(ValueError, match="pixel_m must be one of 10, 20, 60, got 30"):
        s4e.native(dataset, small.ids[1], SEASONS[season], 30)
    with pytest.raises(ValueError, match="has no patch for spring: all_cloudy"):
        s4e.native(dataset, small.ids[EMPTY_ROW], "spring", 60)


def test_bands_come_in_the_order_asked_and_only_they_are_read(dataset: xr.Dataset, small: Small) -> None:
    with quiet():
        seen = s4e.cube(dataset, small.ids[0], "summer", ["B08", "B05", "B04"])
    assert seen["band"].to_numpy().tolist() == ["B08", "B05", "B04"]
    assert seen["wavelength_nm"].to_numpy().tolist() == [832.8, 704.1, 664.6]
    assert set(seen.attrs) == {"grid_mapping", "_FillValue", "units", "long_name"}, (
        "others are of stored bands"
    )
    np.testing.assert_array_equal(seen[0], small.pixels["r10"][0, 1, 3])
    np.testing.assert_array_equal(seen[1, ::2, 1::2], small.pixels["r20"][0, 1, 0])
    for bands, what in (
        (["B8"], "did you mean 'B08'"),
        ([], "at least one"),
        ("B04", "a list"),
        (["B04"] * 2, "diff"),
    ):
        with pytest.raises(ValueError, match=what):
            s4e.cube(dataset, small.ids[0], "summer", bands)


def test_reading_one_array_does_not_touch_the_others(tmp_path: Path) -> None:
    small = build_small(tmp_path)
    for path in (tmp_path / "patches.zarr/sentinel2/r20/c").rglob("*"):
        if path.is_file():
            path.write_bytes(b"broken")
    dataset = s4e.open_dataset(tmp_path)
    assert s4e.cube(dataset, small.ids[0], "summer", ["B04"]).any()
    with pytest.raises(StoreError, match=r"r20.*location row 0, season summer: .*run ssl4eco check"):
        s4e.cube(dataset, small.ids[0], "summer", ["B05"])


def test_all_that_is_known_goes_with_the_cube(dataset: xr.Dataset, small: Small) -> None:
    with quiet():
        all_seasons = s4e.cube(dataset, small.ids[0])
    assert all_seasons.dims == ("season", "band", "y", "x") and all_seasons.dtype == np.uint16
    for name in ("time", "scene_id", "reason", "clear_fraction"):
        assert all_seasons[name].dims == ("season",), name
    assert all_seasons["greenup"].item() == 100.0
    assert all_seasons["biome"].item() == "Deserts & Xeric Shrublands"


def test_dask_stays_lazy(small: Small) -> None:
    dataset = s4e.open_dataset(small.root, chunks={})
    with quiet():
        for lazy in (
            s4e.cube(dataset, small.ids[0]),
            s4e.scene_classes(dataset, small.ids[0]),
            s4e.ndvi(dataset),
            s4e.evi2(s4e.cube(dataset, small.ids[0])),
            s4e.masks(dataset)["clear"],
        ):
            assert lazy.chunks is not None
            loaded = lazy.compute()
            assert loaded.chunks is None
    eager = s4e.open_dataset(small.root)
    xr.testing.assert_identical(s4e.evi2(eager), s4e.evi2(dataset).compute())
    with pytest.raises(ValueError, match=r"chunks must be along .*got 'place'"):
        s4e.open_dataset(small.root, chunks={"place": 1})


def test_indices_are_their_formulas(small: Small) -> None:
    dataset = s4e.open_dataset(small.root)
    seen = s4e.cube(dataset, small.ids[0], "summer")
    red, nir = (small.pixels["r10"][0, 1, k] / 10_000 for k in (2, 3))
    bad = (red == 0) | (nir == 0)
    wanted = np.where(bad, np.nan, 2.5 * (nir - red) / (nir + 2.4 * red + 1))
    for pixels in (seen, s4e.reflectance(seen)):
        found = s4e.evi2(pixels)
        assert found.dtype == np.float32 and found.dims == ("y", "x")
        np.testing.assert_allclose(found, wanted, atol=1e-6)
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(
                s4e.ndvi(pixels), np.where(bad, np.nan, (nir - red) / (nir + red)), atol=1e-6
            )
    np.testing.assert_array_equal(s4e.evi2(s4e.select(dataset, location=small.ids[0]))[0, 1], s4e.evi2(seen))
    assert s4e.ndvi(seen).rio.crs.to_epsg() == 32631
    for pixels in (seen.sel(band=["B04", "B05"]), seen.sel(band="B04"), dataset.drop_vars("r10")):
        with pytest.raises(ValueError, match="needs B04 and B08"):
            s4e.ndvi(pixels)


def test_reflectance_is_float_with_nan(small: Small) -> None:
    seen = s4e.cube(s4e.open_dataset(small.root), small.ids[0], "summer")
    seen[0, 0, 0] = 0
    found = s4e.reflectance(seen)
    assert found.dtype == np.float32
    assert np.isnan(found[0, 0, 0]) and np.isnan(found.rio.nodata)
    np.testing.assert_allclose(found[2, 1:], seen[2, 1:] / 10_000, rtol=1e-6)


def test_masks_share_the_pixels_out(dataset: xr.Dataset, small: Small) -> None:
    with quiet():
        whole = s4e.masks(dataset)
        fine = s4e.masks(s4e.scene_classes(dataset, small.ids[0], "spring"))
    assert set(whole) == {"clear", "snow", "shadow", "cloud", "missing"}
    assert (sum(whole[name].astype(int) for name in whole) == 1).all()
    scl = small.pixels["scl"][0, 0]
    for name, share in mask_fractions(scl)._asdict().items():
        assert float(whole[name][0, 0].mean()) == pytest.approx(share)
        assert float(fine[name].mean()) == pytest.approx(share)
    assert fine["cloud"].rio.crs.to_epsg() == 32631


def test_odd_classes_are_missing() -> None:
    scl = xr.DataArray(np.arange(256, dtype=np.uint8), dims="x")
    found = s4e.masks(scl)
    assert np.flatnonzero(found["cloud"]).tolist() == [8, 9, 10]
    assert np.flatnonzero(found["missing"]).tolist() == [0, 1, *range(12, 256)]
    assert set(SCL_CLASSES) == set(range(12))


def test_classes_as_stored_and_at_10_m(dataset: xr.Dataset, small: Small) -> None:
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    stored = s4e.scene_classes(dataset, small.ids[0], "spring", pixel_m=20)
    np.testing.assert_array_equal(stored, small.pixels["scl"][0, 0])
    assert stored.rio.transform().a == 20 and stored.dtype == np.uint8
    fine = s4e.scene_classes(dataset, small.ids[0])
    np.testing.assert_array_equal(fine[0, 1::2, ::2], small.pixels["scl"][0, 0])
    assert fine.attrs["flag_meanings"].split()[6] == "water"
    with pytest.raises(ValueError, match="pixel_m must be 10 or 20, got 60"):
        s4e.scene_classes(dataset, small.ids[0], "spring", pixel_m=60)


def test_a_cube_survives_netcdf_and_pandas(small: Small) -> None:
    seen = s4e.cube(s4e.open_dataset(small.root), small.ids[0], "summer", ["B04"])
    frame = seen.isel(band=0).to_dataframe()
    assert isinstance(frame, pd.DataFrame) and len(frame) == 256
