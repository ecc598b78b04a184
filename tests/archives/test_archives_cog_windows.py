"""Windows read by ranges of bytes equal GDAL's, whatever the layout; what is unusual is left to GDAL."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rasterio.transform import Affine
from rasterio.windows import Window

from ssl4eco_data.archives import cog
from ssl4eco_data.archives.cog import Access
from ssl4eco_data.archives.cog_blocks import inflated
from ssl4eco_data.archives.cog_header import Header

GRID = Affine(10.0, 0.0, 300000.0, 0.0, -10.0, 5700000.0)
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
NAMES = count()

Layout = dict[str, Any]


def tiff(path: Path, image: npt.NDArray[Any], layout: Layout, **profile: Any) -> Path:
    """A single-band file as GDAL writes it; ``layout`` are its creation options."""
    rows, columns = image.shape
    shape = {"height": rows, "width": columns, "count": 1, "dtype": image.dtype}
    profile = {"crs": CRS.from_epsg(32631), "transform": GRID} | profile
    with rasterio.open(path, "w", driver="GTiff", **shape, **profile, **layout) as file:
        file.write(image, 1)
    return path


def by_gdal(path: Path, column: int, row: int, width: int, height: int) -> npt.NDArray[Any]:
    with rasterio.open(path) as file:
        pixels: npt.NDArray[Any] = file.read(1, window=Window(column, row, width, height))
    return pixels


def by_us(path: Path, *window: int) -> npt.NDArray[Any]:
    return cog.read(str(path), lambda raster: raster.window(*window), Access(retries=0))


def is_direct(path: Path) -> bool:
    """Whether the file is read without GDAL."""
    key = cog._identity(str(path))
    return cog._direct(str(path), key, Access(), None) is not None


def smooth(shape: tuple[int, int], dtype: str, seed: int) -> npt.NDArray[Any]:
    """Pixels of the whole range of the dtype, wrapping around, so that differences do too."""
    generator = np.random.default_rng(seed)
    steps = generator.integers(-300, 300, shape).cumsum(axis=1)
    return (steps + generator.integers(0, 70000)).astype(dtype)


layouts = st.fixed_dictionaries(
    {
        "compress": st.sampled_from(["deflate", "none", "deflate"]),
        "BIGTIFF": st.sampled_from(["YES", "NO"]),
        "tiled": st.booleans(),
        "blockxsize": st.sampled_from([16, 48, 64]),
        "blockysize": st.sampled_from([16, 32, 80]),
        "predictor": st.sampled_from([1, 2]),
    }
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layout=layouts,
    dtype=st.sampled_from(DTYPES),
    shape=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    seed=st.integers(0, 2**32),
    corner=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    extent=st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)),
)
def test_a_window_is_that_of_gdal(
    tmp_path: Path,
    layout: Layout,
    dtype: str,
    shape: tuple[int, int],
    seed: int,
    corner: tuple[float, float],
    extent: tuple[float, float],
) -> None:
    options = {k: v for k, v in layout.items() if layout["tiled"] or k != "blockxsize"}
    if options["compress"] == "none" or np.dtype(dtype).kind == "f":
        options.pop("predictor")
    path = tiff(tmp_path / f"{next(NAMES)}.tif", smooth(shape, dtype, seed), options)
    row, column = (int(part * side) for part, side in zip(corner, shape, strict=True))
    height, width = (max(1, int(part * side)) for part, side in zip(extent, shape, strict=True))
    inside = (column, row, min(width, shape[1] - column), min(height, shape[0] - row))
    assert is_direct(path)
    pixels = by_us(path, *inside)
    expected = by_gdal(path, *inside)
    assert pixels.dtype == expected.dtype
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("no_data", [None, 0, 7])
@pytest.mark.parametrize("compress", ["deflate", "none"])
def test_blocks_that_are_not_stored_hold_no_data(tmp_path: Path, no_data: int | None, compress: str) -> None:
    path = tmp_path / "sparse.tif"
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64, "SPARSE_OK": "TRUE", "compress": compress}
    profile = {"height": 200, "width": 200, "count": 1, "dtype": "uint16", "nodata": no_data}
    with rasterio.open(
        path, "w", driver="GTiff", crs=CRS.from_epsg(32631), transform=GRID, **profile, **layout
    ) as file:
        file.write(np.full((64, 64), 5, np.uint16), 1, window=Window(64, 64, 64, 64))
    assert is_direct(path)
    window = (40, 40, 150, 150)
    np.testing.assert_array_equal(by_us(path, *window), by_gdal(path, *window))
    assert (by_us(path, *window) == (no_data or 0)).any()


def test_a_cloud_optimised_file_is_read_as_its_full_resolution(tmp_path: Path) -> None:
    image = smooth((700, 600), "uint16", 1)
    path = tmp_path / "cog.tif"
    profile = {"height": 700, "width": 600, "count": 1, "dtype": "uint16", "crs": CRS.from_epsg(32631)}
    with rasterio.open(
        path, "w", driver="COG", transform=GRID, nodata=0, **profile,
        BLOCKSIZE=128, COMPRESS="DEFLATE", PREDICTOR="YES",
    ) as file:  # fmt: skip
        file.write(image, 1)
    with rasterio.open(path) as file:
        assert file.overviews(1)
        wkt, transform = file.crs.wkt, tuple(file.transform)[:6]
    assert is_direct(path)
    np.testing.assert_array_equal(by_us(path, 0, 0, 600, 700), image)
    assert cog.read(str(path), lambda raster: (raster.crs_wkt, raster.transform), Access()) == (
        wkt,
        transform,
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    options=st.fixed_dictionaries(
        {
            "BIGTIFF": st.sampled_from(["YES", "NO"]),
            "BLOCKSIZE": st.sampled_from([128, 256]),
            "COMPRESS": st.sampled_from(["DEFLATE", "NONE"]),
            "PREDICTOR": st.sampled_from(["YES", "NO"]),
            "OVERVIEWS": st.sampled_from(["AUTO", "NONE"]),
        }
    ),
    dtype=st.sampled_from(("uint8", "uint16", "int16", "int32")),
    shape=st.tuples(st.integers(1, 600), st.integers(1, 600)),
    seed=st.integers(0, 2**32),
    corner=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    masked=st.booleans(),
)
def test_a_window_of_a_cloud_optimised_file_is_that_of_gdal(
    tmp_path: Path,
    options: Layout,
    dtype: str,
    shape: tuple[int, int],
    seed: int,
    corner: tuple[float, float],
    masked: bool,
) -> None:
    image = smooth(shape, dtype, seed)
    path = tmp_path / f"{next(NAMES)}.tif"
    profile = {"height": shape[0], "width": shape[1], "count": 1, "dtype": dtype}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        MemoryFile() as memory,
    ):
        with memory.open(driver="GTiff", crs=CRS.from_epsg(32631), transform=GRID, **profile) as file:
            file.write(image, 1)
            if masked:
                file.write_mask(image % 2 == 0)
        copy(memory.name, path, driver="COG", **options)
    row, column = (int(part * side) for part, side in zip(corner, shape, strict=True))
    window = (column, row, shape[1] - column, shape[0] - row)
    assert is_direct(path)
    np.testing.assert_array_equal(by_us(path, *window), image[row:, column:])
    np.testing.assert_array_equal(by_us(path, *window), by_gdal(path, *window))


def test_empty_blocks_of_real_numbers_hold_no_number(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64, "SPARSE_OK": "TRUE", "compress": "deflate"}
    profile = {"height": 200, "width": 200, "count": 1, "dtype": "float32", "nodata": float("nan")}
    with rasterio.open(
        path, "w", driver="GTiff", crs=CRS.from_epsg(32631), transform=GRID, **profile, **layout
    ) as file:
        file.write(np.full((64, 64), 5, np.float32), 1, window=Window(64, 64, 64, 64))
    assert is_direct(path)
    window = (40, 40, 150, 150)
    np.testing.assert_array_equal(by_us(path, *window), by_gdal(path, *window))
    assert np.isnan(by_us(path, *window)).any()


def with_keys(path: Path, **changes: int) -> Path:
    """The file with other GeoKeys; ``k3072=1999`` sets the value of key 3072, ``type1025=2`` too."""
    data = bytearray(path.read_bytes())
    for name, value in changes.items():
        at = data.index(struct.pack("<4H", int(name[1:]), 0, 1, 32631 if name == "k3072" else 1))
        data[at + 6 : at + 8] = struct.pack("<H", value)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("changes", [{"k1025": 2}, {"k3072": 1999}, {"k1024": 2}])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_keys_that_are_not_simple_are_left_to_gdal(tmp_path: Path, changes: dict[str, int]) -> None:
    image = smooth((64, 64), "uint16", 5)
    path = tiff(tmp_path / "plain.tif", image, {"compress": "deflate"})
    assert is_direct(path)
    odd = with_keys(path.rename(tmp_path / "odd.tif"), **changes)
    assert not is_direct(odd)
    with rasterio.open(odd) as file:
        transform = tuple(file.transform)[:6]
    assert cog.read(str(odd), lambda raster: raster.transform, Access(retries=0)) == transform
    if "k1025" in changes:
        assert transform[2] == GRID.c - 5, "pixels are points: GDAL moves the grid by half of one"


def test_a_block_that_claims_to_be_huge_is_left_to_gdal(tmp_path: Path) -> None:
    image = smooth((64, 64), "uint16", 6)
    path = tiff(tmp_path / "huge.tif", image, {"tiled": True, "blockxsize": 64, "blockysize": 64})
    data = bytearray(path.read_bytes())
    for tag in (322, 323, 256, 257):
        at = data.index(struct.pack("<HHI", tag, 3, 1))
        data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, 50000)
    path.write_bytes(data)
    assert not is_direct(path)


def test_a_bomb_is_found_before_it_is_large() -> None:
    header = Header(
        crs_wkt="", transform=(1, 0, 0, 0, -1, 0), shape=(64, 64), dtype=np.dtype("<u2"),
        block_shape=(64, 64),
        offsets=np.array([16]), counts=np.array([2**20]), tiled=True, deflated=True, predicted=False, empty=0,
    )  # fmt: skip
    stored, room = memoryview(zlib.compress(bytes(2**30))), memoryview(bytearray(header.block_bytes))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"block 0 .* more than 8192 bytes"):
        inflated(header, 0, stored, room)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2**28


SINUSOIDAL = CRS.from_proj4("+proj=sinu +R=6371007.181 +units=m")


@pytest.mark.parametrize(
    ("layout", "profile"),
    [
        ({"compress": "lzw", "predictor": 2}, {}),
        ({"compress": "zstd"}, {}),
        ({"compress": "packbits"}, {}),
        ({"compress": "deflate", "ENDIANNESS": "BIG"}, {}),
        ({"compress": "deflate", "NBITS": 12}, {}),
        ({"compress": "deflate"}, {"crs": SINUSOIDAL}),
        ({"compress": "deflate"}, {"crs": CRS.from_epsg(4326)}),
        ({"compress": "deflate"}, {"nodata": 1.5}),
    ],
)
def test_what_is_unusual_is_left_to_gdal(tmp_path: Path, layout: Layout, profile: dict[str, Any]) -> None:
    image = (smooth((150, 130), "uint16", 2) % 4000).astype(np.uint16)
    path = tiff(
        tmp_path / "odd.tif", image, {"tiled": True, "blockxsize": 64, "blockysize": 64} | layout, **profile
    )
    assert not is_direct(path)
    np.testing.assert_array_equal(by_us(path, 30, 40, 90, 100), image[40:140, 30:120])


def test_float_predictor_is_left_to_gdal(tmp_path: Path) -> None:
    image = smooth((60, 60), "float32", 3)
    path = tiff(tmp_path / "odd.tif", image, {"compress": "deflate", "predictor": 3})
    assert not is_direct(path)
    np.testing.assert_array_equal(by_us(path, 0, 0, 60, 60), image)


def test_jpeg_2000_is_left_to_gdal(tmp_path: Path) -> None:
    image = (smooth((128, 128), "uint16", 4) % 10000).astype(np.uint16)
    path = tmp_path / "B02.jp2"
    profile = {"height": 128, "width": 128, "count": 1, "dtype": "uint16", "crs": CRS.from_epsg(32631)}
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", transform=GRID, **profile, QUALITY="100", REVERSIBLE="YES"
    ) as file:
        file.write(image, 1)
    assert not is_direct(path)
    np.testing.assert_array_equal(by_us(path, 10, 20, 50, 60), image[20:80, 10:60])
