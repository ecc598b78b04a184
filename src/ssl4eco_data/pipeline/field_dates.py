"""Dates that people observed in the field, as one row per place, metric and date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations.columns import MISSING, as_text, check_columns, dates, read_csv
from ssl4eco_data.types import METRICS

COLUMNS = ("location_id", "lon", "lat", "metric", "date", "sigma", "season_rank")


def parse_names(pairs: Sequence[str]) -> dict[str, str]:
    """Their name to ours, from ``THEIRS=OURS``; ``ValueError`` for what is no such pair."""
    names: dict[str, str] = {}
    for pair in pairs:
        theirs, sign, ours = pair.partition("=")
        if not (sign and theirs.strip() and ours.strip()):
            raise ValueError(f"--name must be THEIRS=OURS such as budburst=greenup, got {pair!r}")
        names[theirs.strip()] = ours.strip()
    return names


def read_field_dates(path: Path, names: Mapping[str, str]) -> pd.DataFrame:
    """``row`` (line of the file), place, ``metric``, ``date`` (days since 1970-01-01), ``sigma`` (days).

    The CSV names places by ``location_id`` or by ``lon`` and ``lat``, and has ``metric`` and ``date``, or a
    column of dates for each metric; ``sigma`` (with columns of dates ``<metric>_sigma``), the standard
    deviation of a date in days, and ``season_rank`` (0 the dominant season, 1 the second) are optional.
    ``names`` renames columns and values of ``metric`` to ours. An empty date is NaN. Missing places' columns
    are empty or NaN. Raises :class:`~ssl4eco_data.errors.ConfigError` for a file or column that is missing,
    an unknown metric, what is no date, and numbers that cannot be; NA and the like are no number. Rows that
    are equal are kept: several plants of one place may open their leaves on one day.
    """
    if not path.is_file():
        raise ConfigError(f"no file of observations {path}")
    table = read_csv(str(path)).rename(columns=dict(names))
    _check_names(path, table)
    if table.empty:
        raise ConfigError(f"{path} holds no observation")
    if "location_id" not in table.columns:
        check_columns(str(path), table, ["lon", "lat"])
    table = _long(path, table.set_axis(np.arange(len(table)) + 2).rename_axis("row"), names).reset_index()
    absent = pd.Series("", index=table.index)
    rank = _numbers(path, table, "season_rank", 0, 1)
    ids = as_text(table.get("location_id", absent)).fillna("")
    return pd.DataFrame(
        {
            "row": table["row"],
            "location_id": ids,
            "lon": _numbers(path, table, "lon", -180, 180),
            "lat": _numbers(path, table, "lat", -90, 90),
            "metric": table["metric"],
            "date": (table["date"] - pd.Timestamp(0)) / pd.Timedelta(days=1),
            "sigma": _numbers(path, table, "sigma", 0, 366),
            "season_rank": rank,
        }
    )


def _check_names(path: Path, table: pd.DataFrame) -> None:
    repeated = sorted(set(table.columns[table.columns.duplicated()]))
    if repeated:
        raise ConfigError(f"{path} has two columns {', '.join(repeated)} after --name; leave one of them out")


def _long(path: Path, table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """One row per date, by row of the file, with ``metric`` (ours) and ``date`` as timestamps."""
    if "metric" in table.columns:
        check_columns(str(path), table, ["date"])
        written = table["metric"].str.strip()
        table = table.assign(metric=written.map(lambda name: names.get(name, name)))
        unknown = ~table["metric"].isin(METRICS)
        if unknown.any():
            first = table[unknown].iloc[0]
            raise ConfigError(
                f"{path}, line {first.name}: metric must be one of {', '.join(METRICS)}, got "
                f"{first['metric']!r} ({int(unknown.sum())} such rows); --name {first['metric']}=greenup "
                "says what it is here"
            )
        return table.assign(date=dates(str(path), "date", table["date"]))
    present = [metric for metric in METRICS if metric in table.columns]
    if not present:
        raise ConfigError(
            f"{path} has neither columns metric and date nor one of dates named after a metric "
            f"({', '.join(METRICS)}); its columns are: {', '.join(table.columns)}; "
            "--name THEIRS=OURS renames one"
        )
    places = [name for name in ("location_id", "lon", "lat", "season_rank") if name in table.columns]
    parts = []
    for metric in present:
        sigma = f"{metric}_sigma"
        given = {"date": metric} | ({"sigma": sigma} if sigma in table.columns else {})
        own = table[places + list(given.values())].rename(columns={v: k for k, v in given.items()})
        parts.append(own.assign(metric=metric, date=dates(str(path), metric, own["date"])))
    return pd.concat(parts).sort_index(kind="stable")


def _numbers(path: Path, table: pd.DataFrame, name: str, low: float, high: float) -> pd.Series[Any]:
    """A column of numbers, NaN where it is empty or absent."""
    if name not in table.columns:
        return pd.Series(np.nan, index=table.index)
    text = as_text(table[name])
    numbers = pd.to_numeric(text, errors="coerce")
    wrong = text.notna() & ~text.isin(MISSING) & ~numbers.between(low, high)
    if wrong.any():
        first = table[wrong].iloc[0]
        raise ConfigError(
            f"{path}, line {first['row']}: {name} must be a number from {low:g} to {high:g}, got "
            f"{first[name]!r} ({int(wrong.sum())} such rows)"
        )
    return numbers
