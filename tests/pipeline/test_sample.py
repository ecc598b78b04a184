"""Samples through the whole pipeline: grown, dated by their own points, weighted, looked at first."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
from typer.testing import CliRunner

import ssl4eco_data
from ssl4eco_data import config as configuration
from ssl4eco_data import pipeline
from ssl4eco_data.cli import app
from ssl4eco_data.errors import ConfigError, StoreError
from ssl4eco_data.pipeline import tables
from ssl4eco_data.store import read_table, table_metadata
from tests.conftest import write_tiny_config
from tests.pipeline.digests import digest


def build(path: Path) -> tuple[configuration.Config, dict[str, int]]:
    """The configuration, and the number of blocks done of each stage."""
    config = configuration.load(path)
    record = pipeline.build(config, pipeline.run_in_threads)
    return config, {s["stage"]: s["blocks"] for s in record.stages}


def sized(text: str, n: int) -> str:
    return text + f'\n[locations.allocation]\nrule = "proportional"\nn = {n}\n'


def test_a_sample_that_grows_keeps_what_is_done(tmp_path: Path, tiny_archive: Path) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    text = path.read_text()
    path.write_text(sized(text, 4))
    small, _ = build(path)
    first = tables.locations(small)["location_id"].tolist()
    shard = sorted((small.root / "patches.zarr/sentinel2/r10/c/0").rglob("*"))[-1]
    written = shard.stat().st_mtime_ns
    path.write_text(sized(text, 6))
    large, done = build(path)
    assert tables.locations(large)["location_id"].tolist()[:4] == first
    assert (done["phenology"], done["scenes"], done["patches"]) == (1, 1, 1)
    assert shard.stat().st_mtime_ns == written
    assert ssl4eco_data.open_dataset(large.root).sizes["location"] == 6
    assert pipeline.first_pending(large) is None


def test_a_smaller_sample_is_refused_before_anything_is_changed(finished_config: Path) -> None:
    before = digest(finished_config.parent / "dataset")
    text = finished_config.read_text()
    finished_config.write_text(sized(text, 4))
    with pytest.raises(
        pipeline.BuildError, match="holds 6 locations and the sample has only 4: choose another"
    ):
        build(finished_config)
    finished_config.write_text(text)
    _, done = build(finished_config)
    assert set(done) <= {"locations", "close", "catalogue", "report"}
    assert digest(finished_config.parent / "dataset") == before


def test_patches_of_another_sample_are_not_served_under_the_old_labels(
    finished_config: Path, tiny_archive: Path
) -> None:
    first = sized(finished_config.read_text(), 3).replace('root = "dataset"', 'root = "other"')
    finished_config.write_text(first)
    config, _ = build(finished_config)
    finished_config.write_text(first + "seed = 5\n")
    changed = configuration.load(finished_config)
    pipeline.build(changed, pipeline.run_in_threads, until="patches")
    assert set(tables.locations(changed)["location_id"]) != set(
        ssl4eco_data_ids(finished_config.parent / "dataset")
    )
    with pytest.raises(StoreError, match="not finished"):
        ssl4eco_data.open_dataset(config.root)
    build(finished_config)
    ids = ssl4eco_data.open_dataset(config.root)["location_id"].to_numpy().tolist()
    assert ids == tables.locations(changed)["location_id"].tolist()


def ssl4eco_data_ids(root: Path) -> list[str]:
    return [str(name) for name in ssl4eco_data.open_dataset(root)["location_id"].to_numpy()]


def test_labels_beside_a_shapefile_are_noticed(tmp_path: Path, tiny_archive: Path) -> None:
    layer = gpd.read_file(tiny_archive / "layers/ecoregions.gpkg")
    layer.to_file(tmp_path / "eco.shp")
    path = write_tiny_config(tmp_path, tiny_archive)
    path.write_text(path.read_text().replace(f"{tiny_archive}/layers/ecoregions.gpkg", "eco.shp"))
    config = configuration.load(path)
    pipeline.build(config, pipeline.run_in_threads, until="locations")
    layer.assign(BIOME_NAME="another").to_file(tmp_path / "eco.shp")
    pipeline.build(config, pipeline.run_in_threads, until="locations")
    assert set(tables.locations(config)["biome"]) == {"another"}


def test_one_date_is_enough_where_points_bring_several(
    tmp_path: Path, tiny_archive: Path, built_config: Path
) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    dated(path, built_config.parent, visit=["2021-06-15"] * 6, again=["", "2021-09-15", "", "", "", ""])
    config, _ = build(path)
    choices = tables.parts(config, tables.CHOICES)
    assert not (choices["reason"] == "too_few_seasons").any()
    text = path.read_text() + '\n[scenes]\nyear_policy = "require_same"\n'
    path.write_text(text)
    with pytest.raises(ConfigError, match="year_policy = 'require_same' is for seasons"):
        configuration.load(path)


def test_every_location_has_its_weight(built_config: Path) -> None:
    config = configuration.load(built_config)
    weights = read_table(config.root / "weights.parquet")
    assert weights["location_id"].tolist() == tables.locations(config)["location_id"].tolist()
    assert (weights["weight"] == 1).all()
    stored = ssl4eco_data.open_dataset(config.root)["weight"]
    assert stored.to_numpy().tolist() == weights["weight"].tolist()


def test_another_weight_redoes_the_closing_step_alone(finished_config: Path) -> None:
    text = finished_config.read_text() + "\n[weights]\nnon_vegetated_ndvi = 0.9\nnon_vegetated_factor = 0.5\n"
    finished_config.write_text(text)
    config, done = build(finished_config)
    assert set(done) == {"close", "catalogue", "report"}
    weights = read_table(config.root / "weights.parquet")
    assert weights["non_vegetated"].all()
    assert (weights["weight"] == 0.5).all()


def test_strata_and_choices_are_recorded(built_config: Path) -> None:
    config = configuration.load(built_config)
    strata = tables.strata(config)
    assert strata["got"].sum() == len(tables.locations(config))
    assert (strata["available"] == strata["asked"]).all()
    made = table_metadata(config.root / tables.LOCATIONS)["ssl4eco"]
    assert made["land"] == "land.gpkg"
    assert made["min_lat_deg"] == -60
    assert made["counts"]["mended_polygons"] == 0
    assert 'by = "ecoregion"' in (config.root / "config.toml").read_text()


def test_the_sample_can_be_looked_at_before_anything_else(tmp_path: Path, tiny_archive: Path) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    path.write_text(sized(path.read_text(), 3))
    result = CliRunner().invoke(app, ["build", str(path), "--until", "locations"])
    assert result.exit_code == 0, result.output
    assert "2 strata by ecoregion" in result.output
    assert not (tmp_path / "dataset" / "phenology").exists()
    assert (tmp_path / "dataset" / "report" / "index.html").is_file()
    result = CliRunner().invoke(app, ["build", str(path), "--until", "harvest"])
    assert result.exit_code == 1
    assert "there is no stage 'harvest'; the stages are: locations, phenology" in result.output


def dated(path: Path, source: Path, **columns: list[str]) -> None:
    """The places of a finished dataset as the user's own points, with dates."""
    located = read_table(source / "dataset" / tables.LOCATIONS)[["location_id", "lon", "lat"]]
    located.rename(columns={"location_id": "plot"}).assign(**columns).to_csv(
        path.parent / "plots.csv", index=False
    )
    text = path.read_text()
    start, end = text.index("[locations.source]"), text.index("[patches]")
    fields = ", ".join(f'"{name}"' for name in columns if name != "species")
    given = f'points = "plots.csv"\nid_field = "plot"\ndate_fields = [{fields}]\ndate_window_days = 45\n'
    path.write_text(f'{text[:start]}[locations.source]\nkind = "points"\n{given}\n{text[end:]}')


def test_points_with_dates_get_scenes_near_their_dates(
    tmp_path: Path, tiny_archive: Path, built_config: Path
) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    visits = ["2021-06-15", "2021-07-01", "2022-05-20", "2020-09-01", "", "2021-03-03"]
    again = ["2021-09-15"] * 6
    dated(path, built_config.parent, visit=visits, again=again, species=list("abcdef"))
    config, _ = build(path)
    located = tables.locations(config)
    choices = tables.parts(config, tables.CHOICES).merge(located, on="location_id")
    assert set(choices["season"]) == {"visit", "again"}
    found = choices[choices["scene_id"].notna()]
    assert len(found) >= 8
    middle = found["visit"].where(found["season"] == "visit", found["again"]).dt.tz_localize("UTC")
    assert ((found["time"].dt.normalize() - middle).abs() <= pd.Timedelta(days=45)).all()
    assert ((found["time"].dt.normalize() - middle).dt.days == found["days_from_middle"]).all()
    undated = choices[choices["visit"].isna() & (choices["season"] == "visit")]
    assert set(undated["reason"]) == {"no_window"}
    dataset = ssl4eco_data.open_dataset(config.root)
    assert dataset["season"].to_numpy().tolist() == ["visit", "again"]
    assert sorted(located["species"]) == list("abcdef")
    assert pipeline.summarise_dataset(config, None).seasons == ("visit", "again")
    assert "brought their own dates" in (config.root / "report" / "index.html").read_text()


def test_other_dates_redo_the_scenes_of_their_block_alone(
    tmp_path: Path, tiny_archive: Path, built_config: Path
) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    dated(path, built_config.parent, visit=["2021-06-15"] * 6)
    build(path)
    plots = pd.read_csv(tmp_path / "plots.csv")
    plots.assign(visit=["2021-09-01"] + ["2021-06-15"] * 5).to_csv(tmp_path / "plots.csv", index=False)
    _, done = build(path)
    assert done["scenes"] == 1
    assert "phenology" not in done


def test_dates_that_the_imagery_does_not_reach_are_refused_or_counted(
    tmp_path: Path, tiny_archive: Path, built_config: Path
) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    dated(path, built_config.parent, visit=["2012-06-15"] * 6)
    with pytest.raises(ConfigError, match=r"none of the 6 dates .* 2020-07-01 to 2022-07-01: widen"):
        build(path)
    plots = pd.read_csv(tmp_path / "plots.csv")
    plots.assign(visit=["2021-06-15"] + ["2012-06-15"] * 5).to_csv(tmp_path / "plots.csv", index=False)
    config = configuration.load(path)
    pipeline.build(config, pipeline.run_in_threads, until="locations")
    assert tables.sample_counts(config)["dates_outside_imagery"] == 5
