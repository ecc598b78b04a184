"""A STAC archive against a server that fails in every way: nothing lost, nothing wrongly done, no hang."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import requests
import shapely
from catalogue_cases import FOOTPRINT, Truth, lonlat
from faulty_server import Faulty, faulty

from ssl4eco_data import pipeline
from ssl4eco_data.archives import flow_control, window
from ssl4eco_data.archives.stac import StacArchive, StacParameters
from ssl4eco_data.archives.window import Traffic
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.types import Scene

HANG_S = 20.0
"""Far more than any time-out here: what takes longer hangs."""

AREA = lonlat(32631, shapely.box(*FOOTPRINT.bounds_m))
PERIOD = (date(2015, 1, 1), date(2030, 1, 1))
BANDS = ("B02", "B05", "B01", "SCL")


@pytest.fixture
def server(catalogue: tuple[Path, Truth], tmp_path: Path) -> Iterator[Faulty]:
    """On a port of its own, so that nothing remembered of another test's files is used."""
    folder = tmp_path / "served"
    shutil.copytree(catalogue[0], folder)
    with faulty(folder) as served:
        yield served


@pytest.fixture
def truth(catalogue: tuple[Path, Truth]) -> Truth:
    return catalogue[1]


def archive_at(server: Faulty, **changed: object) -> StacArchive:
    """Patient, in a hurry."""
    given = {"imagery": server.url, "retries": 12, "retry_wait_s": 0.01, "timeout_s": 5.0, "threads": 4}
    return StacArchive(StacParameters(**(given | changed)))


def traffic(server: Faulty) -> Traffic:
    return flow_control.totals()[f"127.0.0.1:{server.server_port}"]


def in_zone(archive: StacArchive) -> list[Scene]:
    return [scene for scene in archive.search(AREA, *PERIOD) if scene.epsg == FOOTPRINT.epsg]


def assert_all_right(archive: StacArchive, scenes: list[Scene], truth: Truth) -> None:
    """Every band of every scene, asked by many threads, is what was written."""
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda scene: archive.read(scene, FOOTPRINT, BANDS), scenes))
    for scene, bands in zip(scenes, found, strict=True):
        for band in BANDS:
            np.testing.assert_array_equal(bands[band], truth.window(scene.scene_id, FOOTPRINT, band))


@pytest.mark.parametrize("answer", ["429", "429:0", "503:0"])
def test_a_storm_of_refusals_loses_nothing(server: Faulty, truth: Truth, answer: str) -> None:
    archive = archive_at(server)
    server.often(0.2, [answer], seed=1)
    assert [s.scene_id for s in archive.search(AREA, *PERIOD)] == truth.scene_ids
    assert_all_right(archive, in_zone(archive), truth)
    counted = traffic(server)
    assert counted.throttled == counted.retries > 5
    assert counted.requests == len(server.log)
    assert counted.transient == counted.permanent == 0


def test_a_server_with_little_capacity_is_served_without_being_pestered(server: Faulty, truth: Truth) -> None:
    server.capacity, server.work_s = 3, 0.005
    archive = archive_at(server, max_requests_in_flight=16, retries=30)
    scenes = in_zone(archive)
    assert_all_right(archive, scenes, truth)
    counted = traffic(server)
    assert 0 < counted.throttled < counted.requests / 2


def test_a_pause_that_is_asked_for_is_kept_by_all(server: Faulty, truth: Truth) -> None:
    archive = archive_at(server)
    scenes = in_zone(archive)
    server.first("429:1")
    server.log.clear()
    assert_all_right(archive, scenes, truth)
    times = [when for when, _ in server.log]
    quiet = max(later - earlier for earlier, later in pairwise(times))
    assert quiet >= 0.9
    assert traffic(server).waited_s >= 1


def test_no_more_than_the_allowed_requests_are_in_flight(server: Faulty, truth: Truth) -> None:
    server.work_s = 0.01
    archive = archive_at(server, max_requests_in_flight=3)
    assert_all_right(archive, in_zone(archive), truth)
    assert 2 <= server.most_in_flight <= 3


def test_no_more_requests_a_second_than_the_budget(server: Faulty) -> None:
    archive = archive_at(server, requests_per_s=20.0)
    for _ in range(6):
        archive.search(AREA, *PERIOD)
    times = [when for when, _ in server.log]
    assert len(times) > 10
    assert len(times) <= 20 * (times[-1] - times[0] + 0.1) + 2


def test_every_passing_fault_at_random_changes_nothing(server: Faulty, truth: Truth) -> None:
    archive = archive_at(server)
    server.often(0.2, ["500", "502", "504", "reset", "cut"], seed=2)
    assert [s.scene_id for s in archive.search(AREA, *PERIOD)] == truth.scene_ids
    scenes = in_zone(archive)
    assert_all_right(archive, scenes, truth)
    judged = archive.judge(scenes, FOOTPRINT)
    server.plan = lambda _path: ""
    assert repr(archive_at(server).judge(scenes, FOOTPRINT)) == repr(judged)
    assert traffic(server).throttled == 0 < traffic(server).retries


@pytest.mark.parametrize("fault", ["reset", "cut", "html", "408", "500"])
def test_a_search_outlasts_one_fault_on_any_page(server: Faulty, truth: Truth, fault: str) -> None:
    pages = len(truth.scene_ids) // server.page_items
    for number in range(1, pages):
        server.first(*[""] * number, fault, path="/search")
        assert [s.scene_id for s in archive_at(server).search(AREA, *PERIOD)] == truth.scene_ids


@pytest.mark.parametrize("fault", ["reset", "cut", "html", "500", "429"])
def test_a_search_that_never_succeeds_is_transient_and_counted(server: Faulty, fault: str) -> None:
    server.plan = lambda _path: fault
    with pytest.raises(ArchiveError) as caught:
        archive_at(server, retries=2).search(AREA, *PERIOD)
    assert caught.value.transient
    assert len(server.log) == 3
    assert (traffic(server).retries, traffic(server).transient) == (2, 1)


def test_a_dripping_answer_is_given_up_in_time(server: Faulty) -> None:
    """Bytes keep coming, so no time-out for silence ever ends it."""
    patient = archive_at(server)
    scene = in_zone(patient)[0]
    hasty = archive_at(server, timeout_s=0.5, read_timeout_s=5.0, retries=1)
    server.plan = lambda _path: "drip"
    for request in (lambda: hasty.search(AREA, *PERIOD), lambda: hasty.read(scene, FOOTPRINT, ["B02"])):
        begin = time.monotonic()
        with pytest.raises(ArchiveError) as caught:
            request()
        assert caught.value.transient
        assert time.monotonic() - begin < HANG_S


def test_a_silent_server_is_given_up_in_time(server: Faulty) -> None:
    server.work_s = 1.5
    begin = time.monotonic()
    with pytest.raises(ArchiveError) as caught:
        archive_at(server, read_timeout_s=0.3, retries=1).search(AREA, *PERIOD)
    assert caught.value.transient and time.monotonic() - begin < HANG_S


def broken(server: Faulty, scene: Scene, band: str, how: str) -> None:
    """Spoils the served file for good."""
    path = server.folder / scene.assets[band].href.removeprefix(f"{server.url}/")
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[:60_000])
    elif how == "corrupted":
        spoilt = bytearray(content)
        spoilt[2_000:] = np.random.default_rng(3).bytes(len(content) - 2_000)
        path.write_bytes(spoilt)
    elif how == "html":
        path.write_bytes(b"<html>" + b"x" * 50_000)
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["truncated", "corrupted", "html", "missing"])
def test_a_broken_file_is_permanent_named_and_stops_nothing_else(
    server: Faulty, truth: Truth, how: str
) -> None:
    archive = archive_at(server, retries=2)
    scene, *others = in_zone(archive)
    broken(server, scene, "B02", how)
    with pytest.raises(ArchiveError, match=r"B02\.tif") as caught:
        archive.read(scene, FOOTPRINT, ["B02"])
    assert not caught.value.transient
    assert traffic(server).permanent == 1
    assert_all_right(archive, others, truth)
    bands = archive.read(scene, FOOTPRINT, ["B05"])
    np.testing.assert_array_equal(bands["B05"], truth.window(scene.scene_id, FOOTPRINT, "B05"))


def test_a_broken_file_behind_a_shaky_line_is_permanent_in_the_end(server: Faulty) -> None:
    archive = archive_at(server, retries=4)
    scene = in_zone(archive)[0]
    broken(server, scene, "B02", "truncated")
    server.first("503", "reset")
    with pytest.raises(ArchiveError) as caught:
        archive.read(scene, FOOTPRINT, ["B02"])
    assert not caught.value.transient


@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")
def test_a_signature_that_ends_early_is_renewed_once_and_a_refusal_is_permanent(
    server: Faulty, truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library keeps tokens in its own store, which is what has to be emptied."""
    from planetary_computer import sas

    issued: list[str] = []

    def sign_url(href: str) -> str:
        if "loopback" not in sas.TOKEN_CACHE:
            issued.append(f"token{len(issued)}")
            sas.TOKEN_CACHE["loopback"] = issued[-1]
        return f"{href}?sig={sas.TOKEN_CACHE['loopback']}"

    monkeypatch.setattr("planetary_computer.sign_url", sign_url)
    archive = archive_at(server, sign="planetary-computer", threads=1)
    scenes = in_zone(archive)
    server.signatures = {"token0"}
    assert_all_right(archive, scenes[:1], truth)
    server.signatures = {"token1"}
    bands = archive.read(scenes[1], FOOTPRINT, BANDS)
    for band in BANDS:
        np.testing.assert_array_equal(bands[band], truth.window(scenes[1].scene_id, FOOTPRINT, band))
    assert issued == ["token0", "token1"]
    server.signatures = {"none"}
    with pytest.raises(ArchiveError) as caught:
        archive.read(scenes[2], FOOTPRINT, ["B02"])
    assert not caught.value.transient and caught.value.status == 403
    assert len(issued) == 3
    assert "token" not in str(caught.value)


def test_an_item_without_the_asset_is_permanent_and_an_empty_search_an_answer(server: Faulty) -> None:
    archive = archive_at(server)
    assert archive.search(shapely.box(60, 10, 61, 11), *PERIOD) == []
    assert archive.search(AREA, date(2001, 1, 1), date(2002, 1, 1)) == []
    path = server.folder / "sentinel-2-l2a.json"
    path.write_text(path.read_text().replace('"B03"', '"B3"').replace('"green"', '"B3"'))
    for scene in in_zone(archive):
        with pytest.raises(ArchiveError, match="no B03") as caught:
            archive.read(scene, FOOTPRINT, ["B03"])
        assert not caught.value.transient
    assert traffic(server).transient == traffic(server).retries == 0


def test_an_archive_that_is_gone_says_so_soon_and_is_taken_back(
    server: Faulty, truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or each of thousands of blocks would try for minutes before the run ends."""
    monkeypatch.setattr(window, "GONE_S", 0.4)
    monkeypatch.setattr(window, "TRY_AGAIN_S", 0.4)
    archive = archive_at(server, retries=3)
    scenes = in_zone(archive)
    server.log.clear()
    server.plan = lambda _path: "reset"
    begin, said = time.monotonic(), []
    with ThreadPoolExecutor(4) as pool:
        while time.monotonic() < begin + 1.5:
            reads = [pool.submit(archive.read, scene, FOOTPRINT, BANDS) for scene in scenes]
            said = [read.exception() for read in reads]
    assert all(isinstance(error, ArchiveError) and error.transient for error in said)
    gone = [error for error in said if error and "has not answered a request for" in str(error)]
    assert len(gone) >= len(said) - 1
    assert not any(map(pipeline.is_transient, gone)), "its blocks need not be tried again now"
    assert sum(when > begin + 0.9 for when, _ in server.log) < 10
    server.plan = lambda _path: ""
    time.sleep(0.4)
    archive.search(AREA, *PERIOD)
    assert_all_right(archive, scenes, truth)


def test_a_server_that_is_not_there_fails_at_once(server: Faulty) -> None:
    archive = archive_at(server, retries=1)
    server.shutdown()
    server.server_close()
    begin = time.monotonic()
    with pytest.raises(ArchiveError) as caught:
        archive.search(AREA, *PERIOD)
    assert caught.value.transient and time.monotonic() - begin < HANG_S
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=1)
