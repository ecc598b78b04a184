"""``ssl4eco phenology``: one point of the embedded archive, and what is refused."""

from __future__ import annotations

import struct
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ssl4eco_data import config, pipeline, starter
from ssl4eco_data.archives.stac import StacParameters
from ssl4eco_data.cli import app
from ssl4eco_data.phenology import PhenologyParameters, dropped, smooth
from ssl4eco_data.pipeline.point_figure import draw_point, figure_of
from ssl4eco_data.types import METRICS, SEASONS
from tests.conftest import write_tiny_config

FOREST, PAMPAS = (11.962, 51.011), (-60.2, -36.188)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, tiny_archive: Path) -> Path:
    return write_tiny_config(tmp_path_factory.mktemp("point"), tiny_archive)


def ask(*options: str) -> tuple[int, str]:
    """(exit code, everything printed)."""
    done = CliRunner().invoke(app, ["phenology", *options])
    return done.exit_code, done.output


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:])
    return width, height


def test_dates_curve_and_windows_of_a_forest(tiny: Path) -> None:
    point = pipeline.point_phenology(config.load(tiny), *FOREST)
    assert point.status == "ok" and point.index == "evi"
    assert point.cycles.sizes["cycle"] == 3
    dates = point.cycles["date"].to_numpy()
    assert (np.diff(dates, axis=1) >= 0).all()
    assert (point.cycles["sigma"] > 0).all() and (point.cycles["quality"] <= 3).all()
    on_curve = np.interp(dates, point.curve_day, point.curve)
    np.testing.assert_allclose(on_curve, point.cycles["value"], atol=0.02)
    assert len(point.observations) > 50 and point.observations["day"].is_monotonic_increasing
    windows = point.windows()
    assert {w.season for w in windows} == set(SEASONS)
    spring = next(w for w in windows if w.season == "spring" and w.year == 2021)
    assert spring.start.month in (3, 4, 5)


def test_the_south_has_its_spring_in_september_and_both_spellings_work(tiny: Path, tmp_path: Path) -> None:
    lon, lat = PAMPAS
    printed = []
    for number, options in enumerate((["--at", f"{lon},{lat}"], [f"--at={lon},{lat}"])):
        to = tmp_path / f"{number}.png"
        code, text = ask(str(tiny), *options, "--to", str(to))
        assert code == 0, text
        width, height = png_size(to)
        assert width >= 1000 and height >= 500
        printed.append(text.replace(str(to), ""))
    assert printed[0] == printed[1]
    lines = printed[0].splitlines()
    greenups = [line.split()[1] for line in lines if line.startswith("greenup")]
    assert [day[5:7] in ("07", "08", "09", "10") for day in greenups] == [True] * len(greenups) != []
    for name in (*METRICS, *SEASONS):
        assert any(line.startswith(f"{name} ") for line in lines), name


def test_the_picture_tells_every_kind_of_observation_date_and_season(tiny: Path) -> None:
    point = pipeline.point_phenology(config.load(tiny), *FOREST)
    table = point.observations
    spike = table.index[table["kind"] == "good"][20]
    table.loc[spike, "kind"] = "dropped"
    figure = figure_of(point)
    axes, below = figure.axes
    named = [text.get_text() for legend in below.get_children() if hasattr(legend, "get_texts")
             for text in legend.get_texts()]  # fmt: skip
    counts = table["kind"].value_counts()
    for kind, name in (
        ("good", "good"),
        ("marginal", "marginal"),
        ("snow", "snow"),
        ("dropped", "dropped as cloud"),
    ):
        assert f"{name} ({counts[kind]})" in named
    assert set(named) >= {
        "fitted curve",
        *(m.replace("_", " ") for m in METRICS),
        *(f"typical {s}" for s in SEASONS),
    }
    figure.canvas.draw()
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert "Jan\n2021" in labels and "Jul" in labels
    assert axes.get_ylabel() == "EVI"
    assert "3 cycles, ok" in axes.get_title(loc="left")
    bars = {tuple(bar.get_segments()[0][:, 0]) for bar in axes.collections if hasattr(bar, "get_segments")}
    first = point.cycles.isel(cycle=0).sel(metric="greenup")
    ends = float(first["date"] - first["sigma"]), float(first["date"] + first["sigma"])
    assert ends in bars, "a bar reaches one sigma to both sides"


def test_snow_lies_on_the_background_of_the_curve(tiny: Path) -> None:
    settings = config.load(tiny)
    point = pipeline.point_phenology(settings, *FOREST)
    table = point.observations
    assert (table["kind"] == "snow").any()
    series = [table[name].to_numpy(np.float64) for name in ("day", "value", "weight")]
    snow = table["snow"].to_numpy(np.bool_)
    curve = smooth(*series, point.curve_day, settings.phenology, "evi", snow)
    np.testing.assert_array_equal(point.curve, curve)
    assert not np.allclose(curve, smooth(*series, point.curve_day, settings.phenology, "evi"))


def test_seasons_are_printed_without_gap_or_overlap(tiny: Path) -> None:
    lines = pipeline.describe_point(pipeline.point_phenology(config.load(tiny), *FOREST))
    spans = [line[16:].split(" to ") for line in lines if line.split(" ")[0] in SEASONS]
    assert len(spans) == 4
    days = [[date_of(f"2021 {day}") for day in span] for span in spans]
    for (_, end), (start, _) in zip(days, days[1:] + days[:1], strict=True):
        assert (start - end).days in (1, -364)


def date_of(text: str) -> datetime:
    return datetime.strptime(text, "%Y %d %b")


def test_nothing_is_built_and_only_the_picture_is_left(tiny: Path, tmp_path: Path) -> None:
    before = sorted(tiny.parent.rglob("*"))
    code, text = ask(str(tiny), "--at", "11.962,51.011", "--to", str(tmp_path / "point.png"))
    assert code == 0, text
    assert sorted(tiny.parent.rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["point.png"]


def test_an_embedded_archive_that_is_not_there_is_not_written(
    tiny: Path, tiny_archive: Path, tmp_path: Path
) -> None:
    path = tmp_path / "absent.toml"
    path.write_text(tiny.read_text().replace(str(tiny_archive), str(tmp_path / "absent")))
    code, text = ask(str(path), "--at", "11.962,51.011", "--to", str(tmp_path / "point.png"))
    assert code == 1
    assert "absent is not written yet; `ssl4eco build CONFIG --until locations` writes it" in text
    assert list(tmp_path.iterdir()) == [path]


def test_series_of_sentinel_2_where_the_archive_has_no_modis(
    tiny: Path, tiny_archive: Path, tmp_path: Path
) -> None:
    path = tmp_path / "s2.toml"
    path.write_text(
        tiny.read_text().replace(
            f'vegetation = "{tiny_archive}/modis-13Q1-061.json"', "vegetation_pixel_m = 30"
        )
    )
    point = pipeline.point_phenology(config.load(path), *FOREST)
    assert point.index == "evi2"
    draw_point(point, tmp_path / "s2.png")
    assert png_size(tmp_path / "s2.png")[0] >= 1000


def test_a_point_outside_the_archive_is_said_so(tiny: Path, tmp_path: Path) -> None:
    to = tmp_path / "none.png"
    code, text = ask(str(tiny), "--at", "-7.95,46.55", "--to", str(to))
    assert code == 1
    assert "no observation at lon -7.95, lat 46.55 from 2020-01-01 to 2023-01-01" in text
    assert "outside the archive's data" in text and not to.exists()


def test_without_a_configuration_a_named_archive_is_asked(tiny: Path, tmp_path: Path) -> None:
    usual = starter.of_archive("planetary-computer")
    assert isinstance(usual.archive, StacParameters)
    assert usual.archive.vegetation == usual.archive.imagery
    assert usual.archive.vegetation_collection == "modis-13Q1-061"
    assert usual.period.vegetation == (date(2017, 1, 1), date(2025, 1, 1))
    code, text = ask("--at", "7.95,46.55", "--archive", "planetary", "--to", str(tmp_path / "a.png"))
    assert code == 2
    assert "did you mean 'planetary-computer'?" in text
    own = config.load(tiny).archive
    assert isinstance(own, StacParameters)
    code, text = ask("--at", "-7.95,46.55", "--archive", str(own.imagery), "--to", str(tmp_path / "a.png"))
    assert code == 1
    assert "no observation at lon -7.95, lat 46.55 from 2017-01-01 to 2025-01-01" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--at", "46.55"], "must be LON,LAT in degrees such as 7.95,46.55, got '46.55'"),
        ([], "got ''"),
        (["--at", "east,north"], "got 'east,north'"),
        (["--at", "1,2,3"], "got '1,2,3'"),
        (["--at", "nan,1"], "lon in [-180, 180]"),
        (["--at", "46.5,120"], "are they exchanged?"),
        (["--at", "1,2", "--to", "config.toml"], "--to must name a .png file, got config.toml"),
        (
            ["--at", "1,2", "--to", "nowhere/point.png"],
            "--to nowhere/point.png lies in no folder that is there",
        ),
    ],
)
def test_wrong_options_are_refused(tiny: Path, options: list[str], message: str) -> None:
    code, text = ask(str(tiny), *options)
    assert code == 2
    assert message in text


def test_a_sudden_drop_and_what_cannot_be_are_dropped() -> None:
    day = np.arange(18000.0, 18160.0, 16.0)
    value = np.full(day.size, 0.5)
    value[3], value[5], value[7] = 0.3, 5.0, 0.2
    weight = np.ones(day.size)
    weight[8] = 0.0
    snow = np.zeros(day.size, np.bool_)
    snow[7] = True
    settings = PhenologyParameters()
    out = dropped(day, value, weight, snow, settings)
    assert np.flatnonzero(out).tolist() == [3, 5, 8], "the cloud, the impossible value and the weightless"
