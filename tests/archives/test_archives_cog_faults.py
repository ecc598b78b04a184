"""Broken files fail for good and say where; broken connections may pass; headers are read once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from range_server import Files, serving
from rasterio.crs import CRS
from rasterio.transform import Affine

from ssl4eco_data.archives import cog
from ssl4eco_data.archives.cog import Access
from ssl4eco_data.archives.cog_header import HEADER_BYTES
from ssl4eco_data.errors import ArchiveError

HANG_S = 20.0
"""Far more than any time-out here: what takes longer hangs."""

SIDE = 700
IMAGE = np.random.default_rng(0).integers(0, 60000, (SIDE, SIDE)).astype(np.uint16)
ONCE = Access(retries=0, timeout_s=5)
WINDOW = (100, 100, 400, 400)
EXPECTED = IMAGE[100:500, 100:500]
NAMES = count()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    with serving(tiff(tmp_path / "whole.tif").read_bytes()) as served:
        yield served


def tiff(path: Path) -> Path:
    profile = {"height": SIDE, "width": SIDE, "count": 1, "dtype": "uint16", "crs": CRS.from_epsg(32631)}
    grid = Affine(10.0, 0.0, 300000.0, 0.0, -10.0, 5700000.0)
    with rasterio.open(
        path, "w", driver="COG", transform=grid, **profile, BLOCKSIZE=128, COMPRESS="DEFLATE", PREDICTOR="YES"
    ) as file:
        file.write(IMAGE, 1)
    return path


def pixels(href: str, access: Access = ONCE) -> np.ndarray:
    return cog.read(href, lambda raster: raster.window(*WINDOW), access)


def failure(read: Callable[[], object]) -> ArchiveError:
    with pytest.raises(ArchiveError) as caught:
        read()
    return caught.value


@pytest.mark.parametrize("mood", ["well", "whole", "unsized"])
def test_a_far_file_is_read(files: Files, mood: str) -> None:
    files.moods = [mood] * 99
    np.testing.assert_array_equal(pixels(files.href()), EXPECTED)


def test_the_header_is_read_once_for_all_and_blocks_in_few_requests(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cog.cog_direct, "KEPT_PX", 0)
    href = files.href()
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: pixels(href), range(16)):
            np.testing.assert_array_equal(found, EXPECTED)
    assert files.asked.count((0, HEADER_BYTES - 1)) == 1
    assert len(files.asked) == 1 + 16, "four rows of blocks, each near the next, come in one request"


def test_blocks_of_a_small_file_are_kept(files: Files) -> None:
    href = files.href()
    pixels(href)
    asked = len(files.asked)
    np.testing.assert_array_equal(pixels(href), EXPECTED)
    assert len(files.asked) == asked


@pytest.mark.parametrize(
    ("mood", "before"), [("reset", 0), ("reset", 1), ("elsewhere", 0), ("elsewhere", 1), ("grown", 1)]
)
def test_what_breaks_on_the_way_may_pass(files: Files, mood: str, before: int) -> None:
    files.moods = [*["well"] * before, *[mood] * 99]
    href = files.href()
    error = failure(lambda: pixels(href))
    assert error.transient
    assert href in str(error)
    files.moods = [*["well"] * before, mood]
    again = Access(retries=1, wait_s=0, timeout_s=5)
    np.testing.assert_array_equal(pixels(files.href(), again), EXPECTED)
    assert not files.moods


def test_a_server_that_drips_is_given_up(files: Files) -> None:
    files.moods = ["well", "drip"]
    began = time.monotonic()
    assert failure(lambda: pixels(files.href(), Access(retries=0, timeout_s=0.5))).transient
    assert time.monotonic() - began < HANG_S


def test_a_connection_that_is_refused_may_pass() -> None:
    assert failure(lambda: pixels("http://127.0.0.1:9/none.tif")).transient


@pytest.mark.parametrize("mood", ["well", "unsized"])
def test_a_truncated_far_file_fails_for_good(files: Files, mood: str) -> None:
    files.data, files.moods = files.data[: len(files.data) // 2], [mood] * 99
    error = failure(lambda: pixels(files.href(), Access(retries=3, wait_s=0)))
    assert not error.transient
    assert "truncated" in str(error)
    assert len(files.asked) <= 3, "it is not asked for again"


def test_any_flipped_bit_of_the_pixels_is_found(tmp_path: Path) -> None:
    path = tiff(tmp_path / "whole.tif")
    good = path.read_bytes()
    with rasterio.open(path) as file:
        start = int(file.get_tag_item("BLOCK_OFFSET_2_2", "TIFF", bidx=1))
        size = int(file.get_tag_item("BLOCK_SIZE_2_2", "TIFF", bidx=1))
    generator = np.random.default_rng(1)
    for at in generator.integers(start, start + size, 40).tolist():
        bad = bytearray(good)
        bad[at] ^= 1 << int(generator.integers(8))
        path = tmp_path / f"{next(NAMES)}.tif"
        path.write_bytes(bad)
        error = failure(lambda path=path: pixels(str(path)))
        assert not error.transient
        assert path.name in str(error)
        assert "block 14" in str(error)


@pytest.mark.parametrize("size", [0, 3, 9, 200, 1000])
def test_a_file_that_ends_in_its_header_fails_for_good(tmp_path: Path, size: int) -> None:
    path = tiff(tmp_path / "whole.tif")
    path.write_bytes(path.read_bytes()[:size])
    error = failure(lambda: pixels(str(path)))
    assert not error.transient
    assert "whole.tif" in str(error)


def test_a_far_file_that_was_replaced_is_read_anew(files: Files, tmp_path: Path) -> None:
    href = files.href()
    short = files.data[:20000]
    whole, files.data = files.data, short
    failure(lambda: pixels(href))
    files.data = whole
    np.testing.assert_array_equal(pixels(href), EXPECTED)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 700), value=st.integers(0, 255))
def test_a_header_with_any_wrong_byte_gives_pixels_or_an_archive_error(
    tmp_path: Path, at: int, value: int
) -> None:
    whole = tmp_path / "whole.tif"
    bad = bytearray((whole if whole.exists() else tiff(whole)).read_bytes())
    bad[at] = value
    path = tmp_path / f"{next(NAMES)}.tif"
    path.write_bytes(bad)
    with contextlib.suppress(ArchiveError):
        assert pixels(str(path)).shape == EXPECTED.shape
    path.unlink()
