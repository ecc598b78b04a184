"""Broken files fail for good and say where; broken connections may pass; headers are read once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import Affine

from ssl4eco_data.archives import cog
from ssl4eco_data.archives.cog import Access
from ssl4eco_data.archives.cog_header import HEADER_BYTES
from ssl4eco_data.errors import ArchiveError

SIDE = 700
IMAGE = np.random.default_rng(0).integers(0, 60000, (SIDE, SIDE)).astype(np.uint16)
ONCE = Access(retries=0, timeout_s=5)
WINDOW = (100, 100, 400, 400)
EXPECTED = IMAGE[100:500, 100:500]
NAMES = count()


class Files:
    """A server of one file under any name; ``moods`` are what becomes of the next requests."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.moods: list[str] = []
        self.asked: list[tuple[int, int]] = []
        self.url = ""

    def href(self) -> str:
        """A name that nothing is remembered of."""
        return f"{self.url}/{next(NAMES)}.tif"


def handler_of(files: Files) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            start, end = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            files.asked.append((start, end))
            mood = files.moods.pop(0) if files.moods else "well"
            total = len(files.data)
            body = files.data[start : end + 1]
            if mood == "whole":
                self.send_response(200)
                body = files.data
            elif start >= total:
                self.send_response(416)
                body = b""
            else:
                self.send_response(206)
                shift = 1 if mood == "elsewhere" else 0
                last = start + len(body) - 1
                size = "*" if mood == "unsized" else total + (mood == "grown")
                self.send_header("Content-Range", f"bytes {start + shift}-{last + shift}/{size}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if mood == "drip":
                for part in body:
                    self.wfile.write(bytes([part]))
                    time.sleep(0.02)
            self.wfile.write(body[: len(body) // 2] if mood == "reset" else body)
            self.close_connection = mood in ("reset", "drip")

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    served = Files(tiff(tmp_path / "whole.tif").read_bytes())
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(served)) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield served
        server.shutdown()


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
    assert time.monotonic() - began < 3


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
