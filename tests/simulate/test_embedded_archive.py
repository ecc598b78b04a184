"""A small embedded archive on disk: its bytes, items and pixels, and how the production archive reads it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from shapely.geometry import Point, shape

from ssl4eco_data.archives.stac import StacArchive, StacParameters
from ssl4eco_data.bands import BANDS, REFLECTANCE_BANDS
from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations.grid import MajorTomGrid
from ssl4eco_data.simulate import (
    ArchiveSummary,
    SimulationParameters,
    is_written,
    read_truth_climatology,
    read_truth_cycles,
    read_truth_scenes,
    true_cloud_fraction,
    true_mask,
    write_archive,
)
from ssl4eco_data.simulate.sites import plan_sites
from ssl4eco_data.types import METRICS, Footprint

SMALL = SimulationParameters(
    regions=("temperate_forest", "boreal_forest", "mediterranean"),
    imagery_start=date(2021, 9, 1),
    imagery_end=date(2022, 8, 1),
    vegetation_start=date(2021, 1, 1),
    vegetation_end=date(2023, 1, 1),
    revisit_days=24,
    missed_clouds_per_site=1,
)
DIALECT = {"32UQB": "planetary", "33UTS": "planetary", "35WMQ": "earth_search", "29SNC": "collection_1"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ArchiveSummary, list[tuple[int, int]]]:
    root = tmp_path_factory.mktemp("earth") / "archive"
    steps: list[tuple[int, int]] = []
    summary = write_archive(root, SMALL, 1, lambda done, total: steps.append((done, total)))
    return root, summary, steps


@pytest.fixture(scope="module")
def root(written: tuple[Path, ArchiveSummary, list[tuple[int, int]]]) -> Path:
    return written[0]


@pytest.fixture(scope="module")
def items(root: Path) -> list[dict[str, Any]]:
    features: list[dict[str, Any]] = json.loads((root / "sentinel-2-l2a.json").read_text())["features"]
    return features


@pytest.fixture(scope="module")
def archive(root: Path) -> StacArchive:
    return StacArchive(
        StacParameters(
            imagery=str(root / "sentinel-2-l2a.json"), vegetation=str(root / "modis-13Q1-061.json")
        )
    )


def checksums(root: Path) -> dict[str, str]:
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file()
    }


def band_files(root: Path, item: dict[str, Any]) -> Iterator[tuple[str, np.ndarray, Any]]:
    for asset in item["assets"].values():
        path = root / asset["href"]
        with rasterio.open(path) as file:
            yield path.stem, file.read(1), file


def footprints() -> list[tuple[str, Footprint]]:
    return [(at.location_id, at.footprint) for site in plan_sites(SMALL) for at in site.locations]


class TestWriting:
    def test_counts(
        self, written: tuple[Path, ArchiveSummary, list[tuple[int, int]]], items: list[Any]
    ) -> None:
        root, summary, steps = written
        assert summary.locations == 9
        assert summary.scenes == len(items) == len(list((root / "sentinel-2-l2a").iterdir()))
        assert summary.composites == 3 * 46 == len(list((root / "modis-13Q1-061").iterdir()))
        assert summary.size_bytes == sum(
            p.stat().st_size for p in root.rglob("*") if p.is_file() and p.name != "archive.json"
        )
        assert steps[-1][0] == steps[-1][1] > 0

    def test_two_processes_and_a_rerun_after_a_kill_write_the_same_bytes(
        self, root: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other"
        (other / "sentinel-2-l2a" / "half_a_scene").mkdir(parents=True)
        (other / "sentinel-2-l2a" / "half_a_scene" / "B02.tif").write_bytes(b"II")
        (other / "archive.json.part").write_text("{}")
        write_archive(other, SMALL, 2)
        assert checksums(other) == checksums(root)

    def test_signed_last_and_only_for_its_parameters(self, root: Path, tmp_path: Path) -> None:
        assert is_written(root, SMALL)
        assert not is_written(root, SMALL.model_copy(update={"seed": 8}))
        assert not is_written(tmp_path, SMALL)

    def test_failure_leaves_no_signature(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "archive.json").write_text("old")

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("ssl4eco_data.simulate.archive.run_task", killed)
        with pytest.raises(KeyboardInterrupt):
            write_archive(tmp_path, SMALL, 1)
        assert not (tmp_path / "archive.json").exists()

    def test_refuses_a_folder_of_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("precious")
        with pytest.raises(ConfigError, match=r"thesis\.tex"):
            write_archive(tmp_path, SMALL, 1)
        assert (tmp_path / "thesis.tex").exists()

    def test_refuses_no_workers(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
            write_archive(tmp_path, SMALL, 0)


class TestLayers:
    def test_land_holds_just_the_centres_of_the_locations(self, root: Path) -> None:
        land = gpd.read_file(root / "layers" / "land.gpkg")
        grid = MajorTomGrid(SMALL.spacing_km)
        found = set()
        for part in land.geometry:
            west, south, east, north = part.buffer(0.02).bounds
            cells = grid.cells_in_box(west, south, east, north)
            for name, lon, lat in zip(grid.names(cells), *grid.centres(cells), strict=True):
                if part.contains(Point(lon, lat)):
                    found.add(name)
        assert found == {name for name, _ in footprints()}

    def test_ecoregions_cover_the_land(self, root: Path) -> None:
        land = gpd.read_file(root / "layers" / "land.gpkg")
        ecoregions = gpd.read_file(root / "layers" / "ecoregions.gpkg")
        assert set(ecoregions.columns) >= {"ECO_NAME", "BIOME_NAME", "REALM", "geometry"}
        assert ecoregions.crs.to_epsg() == 4326
        assert all(e.contains(part) for e, part in zip(ecoregions.geometry, land.geometry, strict=True))


class TestItems:
    def test_files_are_what_the_items_say(self, root: Path, items: list[dict[str, Any]]) -> None:
        for item in items[::9]:
            names = set()
            for asset in item["assets"].values():
                with rasterio.open(root / asset["href"]) as file:
                    name = Path(asset["href"]).stem
                    names.add(name)
                    assert [file.height, file.width] == asset["proj:shape"]
                    assert list(file.transform)[:6] == asset["proj:transform"]
                    assert file.crs.to_epsg() == item["properties"]["proj:epsg"]
                    assert file.res[0] == BANDS[name].pixel_m
            assert names == set(BANDS)

    def test_geometry_is_where_data_are(self, root: Path, items: list[dict[str, Any]]) -> None:
        for item in items:
            scl = next(a for key, a in item["assets"].items() if key.lower() == "scl")
            with rasterio.open(root / scl["href"]) as file:
                missing = float((file.read(1) == 0).mean())
            box = gpd.GeoSeries([shape(item["geometry"])], crs=4326).to_crs(item["properties"]["proj:epsg"])
            frame = scl["proj:shape"][0] * scl["proj:shape"][1] * 400
            assert box.area.iloc[0] / frame == pytest.approx(1 - missing, abs=0.02)

    def test_dialects(self, items: list[dict[str, Any]]) -> None:
        for item in items:
            properties, later = item["properties"], item["properties"]["datetime"] >= "2022-01-25"
            tile = properties.get("s2:mgrs_tile") or properties["grid:code"].removeprefix("MGRS-")
            assert properties["s2:datatake_id"].startswith("GS2")
            if DIALECT[tile] == "planetary":
                assert "raster:bands" not in item["assets"]["B02"]
                assert properties["s2:processing_baseline"] == ("04.00" if later else "03.00")
                assert 0 < properties["s2:mean_solar_zenith"] < 90
            elif DIALECT[tile] == "earth_search":
                assert properties["earthsearch:boa_offset_applied"] is later
                assert item["assets"]["blue"]["raster:bands"][0]["offset"] == (-0.1 if later else 0)
            else:
                assert "earthsearch:boa_offset_applied" not in properties
                assert item["assets"]["blue"]["raster:bands"][0]["offset"] == -0.1

    def test_both_tiles_of_a_pass_share_the_datatake(self, items: list[dict[str, Any]]) -> None:
        takes: dict[str, set[int]] = {}
        for item in items:
            if item["properties"].get("s2:mgrs_tile") in ("32UQB", "33UTS"):
                takes.setdefault(item["properties"]["s2:datatake_id"], set()).add(
                    item["properties"]["proj:epsg"]
                )
        assert sum(zones == {32632, 32633} for zones in takes.values()) >= 10


class TestPixels:
    def test_zero_only_where_not_seen(self, root: Path, items: list[dict[str, Any]]) -> None:
        partly = 0
        for item in items[::3]:
            images = {name: image for name, image, _ in band_files(root, item)}
            seen = images["SCL"] > 0
            partly += not seen.all()
            for name, image in images.items():
                if BANDS[name].pixel_m == 20:
                    assert np.array_equal(image > 0, seen), name
                elif BANDS[name].pixel_m == 10:
                    assert np.array_equal(image > 0, np.kron(seen, np.ones((2, 2), bool))), name
        assert partly >= 2

    def test_ground_is_where_it_was_after_the_offset(self, root: Path, items: list[dict[str, Any]]) -> None:
        """The darkest water of a clear scene says which files carry +1000."""
        truth = read_truth_scenes(root).set_index("scene_id")
        clear = truth.index[(truth.thin_fraction + truth.thick_fraction + truth.shadow_fraction < 0.05)]
        carried = set()
        for item in (i for i in items if i["id"] in set(clear)):
            key = "B12" if "B12" in item["assets"] else "swir22"
            with rasterio.open(root / item["assets"][key]["href"]) as file:
                image = file.read(1)
            darkest = float(np.quantile(image[image > 0], 0.002))
            added = int(truth.loc[item["id"], "added_dn"])
            carried.add((added, item["properties"]["s2:processing_baseline"]))
            assert added <= darkest < added + 700
        assert carried >= {(0, "03.00"), (0, "04.00"), (1000, "04.00"), (1000, "05.00")}

    def test_zones_show_the_same_ground(self, root: Path, archive: StacArchive) -> None:
        """The tile of the next zone is the same scene, reprojected: same mean reflectance."""
        location = plan_sites(SMALL)[0].locations[0]
        scenes = archive.search(Point(location.lon_deg, location.lat_deg), date(2022, 4, 1), date(2022, 8, 1))
        here = [s for s in scenes if s.epsg == 32632]
        assert here
        for scene in here:
            twin = [s for s in scenes if s.acquisition == scene.acquisition and s.epsg == 32633]
            assert len(twin) == 1
            assert np.isnan(true_cloud_fraction(root, twin[0].scene_id, location.footprint))


class TestProductionArchive:
    def test_offsets_and_angles(self, root: Path, archive: StacArchive, items: list[dict[str, Any]]) -> None:
        truth = read_truth_scenes(root).set_index("scene_id")
        scenes = archive.get([i["id"] for i in items])
        assert len(scenes) == len(items)
        for name, scene in scenes.items():
            assert scene.offset_dn == -truth.loc[name, "added_dn"]
            assert scene.sun_elevation_deg == pytest.approx(truth.loc[name, "sun_elevation_deg"], abs=1e-4)
            assert scene.sun_azimuth_deg == pytest.approx(truth.loc[name, "sun_azimuth_deg"], abs=1e-4)
            assert scene.tile == truth.loc[name, "tile"]

    def test_wrong_masks_pass_as_clear(self, root: Path, archive: StacArchive) -> None:
        """What a choice by the scene classification alone would fall for, at every location."""
        truth = read_truth_scenes(root)
        for site in plan_sites(SMALL):
            wrong = truth[(truth.region == site.region.name) & (truth.scl_error == "missed_cloud")]
            for at in site.locations:
                own = [s for s in archive.get(list(wrong.scene_id)).values() if s.epsg == at.footprint.epsg]
                assert own
                for stats in archive.judge(own, at.footprint):
                    assert stats.clear_fraction > 0.99
                    assert true_cloud_fraction(root, stats.scene_id, at.footprint) > 0.3

    def test_masks_are_mostly_right_elsewhere(self, root: Path, archive: StacArchive) -> None:
        truth = read_truth_scenes(root)
        right = set(truth[truth.scl_error == ""].scene_id)
        site = plan_sites(SMALL)[0]
        at = site.locations[0]
        scenes = [
            s
            for s in archive.search(Point(at.lon_deg, at.lat_deg), date(2021, 9, 1), date(2022, 8, 1))
            if s.scene_id in right and s.epsg == at.footprint.epsg
        ]
        errors = []
        for stats in archive.judge(scenes, at.footprint):
            if stats.missing_fraction < 0.5:
                said = stats.cloud_fraction / (1 - stats.missing_fraction)
                errors.append(abs(said - true_cloud_fraction(root, stats.scene_id, at.footprint)))
        assert len(errors) >= 8
        assert np.max(errors) > 0
        assert np.median(errors) < 0.1

    def test_patch_is_the_files_window(self, root: Path, archive: StacArchive) -> None:
        for site in plan_sites(SMALL):
            at = site.locations[-1]
            scene = next(
                s
                for s in archive.search(Point(at.lon_deg, at.lat_deg), date(2022, 5, 1), date(2022, 8, 1))
                if s.epsg == at.footprint.epsg
            )
            patch = archive.read(scene, at.footprint, REFLECTANCE_BANDS)
            assert patch["B02"].shape == (64, 64)
            assert patch["B09"].shape == (12, 12)
            assert patch["B01"].shape == (12, 12)
            mask = true_mask(root, scene.scene_id, at.footprint)
            assert np.array_equal(mask == 255, patch["B05"] == 0)


class TestComposites:
    def test_fill_flags_and_days(self, root: Path) -> None:
        features = json.loads((root / "modis-13Q1-061.json").read_text())["features"]
        flags, next_year = set(), 0
        for item in features:
            images = {}
            for name, asset in item["assets"].items():
                with rasterio.open(root / asset["href"]) as file:
                    images[name.removeprefix("250m_16_days_")] = file.read(1)
            evi, day, flag = images["EVI"], images["composite_day_of_the_year"], images["pixel_reliability"]
            assert np.array_equal(evi == -3000, flag == -1)
            assert np.array_equal(evi == -3000, day == -1)
            assert evi[evi != -3000].min(initial=0) >= -2000
            flags |= set(np.unique(flag).tolist())
            start = date.fromisoformat(item["properties"]["start_datetime"][:10])
            after = (day[day > 0].astype(int) - start.timetuple().tm_yday) % (365 + (start.year % 4 == 0))
            assert after.max(initial=0) < 16
            next_year += bool((day[day > 0] < 4).any() and start.month == 12)
        assert flags == {-1, 0, 1, 2, 3}
        assert next_year >= 2

    def test_series_follows_the_true_dates(self, root: Path, archive: StacArchive) -> None:
        """Good observations of a site rise through the true mid-greenup."""
        cycles = read_truth_cycles(root).set_index("location_id")
        for site in plan_sites(SMALL)[:2]:
            series = archive.vegetation_series(site.locations, date(2021, 1, 1), date(2023, 1, 1))
            for i, at in enumerate(site.locations):
                inside = series["inside"].to_numpy()[i]
                value = series["value"].to_numpy()[i][:, inside]
                day = series["day"].to_numpy()[i][:, inside]
                good = (series["weight"].to_numpy()[i][:, inside] == 1) & ~series["snow"].to_numpy()[i][
                    :, inside
                ]
                row = cycles.loc[[at.location_id]].iloc[0]
                before = value[good & (day < row["greenup"]) & (day > row["greenup"] - 40)]
                after = value[good & (day > row["maturity"]) & (day < row["maturity"] + 40)]
                assert np.median(after) - np.median(before) > 0.25


class TestTruth:
    def test_tables(self, root: Path) -> None:
        cycles, climatology = read_truth_cycles(root), read_truth_climatology(root)
        assert set(climatology.location_id) == {name for name, _ in footprints()}
        dates = cycles[list(METRICS)].to_numpy()
        assert np.all(np.diff(dates, axis=1) > 0)
        assert climatology.has_cycle.all()
        assert (climatology.cycles_per_year == 1).all()
        peak = climatology.set_index("region").peak_day
        assert (peak["mediterranean"] < 110).all()
        assert (peak["boreal_forest"] > 160).all()
        greenup = climatology.set_index("region").greenup_day
        assert (greenup["mediterranean"] < 0).all()

    def test_unknown_scene(self, root: Path) -> None:
        with pytest.raises(ValueError, match="has no scene 'S2X'"):
            true_mask(root, "S2X", footprints()[0][1])
