"""Season windows over the globe, strata against their area, and dates with their uncertainty."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fabricated_dataset import fabricate
from page_reader import Page, read

from ssl4eco_data.report.areas import NONE, area_chart
from ssl4eco_data.report.sample import Stratum
from ssl4eco_data.report.season_maps import months_of, season_maps


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return read(fabricate(tmp_path_factory.mktemp("figures") / "dataset"))[1]


def stratum(name: str, available: int, got: int) -> Stratum:
    return Stratum(name=name, available=available, asked=got, got=got, total=1000)


def test_days_are_in_their_months() -> None:
    days = pd.Series([0.0, 30.9, 31.0, 100.0, 334.0, 365.2, 365.2425 + 45, -1.0])
    assert months_of(days).tolist() == [0, 0, 1, 3, 11, 11, 1, 11]


def test_season_starts_are_mapped_by_month(page: Page) -> None:
    labels = [a["aria-label"] or "" for a in page.having("svg", role="img")]
    starts = [label for label in labels if label.startswith("Map of the month in which")]
    assert starts[0] == "Map of the month in which spring starts: Apr 2, Oct 2"
    assert len(starts) == 4
    assert "spring starts in Oct: 2 locations" in page.words


@pytest.mark.parametrize("count", [10, 5000])
def test_few_and_many_locations_are_mapped_where_they_are(count: int) -> None:
    lon = np.linspace(-170, 170, count)
    rows = pd.DataFrame({"lon": lon, "lat": np.where(lon < 0, -30.0, 50.0)})
    rows["spring_start_day"] = np.where(lon < 0, 250.0, 80.0)
    ((season, drawing),) = season_maps(rows.assign(summer_start_day=np.nan), ("spring", "summer"))
    assert season == "spring"
    west, east = (re.search(rf'm{m}"><title>', drawing) is not None for m in (8, 2))
    assert west, "September in the west"
    assert east, "March in the east"
    paths = re.findall(r'd="M([\d.]+) ', drawing)
    assert [float(x) < 240 / (3 if count > 2000 else 1) for x in paths] in ([False, True], [True, False])


def test_a_sample_in_proportion_lies_on_the_line() -> None:
    drawn = area_chart([stratum("a", 100, 10), stratum("b", 4000, 400)], 10.0)
    dots = [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', str(drawn))]
    path = re.search(r'd="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)" class="proportion"', str(drawn))
    assert path
    x0, y0, x1, y1 = map(float, path.groups())
    for x, y in dots:
        assert y == pytest.approx(y0 + (x - x0) / (x1 - x0) * (y1 - y0), abs=0.6)
    assert "b: 400 locations, 400,000 km²" in str(drawn)


def test_strata_without_a_location_stand_below_the_axis() -> None:
    drawn = str(area_chart([stratum("a", 100, 10), stratum("b", 50, 0), stratum("empty", 0, 0)], None))
    assert "Locations against area of 2 strata, 1 of them without a location" in drawn
    assert f'cy="{NONE:g}" r="3.6" class="stratum lacking"' in drawn
    assert "50 cells or points" in drawn
    assert area_chart([stratum("a", 100, 10)], None) is None


def test_dates_have_bars_of_one_sigma(page: Page, tmp_path: Path) -> None:
    assert "greenup 2020-04-10 ± 2.5 days" in page.words
    assert not re.search(r"peak \d{4}-\d\d-\d\d ±", page.words), "no sigma, no bar"
    dots = len(page.in_class("circle", "date"))
    peaks = len(page.in_class("circle", "top"))
    assert 0 < len(page.in_class("path", "sigma")) == dots - peaks
    root = fabricate(tmp_path / "plain")
    path = root / "phenology/cycles/00000.parquet"
    frame = pd.read_parquet(path)
    frame[[c for c in frame if not c.endswith("_sigma")]].to_parquet(path)
    plain = read(root)[1]
    assert len(plain.in_class("circle", "date")) == dots
    assert not plain.in_class("path", "sigma")
