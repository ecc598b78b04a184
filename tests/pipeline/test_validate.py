"""``ssl4eco validate``: scores of fabricated field dates, and what cannot be compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ssl4eco_data.cli import app
from ssl4eco_data.errors import ConfigError, StoreError
from ssl4eco_data.pipeline.field_dates import parse_names, read_field_dates
from ssl4eco_data.pipeline.validation import read_cycles, validate
from ssl4eco_data.store import write_table
from ssl4eco_data.types import METRICS

LOCATIONS = pd.DataFrame({"location_id": ["a", "b", "c"], "lon": [10.0, 10.1, 179.999], "lat": [50.0, 50, 0]})


def cycle(location: str, number: int, greenup: float, rank: int = 0, sigma: float = 4.0) -> dict[str, object]:
    dates = {m: greenup + 20.0 * i for i, m in enumerate(METRICS)}
    sigmas = {f"{m}_sigma": sigma for m in METRICS}
    return {"location_id": location, "cycle": number, "season_rank": rank, "pixels": 9} | dates | sigmas


CYCLES = pd.DataFrame(
    [cycle("a", i, 18000 + 365.0 * i) for i in range(3)]
    + [cycle("b", 0, 18000), cycle("b", 1, 18120, rank=1)]
)


def day(number: float) -> str:
    return str(np.datetime64(int(number), "D"))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A folder with what the command reads, in two blocks; a stale third one repeats a location."""
    root = tmp_path / "dataset"
    write_table(root / "locations.parquet", LOCATIONS)
    blocks = CYCLES[CYCLES["location_id"] == "a"], CYCLES[CYCLES["location_id"] == "b"]
    stale = pd.DataFrame([cycle("a", 0, 17950), cycle("gone", 0, 18000)])
    for number, block in enumerate((*blocks, stale)):
        write_table(root / "phenology" / "cycles" / f"{number:05d}.parquet", block)
    return root


def observed(path: Path, text: str, names: dict[str, str] | None = None) -> pd.DataFrame:
    file = path / "field.csv"
    file.write_text(text)
    return read_field_dates(file, names or {})


def check(dataset: Path, *options: str) -> tuple[int, str]:
    """(exit code, everything printed)."""
    done = CliRunner().invoke(app, ["validate", str(dataset), *options])
    return done.exit_code, done.output


def test_scores_by_metric_and_overall(dataset: Path, tmp_path: Path) -> None:
    text = "location_id,metric,date,sigma\n"
    for shift in (3, -5, 1):
        text += f"a,greenup,{day(18000 - shift)},\n"
    text += f"a,maturity,{day(18000 + 365 + 40 - 6)},5\n"
    (tmp_path / "field.csv").write_text(text)
    code, printed = check(dataset, str(tmp_path / "field.csv"), "--to", str(tmp_path / "pairs.csv"))
    assert code == 0, printed
    result = validate(read_field_dates(tmp_path / "field.csv", {}), *read_cycles(dataset), 1.0)
    scores = result.scores.set_index("metric")
    assert list(scores.index) == ["greenup", "maturity", "all"]
    greenup = scores.loc["greenup"]
    assert greenup["n"] == 3
    assert greenup["bias_days"] == pytest.approx(-1 / 3)
    assert greenup["rmse_days"] == pytest.approx(np.sqrt(35 / 3))
    assert greenup["median_abs_error_days"] == 3
    assert greenup["within_1_sigma"] == pytest.approx(2 / 3)
    assert greenup["within_2_sigma"] == 1
    assert scores.loc["maturity", "within_1_sigma"] == 1, "6 days within hypot(4, 5)"
    assert scores.loc["all", "n"] == 4
    pairs = pd.read_csv(tmp_path / "pairs.csv")
    assert list(pairs["row"]) == [2, 3, 4, 5]
    assert list(pairs["error_days"]) == [3, -5, 1, 6]
    assert list(pairs["cycle"]) == [0, 0, 0, 1]
    assert set(pairs["verdict"]) == {"paired"}
    assert pairs["dataset_date"].iloc[3] == day(18000 + 365 + 40)


def test_what_cannot_be_compared_is_counted_with_its_reason(dataset: Path, tmp_path: Path) -> None:
    text = f"""location_id,lon,lat,metric,date
a,,,greenup,
nowhere,,,greenup,{day(18000)}
,20,50,greenup,{day(18000)}
c,,,greenup,{day(18000)}
a,,,greenup,{day(18000 + 182)}
,10.001,50.001,greenup,{day(18000)}
,,,greenup,{day(18000)}
"""
    result = validate(observed(tmp_path, text), *read_cycles(dataset), 1.0)
    verdicts = ["no_date", "unknown_location", "too_far", "no_cycle", "no_cycle_near", "paired", "no_place"]
    assert list(result.pairs["verdict"]) == verdicts
    assert result.unpaired == {
        "no_date": 1, "no_place": 1, "unknown_location": 1, "too_far": 1, "no_cycle": 1, "no_cycle_near": 1
    }  # fmt: skip
    assert result.pairs["location_id"].iloc[5] == "a"
    assert result.pairs["distance_km"].iloc[5] == pytest.approx(0.132, abs=0.002)


def test_what_is_not_compared_comes_with_what_helps(dataset: Path, tmp_path: Path) -> None:
    text = f"lon,lat,metric,date,sigma\n10,50.1,peak,{day(18060)},NA\n10,50,peak,{day(9000)},\n"
    text += f"10,50,peak,{day(18059)},NA\n" * 3 + f"NA,NA,peak,{day(18060)},\n"
    (tmp_path / "field.csv").write_text(text)
    code, printed = check(dataset, str(tmp_path / "field.csv"))
    assert code == 0, printed
    lines = printed.splitlines()
    assert "not compared: 1 too far from every location, the nearest 11.12 km away: see --within-km" in lines
    span = f"{day(18000)} to {day(18000 + 2 * 365 + 120)}"
    assert f"not compared: 1 without a cycle within 90 days; the dataset's cycles run from {span}" in lines
    assert "not compared: 1 without location_id or lon, lat" in lines
    assert "note: 2 rows say the same as an earlier one; each counts" in lines
    assert next(line.split()[1] for line in lines if line.startswith("all")) == "3"


def test_files_from_spreadsheets_are_read(dataset: Path, tmp_path: Path) -> None:
    file = tmp_path / "field.csv"
    file.write_bytes(f"location_id,metric,date\r\na, peak ,{day(18060)}\r\n".encode("utf-8-sig"))
    table = read_field_dates(file, {})
    assert list(table["location_id"]) == ["a"] and list(table["row"]) == [2]
    assert validate(table, *read_cycles(dataset), 1.0).scores["n"].to_list() == [1, 1]


def test_the_nearest_location_counts_across_the_antimeridian() -> None:
    field = pd.DataFrame(
        {"row": [2], "location_id": [""], "lon": [-179.999], "lat": [0.0], "metric": ["peak"],
         "date": [18000.0], "sigma": [np.nan], "season_rank": [np.nan]}
    )  # fmt: skip
    cycles = pd.DataFrame([cycle("c", 0, 17940)])
    assert validate(field, LOCATIONS, cycles, 0.3).scores["n"].to_list() == [1, 1]
    assert validate(field, LOCATIONS, cycles, 0.2).unpaired["too_far"] == 1


def test_a_stated_season_is_compared_with_its_own_cycles(dataset: Path, tmp_path: Path) -> None:
    text = "location_id,metric,date,season_rank\n" + "".join(
        f"b,greenup,{day(18070)},{rank}\n" for rank in ("", 0, 1)
    )
    result = validate(observed(tmp_path, text), *read_cycles(dataset), 1.0)
    assert list(result.pairs["error_days"]) == [50, -70, 50]


@given(shift=st.integers(-89, 89), year=st.integers(0, 2), metric=st.sampled_from(METRICS))
def test_the_error_is_dataset_minus_field(shift: int, year: int, metric: str) -> None:
    row = {"row": [2], "location_id": ["a"], "lon": [np.nan], "lat": [np.nan], "metric": [metric]}
    date = 18000 + 365 * year + 20 * METRICS.index(metric) - shift
    field = pd.DataFrame(row | {"date": [float(date)], "sigma": [np.nan], "season_rank": [np.nan]})
    result = validate(field, LOCATIONS, CYCLES, 1.0)
    assert result.scores["bias_days"].to_list() == [shift, shift]
    assert result.pairs["cycle"].to_list() == [year]


def test_own_names_of_columns_and_metrics(dataset: Path, tmp_path: Path) -> None:
    long = f"plot,phase,seen\na,budburst,{day(18002)}\na,peak,{day(18061)}\n"
    wide = f"plot,budburst,peak,err\na,{day(18002)},{day(18061)},2\na,,,\n"
    (tmp_path / "long.csv").write_text(long)
    (tmp_path / "wide.csv").write_text(wide)
    names = ["plot=location_id", "budburst=greenup"]
    for file, more in (("long.csv", ["phase=metric", "seen=date"]), ("wide.csv", ["err=greenup_sigma"])):
        options = [part for name in names + more for part in ("--name", name)]
        code, printed = check(dataset, str(tmp_path / file), *options)
        assert code == 0, printed
        rows = {line.split()[0]: line.split()[1:4] for line in printed.splitlines() if line.strip()}
        assert rows["greenup"] == ["1", "-2.0", "2.0"]
        assert rows["peak"] == ["1", "-1.0", "1.0"]
    wide_dates = read_field_dates(tmp_path / "wide.csv", parse_names([*names, "err=greenup_sigma"]))
    assert wide_dates["sigma"].to_list()[0] == 2 and wide_dates["date"].notna().sum() == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("location_id,metric,date\na,bloom,2021-05-01\n", r"line 2: metric must be one of .* got 'bloom'"),
        ("location_id,metric,date\na,peak,1.5.2021\n", "date must be a date like 2021-06-30"),
        ("metric,date\npeak,2021-05-01\n", "no column 'lon' and no column 'lat'"),
        ("location_id,bloom\na,2021-05-01\n", "neither columns metric and date nor one of dates"),
        ("location_id,metric\na,peak\n", "no column 'date'; its columns are: location_id, metric$"),
        ("location_id,peak,greenup\na,,2021-05-01\nb,,5\n", "point 2: greenup must be a date"),
        ("location_id,metric,date,sigma\na,peak,2021-05-01,-1\n", "line 2: sigma must be a number from 0"),
        ("", "No columns to parse"),
        ("lon,lat,metric,date\n200,5,peak,2021-05-01\n", "line 2: lon must be a number from -180 to 180"),
        ("location_id,metric,date,sigma\na,peak,2021-05-01,wide\n", "sigma must be a number from 0 to 366"),
        ("location_id;metric;date\na;peak;2021-05-01\n", "not separated by commas"),
        ("location_id,metric,date\n", "holds no observation"),
    ],
)
def test_files_that_cannot_be_used_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        observed(tmp_path, text)


def test_wrong_usage_is_said_plainly(dataset: Path, tmp_path: Path) -> None:
    field = tmp_path / "field.csv"
    code, printed = check(dataset, str(field))
    assert code == 1 and "no file of observations" in printed
    field.write_text(f"location_id,metric,date\na,peak,{day(18060)}\n")
    code, printed = check(dataset, str(field), "--name", "phase")
    assert code == 2 and "THEIRS=OURS" in printed
    code, printed = check(dataset, str(field), "--to", str(field))
    assert code == 2 and "nothing is overwritten" in printed
    code, printed = check(dataset, str(field), "--to", str(tmp_path / "nowhere" / "pairs.csv"))
    assert code == 2 and "lies in no folder that is there" in printed
    code, printed = check(tmp_path / "absent", str(field))
    assert code == 1 and "`ssl4eco build CONFIG --until phenology`" in printed
    with pytest.raises(StoreError, match="has no"):
        read_cycles(tmp_path)


def test_a_built_dataset_agrees_with_its_own_dates(built_config: Path, tmp_path: Path) -> None:
    root = built_config.parent / "dataset"
    locations, cycles = read_cycles(root)
    located = cycles.merge(locations, on="location_id")
    own = located[["lon", "lat"]].assign(metric="greenup")
    own["date"] = [day(round(greenup)) for greenup in located["greenup"]]
    own.to_csv(tmp_path / "own.csv", index=False)
    code, printed = check(root, str(tmp_path / "own.csv"))
    assert code == 0, printed
    row = next(line.split() for line in printed.splitlines() if line.startswith("all"))
    assert int(row[1]) == len(cycles) and abs(float(row[2])) < 0.6
