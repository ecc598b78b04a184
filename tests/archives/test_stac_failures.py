"""Failures of a STAC API and of files: transient ones are tried again, permanent ones are named."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import requests
import shapely
from catalogue_cases import FOOTPRINT, Truth, lonlat, write_tiff
from rasterio.crs import CRS
from rasterio.errors import RasterioIOError
from stac_server import Server

from ssl4eco_data.archives import cog
from ssl4eco_data.archives.retry import archive_errors, with_retries
from ssl4eco_data.archives.stac import StacArchive, StacParameters
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.types import Asset, Scene

AREA = lonlat(32631, shapely.box(*FOOTPRINT.bounds_m))
PERIOD = (date(2015, 1, 1), date(2030, 1, 1))


@pytest.fixture
def remote(api: Server, monkeypatch: pytest.MonkeyPatch) -> StacArchive:
    """Reads windows, keeps no decoded files, and hardly waits."""
    monkeypatch.setattr(cog, "SMALL_PX", 0)
    return StacArchive(StacParameters(imagery=api.url, retries=2, retry_wait_s=0, threads=1, timeout_s=5))


def local_scene(folder: Path) -> Scene:
    return StacArchive(StacParameters(imagery=str(folder / "sentinel-2-l2a.json"))).search(AREA, *PERIOD)[0]


def moved(scene: Scene, href: str, api: Server) -> Scene:
    """The scene with its B02 under another path, so that nothing remembered of the file is used."""
    copy = api.folder / href
    copy.parent.mkdir(parents=True, exist_ok=True)
    source = scene.assets["B02"].href.replace(api.url, str(api.folder))
    copy.write_bytes(Path(source).read_bytes())
    asset = replace(scene.assets["B02"], href=f"{api.url}/{href}")
    return replace(scene, assets={**scene.assets, "B02": asset})


@pytest.mark.parametrize("answer", [429, 500, 503, "html"])
def test_a_search_survives_what_passes(
    remote: StacArchive, api: Server, answer: int | str, catalogue: tuple[Path, Truth]
) -> None:
    api.failures["search"] = [answer]
    found = remote.search(AREA, *PERIOD)
    assert [scene.scene_id for scene in found] == catalogue[1].scene_ids


def test_a_storm_in_the_middle_of_paging_loses_nothing(
    remote: StacArchive, api: Server, catalogue: tuple[Path, Truth]
) -> None:
    assert api.page_items < len(catalogue[1].scene_ids)
    remote.search(AREA, *PERIOD)
    pages = api.requests["search"]
    assert pages > 2
    api.failures["search"] = [200, 429]  # an empty body, then throttling
    assert [s.scene_id for s in remote.search(AREA, *PERIOD)] == catalogue[1].scene_ids


def test_throttling_that_does_not_end_is_transient_and_ends_in_an_error(
    remote: StacArchive, api: Server
) -> None:
    api.failures["search"] = [429] * 50
    with pytest.raises(ArchiveError) as caught:
        remote.search(AREA, *PERIOD)
    assert caught.value.transient
    assert api.requests["search"] == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refused_search_is_permanent_and_not_repeated(
    remote: StacArchive, api: Server, status: int
) -> None:
    api.failures["search"] = [status] * 50
    with pytest.raises(ArchiveError) as caught:
        remote.search(AREA, *PERIOD)
    assert not caught.value.transient
    assert api.requests["search"] == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_file_is_read_after_a_server_error(
    remote: StacArchive, api: Server, status: int, catalogue: tuple[Path, Truth]
) -> None:
    scene = moved(remote.search(AREA, *PERIOD)[0], f"again/{status}.tif", api)
    api.failures[f"{status}.tif"] = [status]
    pixels = remote.read(scene, FOOTPRINT, ["B02"])["B02"]
    np.testing.assert_array_equal(pixels, catalogue[1].window(scene.scene_id, FOOTPRINT, "B02"))
    assert not api.failures[f"{status}.tif"], "the failure was never met"


@pytest.mark.parametrize("before", [0, 1])
def test_a_file_is_read_after_an_error_between_its_parts(
    remote: StacArchive, api: Server, before: int, catalogue: tuple[Path, Truth]
) -> None:
    scene = moved(remote.search(AREA, *PERIOD)[0], f"again/part{before}.tif", api)
    api.failures[f"part{before}.tif"] = [*["ok"] * before, 503]
    pixels = remote.read(scene, FOOTPRINT, ["B02"])["B02"]
    np.testing.assert_array_equal(pixels, catalogue[1].window(scene.scene_id, FOOTPRINT, "B02"))


@pytest.mark.parametrize("before", [0, 1])
def test_a_server_that_fails_between_the_parts_of_a_file_is_transient(
    remote: StacArchive, api: Server, before: int
) -> None:
    """One request is for the header, one for the pixels."""
    scene = moved(remote.search(AREA, *PERIOD)[0], f"again/late{before}.tif", api)
    api.failures[f"late{before}.tif"] = [*["ok"] * before, *[503] * 200]
    once = StacArchive(remote.parameters.model_copy(update={"retries": 0}))
    with pytest.raises(ArchiveError) as caught:
        once.read(scene, FOOTPRINT, ["B02"])
    assert caught.value.transient


def test_a_truncated_remote_file_is_permanent(remote: StacArchive, api: Server) -> None:
    scene = moved(remote.search(AREA, *PERIOD)[0], "again/short.tif", api)
    path = api.folder / "again/short.tif"
    path.write_bytes(path.read_bytes()[:60_000])
    with pytest.raises(ArchiveError, match=r"short\.tif") as caught:
        remote.read(scene, FOOTPRINT, ["B02"])
    assert not caught.value.transient


def test_a_web_page_in_place_of_a_file_is_permanent(remote: StacArchive, api: Server) -> None:
    scene = moved(remote.search(AREA, *PERIOD)[0], "again/ssl_connection/curl.tif", api)
    api.failures["curl.tif"] = ["html"] * 20
    with pytest.raises(ArchiveError, match=r"curl\.tif") as caught:
        remote.read(scene, FOOTPRINT, ["B02"])
    assert not caught.value.transient


@pytest.mark.parametrize(
    ("text", "transient"),
    [
        ("CURL error: Operation timed out after 5001 milliseconds", True),
        ("CURL error: Could not resolve host: x.net", True),
        ("Recv failure: Connection reset by peer", True),
        ("HTTP response code: 504", True),
        ("HTTP response code: 404", False),
        (
            "'/vsicurl/https://x.net/ssl_connection_failed/timeout/a.tif' not recognized as a file format",
            False,
        ),
        ("TIFFReadEncodedTile() failed.", False),
    ],
)
def test_what_gdal_says_tells_transient_from_permanent(text: str, transient: bool) -> None:
    for remote in (True, False):
        with pytest.raises(ArchiveError) as caught, archive_errors("file", remote=remote):
            raise RasterioIOError(text)
        assert caught.value.transient is (transient and remote)


def test_a_file_that_stays_away_is_transient(remote: StacArchive, api: Server) -> None:
    scene = moved(remote.search(AREA, *PERIOD)[0], "again/storm.tif", api)
    api.failures["storm.tif"] = [503] * 100
    with pytest.raises(ArchiveError, match=r"storm\.tif") as caught:
        remote.read(scene, FOOTPRINT, ["B02"])
    assert caught.value.transient


@pytest.mark.parametrize("status", [403, 404])
def test_a_file_that_is_gone_or_refused_is_permanent(remote: StacArchive, api: Server, status: int) -> None:
    scene = moved(remote.search(AREA, *PERIOD)[0], f"again/gone{status}.tif", api)
    api.failures[f"gone{status}.tif"] = [status] * 100
    with pytest.raises(ArchiveError, match=rf"gone{status}\.tif") as caught:
        remote.read(scene, FOOTPRINT, ["B02"])
    assert not caught.value.transient


def test_a_truncated_file_is_permanent_and_named(catalogue: tuple[Path, Truth], tmp_path: Path) -> None:
    scene = local_scene(catalogue[0])
    whole = Path(scene.assets["B02"].href).read_bytes()
    broken = tmp_path / "B02.tif"
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArchiveError, match=r"B02\.tif") as caught:
        read_from(scene, broken)
    assert not caught.value.transient


def read_from(scene: Scene, path: Path) -> np.ndarray:
    asset = Asset(href=str(path), transform=scene.assets["B02"].transform)
    archive = StacArchive(StacParameters(imagery="unused.json", retry_wait_s=0))
    return archive.read(replace(scene, assets={"B02": asset}), FOOTPRINT, ["B02"])["B02"]


@pytest.mark.parametrize(
    ("name", "epsg", "grid", "dtype", "message"),
    [
        ("zone", 32632, (10.0, 0.0, 300000.0, 0.0, -10.0, 5700000.0), np.uint16, "EPSG:32632"),
        ("shift", 32631, (10.0, 0.0, 300010.0, 0.0, -10.0, 5700000.0), np.uint16, "item states the grid"),
        ("pixel", 32631, (20.0, 0.0, 300000.0, 0.0, -20.0, 5700000.0), np.uint16, "item states the grid"),
        ("south", 32631, (10.0, 0.0, 300000.0, 0.0, 10.0, 5700000.0), np.uint16, "north-up"),
        ("type", 32631, (10.0, 0.0, 300000.0, 0.0, -10.0, 5700000.0), np.float32, "uint8 or uint16"),
    ],
)
def test_a_file_that_is_not_what_its_item_says_is_refused(
    catalogue: tuple[Path, Truth],
    tmp_path: Path,
    name: str,
    epsg: int,
    grid: tuple[float, ...],
    dtype: type,
    message: str,
) -> None:
    path = tmp_path / f"{name}.tif"
    write_tiff(path, np.ones((600, 600), dtype), CRS.from_epsg(epsg), grid)
    with pytest.raises(ArchiveError, match=message) as caught:
        read_from(local_scene(catalogue[0]), path)
    assert not caught.value.transient


def test_a_patch_between_the_pixels_of_a_file_is_refused(
    catalogue: tuple[Path, Truth], tmp_path: Path
) -> None:
    path = tmp_path / "B02.tif"
    write_tiff(
        path,
        np.ones((600, 600), np.uint16),
        CRS.from_epsg(32631),
        (10.0, 0.0, 300005.0, 0.0, -10.0, 5700000.0),
    )
    scene = replace(local_scene(catalogue[0]), assets={"B02": Asset(href=str(path))})
    with pytest.raises(ArchiveError, match="no pixel corner"):
        StacArchive(StacParameters(imagery="unused.json")).read(scene, FOOTPRINT, ["B02"])


def test_a_missing_band_is_permanent_and_says_what_there_is(catalogue: tuple[Path, Truth]) -> None:
    scene = local_scene(catalogue[0])
    scene = replace(scene, assets={"B02": scene.assets["B02"]})
    with pytest.raises(ArchiveError, match="has no B03, only B02"):
        StacArchive(StacParameters(imagery="unused.json")).read(scene, FOOTPRINT, ["B03"])


def test_a_rewritten_local_file_is_read_anew(catalogue: tuple[Path, Truth], tmp_path: Path) -> None:
    scene, path = local_scene(catalogue[0]), tmp_path / "B02.tif"
    grid = scene.assets["B02"].transform or ()
    for value in (7, 77):
        write_tiff(
            path, np.full((600, 600 if value == 7 else 599), value, np.uint16), CRS.from_epsg(32631), grid
        )
        assert (read_from(scene, path) == value).all()


def test_messages_carry_no_signature() -> None:
    for error in (
        RasterioIOError(
            "'/vsicurl/https://x.net/a.tif?sv=1&sig=SECRET%3D' does not exist, HTTP response code: 403"
        ),
        requests.ConnectionError("GET https://x.net/a?token=SECRET failed"),
    ):
        with pytest.raises(ArchiveError) as caught, archive_errors("file https://x.net/a.tif", remote=True):
            raise error
        assert "SECRET" not in str(caught.value)
        assert caught.value.transient is isinstance(error, requests.ConnectionError)
        assert caught.value.__suppress_context__


def test_retries_end_and_programming_errors_pass_through() -> None:
    calls: list[int] = []

    def throttled() -> None:
        calls.append(1)
        raise ArchiveError("slow down", transient=True)

    with pytest.raises(ArchiveError, match="slow down"):
        with_retries(throttled, retries=3, wait_s=0)
    assert len(calls) == 4
    with pytest.raises(ZeroDivisionError), archive_errors("x", remote=True):
        _ = 1 // 0


def test_a_catalogue_that_is_not_there_or_is_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"nowhere\.json"):
        StacArchive(StacParameters(imagery=str(tmp_path / "nowhere.json"))).search(AREA, *PERIOD)
    other = tmp_path / "other.json"
    other.write_text(json.dumps([1, 2]))
    with pytest.raises(ArchiveError, match="FeatureCollection"):
        StacArchive(StacParameters(imagery=str(other))).search(AREA, *PERIOD)


def test_an_unreachable_api_is_transient() -> None:
    archive = StacArchive(StacParameters(imagery="http://127.0.0.1:9", retries=0, timeout_s=2))
    with pytest.raises(ArchiveError) as caught:
        archive.search(AREA, *PERIOD)
    assert caught.value.transient


def test_a_slow_search_and_a_slow_file_are_given_up(remote: StacArchive, api: Server) -> None:
    scene = moved(remote.search(AREA, *PERIOD)[0], "again/slow.tif", api)
    hasty = StacArchive(remote.parameters.model_copy(update={"timeout_s": 1.0, "retries": 0}))
    api.failures |= {"search": ["slow"], "slow.tif": ["slow"] * 9}
    for request in (lambda: hasty.search(AREA, *PERIOD), lambda: hasty.read(scene, FOOTPRINT, ["B02"])):
        with pytest.raises(ArchiveError) as caught:
            request()
        assert caught.value.transient


@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")
def test_links_are_signed_when_opened_and_no_signature_shows(
    remote: StacArchive, api: Server, monkeypatch: pytest.MonkeyPatch, catalogue: tuple[Path, Truth]
) -> None:
    monkeypatch.setattr("planetary_computer.sign_url", lambda href: f"{href}?sig=SECRET")
    signing = StacArchive(remote.parameters.model_copy(update={"sign": "planetary-computer"}))
    scene = moved(signing.search(AREA, *PERIOD)[0], "again/signed.tif", api)
    pixels = signing.read(scene, FOOTPRINT, ["B02"])["B02"]
    np.testing.assert_array_equal(pixels, catalogue[1].window(scene.scene_id, FOOTPRINT, "B02"))
    assert api.requests["again/signed.tif?sig=SECRET"]
    scene = moved(scene, "again/refused.tif", api)
    api.failures["refused.tif"] = [403] * 9
    with pytest.raises(ArchiveError, match=r"refused\.tif") as caught:
        signing.read(scene, FOOTPRINT, ["B02"])
    assert "SECRET" not in str(caught.value)
    assert "SECRET" not in repr(scene)
