"""What every archive must do, against known pixels: a real one, a catalogue file, a STAC API, Earth
Engine, one's own.

A further archive joins by an :class:`Offer`; the environment variable ``SSL4ECO_OFFER`` names functions that
make one (``docs/extending.md``).
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from catalogue_cases import COMPOSITES, FILL_EVI, FOOTPRINT, LAYERS, Tile, Truth, location_at
from contract_offer import END, OTHERS, START, Offer
from ee_catalogue import renamed, signed_in, world_of
from ee_world import World
from stac_server import Server

from ssl4eco_data.archives import cog
from ssl4eco_data.archives.earth_engine import EarthEngineArchive, EarthEngineParameters
from ssl4eco_data.archives.stac import StacArchive, StacParameters
from ssl4eco_data.bands import BANDS
from ssl4eco_data.imports import load_named
from ssl4eco_data.types import Footprint

OWN = ("own_offer:offer", *os.environ.get("SSL4ECO_OFFER", "").split())
"""Functions of a folder that give an offer, by import path: the example's, and the user's own."""


@pytest.fixture(scope="session")
def own_offers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Offer]:
    """The offer of an import path, made once."""

    @cache
    def made(path: str) -> Offer:
        offered: Offer = load_named(path, "SSL4ECO_OFFER", OWN[0])(tmp_path_factory.mktemp("own"))
        return offered

    return made


@pytest.fixture(scope="session")
def _world(catalogue: tuple[Path, Truth], tmp_path_factory: pytest.TempPathFactory) -> tuple[Truth, World]:
    truth = renamed(catalogue[1])
    return truth, world_of(truth, tmp_path_factory.mktemp("world"))


@pytest.fixture
def earth_engine(_world: tuple[Truth, World]) -> Iterator[Offer]:
    """The catalogue's pixels behind the loopback service, asked by the official client."""
    truth, world = _world
    with signed_in(world) as server:
        parameters = EarthEngineParameters(project="p", url=server.url, retries=0, cloud_score="")
        archive = EarthEngineArchive(parameters)
        yield Offer(archive, truth, FOOTPRINT, OTHERS[:3])


@pytest.fixture(params=[*OWN, "file", "api", "belgium", "earth_engine"])
def offer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Offer:
    if request.param in OWN:
        made: Offer = request.getfixturevalue("own_offers")(request.param)
        return made
    if request.param == "earth_engine":
        service: Offer = request.getfixturevalue("earth_engine")
        return service
    if request.param == "belgium":
        return _belgium(request.getfixturevalue("shared_data"))
    folder, truth = request.getfixturevalue("catalogue")
    if request.param == "file":
        parameters = StacParameters(
            imagery=str(folder / "sentinel-2-l2a.json"), vegetation=str(folder / "modis-13Q1-061.json")
        )
    else:
        monkeypatch.setattr(cog, "SMALL_PX", 0)  # windows only, as of files of full size
        api: Server = request.getfixturevalue("api")
        parameters = StacParameters(imagery=api.url, vegetation=api.url, retry_wait_s=0)
    others = OTHERS if request.param == "file" else OTHERS[:1]
    return Offer(StacArchive(parameters), truth, FOOTPRINT, others)


def _belgium(shared_data: Path) -> Offer:
    """Pixels read by rasterio alone; every third date, to be quick."""
    folder = shared_data / "s2-belgium-31UDS"
    truth = Truth()
    items = json.loads((folder / "items.json").read_text())["features"]
    names = {band.common_name: name for name, band in BANDS.items()}
    for item in items:
        name = item["id"]
        truth.tiles[name], truth.offsets[name] = Tile("31UDS", 32631, 501360, 5629680), 0
        truth.times[name] = datetime.fromisoformat(item["properties"]["datetime"]).astimezone(UTC)
    for item in items[::12]:
        for key, asset in item["assets"].items():
            with rasterio.open(folder / asset["href"]) as file:
                truth.raw[item["id"], names[key]] = file.read(1)
    whole = Footprint(epsg=32631, west_m=501360, north_m=5629680, size_m=640)
    part = Footprint(epsg=32631, west_m=501700, north_m=5629400, size_m=640)
    archive = StacArchive(StacParameters(imagery=str(folder / "items.json")))
    return Offer(archive, truth, whole, (part,), index="evi2")


def test_search_finds_what_meets_the_area_in_order_without_duplicates(offer: Offer) -> None:
    assert [scene.scene_id for scene in offer.scenes()] == offer.truth.scene_ids
    assert [scene.time for scene in offer.scenes()] == [offer.truth.times[s] for s in offer.truth.scene_ids]


def test_search_elsewhere_or_in_an_empty_period_finds_nothing(offer: Offer) -> None:
    assert not offer.archive.search(shapely.box(100, -10, 101, -9), START, END)
    assert not offer.archive.search(offer.area, date(2016, 1, 1), date(2016, 1, 1))


def test_periods_are_whole_utc_days_with_an_exclusive_end(offer: Offer) -> None:
    days = sorted({time.date() for time in offer.truth.times.values()})
    for day in days[:: max(1, len(days) // 6)]:
        found = offer.archive.search(offer.area, day, day + timedelta(days=1))
        same_day = [s for s in offer.truth.scene_ids if offer.truth.times[s].date() == day]
        assert [scene.scene_id for scene in found] == same_day


def test_scenes_carry_the_grid_and_the_offset_of_their_tile(offer: Offer) -> None:
    for scene in offer.scenes():
        tile = offer.truth.tiles[scene.scene_id]
        assert (scene.tile, scene.epsg) == (tile.name, tile.epsg)
        assert (scene.tile_west_m, scene.tile_north_m) == (tile.west_m, tile.north_m)
        assert 0 <= scene.cloud_fraction <= 1
        assert 0 < scene.sun_elevation_deg < 90


def test_get_gives_the_same_scenes_and_leaves_out_unknown_ids(offer: Offer) -> None:
    wanted = offer.scenes()[:3]
    found = offer.archive.get([*(scene.scene_id for scene in wanted), "S2Z_nowhere"])
    assert dict(found) == {scene.scene_id: scene for scene in wanted}
    assert offer.archive.get([]) == {}


def test_read_gives_exactly_the_pixels_of_the_scene(offer: Offer) -> None:
    for footprint in (offer.footprint, *offer.others):
        for scene in offer.scenes():
            bands = [band for band in BANDS if (scene.scene_id, band) in offer.truth.raw]
            if scene.epsg != footprint.epsg or not bands:
                continue
            windows = offer.archive.read(scene, footprint, bands)
            assert list(windows) == bands
            for band in bands:
                assert windows[band].dtype == np.uint16
                expected = offer.truth.window(scene.scene_id, footprint, band)
                np.testing.assert_array_equal(windows[band], expected, err_msg=f"{scene.scene_id} {band}")


def test_read_refuses_unknown_bands_and_other_zones(offer: Offer) -> None:
    scene = offer.scenes()[0]
    with pytest.raises(ValueError, match="B99"):
        offer.archive.read(scene, offer.footprint, ["B99"])
    elsewhere = Footprint(epsg=32760, west_m=500000, north_m=5000000, size_m=640)
    with pytest.raises(ValueError, match="32760"):
        offer.archive.read(scene, elsewhere, ["B02"])


def test_judge_counts_the_mask_inside_the_patch_in_the_order_asked(offer: Offer) -> None:
    judged = [s for s in reversed(offer.scenes()) if (s.scene_id, "SCL") in offer.truth.raw]
    for footprint in (offer.footprint, *offer.others):
        stats = offer.archive.judge(judged, footprint)
        assert [s.scene_id for s in stats] == [s.scene_id for s in judged]
        for scene, stat in zip(judged, stats, strict=True):
            if scene.epsg != footprint.epsg:
                assert stat.missing_fraction == 1
                continue
            scl = offer.truth.window(scene.scene_id, footprint, "SCL")
            assert stat.missing_fraction == pytest.approx(np.mean(scl < 2))
            assert stat.snow_fraction == pytest.approx(np.mean(scl == 11))
            assert stat.shadow_fraction == pytest.approx(np.mean(scl == 3))
            assert stat.cloud_fraction == pytest.approx(np.mean((scl >= 8) & (scl <= 10)))


def test_blue_is_measured_where_a_patch_is_clear_enough(offer: Offer) -> None:
    judged = [s for s in offer.scenes() if (s.scene_id, "SCL") in offer.truth.raw]
    measured = 0
    for scene, stat in zip(judged, offer.archive.judge(judged, offer.footprint), strict=True):
        if stat.usable_fraction < 0.8:
            assert np.isnan(stat.blue_q95)
            continue
        scl = np.kron(offer.truth.window(scene.scene_id, offer.footprint, "SCL"), np.ones((2, 2), int))
        blue = offer.truth.window(scene.scene_id, offer.footprint, "B02")
        expected = np.quantile(blue[(scl > 1) & (scl != 11) & (blue > 0)] / 10_000, 0.95)
        assert stat.blue_q95 == pytest.approx(expected)
        measured += 1
    assert measured


def test_archives_and_scenes_pickle(offer: Offer) -> None:
    scene = offer.scenes()[0]
    archive, again = pickle.loads(pickle.dumps((offer.archive, scene)))
    assert again == scene
    np.testing.assert_array_equal(
        archive.read(again, offer.footprint, ["SCL"])["SCL"],
        offer.archive.read(scene, offer.footprint, ["SCL"])["SCL"],
    )


def test_the_series_keeps_the_form_of_the_protocol(offer: Offer) -> None:
    locations = [location_at(offer.footprint, "a"), location_at(offer.others[0], "b")]
    series = offer.archive.vegetation_series(locations, START, END)
    assert series["value"].dims == ("location", "time", "y", "x")
    assert list(series["location"].values) == ["a", "b"]
    assert series.attrs["index"] == offer.index
    dtypes = {name: str(series[name].dtype) for name in series.data_vars}
    expected = {"value": "float32", "day": "float64", "weight": "float32", "snow": "bool", "inside": "bool"}
    assert dtypes == expected
    assert (np.diff(series["time"].values) >= np.timedelta64(0)).all()
    seen = np.isfinite(series["value"].values)
    assert seen.any()
    assert (seen == (series["weight"].values > 0)).all()
    assert (seen == np.isfinite(series["day"].values)).all()
    assert not (series["snow"].values & ~seen).any()
    assert not offer.archive.vegetation_series([], START, END).sizes["location"]


MODIS_PATCHES = (
    FOOTPRINT,
    Footprint(epsg=32631, west_m=303400, north_m=5698600, size_m=1280),
    Footprint(epsg=32631, west_m=304660, north_m=5697900, size_m=640),
    Footprint(epsg=32631, west_m=303760, north_m=5697540, size_m=320),
)


def test_modis_pixels_carry_their_true_day_weight_and_snow(offer: Offer) -> None:
    if offer.index != "evi":
        pytest.skip("this archive has no MODIS")
    places = [location_at(footprint, str(i)) for i, footprint in enumerate(MODIS_PATCHES)]
    whole = offer.archive.vegetation_series(places, START, END)
    snowy = wrapped = 0
    for i, footprint in enumerate(MODIS_PATCHES):
        series = whole.isel(location=i)
        for number, first in enumerate(COMPOSITES):
            evi, doy, flag = (np.array(offer.truth.modis_inside(footprint, first, layer)) for layer in LAYERS)
            seen = (evi != FILL_EVI) & (flag >= 0) & (flag < 3)
            at = {name: series[name].isel(time=number).values[series["inside"].values] for name in VARIABLES}
            np.testing.assert_allclose(at["value"], np.where(seen, evi * 1e-4, np.nan), rtol=1e-6)
            np.testing.assert_array_equal(at["weight"], np.where(seen, np.where(flag == 1, 0.5, 1.0), 0.0))
            np.testing.assert_array_equal(at["snow"], seen & (flag == 2))
            np.testing.assert_array_equal(at["day"], np.where(seen, _true_days(first, doy), np.nan))
            snowy += at["snow"].sum()
            wrapped += (seen & (doy < 353) & (first.month == 12)).sum()
    assert snowy
    assert wrapped


VARIABLES = ("value", "weight", "snow", "day")


def _true_days(first: date, doy: np.ndarray) -> list[int]:
    years = [first.year + (day < 353 and first.month == 12) for day in doy]
    return [
        (date(year, 1, 1) - date(1970, 1, 1)).days + int(day) - 1
        for year, day in zip(years, doy, strict=True)
    ]


def test_a_composite_belongs_to_the_period_of_its_first_day(offer: Offer) -> None:
    if offer.index != "evi":
        pytest.skip("this archive has no MODIS")
    place = [location_at(offer.footprint)]
    for start, end in ((COMPOSITES[1], COMPOSITES[2]), (COMPOSITES[0] + timedelta(days=1), COMPOSITES[2])):
        series = offer.archive.vegetation_series(place, start, end)
        assert series["time"].values.astype("datetime64[D]").tolist() == [COMPOSITES[1]]
