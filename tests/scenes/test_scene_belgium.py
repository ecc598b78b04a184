"""The second opinion on clouds against 118 real dates labelled by eye."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from benchmarks.scene_work import belgian_dates

LABELS = Path(__file__).with_name("belgium_labels.csv")
ALL = "and haze (all)"


@pytest.fixture(scope="module")
def labels() -> pd.DataFrame:
    return pd.read_csv(LABELS, comment="#")


@pytest.fixture(scope="module")
def dates(shared_data: Path) -> pd.DataFrame:
    """The dates that the mask calls clear, with labels and doubts."""
    return belgian_dates(shared_data / "s2-belgium-31UDS", LABELS, quarters=False)


def days(dates: pd.DataFrame) -> set[str]:
    return set(dates["date"].str.replace("-", ""))


def test_the_table_labels_all_dates_in_its_own_words(labels, shared_data):
    folder = shared_data / "s2-belgium-31UDS" / "sentinel-2-l2a"
    assert sorted(labels["scene_id"]) == sorted(path.name for path in folder.iterdir())
    assert set(labels["label"]) <= {"clear", "partly", "cloudy", "snow", "missing"}
    percents = {0, 10, 25, 50, 75, 100}
    assert set(labels["cloud_percent"]) | set(labels["shadow_percent"]) <= percents
    clear = labels[labels["label"] == "clear"]
    assert len(clear) > 40
    assert (clear[["cloud_percent", "shadow_percent"]] == 0).all(axis=None)


def test_clouds_and_veils_that_the_mask_calls_clear_or_snow_are_caught(dates):
    thick = {"20171023", "20180610", "20180625", "20180713", "20180923"}
    assert days(dates[dates[ALL]]) >= thick | {"20170824", "20181122", "20181127"}


def test_what_it_does_not_see(dates):
    """A shaded date, and a veil over shaded ground: no test on blue can tell them from dark ground."""
    missed = dates[dates["bad"] & ~dates[ALL]]
    assert days(missed) == {"20171227", "20180524"}


def test_one_clear_date_is_lost_which_a_cloud_touches_in_a_corner(dates):
    assert days(dates[dates["untouched"] & dates[ALL]]) == {"20180718"}


def test_the_haze_adds_to_the_bright_end_of_blue(dates):
    without = dates[dates["bad"] & dates["blue and lone snow"]]
    assert days(dates[dates["bad"] & dates[ALL]]) > days(without)


def test_quarters_of_the_site_lose_few_clear_dates(shared_data):
    quarters = belgian_dates(shared_data / "s2-belgium-31UDS", LABELS, quarters=True)
    clear = quarters[quarters["untouched"]]
    assert len(clear) > 150
    assert days(clear[clear[ALL]]) == {"20180718"}
