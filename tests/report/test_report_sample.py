"""The sample on the page: strata, splits, weights, how it was made, and maps of many locations."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomli_w
from fabricated_dataset import PLACES, fabricate
from hypothesis import given
from hypothesis import strategies as st
from page_reader import Page, number, read

from ssl4eco_data.errors import StoreError
from ssl4eco_data.locations import LocationParameters
from ssl4eco_data.report import origin, sample
from ssl4eco_data.report.dataset import Dataset, read_dataset
from ssl4eco_data.report.dots import MAX_STRETCH, runs_of, square_side
from ssl4eco_data.report.maps import MAX_MARKERS

COLUMNS = ["stratum", "available", "asked", "got", "inclusion_probability"]
MINUS = "\N{MINUS SIGN}"
LATTICE = st.lists(
    st.tuples(st.floats(0, 12), st.floats(0, 6), st.floats(1, 9), st.integers(0, 3)), min_size=1, max_size=60
)

STRATA = st.lists(
    st.tuples(st.integers(1, 50), st.integers(0, 60), st.integers(0, 50)), min_size=1, max_size=50
)
HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fabricate(tmp_path_factory.mktemp("sample") / "dataset")


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


@pytest.fixture
def only_sample(copy: Path) -> Path:
    """What there is after the first stage."""
    for path in sorted(copy.iterdir()):
        if path.name not in ("locations.parquet", "strata.parquet"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return copy


def write_strata(root: Path, rows: list[tuple[str, int, int, int]]) -> None:
    frame = pd.DataFrame(rows, columns=COLUMNS[:4])
    frame.assign(inclusion_probability=frame["got"] / frame["available"]).to_parquet(root / "strata.parquet")


def write_notes(root: Path, notes: bytes) -> None:
    table = pq.read_table(root / "locations.parquet")
    described = table.replace_schema_metadata({**(table.schema.metadata or {}), b"ssl4eco": notes})
    pq.write_table(described, root / "locations.parquet")


def strata_rows(page: Page) -> list[list[str]]:
    """The rows of all tables of strata, heads left out, totals in."""
    return [row for table in page.tables if table[0][0] == "stratum" for row in table[1:]]


def as_number(cell: str) -> int:
    return int(cell.partition("(")[0].replace(",", ""))


def test_the_table_is_that_of_the_file(copy: Path) -> None:
    rows = [(f"Region {i:02d}", 10 * (i % 7) + 1, i + 2, i + 1) for i in range(47)]
    write_strata(copy, rows)
    html, page = read(copy)
    shown = strata_rows(page)
    (total,) = [row for row in shown if row[0] == "all 47"]
    assert [as_number(cell) for cell in total[1:4]] == [sum(row[k] for row in rows) for k in (1, 2, 3)]
    assert total[5] == "100 %"
    listed = [(row[0], *map(as_number, row[1:4])) for row in shown if row is not total]
    assert listed == sorted(rows, key=lambda row: (-row[1], row[0]))
    assert len(page.tables[0]) == 1 + 20 + 1, "head, the first, total"
    assert html.index("The other 27") > html.index("all 47")


def test_strata_that_got_less_are_marked_and_counted(made: Path) -> None:
    _, page = read(made)
    rows = {row[0]: row[1:] for row in strata_rows(page)}
    assert rows["Beta & steppe"] == ["2", "3", f"2 ({MINUS}1)", "100 %", "50 %"]
    assert rows["Alpha <b>heath</b>"] == ["1,000", "1", "1", "0.1 %", "25 %"]
    assert rows["outside every polygon"] == ["20", "1", "1", "5 %", "25 %"]
    assert len(page.in_class("td", "short")) == 1
    assert "1 stratum has fewer cells than asked: 2 instead of 3." in page.words


def test_strata_without_a_location_are_counted(copy: Path) -> None:
    write_strata(copy, [("a", 5, 5, 4), ("b", 3, 4, 3), ("c", 9, 0, 0)])
    words = read(copy)[1].words
    assert "2 strata have fewer cells than asked: 7 instead of 9." in words
    assert "1 stratum got no location." in words


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_strata_are_never_markup(copy: Path, name: str) -> None:
    write_strata(copy, [(name, 5, 5, 4)])
    html, page = read(copy)
    assert strata_rows(page)[0][0] == name
    assert len(page.having("script")) == 1
    assert name not in html or name.startswith("{{")


def test_the_list_of_strata_is_bounded(copy: Path) -> None:
    write_strata(copy, [(f"s{i}", 3, 1, 1) for i in range(sample.MAX_STRATA + 5)])
    _, page = read(copy)
    assert len(strata_rows(page)) == sample.MAX_STRATA + 1
    assert "5 smaller ones are in strata.parquet" in page.words
    assert "The other 1,985" in page.words


@given(STRATA)
def test_every_stratum_is_listed_once_and_totals_hold(numbers: list[tuple[int, int, int]]) -> None:
    frame = pd.DataFrame([(f"s{i}", *n) for i, n in enumerate(numbers)], columns=COLUMNS[:4])
    found = sample.strata(dataset_with(frame))
    assert found
    rows = [*found.first, *found.more]
    assert sorted(r.name for r in rows) == sorted(frame["stratum"])
    assert [r.available for r in rows] == sorted(frame["available"], reverse=True)
    everything = (found.everything.available, found.everything.asked, found.everything.got)
    assert everything == tuple(frame[c].sum() for c in ("available", "asked", "got"))
    short = int((frame["got"] < frame["asked"]).sum())
    assert any(s.startswith(f"{short} strat") and "fewer" in s for s in found.says) == (short > 0)


def dataset_with(strata: pd.DataFrame) -> Dataset:
    empty = pd.DataFrame()
    tables = {"locations": empty, "weights": empty, "phenology": empty, "choices": empty, "strata": strata}
    records = {"config_text": "", "config": {}, "notes": {}, "runs": (), "seasons": (), "biomes": ()}
    return Dataset(root=Path("x"), **tables, **records)


def test_after_the_first_stage_the_sample_is_shown(only_sample: Path) -> None:
    write_notes(only_sample, json.dumps({"counts": {}, "land": "/some/where/my land.gpkg"}).encode())
    html, page = read(only_sample)
    assert number(html, "locations") == 4
    assert len(strata_rows(page)) == 4
    assert "So far only the sample is there" in page.words
    assert "Land: my land.gpkg." in page.words
    assert "/some/where" not in html
    assert "Major-TOM grid's" not in page.words, "no configuration yet, nothing claimed"


def test_a_finished_build_is_not_called_begun(made: Path) -> None:
    assert "So far only the sample" not in read(made)[0]


def test_without_strata_and_splits_the_page_stays(only_sample: Path) -> None:
    (only_sample / "strata.parquet").unlink()
    path = only_sample / "locations.parquet"
    pd.read_parquet(path).drop(columns=["split", "ecoregion", "biome", "realm"]).to_parquet(path)
    html, page = read(only_sample)
    assert "There is no table of strata." in page.words
    assert "How the sample was made" not in page.words
    assert not page.having("input", id="by-split")
    assert number(html, "locations") == 4


def test_counts_on_the_way_are_told_in_words(only_sample: Path) -> None:
    counts = {
        "mended_polygons": 1,
        "labelled_by_nearest": 12345,
        "unlabelled": 0,
        "duplicates": 0,
        "odd_things": 2,
    }
    write_notes(only_sample, json.dumps({"counts": counts, "land": "global-land-mask"}).encode())
    words = read(only_sample)[1].words
    assert "1 polygon of the layers was invalid and was mended." in words
    assert "12,345 cells or points outside every polygon took the labels of the nearest one." in words
    assert "odd things: 2." in words
    assert "Land: the packaged 1 km mask (global-land-mask)." in words
    assert "too far" not in words
    assert "more than once" not in words


def test_torn_notes_are_named(copy: Path) -> None:
    write_notes(copy, b"{torn")
    with pytest.raises(StoreError, match=r"locations\.parquet does not hold valid JSON"):
        read_dataset(copy)


def test_columns_that_points_brought_do_no_harm(copy: Path) -> None:
    before = read(copy)[0]
    path = copy / "locations.parquet"
    table = pq.read_table(path)
    for name in ("row", "found", "reason", "index", "__index_level_0__"):
        table = table.append_column(name, pa.array([{"a": [1]}] * len(table)))
    pq.write_table(table, path)
    strip = re.compile(r"[\d.]+ [kM]?B<")
    assert strip.sub("", read(copy)[0]) == strip.sub("", before)
    assert not {"row", "found", "reason", "index"} & set(read_dataset(copy).locations), "nor are they read"


def described(**values: object) -> str:
    """What the page says of real parameters, written and read like a build's configuration."""
    parameters = LocationParameters.model_validate(values)
    text = tomli_w.dumps({"locations": parameters.model_dump(exclude_none=True)})
    return " ".join(origin.made(tomllib.loads(text), {}))


def test_a_grid_of_all_cells_is_described() -> None:
    says = described()
    assert "Major-TOM grid's 23 km cells, no further south than 60°S, on land by the packaged 1 km" in says
    assert "Every such cell is taken." in says
    assert "Whole blocks of 500 km go to one split, 5 % of the blocks to val, 5 % of the blocks to" in says
    assert "Labels" not in says


def test_a_shared_sample_is_described() -> None:
    source = {"spacing_km": 7.5, "region": "a/alps.gpkg", "land": "b/land.gpkg", "water": "b/lakes.gpkg"}
    allocation = {"rule": "sqrt", "n": 5000, "minimum": 3, "cap": 70, "by": "biome", "seed": 11}
    split = {"val_fraction": 0.0, "test_fraction": 0.125, "block_km": 200.0, "buffer_km": 12.5}
    says = described(
        source={"kind": "grid", **source}, strata="c/eco.zip", allocation=allocation, split=split
    )
    assert "7.5 km cells, inside alps.gpkg, on land by land.gpkg, not in the water of lakes.gpkg." in says
    assert "5,000 of them are taken, shared over the biomes in proportion to the square root" in says
    assert "(at least 3 and at most 70 each), within each spread evenly over the ground (seed 11)." in says
    assert "polygons in eco.zip; a location in none takes the nearest within 25 km." in says
    assert "200 km go to one split, 12.5 % of the blocks to test, the rest to train" in says
    assert "12.5 km between two splits is buffer" in says


def test_a_sample_without_labels_claims_no_strata() -> None:
    source = {"kind": "grid", "min_lat_deg": -90.0}
    says = described(allocation={"rule": "proportional", "n": 10}, source=source)
    assert "10 of them are taken, spread evenly over the ground (seed 0)." in says
    assert "Antarctica included" in says


def test_points_are_described() -> None:
    says = described(
        source={"kind": "points", "points": "plots.csv"}, split={"val_fraction": 0.0, "test_fraction": 0.0}
    )
    assert says == "All points of plots.csv. All locations are for training."


def test_splits_are_counted_and_can_be_coloured(tmp_path: Path) -> None:
    splits = ("buffer", "train", "test", "buffer")
    places = tuple(replace(place, split=split) for place, split in zip(PLACES, splits, strict=True))
    html, page = read(fabricate(tmp_path / "split", places))
    assert "train 1 25 % test 1 25 % buffer 2 50 %" in page.words
    assert len(page.having("input", name="map-colours")) == 2
    classes = [(a["class"] or "").split()[-1] for a in page.in_class("path", "mark")]
    assert sorted(classes[:4]) == ["s0", "s2", "s3", "s3"], "the colours do not depend on which splits occur"
    assert "Major-TOM" not in html.partition("Strata")[0]
    assert "1D_30L: unknown, 2°S 60°W, buffer" in page.words


def test_a_single_split_needs_no_choice_of_colours(made: Path) -> None:
    _, page = read(made)
    assert "train 4 100 %" in page.words
    assert not page.having("input", name="map-colours")
    assert not page.in_class("ul", "by-split")


def test_points_with_dates_of_their_own_claim_no_seasons(copy: Path) -> None:
    path = copy / "scenes/choices/00000.parquet"
    choices = pd.read_parquet(path)
    choices[choices["season"] == "winter"].assign(season="date").to_parquet(path, index=False)
    html, page = read(copy)
    section = html.partition('<section id="windows"')[2].partition("</section>")[0]
    assert "The points brought their own dates;" in section
    assert "<svg" not in section
    assert "Bands: season windows" not in page.words
    assert "date: 3 of 4 found" in html
    assert "local vegetation cycle" not in page.words
    assert "middle of the window around the date" in page.words


def test_weights_are_counted(copy: Path) -> None:
    weights = {"weight": [0.25, 0.0, 2.0, 1.0], "max_ndvi": [0.05, np.nan, 0.7, 0.6]}
    flags = {"non_vegetated": [True, False, False, False], "mountain": [False, True, True, False]}
    frame = pd.DataFrame({"location_id": [p.location_id for p in PLACES], **weights, **flags})
    assert "sampling weight" not in read(copy)[1].words
    frame.to_parquet(copy / "weights.parquet", index=False)
    words = read(copy)[1].words
    assert "a sampling weight for each of 4 locations (0.25 to 2); training draws them" in words
    assert "Locations: 1 non-vegetated, 2 in mountains, 1 of weight 0, as a rule" in words
    frame.assign(weight=1.0).to_parquet(copy / "weights.parquet", index=False)
    words = read(copy)[1].words
    assert "4 locations (1); training" in words
    assert "of weight 0" not in words
    frame.assign(weight=0.0).to_parquet(copy / "weights.parquet", index=False)
    assert "4 locations; training" in read(copy)[1].words
    frame.to_parquet(copy / "weights.parquet", index=False)
    with (copy / "config.toml").open("a", encoding="utf-8") as config:
        config.write("\n[weights]\nnon_vegetated_factor = 0.125\nmountain_factor = 3.0\n")
    words = read(copy)[1].words
    assert "1 non-vegetated (weight times 0.125), 2 in mountains (weight times 3), 1 of weight 0" in words


@given(LATTICE)
def test_squares_are_those_of_the_points(points: list[tuple[float, float, float, int]]) -> None:
    column, row, stretch, codes = (np.array(values) for values in zip(*points, strict=True))
    runs = runs_of(column, row, np.ones(len(points)), codes)
    drawn = {}
    for start, at, length, code in zip(runs.column, runs.row, runs.length, runs.code, strict=True):
        assert not any((start + k, at) in drawn for k in range(length)), "no square twice"
        drawn |= {(start + k, at): code for k in range(length)}
    inside: dict[tuple[int, int], list[int]] = {}
    for x, y, _, code in points:
        inside.setdefault((int(x), int(y)), []).append(code)
    assert drawn == {place: max(sorted(set(c)), key=c.count) for place, c in inside.items()}
    neighbours = [(x + 1, y) in drawn and drawn[x + 1, y] == code for (x, y), code in drawn.items()]
    assert len(runs.code) == len(drawn) - sum(neighbours), "what can be merged is merged"
    wide = runs_of(column, row, stretch, codes)
    width = np.clip(np.round(stretch), 1, MAX_STRETCH)
    assert wide.length.sum() <= width.sum()
    for x, y, _, _ in points:
        here = wide.row == int(y)
        assert ((wide.column[here] <= int(x)) & (int(x) < (wide.column + wide.length)[here])).any()


@pytest.mark.parametrize(("spacing", "side"), [(0.2, 1), (1.0, 1), (1.7, 2), (2.9, 3), (40.0, 3)])
def test_squares_are_as_large_as_the_spacing(spacing: float, side: int) -> None:
    assert square_side(np.arange(50) * spacing, np.zeros(50)) == side


def test_a_large_sample_is_drawn_whole_and_small(only_sample: Path) -> None:
    rng = np.random.default_rng(3)
    count = 30 * MAX_MARKERS
    frame = pd.DataFrame(
        {
            "location_id": [f"p{i}" for i in range(count)],
            "lon": np.sort(rng.uniform(-180, 180, count)),
            "lat": rng.uniform(-60, 84, count),
            "biome": rng.choice([f"Biome {i}" for i in range(16)], count),
            "split": rng.choice(["train", "val", "buffer"], count, p=[0.8, 0.1, 0.1]),
        }
    )
    frame.to_parquet(only_sample / "locations.parquet", index=False)
    html, page = read(only_sample)
    assert len(html.encode()) < 2_000_000
    assert "All 60,000 locations are drawn" in page.words
    assert not page.in_class("path", "mark")
    assert len(page.in_class("g", "by-biome")) == len(page.in_class("g", "by-split")) == 1
    shown = {c for a in page.in_class("path", "squares") for c in (a["class"] or "").split()}
    assert {"b0", "b13", "t0", "t1", "s0", "s1", "s3"} <= shown
    for split, n in frame["split"].value_counts().items():
        assert f"{split}: {n:,} locations" in page.words


def test_at_the_limit_markers_become_dots(tmp_path: Path) -> None:
    def marks(count: int) -> int:
        root = tmp_path / str(count)
        root.mkdir()
        lon = np.linspace(-20, 40, count)
        frame = pd.DataFrame({"location_id": [f"p{i}" for i in range(count)], "lon": lon, "lat": lon / 2})
        frame.to_parquet(root / "locations.parquet", index=False)
        return len(read(root)[1].in_class("path", "mark"))

    assert marks(MAX_MARKERS) == MAX_MARKERS + 1, "and the legend's"
    assert marks(MAX_MARKERS + 1) == 0
