"""What servers may do to ranges: send less or more, move files, change them, sign them, be silent."""

from __future__ import annotations

import pickle
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from range_server import STINGY_BYTES, Files, serving
from rasterio.crs import CRS
from rasterio.transform import Affine

from ssl4eco_data.archives import cog
from ssl4eco_data.archives.cog import Access
from ssl4eco_data.archives.cog_bytes import Version, read_far
from ssl4eco_data.archives.cog_direct import _exactly, unsigned
from ssl4eco_data.archives.cog_header import HEADER_BYTES
from ssl4eco_data.archives.flow_control import lane_of
from ssl4eco_data.errors import ArchiveError

HANG_S = 20.0
"""Far more than any time-out here: what takes longer hangs."""

GRID = Affine(10.0, 0.0, 300000.0, 0.0, -10.0, 5700000.0)
OLD = np.random.default_rng(0).integers(0, 60000, (300, 300)).astype(np.uint16)
NEW = OLD + np.uint16(1)
ONCE = Access(retries=0, timeout_s=5)
AGAIN = Access(retries=1, wait_s=0, timeout_s=5)


def tiff(path: Path, image: np.ndarray, **layout: object) -> bytes:
    """Plain tiles, so that files of one shape have one size."""
    rows, columns = image.shape
    profile = {"height": rows, "width": columns, "count": 1, "dtype": "uint16", "crs": CRS.from_epsg(32631)}
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64} | layout
    with rasterio.open(path, "w", driver="GTiff", transform=GRID, **profile, **tiles) as file:
        file.write(image, 1)
    return path.read_bytes()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    with serving(tiff(tmp_path / "old.tif", OLD)) as served:
        yield served


def pixels(href: str, access: Access = ONCE, side: int = 300) -> np.ndarray:
    return cog.read(href, lambda raster: raster.window(0, 0, side, side), access)


def failure(read: Callable[[], object]) -> ArchiveError:
    with pytest.raises(ArchiveError) as caught:
        read()
    return caught.value


@pytest.mark.parametrize("mood", ["stingy", "chunked", "moved"])
def test_the_pixels_are_right_whatever_the_server_makes_of_ranges(files: Files, mood: str) -> None:
    files.moods = [mood] * 999
    np.testing.assert_array_equal(pixels(files.href()), OLD)
    if mood == "stingy":
        assert len(files.asked) > len(files.data) / STINGY_BYTES


def test_a_small_file_of_unknown_length_is_read(tmp_path: Path) -> None:
    data = tiff(tmp_path / "small.tif", OLD[:64, :64], compress="deflate", blockxsize=16, blockysize=16)
    assert len(data) < HEADER_BYTES
    with serving(data) as files:
        files.moods = ["chunked"] * 99
        np.testing.assert_array_equal(pixels(files.href(), side=64), OLD[:64, :64])


def test_an_encoded_answer_is_refused_for_good(files: Files) -> None:
    files.moods = ["gzip"] * 99
    error = failure(lambda: pixels(files.href(), AGAIN))
    assert not error.transient
    assert "gzip" in str(error)
    assert len(files.asked) == 1


def test_a_link_that_leads_to_itself_is_refused_for_good(files: Files) -> None:
    files.moods = ["loop"] * 99
    error = failure(lambda: pixels(files.href(), AGAIN))
    assert not error.transient
    assert "redirect" in str(error)
    assert len(files.asked) <= 6


OTHER_STATES = [
    ({"ETag": '"a"'}, {"ETag": '"b"'}),
    ({"Last-Modified": "Mon, 02 Nov 2026 10:00:00 GMT"}, {"Last-Modified": "Mon, 02 Nov 2026 10:00:01 GMT"}),
]


@pytest.mark.parametrize(("before", "after"), OTHER_STATES)
def test_pixels_of_a_file_and_of_its_successor_are_never_mixed(
    files: Files, tmp_path: Path, before: dict[str, str], after: dict[str, str]
) -> None:
    href, files.state = files.href(), before
    np.testing.assert_array_equal(pixels(href, side=100), OLD[:100, :100])
    successor = tiff(tmp_path / "new.tif", NEW)
    assert len(successor) == len(files.data)
    files.data, files.state = successor, after
    error = failure(lambda: pixels(href))
    assert error.transient
    assert "changed" in str(error)
    np.testing.assert_array_equal(pixels(href, AGAIN), NEW)


def test_a_file_that_changes_is_read_anew_within_the_attempts(files: Files, tmp_path: Path) -> None:
    href, files.state = files.href(), {"ETag": '"a"'}
    pixels(href, side=100)
    files.data, files.state = tiff(tmp_path / "new.tif", NEW), {"ETag": '"b"'}
    np.testing.assert_array_equal(pixels(href, AGAIN), NEW)


def test_servers_that_disagree_about_etags_are_believed_about_times(files: Files) -> None:
    href = files.href()
    for tag in "abc":
        files.state = {"ETag": f'"{tag}"', "Last-Modified": "Mon, 02 Nov 2026 10:00:00 GMT"}
        side = {"a": 60, "b": 120, "c": 300}[tag]
        np.testing.assert_array_equal(pixels(href, side=side), OLD[:side, :side])


def test_a_refused_block_does_not_cost_the_header(files: Files) -> None:
    href = files.href()
    files.moods = ["well", "429", "503"]
    np.testing.assert_array_equal(pixels(href, Access(retries=2, wait_s=0, timeout_s=5)), OLD)
    assert files.asked.count((0, HEADER_BYTES - 1)) == 1


def test_user_and_password_of_a_link_are_sent(files: Files) -> None:
    href = files.href().replace("http://", "http://me:pass%20word@")
    np.testing.assert_array_equal(pixels(href), OLD)
    assert set(files.logins) == {"Basic " + b64encode(b"me:pass word").decode()}


def test_connections_are_used_again(files: Files) -> None:
    for _ in range(5):
        pixels(files.href())
    assert len(files.asked) >= 10
    assert files.connections == 1


def test_a_file_is_one_whatever_its_signature(files: Files) -> None:
    href = files.href()
    for signature in ("a%2Bb", "c%3D"):
        np.testing.assert_array_equal(pixels(f"{href}?sv=2025&se=2026&sr=c&sig={signature}"), OLD)
    assert files.asked.count((0, HEADER_BYTES - 1)) == 1


@pytest.mark.parametrize(
    ("link", "same"),
    [
        ("https://a/b.tif?sig=1&SE=2&v=3", "https://a/b.tif?v=3"),
        ("https://a/b.tif?X-Amz-Signature=1&X-Amz-Date=2", "https://a/b.tif"),
        ("https://a/b.tif?Expires=1&Signature=2&Key-Pair-Id=3", "https://a/b.tif"),
        ("https://a/b.tif?sp=blue&st=3", "https://a/b.tif?sp=blue&st=3"),
        ("https://a/b%20c.tif", "https://a/b%20c.tif"),
    ],
)
def test_only_what_belongs_to_a_signature_is_left_out(link: str, same: str) -> None:
    assert unsigned(link) == same


def test_a_silent_server_is_given_up_after_the_time_to_read(files: Files) -> None:
    files.moods = ["silent"] * 99
    began = time.monotonic()
    assert failure(
        lambda: pixels(files.href(), Access(retries=0, read_timeout_s=0.3, timeout_s=30))
    ).transient
    assert time.monotonic() - began < HANG_S


def test_a_server_that_does_not_accept_is_given_up_after_the_time_to_connect() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        began = time.monotonic()
        href = f"http://127.0.0.1:{server.getsockname()[1]}/a.tif"
        access = Access(retries=0, connect_timeout_s=0.3, read_timeout_s=30, timeout_s=30)
        assert failure(lambda: pixels(href, access)).transient
        assert time.monotonic() - began < HANG_S
        for each in waiting:
            each.close()


def test_a_header_at_the_end_of_a_file_costs_few_requests(tmp_path: Path) -> None:
    path = tmp_path / "late.tif"
    tiff(path, OLD)
    with rasterio.open(path, "r+") as file:
        file.update_tags(note="x" * 5000)  # GDAL writes the directory anew, behind the pixels
    with serving(path.read_bytes()) as files:
        np.testing.assert_array_equal(pixels(files.href(), side=10), OLD[:10, :10])
        assert len(files.asked) <= 4


def test_all_bytes_that_came_are_counted(files: Files) -> None:
    files.moods = ["whole"]
    into = bytearray(10)
    piece = read_far(files.href(), ONCE.timeouts, 1000, memoryview(into))
    assert bytes(into) == files.data[1000:1010]
    assert (piece.size, piece.received) == (10, 1010)
    lane = lane_of(files.url, ONCE.limits)
    before = lane.traffic
    pixels(files.href())
    counted = lane.traffic - before
    assert counted.requests == len(files.asked) - 1
    assert counted.received_bytes >= OLD.nbytes


def test_a_wrong_length_is_seen_before_memory_is_taken() -> None:
    fill = _exactly(lambda _start, _into: pytest.fail("nothing is to be read"), Version(100))
    with pytest.raises(ValueError, match="100 bytes, 101 are due"):
        fill(1, memoryview(bytearray(100)))


def test_access_pickles() -> None:
    access = Access(connect_timeout_s=3, limits=ONCE.limits)
    assert pickle.loads(pickle.dumps(access)) == access
