"""The dataset card: a YAML header that hubs read, tables that render, code that runs."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt

from ssl4eco_data import open_dataset
from ssl4eco_data.catalogue.card import LISTED, card, dating
from ssl4eco_data.catalogue.citation import citation_of
from ssl4eco_data.catalogue.facts import Facts

FACTS = Facts(
    title="A #1 | title: [x]",
    size_m=2560.0,
    bands=("B02", "B8A"),
    seasons=("spring", "visit_2"),
    locations=1_234,
    patches={"spring": 1_200, "visit_2": 1_000},
    missing={"all_cloudy": 30, "no_window": 4},
    places={
        "split": {"train": 1_234},
        "realm": {},
        "biome": {},
        "ecoregion": {f"E|{i:02}": i + 1 for i in range(30)},
    },
    box=(-10.0, 40.0, 5.5, 60.25),
    crossing=False,
    start=datetime(2019, 3, 1, tzinfo=UTC),
    end=datetime(2021, 9, 2, tzinfo=UTC),
    years=(2019, 2021),
    platforms=("sentinel-2a",),
)
REAL = {"archive": {"kind": "stac", "imagery": "https://x"}, "locations": {"strata": "Ecoregions2017.zip"}}


def written(facts: Facts = FACTS, config: dict[str, Any] | None = None) -> str:
    wanted = REAL if config is None else config
    return card(
        facts, citation_of(facts.title, wanted, facts.years), ["All points of a_b.csv.", dating(wanted)]
    )


def header(text: str) -> dict[str, Any]:
    _, block, _ = re.split(r"^---\n", text, maxsplit=2, flags=re.MULTILINE)
    found: dict[str, Any] = yaml.safe_load(block)
    return found


def rendered(text: str) -> str:
    return MarkdownIt("gfm-like", {"linkify": False}).render(text.partition("\n---\n")[2])


def test_the_header_is_yaml_that_hubs_know() -> None:
    found = header(written())
    assert found["pretty_name"] == FACTS.title
    assert found["license"] == "other"
    assert found["license_name"] == "copernicus-sentinel-data"
    assert found["license_link"].startswith("https://")
    assert found["size_categories"] == ["1K<n<10K"]
    assert "zarr" in found["tags"]


@pytest.mark.parametrize(
    ("patches", "category"), [(0, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (1_017_612, "1M<n<10M")]
)
def test_size_categories(patches: int, category: str) -> None:
    assert header(written(replace(FACTS, patches={"spring": patches})))["size_categories"] == [category]


def test_tables_and_names_render_as_they_are() -> None:
    page = rendered(written())
    assert "<h1>A #1 | title: [x]</h1>" in page
    assert "visit_2" in page and "<em>" not in page
    assert "<td>E|29</td>" in page
    assert f"and {30 - LISTED} more" in page
    assert "every image is cloudy on the patch" in page
    assert page.count("<table>") == 6
    assert "<blockquote>" in page
    assert "a_b.csv" in page
    assert "||" not in page and "|---" not in page


def test_what_is_due_is_on_it() -> None:
    text = written()
    assert "> Contains modified Copernicus Sentinel data 2019, 2021." in text
    assert "> RESOLVE Ecoregions 2017, licensed under CC BY 4.0." in text
    assert "@article{dinerstein2017ecoregion," in text
    assert "Years of the images: 2019, 2021." in text
    simulated = written(config={"simulate": {}})
    assert "Copernicus" not in simulated
    assert "2,200 simulated Sentinel-2 patches" in simulated
    assert header(simulated)["license_name"] == "simulated"
    assert "simulated" in header(simulated)["tags"] and "simulated" not in header(text)["tags"]


def test_no_images_and_no_missing_seasons() -> None:
    text = written(replace(FACTS, start=None, end=None, years=(), missing={}))
    assert "There are no images." in text
    assert "seasons have no patch" not in text
    assert "taken" not in text.split("##")[0]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "vegetation cycle"),
        ({"phenology": {"date_rule": "calendar"}}, "calendar sets"),
        ({"phenology": {"date_rule": "mine:rule"}}, "date rule mine:rule"),
        ({"scenes": {"policy": "list"}}, "images are those of a list"),
        ({"locations": {"source": {"date_fields": ["visit"]}}}, "each date that a location brought"),
    ],
)
def test_the_dating_is_told(config: dict[str, Any], words: str) -> None:
    assert words in dating(config)


def test_its_code_runs_and_its_numbers_are_right(built_config: Path) -> None:
    root = built_config.parent / "dataset"
    text = (root / "README.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block.replace("path/to/this/folder", str(root)), names)
    assert names["cube"].dims == ("band", "y", "x")
    assert set(names["raw"].data_vars) == {"r10", "r20", "r60", "scl"}
    opened = open_dataset(root)
    assert (
        f"{int((opened['scene_id'] != '').sum())} simulated Sentinel-2 patches of {opened.sizes['location']}"
        in text
    )
    time = opened["time"].to_numpy()
    assert f"taken {np.nanmin(time).astype('M8[D]')} to {np.nanmax(time).astype('M8[D]')}" in text
    for file in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE):
        for name in re.findall(r"`(.+?)`", file):
            assert (root / name).exists(), name
