"""The configurations for real archives load, name what must be fetched first, and plan sane figures."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import shapely
from geopandas import GeoDataFrame
from typer.testing import CliRunner

from ssl4eco_data import config as configuration
from ssl4eco_data.cli import app
from ssl4eco_data.errors import ConfigError
from ssl4eco_data.pipeline import planning
from tests.conftest import ROOT

CONFIGS = ROOT / "configs"
PROJECT = ('"YOUR-PROJECT"', '"my-project"')
LAYERS = {"ssl4eco": "Ecoregions2017.zip", "earthengine": "Ecoregions2017.gpkg"}


def placed(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    """A copy of a configuration beside a layer of four ecoregions, one to a quarter of the Earth."""
    (folder / "configs").mkdir()
    (folder / "layers").mkdir()
    quarters = [shapely.box(x, y, x + 180, y + 90) for x in (-180, 0) for y in (-90, 0)]
    names = [f"{column} {i}" for column in ("e", "b", "r") for i in range(4)]
    columns = dict(zip(("ECO_NAME", "BIOME_NAME", "REALM"), (names[:4], names[4:8], names[8:]), strict=True))
    GeoDataFrame(columns, geometry=quarters, crs=4326).to_file(folder / "layers/Ecoregions2017.gpkg")
    shutil.copy(CONFIGS / "alps.geojson", folder / "configs")
    text = (CONFIGS / f"{name}.toml").read_text().replace("Ecoregions2017.zip", "Ecoregions2017.gpkg")
    for change in changes:
        assert change[0] in text
        text = text.replace(*change)
    path = folder / "configs" / f"{name}.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", LAYERS)
def test_the_layer_to_fetch_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "configs" / "a.toml"
    path.parent.mkdir()
    path.write_text((CONFIGS / f"{name}.toml").read_text().replace(*PROJECT))
    assert configuration.load(path, with_files=False).locations.strata == str(
        tmp_path / "layers" / LAYERS[name]
    )
    with pytest.raises(ConfigError, match=rf"{LAYERS[name]}; `ssl4eco fetch-layer`"):
        configuration.load(path)


def test_a_project_that_was_not_filled_in_is_refused(tmp_path: Path) -> None:
    path = placed(tmp_path, "earthengine")
    result = CliRunner().invoke(app, ["plan", str(path)])
    assert result.exit_code == 1
    assert re.search(r"line \d+: archive\.project: 'YOUR-PROJECT' is no Cloud project", result.output)


def test_the_paper(tmp_path: Path) -> None:
    config = configuration.load(placed(tmp_path, "ssl4eco"))
    places = planning.located(config)
    assert len(places) == pytest.approx(254_767, rel=0.01)
    few, every = (planning.estimate(config, places, judge) for judge in planning.JUDGES)
    assert few.blocks == pytest.approx(1000, rel=0.05)
    assert few.disk_bytes == pytest.approx(0.44e12, rel=0.1)
    assert every.judged > 45e6
    assert 20e12 < few.total.bytes < 60e12
    assert 200 < few.hours < 2000
    assert config.scenes.max_scene_cloud_fraction == 0.2
    assert [day.year for day in config.period.imagery] == [2017, 2025]


def test_the_alps_take_minutes(tmp_path: Path) -> None:
    path = placed(tmp_path, "alps-earthsearch")
    config = configuration.load(path)
    places = planning.located(config)
    assert 30 < len(places) < 120
    assert places["lat"].between(43.5, 48).all()
    assert planning.estimate(config, places, config.scenes.judge).hours < 1
    result = CliRunner().invoke(app, ["plan", str(path)])
    assert result.exit_code == 0
    assert "locations in 2 blocks" in result.output


def test_earth_engine_stays_in_its_budget(tmp_path: Path) -> None:
    path = placed(tmp_path, "earthengine", PROJECT, ("spacing_km = 23", "spacing_km = 200"))
    config = configuration.load(path)
    places = planning.located(config)
    assert len(places) == 500
    estimate = planning.estimate(config, places, config.scenes.judge)
    assert estimate.total.requests < 20_000
    budget = config.run.budget.max_eecu_hours
    assert budget is not None
    assert planning.costs.eecu_hours(estimate.total, config) < budget


def test_comments_that_are_settings_can_be_switched_on(tmp_path: Path) -> None:
    for name in ("ssl4eco", "earthengine"):
        text = (CONFIGS / f"{name}.toml").read_text().replace(*PROJECT)
        on = re.sub(r"^# (?=\w+ = |\[)", "", text, flags=re.MULTILINE)
        assert on != text
        configuration.parse(on, tmp_path / "on.toml", with_files=False)
