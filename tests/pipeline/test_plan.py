"""``ssl4eco plan``, its pilot, and the budget that pauses a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ssl4eco_data import config as configuration
from ssl4eco_data import pipeline
from ssl4eco_data.archives.window import Traffic
from ssl4eco_data.cli import app
from ssl4eco_data.config import PlanParameters
from ssl4eco_data.errors import PausedError
from ssl4eco_data.pipeline import costs, planning
from ssl4eco_data.pipeline.budget import Amount, Budget
from ssl4eco_data.pipeline.pilot import interval, run_pilot
from tests.conftest import write_tiny_config
from tests.pipeline.counting_server import CountingServer, serving, write_remote_catalogue
from tests.pipeline.digests import digest

STAC = 'kind = "stac"\nimagery = "https://stac.example/v1"\nvegetation = "https://stac.example/v1"'
EARTH_ENGINE = 'kind = "earth_engine"\nproject = "p"'


def described(tmp_path: Path, archive: str, more: str = "", places: int = 40) -> configuration.Config:
    """Points along a parallel, each 23 km from the next."""
    lines = [f"{i * 0.3:.4f},45.0" for i in range(places)]
    (tmp_path / "points.csv").write_text("lon,lat\n" + "\n".join(lines) + "\n")
    text = f"""
[dataset]
root = "dataset"
[period]
imagery_start = 2020-01-01
imagery_end = 2024-01-01
[archive]
{archive}
[locations.source]
kind = "points"
points = "points.csv"
check_order = false
{more}
"""
    return configuration.parse(text, tmp_path / "plan.toml")


def estimates(config: configuration.Config) -> list[planning.Estimate]:
    places = planning.located(config)
    return [planning.estimate(config, places, judge) for judge in planning.JUDGES]


def run(*words: str, columns: int = 80) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, list(words))
    return result.exit_code, result.output


@given(side=st.integers(1, 300), block=st.integers(16, 2048))
@settings(max_examples=25, deadline=None)
def test_blocks_met_is_the_mean_over_all_positions(side: int, block: int) -> None:
    starts = np.arange(block)
    along = ((starts + side - 1) // block - starts // block + 1).mean()
    assert costs.blocks_met(side, PlanParameters(block_px=block)) == pytest.approx(along**2)


def test_a_full_patch_meets_seventeen_blocks(tmp_path: Path) -> None:
    config = described(tmp_path, STAC)
    assert round(costs.blocks_per_patch(config)) == 17
    assert costs.patch_bytes(config) == 4 * 256**2 * 2 + 6 * 128**2 * 2 + 2 * 44**2 * 2 + 128**2


def test_figures_of_a_stac_archive(tmp_path: Path) -> None:
    few, all_ = estimates(described(tmp_path, STAC))
    assert (few.locations, few.blocks, few.searches) == (40, 1, 2)
    assert few.patches == pytest.approx(40 * 4 * 0.95)
    assert few.judged == pytest.approx(40 * 4 * 3 / 0.7)
    assert all_.judged == pytest.approx(40 * 110 * 0.35 * 4, rel=1e-3)
    assert few.stages["patches"] == all_.stages["patches"]
    assert few.stages["scenes"].requests < all_.stages["scenes"].requests
    assert few.total.bytes > 10 * few.disk_bytes


def test_fewer_images_than_asked_for_are_all_judged(tmp_path: Path) -> None:
    few, all_ = estimates(described(tmp_path, STAC, "[plan]\nimages_per_year = 3.0"))
    assert few.judged == all_.judged


def test_dates_of_the_points_bound_what_is_judged(tmp_path: Path) -> None:
    config = described(tmp_path, STAC)
    source = config.locations.source.model_copy(update={"date_fields": ("visit",), "date_window_days": 10})
    dated = config.model_copy(update={"locations": config.locations.model_copy(update={"source": source})})
    assert costs.judged_per_location(dated, "all") == pytest.approx(110 * 21 / 365.2425 * 0.35)


def test_series_of_sentinel_2_cost_more_than_modis(tmp_path: Path) -> None:
    modis, own = (
        estimates(described(tmp_path, archive))[0] for archive in (STAC, STAC.partition("\nvegetation")[0])
    )
    assert own.stages["phenology"].bytes > 5 * modis.stages["phenology"].bytes


def test_earth_engine_counts_pixels_and_compute(tmp_path: Path) -> None:
    config = described(tmp_path, EARTH_ENGINE)
    (few, _), (far, _) = estimates(config), estimates(described(tmp_path, STAC))
    assert few.stages["phenology"].requests == 40
    assert few.stages["patches"].requests == pytest.approx(40 * 4 * 0.95 * 3 + 1)
    assert few.total.bytes < far.total.bytes / 10
    assert costs.eecu_hours(few.total, config) > 0
    assert costs.eecu_hours(far.total, described(tmp_path, STAC)) == 0


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("archive", [STAC, EARTH_ENGINE])
def test_every_assumption_is_printed_with_its_value(tmp_path: Path, archive: str, columns: int) -> None:
    described(tmp_path, archive)
    path = tmp_path / "plan.toml"
    text = f"""
[dataset]
root = "dataset"
[period]
imagery_start = 2020-01-01
imagery_end = 2024-01-01
[archive]
{archive}
[locations.source]
kind = "points"
points = "points.csv"
check_order = false
[plan]
images_per_year = 77.0
"""
    path.write_text(text)
    code, printed = run("plan", str(path), columns=columns)
    assert code == 0
    assert max(map(len, printed.splitlines())) <= columns
    values = dict(line.split()[:2] for line in printed.splitlines() if len(line.split()) > 1)
    assert values["images_per_year"] == "77"
    assert set(PlanParameters.model_fields) <= set(values)
    assert ("EECU-hours" in values) == (archive == EARTH_ENGINE)
    assert not (tmp_path / "dataset").exists()


def test_what_is_done_is_not_counted_again(built_config: Path) -> None:
    code, text = run("plan", str(built_config))
    assert code == 0
    assert "scenes 3 of 3 blocks" in " ".join(text.split())
    config = configuration.load(built_config)
    left = estimates(config)[0]
    assert (left.total.requests, left.patches, left.disk_bytes) == (0, 0, 0)
    assert planning.estimate(config, planning.located(config), "all", from_nothing=True).patches > 0


def test_settings_of_the_plan_make_nothing_stale(finished_config: Path) -> None:
    finished_config.write_text(finished_config.read_text() + "\n[plan]\nmbit_per_s = 1.0\n")
    assert pipeline.first_pending(configuration.load(finished_config)) is None


def test_a_pilot_measures_and_leaves_nothing(built_config: Path) -> None:
    before = digest(built_config.parent / "dataset")
    config = configuration.load(built_config)
    pilot = run_pilot(config, planning.located(config), 3)
    assert digest(built_config.parent / "dataset") == before
    assert len(pilot.measured) == 3
    quality = pd.concat(
        map(pd.read_parquet, (built_config.parent / "dataset/patches/quality").glob("*.parquet"))
    )
    per_location = quality.groupby("location_id").size()
    assert set(pilot.measured["patches"]) <= set(per_location)
    assert (pilot.measured["judged"] > 0).all()
    assert (pilot.measured["disk_bytes"] > 1000).all()
    assert 0 < pilot.plan["usable_share"] <= 1


def test_the_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(3).normal(10, 2, 400)
    mean, low, high = interval(values)
    assert low < mean < high
    assert high - low == pytest.approx(2 * 1.96 * 2 / 20, rel=0.15)


def budget_of(tmp_path: Path, archive: str, more: str) -> tuple[Budget, list[pipeline.Work]]:
    """A budget over forty blocks of one location."""
    config = described(tmp_path, archive, f"[store]\nshard_locations = 1\n{more}")
    locations = pipeline.stage_named("locations")
    (work,) = pipeline.pending(config, locations)
    pipeline.execute(config, locations, work)
    return Budget(config), [pipeline.Work(stage="scenes", block=i, fingerprint="") for i in range(40)]


@pytest.mark.parametrize("dearness", [0.2, 1.0, 7.0])
def test_requests_stay_near_the_budget(tmp_path: Path, dearness: float) -> None:
    budget, todo = budget_of(tmp_path, STAC, "[run.budget]\nmax_requests = 1500")
    dear = dearness * estimates(budget.config)[0].stages["scenes"].requests / 40
    done = 0
    while batch := budget.affordable("scenes", todo[done:]):
        done += len(batch)
        budget.spend("scenes", batch, {"server": Traffic(requests=round(dear * len(batch)))})
    at_first = budget.config.run.workers * dear
    assert done == len(todo) or 1500 - dear <= budget.spent.requests <= max(1500, at_first) + 1
    assert budget.affordable("check", todo) == todo
    assert "of 1,500 requests" in budget.message("scenes", 3)


def test_compute_is_what_the_plan_expects(tmp_path: Path) -> None:
    budget, todo = budget_of(tmp_path, EARTH_ENGINE, "[run.budget]\nmax_eecu_hours = 0.004")
    done = 0
    while batch := budget.affordable("scenes", todo[done:]):
        done += len(batch)
        budget.spend("scenes", batch, {})
    assert 0 < done < len(todo)
    assert budget.spent.eecu_hours <= 0.004
    assert "EECU-hours" in budget.message("scenes", 1)


def test_a_block_dearer_than_the_budget_is_done_alone(tmp_path: Path) -> None:
    budget, todo = budget_of(tmp_path, STAC, "[run.budget]\nmax_requests = 1")
    assert budget.affordable("scenes", todo) == todo[:1]
    budget.spend("scenes", todo[:1], {"server": Traffic(requests=50)})
    assert budget.spent == Amount(50, 0)
    assert not budget.affordable("scenes", todo[1:])


@pytest.fixture(scope="module")
def server(tiny_archive: Path) -> Iterator[CountingServer]:
    with serving(tiny_archive) as served:
        yield served


def test_a_spent_budget_pauses_and_the_same_command_goes_on(
    tmp_path: Path, tiny_archive: Path, finished_config: Path, server: CountingServer
) -> None:
    write_remote_catalogue(tiny_archive, server.url, tmp_path / "items.json")
    text = finished_config.read_text().replace(
        f"{tiny_archive}/sentinel-2-l2a.json", str(tmp_path / "items.json")
    )
    finished_config.write_text(text + "[run.budget]\nmax_requests = 40\n")
    code, said = run("build", str(finished_config), "--until", "patches")
    assert code == 3
    assert "of 40 requests" in said
    assert "the same command goes on" in " ".join(said.split())
    pauses = 1
    config = configuration.load(finished_config)
    while pauses < 20:
        try:
            pipeline.build(config, pipeline.run_in_threads, until="patches")
        except PausedError:
            pauses += 1
        else:
            break
    assert 2 <= pauses <= 8
    other = write_tiny_config(tmp_path / "other", tiny_archive)
    other.write_text(text.replace('root = "dataset"', f'root = "{tmp_path}/at-once"'))
    pipeline.build(configuration.load(other), pipeline.run_in_threads, until="patches")
    paused, at_once = (
        {n: d for n, d in digest(root).items() if n.startswith(("scenes", "patches.zarr/sentinel2/r10/c"))}
        for root in (config.root, tmp_path / "at-once")
    )
    assert paused == at_once


def test_red_and_blue_of_usable_images_are_counted(tmp_path: Path) -> None:
    config = described(tmp_path, STAC)
    one = costs.judging_cost(config, 10, 1)
    mask, blue = (costs.window_cost(config, band) for band in ("SCL", "B02"))
    assert one.requests == pytest.approx(10 * (mask.requests + 2 * 0.7 * blue.requests))


def test_earth_engine_judges_a_hundred_images_at_once(tmp_path: Path) -> None:
    few, every = estimates(described(tmp_path, EARTH_ENGINE))
    search = few.blocks
    assert few.stages["scenes"].requests == pytest.approx(40 * costs.JUDGING_ROUNDS + search)
    assert every.stages["scenes"].requests == pytest.approx(40 * 2 + search)  # 154 images a place


def test_a_list_of_images_needs_no_long_search(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("lon,lat,image_id_1\n")
    listed = '[scenes]\npolicy = "list"\nimages = "list.csv"\n'
    for archive in (STAC, EARTH_ENGINE):
        (plain, _), (few, every) = (estimates(described(tmp_path, archive, more)) for more in ("", listed))
        assert few.judged == every.judged == 160
        assert few.stages["scenes"].bytes < plain.stages["scenes"].bytes / 2


def test_dates_of_a_product_take_one_small_request_each(tmp_path: Path) -> None:
    product = '[phenology]\nsource = "mcd12q2"\n'
    series, dates = (estimates(described(tmp_path, EARTH_ENGINE, more))[0] for more in ("", product))
    assert dates.stages["phenology"].requests == 40
    assert dates.stages["phenology"].bytes < series.stages["phenology"].bytes / 2


def test_a_plan_before_the_embedded_archive_says_what_writes_it(tmp_path: Path) -> None:
    code, text = run("plan", str(write_tiny_config(tmp_path, tmp_path / "archive")), columns=300)
    assert code == 1
    assert "build CONFIG --until locations` writes it" in text
