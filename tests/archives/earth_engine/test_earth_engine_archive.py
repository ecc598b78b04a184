"""The Earth Engine archive, through the official client, against a loopback service over written pixels."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path

import ee
import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from ee_server import TOKEN, Server, serving
from ee_world import MODIS_COLUMN, MODIS_PIXEL_M, MODIS_ROW, PIXEL_M, SCORE_PIXEL_M, World, write_world
from shapely.geometry import MultiPolygon, box

from ssl4eco_data.archives import earth_engine, flow_control
from ssl4eco_data.archives.earth_engine import EarthEngineArchive, EarthEngineParameters
from ssl4eco_data.archives.earth_engine_images import scene_of
from ssl4eco_data.archives.earth_engine_statistics import stats_in
from ssl4eco_data.bands import BANDS
from ssl4eco_data.errors import ArchiveError, ConfigError
from ssl4eco_data.types import Footprint, Location

HANG_S = 20.0
"""Far more than any time-out here: what takes longer hangs."""

AREA = box(3.0, 50.78, 3.09, 50.84)
PERIOD = date(2020, 7, 1), date(2020, 8, 1)
INNER = Footprint(epsg=32631, west_m=502_040, north_m=5_630_980, size_m=1_280)
EDGE = Footprint(epsg=32631, west_m=504_820, north_m=5_630_980, size_m=1_280)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[Server]:
    with serving(world) as served:
        yield served
    ee.Reset()


@pytest.fixture(scope="module")
def key_file(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key of a service account that signs in at the loopback server."""
    secret = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "k",
        "private_key": secret.decode(),
        "client_email": "robot@p.iam.gserviceaccount.com",
        "token_uri": f"{server.url}/token",
    }
    path = tmp_path_factory.mktemp("key") / "key.json"
    path.write_text(json.dumps(key))
    return path


@pytest.fixture
def archive(server: Server, key_file: Path) -> Iterator[EarthEngineArchive]:
    parameters = EarthEngineParameters(
        project="p",
        service_account_key=str(key_file),
        url=server.url,
        retries=2,
        retry_wait_s=0.0,
        max_requests_in_flight=3,
    )
    server.requests.clear()
    yield EarthEngineArchive(parameters=parameters)
    server.faults.clear()
    server.max_elements = 5_000


def scene(archive: EarthEngineArchive, tile: str, day: int):
    (found,) = [s for s in archive.search(AREA, *PERIOD) if (s.tile, s.time.day) == (tile, day)]
    return found


def written(
    world: World, scene_id: str, band: str, west_m: float, north_m: float, size_px: int
) -> np.ndarray:
    """The window of the written array, zero where the tile ends."""
    origin = {"S": (500_000, 5_632_000), "T": (501_020, 5_634_040)}[scene_id[-1]]
    pixel_m, array = PIXEL_M.get(band, SCORE_PIXEL_M), world.pixels[scene_id][band]
    row, column = round((origin[1] - north_m) / pixel_m), round((west_m - origin[0]) / pixel_m)
    padded = np.pad(array, size_px)
    return padded[row + size_px : row + 2 * size_px, column + size_px : column + 2 * size_px]


def test_search_is_one_request_and_describes_scenes(archive, server):
    found = archive.search(AREA, *PERIOD)
    assert server.requests == ["value:compute"]
    assert [(s.tile, s.time.day) for s in found] == [("31UDS", 2), ("31UDT", 2), ("32ULB", 2), ("31UDS", 12)]
    first, other_tile, other_zone, later = found
    assert first.acquisition == other_tile.acquisition == "S2A_20200702T105031"
    assert other_zone.epsg == 32632
    assert later.acquisition != first.acquisition
    assert first.time == datetime(2020, 7, 2, 10, 50, 31, 417_000, tzinfo=UTC)
    assert (first.epsg, first.tile_west_m, first.tile_north_m) == (32631, 500_000, 5_632_000)
    assert (first.cloud_fraction, first.sun_elevation_deg, first.sun_azimuth_deg) == (0.125, 60, 151)
    assert first.geometry["type"] == "Polygon"


def test_an_image_without_optional_numbers_is_listed_and_one_without_identity_is_an_error():
    properties = {"system:index": "x", "DATATAKE_IDENTIFIER": "GS2A_20200702T105031_026254_N02.14"}
    properties |= {"MGRS_TILE": "31UDS", "system:time_start": 0, "system:footprint": {"type": "Polygon"}}
    bands = [{"crs": "EPSG:32631", "crs_transform": [10, 0, 500_000, 0, -10, 5_632_000]}]
    found = scene_of({"id": "x", "properties": properties, "bands": bands})
    assert np.isnan([found.cloud_fraction, found.sun_elevation_deg, found.sun_azimuth_deg]).all()
    with pytest.raises(ArchiveError, match="x has no 'MGRS_TILE'") as caught:
        del properties["MGRS_TILE"]
        scene_of({"id": "x", "properties": properties, "bands": bands})
    assert not caught.value.transient


def test_search_takes_days_half_open_and_areas_of_many_parts(archive):
    assert {s.time.day for s in archive.search(AREA, date(2020, 7, 2), date(2020, 7, 12))} == {2}
    assert archive.search(AREA, date(2020, 7, 13), date(2020, 8, 1)) == []
    assert archive.search(box(20, 20, 21, 21), *PERIOD) == []
    parts = MultiPolygon([box(3.0, 50.81, 3.01, 50.82), box(20, 20, 21, 21)])
    assert len(archive.search(parts, *PERIOD)) == 3


def test_a_list_too_long_for_one_answer_is_halved(archive, server):
    whole = archive.search(AREA, *PERIOD)
    server.max_elements = 3
    assert archive.search(AREA, *PERIOD) == whole
    assert len(server.requests) > 2


def test_get_finds_ids_and_leaves_out_the_unknown(archive, server):
    scenes = archive.search(AREA, *PERIOD)
    ids = [s.scene_id for s in scenes]
    server.requests.clear()
    gone = "20200703T105031_20200703T105600_T31UDS"
    assert archive.get([*ids, gone, "no-such-name"]) == {s.scene_id: s for s in scenes}
    assert server.requests == ["value:compute"]
    assert archive.get(["no-such-name"]) == {}


@pytest.mark.parametrize("tile", ["31UDS", "31UDT"])
@pytest.mark.parametrize("footprint", [INNER, EDGE], ids=["inner", "edge"])
def test_read_gives_exactly_the_pixels_of_the_scene(archive, server, world, tile, footprint):
    one = scene(archive, tile, 2)
    server.requests.clear()
    pixels = archive.read(one, footprint, list(BANDS))
    assert server.requests == ["image:computePixels"] * 3
    for name, band in BANDS.items():
        grid = (
            footprint.grid_60m(one.tile_west_m, one.tile_north_m)
            if band.pixel_m == 60
            else footprint.grid(band.pixel_m)
        )
        expected = written(world, one.scene_id, band.earth_engine, grid.west_m, grid.north_m, grid.size_px)
        assert pixels[name].dtype == np.uint16
        np.testing.assert_array_equal(pixels[name], expected)
    assert (pixels["B02"] == 0).any() == (footprint is EDGE and tile == "31UDS")


def test_read_refuses_other_zones_and_unknown_bands(archive):
    one = scene(archive, "31UDS", 2)
    with pytest.raises(ValueError, match="EPSG:32632"):
        archive.read(replace(one, epsg=32632), INNER, ["B02"])
    with pytest.raises(ValueError, match="B10"):
        archive.read(one, INNER, ["B10"])


def test_judge_counts_classes_in_one_request_and_in_the_order_asked(archive, server, world):
    inner, other, foreign, later = archive.search(AREA, *PERIOD)
    server.requests.clear()
    stats = archive.judge([later, foreign, inner, other], EDGE)
    assert server.requests == ["value:compute"]
    assert [s.scene_id for s in stats] == [s.scene_id for s in (later, foreign, inner, other)]
    assert stats[1].missing_fraction == 1
    scl = written(world, inner.scene_id, "SCL", EDGE.west_m, EDGE.north_m, 64)
    assert stats[2].cloud_fraction == np.isin(scl, (8, 9, 10)).mean()
    assert stats[2].missing_fraction == np.isin(scl, (0, 1)).mean() and (scl == 0).any()
    assert np.isnan(stats[2].blue_q95) and np.isnan(stats[2].haze_q50)


def test_blue_and_haze_are_measured_where_the_patch_is_clear_enough(archive, server, world):
    one, other = scene(archive, "31UDS", 2), scene(archive, "31UDT", 2)
    scl = {s: written(world, s.scene_id, "SCL", INNER.west_m, INNER.north_m, 64) for s in (one, other)}
    clear = {s: np.isin(array, (2, 4, 5, 6, 7, 11)).mean() for s, array in scl.items()}
    assert clear[one] != clear[other]
    limit = max(clear.values())
    picky = replace(
        archive, parameters=archive.parameters.model_copy(update={"blue_min_usable_fraction": limit})
    )
    histograms = picky._counted([one.scene_id, other.scene_id], INNER, limit)["colours"]
    sent = {each: histograms[f"{each.scene_id}_blue"] is not None for each in (one, other)}
    assert sent == {each: clear[each] >= limit for each in (one, other)}, "only clear patches are counted"
    server.requests.clear()
    found = dict(zip((one, other), picky.judge([one, other], INNER), strict=True))
    assert server.requests == ["value:compute"]
    for each, stats in found.items():
        if clear[each] < limit:
            assert np.isnan(stats.blue_q95) and np.isnan(stats.haze_q50)
            continue
        at_10m = np.kron(scl[each], np.ones((2, 2)))
        blue, red = (
            written(world, each.scene_id, b, INNER.west_m, INNER.north_m, 128).astype(int)
            for b in ("B2", "B4")
        )
        ground = blue[~np.isin(at_10m, (0, 1, 11))]
        assert stats.blue_q95 == np.quantile(ground.astype(float), 0.95) * 1e-4
        dry = ~np.isin(at_10m, (0, 1, 6, 11))
        assert stats.haze_q50 == pytest.approx(np.median(blue[dry] - red[dry] / 2) / 1e4, abs=1e-12)
        assert blue.max() > 8_900  # twice that does not fit into the band's own type and red is taken from it


def test_cloud_score_is_the_scenes_own_and_nan_where_there_is_none(archive, server, world):
    scored, unscored, _, later = archive.search(AREA, *PERIOD)
    for footprint in (INNER, EDGE):
        stats = archive.judge([unscored, later, scored], footprint)
        assert np.isnan(stats[0].score_clear_fraction) and stats[0].missing_fraction < 1
        for one, stat in zip((later, scored), stats[1:], strict=True):
            score = written(world, one.scene_id, "cs_cdf", footprint.west_m, footprint.north_m, 128)
            assert 0 < stat.score_clear_fraction < 1
            assert stat.score_clear_fraction == (score >= 0.6).mean()
    without = replace(archive, parameters=archive.parameters.model_copy(update={"cloud_score": ""}))
    bare = without.judge([scored], INNER)[0]
    assert np.isnan(bare.score_clear_fraction)
    assert replace(bare, score_clear_fraction=0) == replace(
        archive.judge([scored], INNER)[0], score_clear_fraction=0
    )


def test_a_patch_beyond_the_tile_is_missing_and_one_across_its_edge_partly(archive, world):
    one = scene(archive, "31UDS", 2)
    beyond = Footprint(epsg=32631, west_m=520_000, north_m=5_630_980, size_m=1_280)
    stats = archive.judge([one], beyond)[0]
    assert stats.missing_fraction == 1 and np.isnan(stats.score_clear_fraction)
    across = Footprint(epsg=32631, west_m=499_360, north_m=5_632_640, size_m=1_280)
    scl = written(world, one.scene_id, "SCL", across.west_m, across.north_m, 64)
    (stats,) = archive.judge([one], across)
    assert 0.7 < stats.missing_fraction < 1
    assert stats.missing_fraction == (scl < 2).mean()


def test_many_scenes_are_asked_in_slices_and_a_scene_that_is_gone_is_named(archive, server, monkeypatch):
    scenes = [s for s in archive.search(AREA, *PERIOD) if s.epsg == INNER.epsg]
    whole = archive.judge(scenes, INNER)
    monkeypatch.setattr(earth_engine, "_SCENES_PER_REQUEST", 2)
    server.requests.clear()
    np.testing.assert_equal([asdict(s) for s in archive.judge(scenes, INNER)], [asdict(s) for s in whole])
    assert server.requests == ["value:compute"] * 2
    gone = replace(scenes[0], scene_id="20200702T105031_20200702T999999_T31UDS")
    for name in (gone.scene_id, "no-such-name"):
        with pytest.raises(ArchiveError, match=name) as caught:
            archive.judge([scenes[0], replace(gone, scene_id=name)], INNER)
        assert not caught.value.transient


@pytest.mark.parametrize("empty", [{}, {"S_SCL": {}, "S_blue": {}}, {"S_SCL": None, "S_blue": None}])
def test_histograms_of_nothing_are_read_however_they_are_written(empty):
    answer = {"usable": {"S_usable": 0.0}, "classes": empty, "colours": empty}
    stats = stats_in(answer, "S", INNER, 0.0)
    assert stats.missing_fraction == 1
    assert np.isnan([stats.blue_q95, stats.haze_q50, stats.score_clear_fraction]).all()


@pytest.mark.parametrize("key", ["4", "4.0"])
def test_keys_of_histograms_may_be_written_as_floats(key):
    answer = {"usable": {"S_usable": 1.0}, "classes": {"S_SCL": {key: 4096.0}}, "colours": {}}
    assert stats_in(answer, "S", INNER, 0.0).clear_fraction == 1


def test_vegetation_series_is_one_request_a_location(archive, server, world):
    small = Footprint(epsg=32631, west_m=502_040, north_m=5_630_980, size_m=640)
    places = [
        Location(location_id=name, lon_deg=3.03, lat_deg=50.82, footprint=print_)
        for name, print_ in (("a", INNER), ("b", small))
    ]
    cube = archive.vegetation_series(places, date(2020, 1, 1), date(2021, 1, 1))
    assert server.requests == ["image:computePixels"] * 2
    assert list(cube["location"].to_numpy()) == ["a", "b"]
    assert [str(t)[:10] for t in cube["time"].to_numpy()] == ["2020-06-25", "2020-07-11", "2020-12-18"]
    assert cube.attrs["index"] == "evi"
    first, last = cube.isel(location=0, time=0), cube.isel(location=0, time=2)
    rows, columns = first["value"].shape
    origin = _first_modis_pixel(INNER)
    window = np.s_[origin[1] : origin[1] + rows, origin[0] : origin[0] + columns]
    truth = {band: array[window] for band, array in world.pixels["2020_06_25"].items()}
    seen = (truth["EVI"] != -3000) & (truth["SummaryQA"] != 3)
    np.testing.assert_array_equal(np.isfinite(first["value"]), seen)
    np.testing.assert_allclose(first["value"].to_numpy()[seen], truth["EVI"][seen] / 1e4, rtol=1e-6)
    np.testing.assert_array_equal(first["snow"], seen & (truth["SummaryQA"] == 2))
    np.testing.assert_array_equal(first["weight"] == 0.5, truth["SummaryQA"] == 1)
    offset = (last["day"].to_numpy() - (date(2020, 12, 18) - date(1970, 1, 1)).days)[np.isfinite(last["day"])]
    assert offset.min() >= 0 and offset.max() == 15
    inside = cube["inside"].sum(("y", "x")).to_numpy() * MODIS_PIXEL_M**2
    assert inside == pytest.approx([1_280**2, 640**2], rel=0.4)


def _first_modis_pixel(footprint: Footprint) -> tuple[int, int]:
    """Column and row of the window's first pixel in the written arrays, from the sphere's own formula."""
    from pyproj import Transformer

    west, south, east, north = footprint.bounds_m
    lon, lat = Transformer.from_crs(footprint.epsg, 4326, always_xy=True).transform(
        [west, west, east, east], [south, north, south, north]
    )
    x = 6371007.181 * np.radians(lon) * np.cos(np.radians(lat))
    y = 6371007.181 * np.radians(lat)
    column = int((x.min() + 20015109.354) // MODIS_PIXEL_M) - MODIS_COLUMN
    return column, int((10007554.677 - y.max()) // MODIS_PIXEL_M) - MODIS_ROW


@pytest.mark.parametrize("fault", ["429", "503"])
def test_throttling_and_server_errors_are_tried_again(archive, server, fault):
    one = scene(archive, "31UDS", 2)
    server.faults += [fault, fault]
    assert archive.read(one, INNER, ["B02"])["B02"].any()


@pytest.mark.parametrize("fault", ["429", "500", "cut"])
def test_an_endless_fault_is_a_transient_error_that_names_the_scene(archive, server, fault):
    one = scene(archive, "31UDS", 2)
    server.faults += [fault] * 3
    with pytest.raises(ArchiveError, match=one.scene_id) as caught:
        archive.read(one, INNER, ["B02"])
    assert caught.value.transient


def test_a_pause_that_the_service_asks_for_is_kept_and_all_is_counted(archive, server):
    one = scene(archive, "31UDS", 2)
    lane = flow_control.lane_of(server.url, archive.parameters.limits)
    lane.drain()
    server.faults += ["429:1", "500"]
    begin = time.monotonic()
    assert archive.read(one, INNER, ["B02"])["B02"].any()
    assert time.monotonic() - begin >= 1
    counted = lane.drain()
    assert (counted.requests, counted.retries, counted.throttled) == (3, 2, 1)
    assert counted.waited_s >= 1 and counted.received_bytes > 128 * 128 * 2


def test_too_fast_is_no_refusal(archive, server):
    one = scene(archive, "31UDS", 2)
    server.faults.append("rate")
    assert archive.read(one, INNER, ["B02"])["B02"].any()


def test_html_instead_of_an_answer_is_transient(archive, server):
    one = scene(archive, "31UDS", 2)
    for request in (lambda: archive.read(one, INNER, ["B02"]), lambda: archive.search(AREA, *PERIOD)):
        server.faults += ["html"] * 3
        with pytest.raises(ArchiveError, match="broken answer") as caught:
            request()
        assert caught.value.transient
        server.faults.append("html")
        assert request() is not None


@pytest.mark.parametrize("fault", ["400", "403"])
def test_a_refusal_is_permanent(archive, server, fault):
    one = scene(archive, "31UDS", 2)
    server.faults.append(fault)
    with pytest.raises(ArchiveError, match=fault) as caught:
        archive.read(one, INNER, ["B02"])
    assert not caught.value.transient


def test_a_missing_image_is_permanent(archive):
    one = replace(scene(archive, "31UDS", 2), scene_id="20200101T000000_20200101T000000_T31UDS")
    with pytest.raises(ArchiveError, match="not found") as caught:
        archive.read(one, INNER, ["B02"])
    assert not caught.value.transient


def test_requests_in_flight_are_bounded(archive, server):
    one = scene(archive, "31UDS", 2)
    server.most_in_flight = 0
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: archive.read(one, INNER, ["B02"]), range(24)))
    assert 1 <= server.most_in_flight <= 3


def test_the_archive_pickles_and_shows_no_secret(archive, key_file):
    again = pickle.loads(pickle.dumps(archive))
    assert again == archive
    secret = json.loads(key_file.read_text())["private_key"].splitlines()[1]
    for text in (repr(again), str(pickle.dumps(archive))):
        assert TOKEN not in text and secret not in text


def test_a_dripping_answer_is_given_up_in_time(archive, server):
    one = scene(archive, "31UDS", 2)
    ee.Reset()
    hasty = archive.parameters.model_copy(update={"deadline_s": 0.5, "retries": 0})
    begin = time.monotonic()
    EarthEngineArchive(parameters=hasty).search(AREA, *PERIOD)
    server.faults.append("drip")
    with pytest.raises(ArchiveError, match="not finished within") as caught:
        EarthEngineArchive(parameters=hasty).read(one, INNER, ["B02"])
    assert caught.value.transient and time.monotonic() - begin < HANG_S
    ee.Reset()


def test_a_broken_key_file_says_what_to_do_and_nothing_of_its_content(server, tmp_path):
    ee.Reset()
    path = tmp_path / "key.json"
    path.write_text('{"private_key": "s3cret"}')
    parameters = EarthEngineParameters(project="p", service_account_key=str(path), url=server.url)
    with pytest.raises(ConfigError, match="key file") as caught:
        EarthEngineArchive(parameters=parameters).search(AREA, *PERIOD)
    assert "s3cret" not in str(caught.value)
