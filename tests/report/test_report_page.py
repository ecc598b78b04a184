"""The page of a dataset: complete, right, self-contained, safe, bounded, and there when parts are missing."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from fabricated_dataset import PLACES, Place, fabricate
from page_reader import Page, number, read
from PIL import Image

from ssl4eco_data.errors import StoreError
from ssl4eco_data.report import truth, write_report
from ssl4eco_data.report.dataset import read_dataset
from ssl4eco_data.store import Ledger, Mark
from ssl4eco_data.types import METRICS, SEASONS, Footprint

LIMIT_BYTES = 10_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fabricate(tmp_path_factory.mktemp("report") / "dataset")


@pytest.fixture(scope="module")
def page(made: Path) -> tuple[str, Page]:
    return read(made)


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def test_page_is_written_where_it_says_and_the_same_twice(made: Path) -> None:
    first = write_report(made)
    assert first == made / "report" / "index.html"
    before = first.read_bytes()
    assert write_report(made).read_bytes() == before


def test_every_location_and_season_is_counted(page: tuple[str, Page]) -> None:
    html, parsed = page
    assert (number(html, "locations"), number(html, "found"), number(html, "missing")) == (4, 13, 3)
    assert len(parsed.in_class("path", "mark")) == 4 + 3, "markers on the map and in the legend"
    labels = {a["aria-label"] for a in parsed.in_class("div", "bar")}
    assert "spring: 3 of 4 found · 1 all cloudy" in labels
    assert "autumn: 4 of 4 found" in labels
    assert "winter: 3 of 4 found · 1 all low sun" in labels
    assert "Temperate Forests: 6 of 8 found · 2 all cloudy" in labels
    assert "unknown: 4 of 4 found" in labels


def test_reasons_are_explained(page: tuple[str, Page]) -> None:
    words = page[1].words
    assert "every scene was cloudy over the patch" in words
    assert "the sun was too low in every scene" in words
    assert "no scene was taken in the window" not in words


def test_gallery_shows_every_patch_once_in_both_colours(page: tuple[str, Page]) -> None:
    parsed = page[1]
    for kind in ("true", "infrared"):
        images = parsed.in_class("img", kind)
        assert len(images) == 13
        assert all((a["src"] or "").startswith("data:image/webp;base64,") and a["alt"] for a in images)
    assert len(parsed.in_class("figure", "missing")) == 3
    assert "all low sun" in parsed.words
    assert "50 % snow" in parsed.words
    assert "2020-04-20" in parsed.words


def test_gallery_shows_the_right_pixels_at_the_right_place(copy: Path) -> None:
    array = zarr.open_group(copy / "patches.zarr" / "sentinel2", mode="r+")["r10"]
    assert isinstance(array, zarr.Array)
    stored = SEASONS[::-1]
    array.attrs["seasons"] = list(stored)
    for row in range(array.shape[0]):
        for season in range(array.shape[1]):
            array[row, season] = 100 + 500 * row + 120 * season
    shown = {}
    for image in read(copy)[1].in_class("img", "true"):
        pixels = Image.open(io.BytesIO(base64.b64decode((image["src"] or "").partition(",")[2])))
        shown[" ".join((image["alt"] or "").split()[:2])] = np.asarray(pixels.convert("RGB")).mean()
    expected = {
        f"{place.location_id}, {season}": 255 * ((100 + 500 * row + 120 * s) / 2500) ** (1 / 1.5)
        for row, place in enumerate(PLACES)
        for s, season in enumerate(stored)
        if season not in dict(place.missing)
    }
    assert shown.keys() == expected.keys()
    assert all(abs(shown[key] - expected[key]) < 6 for key in expected)


def test_curves_show_dates_and_scenes(page: tuple[str, Page]) -> None:
    labels = [a["aria-label"] or "" for a in page[1].having("svg", role="img")]
    curves = [label for label in labels if label.startswith("Vegetation index of")]
    assert len(curves) == 3, "one per biome"
    assert any("100U_10R" in label and "4 chosen scenes" in label for label in curves)
    assert any("1D_30L" in label and "0 dates of 0 cycles" in label for label in curves)


def test_clouds_before_and_after(page: tuple[str, Page]) -> None:
    labels = [a["aria-label"] or "" for a in page[1].having("svg", role="img")]
    (label,) = [text for text in labels if text.startswith("Cloud fraction")]
    assert "chosen, patch: 100% below 10 % cloud" in label
    assert "judged, patch: 45% below 10 % cloud" in label, "13 of 29"
    assert "all candidates, tile: 0% below" in label


def test_stage_times_and_provenance(page: tuple[str, Page]) -> None:
    words = page[1].words
    assert "Fabricated & tested" in words
    assert "30.5 s" in words
    assert "31.8 s" not in words, "no sum"
    assert "Copernicus Sentinel data 2020\N{EN DASH}2021" in words
    assert 'title = "Fabricated & tested"' in words
    assert "4x4x4x32x32".replace("x", "\N{MULTIPLICATION SIGN}") in words


def test_times_of_several_runs_are_not_added(copy: Path) -> None:
    first = json.loads((copy / "runs" / "20260102T030405000000Z.json").read_text())
    first["stages"][1] |= {"blocks": 1, "seconds": 4.0, "counts": {"candidates": 10}}
    again = {"started": "2026-02-03T04:05:06+00:00", "stages": first["stages"][1:]}
    idle = {"started": "2026-03-03T04:05:06+00:00", "stages": [again["stages"][0] | {"blocks": 0}]}
    for name, run in (("20260203", again), ("20260303", idle)):
        (copy / "runs" / f"{name}T000000000000Z.json").write_text(json.dumps(run))
    for block in range(3):
        Ledger(copy).write(Mark(stage="scenes", block=block, fingerprint="x"))
    _, page = read(copy)
    rows = {r[0]: r[1:6] for table in page.tables for r in table if r[0] in ("locations", "scenes")}
    assert rows["locations"] == ["2026-01-02 03:04", "1", "1.2 s", "3.2 locations/s", "0"]
    assert rows["scenes"] == ["2026-02-03 04:05", "1 of 3", "4.0 s", "2.5 candidates/s", "0"]
    assert "3 runs 2026-03-03 04:05: nothing to do 2026-02-03 04:05: scenes 4.0 s" in page.words


def test_nothing_is_loaded_from_elsewhere(page: tuple[str, Page]) -> None:
    html, parsed = page
    for tag, attributes in parsed.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value)
        assert tag not in ("iframe", "object", "embed", "base")
    assert "://" not in re.sub(r"data:[^\"]*", "", html)
    assert "@import" not in html
    policy = parsed.having("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"] or ""
    assert policy.startswith("default-src 'none'")


def test_page_can_be_read_without_seeing_or_pointing(page: tuple[str, Page]) -> None:
    parsed = page[1]
    assert parsed.having("html", lang="en")
    ids = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {(a.get("href") or "").removeprefix("#") for a in parsed.having("a")}
    targets |= {a["for"] for a in parsed.having("label") if a.get("for")}
    targets |= {a["aria-labelledby"] for _, a in parsed.elements if a.get("aria-labelledby")}
    assert targets <= set(ids)
    for a in parsed.having("svg"):
        assert a.get("aria-label") or a.get("aria-hidden") == "true"
    assert all(a.get("tabindex") == "0" and a.get("aria-label") for a in parsed.in_class("div", "scroll"))
    assert all(a.get("scope") for a in parsed.having("th"))


def test_text_of_others_is_never_markup(tmp_path: Path) -> None:
    evil = "\"><script>alert('x')</script>&amp;"
    places = (*PLACES[:2], Place(location_id=evil, lon=1, lat=2, biome=evil, missing=(("spring", evil),)))
    root = fabricate(tmp_path / "evil", places)
    (root / "config.toml").write_text(f"[dataset]\ntitle = '''{evil}'''\n")
    html, parsed = read(root)
    assert len(parsed.having("script")) == 1, "the page's own"
    assert "<script>alert" not in html
    assert evil in parsed.words
    assert any(evil in (a["aria-label"] or "") for a in parsed.in_class("article", "place"))
    assert "<b>region" not in html


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        ("config.toml", "No configuration is recorded"),
        ("phenology.parquet", "There are no season windows yet"),
        ("phenology", "There are no vegetation series yet"),
        ("phenology/cycles", "0 dates of 0 cycles"),
        ("scenes/candidates", "No candidates are recorded"),
        ("scenes", "No scenes have been chosen yet"),
        ("patches.zarr", "There are no patches yet"),
        ("strata.parquet", "There is no table of strata"),
        ("runs", "No run is recorded"),
    ],
)
def test_a_missing_part_is_named_and_the_rest_stays(copy: Path, gone: str, says: str) -> None:
    path = copy / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    html, _ = read(copy)
    assert says in html
    assert number(html, "locations") == 4


def test_only_locations_is_enough(copy: Path) -> None:
    for path in sorted(copy.iterdir()):
        if path.name != "locations.parquet":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    html, _ = read(copy)
    assert number(html, "locations") == 4
    assert number(html, "found") == 0


def test_without_locations_the_error_tells_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has no locations\.parquet; build the dataset"):
        write_report(tmp_path)


def test_a_torn_table_is_named(copy: Path) -> None:
    (copy / "scenes/choices/00000.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(StoreError, match=r"choices/00000\.parquet"):
        write_report(copy)


def test_an_unreadable_patch_counts_as_missing(copy: Path) -> None:
    folder = copy / "patches" / "quality"
    folder.mkdir(parents=True)
    pd.DataFrame(
        {
            "location_id": ["100U_10R", "101U_11R", "1D_30L"],
            "season": ["spring"] * 3,
            "failure": ["no longer listed", "", "cannot be read"],
        }
    ).to_parquet(folder / "00000.parquet")
    html, parsed = read(copy)
    assert number(html, "found") == 11
    assert "spring: 1 of 4 found · 2 unreadable · 1 all cloudy" in {
        a["aria-label"] for a in parsed.in_class("div", "bar")
    }


def test_parts_of_blocks_that_are_no_more_are_left_out(copy: Path) -> None:
    old = pd.read_parquet(copy / "scenes/choices/00000.parquet")
    stale = pd.concat([old.assign(location_id="gone"), old.assign(scene_id=None, reason="stale")])
    stale.to_parquet(copy / "scenes/choices/00007.parquet", index=False)
    html, parsed = read(copy)
    assert (number(html, "found"), number(html, "missing")) == (13, 3)
    assert "stale" not in parsed.words


def test_other_season_labels(copy: Path) -> None:
    path = copy / "scenes/choices/00000.parquet"
    frame = pd.read_parquet(path).replace(
        {"season": dict(zip(SEASONS, ("dry", "wet", "winter", "haze"), strict=True))}
    )
    frame.to_parquet(path, index=False)
    assert read_dataset(copy).seasons == ("winter", "dry", "wet", "haze")
    assert "wet: 3 of 4 found" in read(copy)[0]


@pytest.mark.slow
def test_size_is_bounded_for_a_large_noisy_set(tmp_path: Path) -> None:
    places = tuple(
        Place(location_id=f"{i}U_{i}R", lon=-170 + i * 0.1, lat=-50 + (i % 100), biome=f"Biome {i % 15}")
        for i in range(400)
    )
    root = fabricate(tmp_path / "large", places, size_px=128)
    html, parsed = read(root)
    assert len(html.encode()) < LIMIT_BYTES
    assert number(html, "found") == 1600
    assert len(parsed.in_class("img", "true")) == 240
    shown = {a["data-biome"] for a in parsed.in_class("article", "place")}
    assert len(shown) == 15, "every biome is in the gallery"


def test_truth_is_compared(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = pd.read_parquet(copy / "phenology.parquet")
    climatology = ours[["location_id", *(f"{m}_day" for m in METRICS)]].copy()
    climatology["greenup_day"] += 365.2425 - 3
    climatology["dormancy_day"] += 4
    climatology["has_cycle"] = True
    asked: list[tuple[str, Footprint]] = []

    def cloud(archive: Path, scene_id: str, footprint: Footprint) -> float:
        assert archive == tmp_path
        asked.append((scene_id, footprint))
        return 0.5 if scene_id == "S2A_100U_10R_spring" else 0.0

    monkeypatch.setattr(truth, "read_truth_climatology", lambda _root: climatology)
    monkeypatch.setattr(truth, "true_cloud_fraction", cloud)
    found = truth.compare(read_dataset(copy), tmp_path)
    dates = {d.metric: d for d in found.dates}
    assert (dates["greenup"].locations, round(dates["greenup"].rmse_days, 6)) == (3, 3.0)
    assert (round(dates["greenup"].bias_days, 6), round(dates["dormancy"].bias_days, 6)) == (3.0, -4.0)
    assert dates["peak"].rmse_days == 0
    assert dict(found.agreement)["with a cycle, missed"] == 1
    assert found.clouds == truth.CloudTruth(patches=13, mean_fraction=0.5 / 13, max_fraction=0.5, cloudy=1)
    assert {f.size_m for _, f in asked} == {320.0}
    html, parsed = read(copy, tmp_path)
    assert "50 % at worst; 1 patches have more than 10 %" in parsed.words
    assert "RMSE" in html


def test_date_errors_go_round_the_year() -> None:
    columns = [f"{m}_day" for m in METRICS]
    ours = pd.DataFrame(np.array([[360.0] * 7, [np.nan] * 7, [5.0] * 7]), columns=columns)
    true = pd.DataFrame(np.array([[-2.2425] * 7, [1.0] * 7, [369.2425] * 7]), columns=columns)
    for error in truth.date_errors(ours, true):
        assert error.locations == 2
        assert error.bias_days == pytest.approx((-3.0 + 1.0) / 2)
        assert error.worst_days == pytest.approx(3.0)
