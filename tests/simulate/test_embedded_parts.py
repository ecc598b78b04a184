"""The pieces of the embedded Earth: sun, sky, cycles, places, and what the parameters refuse."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ssl4eco_data.bands import REFLECTANCE_BANDS
from ssl4eco_data.locations.grid import MajorTomGrid
from ssl4eco_data.simulate.covers import COVERS, evi
from ssl4eco_data.simulate.cycles import vegetation_cycles
from ssl4eco_data.simulate.ground import build_ground
from ssl4eco_data.simulate.modis import PIXEL_M, composite_starts, modis_window
from ssl4eco_data.simulate.parameters import SimulationParameters
from ssl4eco_data.simulate.passes import plan_passes
from ssl4eco_data.simulate.regions import REGIONS
from ssl4eco_data.simulate.render import THICK_CLOUD, patch_window, render
from ssl4eco_data.simulate.sites import mgrs_name, plan_sites
from ssl4eco_data.simulate.sky import Sun, make_sky, shadow_shift, sun_position
from ssl4eco_data.simulate.truth import climatology, season_ranks
from ssl4eco_data.types import YEAR_DAYS

DEMO = SimulationParameters()


def tilted_wave(days: np.ndarray, peak: float, width: float = 60.0) -> np.ndarray:
    """Gaussian pulses once a year."""
    years = np.arange(-3, 12)[:, None] * YEAR_DAYS
    return np.exp(-0.5 * ((days - peak - years) / width) ** 2).sum(axis=0)


class TestSun:
    @pytest.mark.parametrize(
        ("lat", "day", "elevation"),
        [
            (0.0, dt.date(2021, 3, 20), 90.0),
            (51.0, dt.date(2021, 6, 21), 62.4),
            (-36.0, dt.date(2021, 12, 21), 77.4),
        ],
    )
    def test_noon(self, lat: float, day: dt.date, elevation: float) -> None:
        assert sun_position(lat, day, 12.0).elevation_deg == pytest.approx(elevation, abs=0.6)

    def test_morning_sun_is_in_the_south_east_of_the_north_and_north_east_of_the_south(self) -> None:
        assert 90 < sun_position(51, dt.date(2021, 3, 20)).azimuth_deg < 180
        assert 0 < sun_position(-36, dt.date(2021, 3, 20)).azimuth_deg < 90

    def test_polar_night(self) -> None:
        assert sun_position(69.3, dt.date(2021, 12, 21)).elevation_deg < 0


class TestSky:
    @given(st.floats(15, 80), st.floats(0, 359.9), st.floats(400, 2000), st.integers(0, 50))
    @settings(max_examples=25, deadline=None)
    def test_shadows_fall_away_from_the_sun(
        self, elevation: float, azimuth: float, height: float, seed: int
    ) -> None:
        sun = Sun(elevation_deg=elevation, azimuth_deg=azimuth)
        rows, columns = shadow_shift(sun, height)
        towards = np.array([-np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth))])
        length = min(height / np.tan(np.radians(elevation)), 5000) / 20
        assert np.hypot(rows, columns) == pytest.approx(length, abs=1.5)
        assert towards @ [rows, columns] <= 1.5 - length + 1e-9
        n = 300
        sky = make_sky(np.random.default_rng(seed), (n, n), sun, coverage=0.4, thin=False, height_m=height)
        shaded = sky.shadow[max(0, rows) : n + min(0, rows), max(0, columns) : n + min(0, columns)]
        clouds = sky.cloud[max(0, -rows) : n - max(0, rows), max(0, -columns) : n - max(0, columns)]
        assert np.array_equal(shaded, clouds)

    def test_thin_cloud_never_hides_the_ground(self) -> None:
        sun = Sun(elevation_deg=40, azimuth_deg=150)
        sky = make_sky(np.random.default_rng(1), (80, 80), sun, coverage=1.0, thin=True, height_m=900)
        assert 0.1 < sky.cloud.max() < 0.5
        assert not sky.shadow.any()

    @given(st.floats(0.05, 1.0), st.integers(0, 1000))
    @settings(max_examples=25, deadline=None)
    def test_coverage_is_the_share_of_the_whole_field(self, coverage: float, seed: int) -> None:
        sun = Sun(elevation_deg=40, azimuth_deg=150)
        n = 216
        sky = make_sky(np.random.default_rng(seed), (n, n), sun, coverage=coverage, thin=False, height_m=900)
        assert (sky.cloud > 0).mean() == pytest.approx(coverage, abs=0.35)


class TestCycles:
    @given(st.floats(0, 365), st.floats(25, 50))
    @settings(max_examples=40, deadline=None)
    def test_gaussian_pulses(self, peak: float, width: float) -> None:
        days = np.arange(0, 5 * 365)
        dates = vegetation_cycles(1000, 0.1 + 0.5 * tilted_wave(days, peak, width))
        assert len(dates) >= 4
        inner = dates[1:-1] - 1000
        expected_peak = peak + YEAR_DAYS * np.round((inner[:, 3] - peak) / YEAR_DAYS)
        assert inner[:, 3] == pytest.approx(expected_peak, abs=0.2)
        for column, share in ((0, 0.15), (1, 0.5), (2, 0.9)):
            offset = width * np.sqrt(-2 * np.log(share))
            assert inner[:, column] == pytest.approx(expected_peak - offset, abs=1.5)
            assert inner[:, 6 - column] == pytest.approx(expected_peak + offset, abs=1.5)

    def test_flat_curve_has_none(self) -> None:
        days = np.arange(1500)
        assert vegetation_cycles(0, 0.5 + 0.03 * np.sin(days / 58)).shape == (0, 7)

    def test_two_seasons_are_told_apart_and_the_larger_leads(self) -> None:
        days = np.arange(4 * 365)
        curve = 0.1 + 0.35 * tilted_wave(days, 110, 18) + 0.5 * tilted_wave(days, 225, 24)
        dates = vegetation_cycles(0, curve)
        rank = season_ranks(dates, 0, curve)
        assert np.allclose(dates[rank == 0][:, 3] % YEAR_DAYS, 225, atol=1.5)
        assert np.allclose(dates[rank == 1][:, 3] % YEAR_DAYS, 110, atol=1.5)

    def test_climatology_survives_new_year(self) -> None:
        origin = (dt.date(2019, 1, 1) - dt.date(1970, 1, 1)).days
        peaks = origin + 365 + np.array([-6.0, 359.0, 365 + 366.0])
        days = climatology(peaks[:, None] + np.array([-80, -50, -25, 0, 60, 100, 130]))
        assert days[3] == pytest.approx(359.2, abs=1.5)
        assert np.all(np.diff(days) > 0)
        assert np.isnan(climatology(np.empty((0, 7)))).all()


class TestPlaces:
    def test_demo_has_enough_places_and_biomes(self) -> None:
        sites = plan_sites(DEMO)
        names = {at.location_id for site in sites for at in site.locations}
        assert len(names) == DEMO.locations >= 24
        assert len({site.region.biome for site in sites}) >= 8
        assert sum(site.lat_deg < 0 for site in sites) >= 3
        assert sum(site.lat_deg > 0 for site in sites) >= 3

    def test_locations_are_grid_cells_with_the_patch_centred_on_them(self) -> None:
        grid = MajorTomGrid(1.0)
        for site in plan_sites(DEMO):
            for at in site.locations:
                lon, lat = grid.centres(grid.parse(at.location_id))
                assert (at.lon_deg, at.lat_deg) == (float(lon[0]), float(lat[0]))

    @pytest.mark.parametrize(
        "parameters", [DEMO, SimulationParameters(sites_per_region=5, locations_per_site=9)]
    )
    def test_first_tile_holds_every_patch(self, parameters: SimulationParameters) -> None:
        for site in plan_sites(parameters):
            tile = site.tiles[0].frame
            west, south, east, north = tile.bounds_m
            for at in site.locations:
                assert at.footprint.epsg == tile.epsg
                w, s, e, n = at.footprint.bounds_m
                assert west <= w and south <= s and e <= east and n <= north

    def test_tiles_are_on_real_grids(self) -> None:
        tiles = [tile for site in plan_sites(DEMO) for tile in site.tiles]
        assert all(t.frame.west_m % 60 == 0 and t.frame.north_m % 20 == 0 for t in tiles)
        assert {t.frame.north_m % 60 for t in tiles} == {0.0, 40.0}
        assert len({t.frame.epsg for t in tiles}) >= 8

    def test_neighbour_tiles_hold_some_patches_wholly_and_some_partly(self) -> None:
        site = next(s for s in plan_sites(DEMO) if s.region.neighbour == "same")
        west, south, east, north = site.tiles[1].frame.bounds_m
        whole = [
            west <= w and south <= s and e <= east and n <= north
            for w, s, e, n in (at.footprint.bounds_m for at in site.locations)
        ]
        assert any(whole) and not all(whole)

    def test_largest_variant_has_distinct_places_and_tiles(self) -> None:
        sites = plan_sites(SimulationParameters(sites_per_region=24, locations_per_site=4))
        assert len({at.location_id for s in sites for at in s.locations}) == 960
        tiles = [t.name for s in sites for t in s.tiles]
        assert len(set(tiles)) == len(tiles)

    def test_known_mgrs_square(self) -> None:
        # From the tile list: 31UDS has its origin at (399960, 5700000) in zone 31.
        frame = plan_sites(DEMO)[0].tiles[0].frame
        moved = type(frame)(epsg=32631, west_m=501360, north_m=5629680, width_m=660, height_m=660)
        assert mgrs_name(moved) == "31UES"


class TestCovers:
    def test_plants_are_green_and_water_is_dark(self) -> None:
        for name, cover in COVERS.items():
            blue, red, nir = (
                np.float32(cover.green[REFLECTANCE_BANDS.index(b)]) for b in ("B02", "B04", "B08")
            )
            value = float(evi(blue, red, nir))
            assert (value > 0.3) == cover.vegetated, name

    def test_dominant_stand_covers_two_thirds(self) -> None:
        for region in REGIONS.values():
            shares = [s.share for s in region.stands]
            assert sum(shares) == pytest.approx(1.0)
            assert max(shares) >= 0.66


class TestPasses:
    @pytest.mark.parametrize("region", sorted(REGIONS))
    def test_every_location_has_thick_cloud_called_clear(self, region: str) -> None:
        parameters = SimulationParameters(regions=(region,))
        site = plan_sites(parameters)[0]
        ground = build_ground(parameters, site)
        wrong = [p for p in plan_passes(parameters, site) if p.scl_error == "missed_cloud"]
        assert len(wrong) == parameters.missed_clouds_per_site
        for flight in wrong:
            picture = render(parameters.seed, ground, flight)
            for at in site.locations:
                window = patch_window(ground, at.footprint)
                assert (picture.truth[window] == THICK_CLOUD).mean() > 0.3
                assert np.isin(picture.scl[window], (4, 5, 6)).all()
                assert np.quantile(picture.bands["B05"][window], 0.9) > 0.35

    def test_no_pass_in_the_polar_night(self) -> None:
        parameters = SimulationParameters(regions=("tundra",))
        days = [p.time.date() for p in plan_passes(parameters, plan_sites(parameters)[0])]
        assert not any(d.month == 12 or (d.month == 1 and d.day < 20) for d in days)

    def test_both_sides_of_baseline_04_in_every_dialect(self) -> None:
        seen = set()
        for site in plan_sites(DEMO):
            for p in plan_passes(DEMO, site):
                seen.add((site.region.dialect, p.baseline, p.added_dn))
        assert seen == {
            ("planetary_computer", "03.00", 0),
            ("planetary_computer", "04.00", 1000),
            ("earth_search", "03.00", 0),
            ("earth_search", "04.00", 0),
            ("collection_1", "05.00", 1000),
        }


class TestComposites:
    def test_23_a_year(self) -> None:
        starts = composite_starts(dt.date(2019, 1, 1), dt.date(2021, 1, 1))
        assert len(starts) == 46
        assert starts[22] == dt.date(2019, 12, 19)

    def test_window_lies_on_the_global_grid(self) -> None:
        window = modis_window(plan_sites(DEMO)[0])
        assert (window.transform[2] + 20015109.354) / PIXEL_M == pytest.approx(window.column, abs=1e-3)
        assert (10007554.677 - window.transform[5]) / PIXEL_M == pytest.approx(window.row, abs=1e-3)
        assert window.tile == (18, 3)


class TestParameters:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"locations_per_site": 64, "spacing_km": 10}, "km wide"),
            ({"sites_per_region": 24, "locations_per_site": 9}, "at most 2000"),
            ({"imagery_end": dt.date(2020, 2, 1)}, "at least 120 days"),
            ({"regions": ("tundra", "tundra")}, "must not repeat"),
            ({"vegetation_end": dt.date(2018, 1, 1)}, "vegetation_start must be before"),
            ({"patch_size_px": 65}, "multiple of 2"),
            ({"cloudines": 1.0}, "Extra inputs"),
        ],
    )
    def test_refuses(self, values: dict[str, object], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            SimulationParameters(**values)

    def test_training_variant_has_500_locations(self) -> None:
        assert SimulationParameters(sites_per_region=17).locations >= 500
