"""Columns of the user's tables as they were meant: text stays text, numbers are numbers, dates are days."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from pandas.errors import ParserWarning

from ssl4eco_data.errors import ConfigError

MISSING = ("", "NA", "NaN", "nan", "null", "None")
"""No value in a column of numbers; in a column of text only the empty one is none (NA is the Nearctic)."""
_DATE = r"\d{4}-\d{2}-\d{2}(?:[T ].*)?|\d{8}"
_YEARS = (1900, 2200)


def read_csv(path: str) -> pd.DataFrame:
    """All columns of a CSV (UTF-8, commas) as text, as written.

    Raises :class:`~ssl4eco_data.errors.ConfigError` for rows with more fields than the header, and for
    another separator.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ParserWarning)
            table = pd.read_csv(
                path, dtype="str", keep_default_na=False, index_col=False, encoding="utf-8-sig"
            )
    except (ParserWarning, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(
            f"cannot read {path}: {str(error).strip()}; it must be UTF-8 with commas, each row as long "
            "as the header"
        ) from error
    if len(table.columns) == 1 and any(mark in str(table.columns[0]) for mark in ";\t"):
        raise ConfigError(f"the columns of {path} are not separated by commas: {table.columns[0]!r}")
    return table


def check_columns(path: str, frame: pd.DataFrame, wanted: Sequence[str]) -> None:
    """Raise :class:`~ssl4eco_data.errors.ConfigError` for an absent column, naming those that are there."""
    absent = [name for name in wanted if name not in frame.columns]
    if absent:
        known = ", ".join(str(c) for c in frame.columns)
        lacks = " and no column ".join(map(repr, absent))
        raise ConfigError(f"{path} has no column {lacks}; its columns are: {known}")


def as_text(column: pd.Series[Any]) -> pd.Series[Any]:
    """Values as a person writes them: whole numbers without a point; missing and empty ones are missing."""
    if pd.api.types.is_float_dtype(column.dtype) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    text = column.astype("str").str.strip()
    return text.where(column.notna() & (text != ""))


def typed(path: str, frame: pd.DataFrame, date_fields: Sequence[str]) -> pd.DataFrame:
    """Columns with one type each, which a table on disk can hold; ``date_fields`` as datetime64 days.

    Text that is all numbers becomes numbers, unless one has a leading zero: that is a code. Values of mixed
    type become text, geometries WKT. Raises :class:`~ssl4eco_data.errors.ConfigError` for what is no date.
    """
    named = frame.set_axis([str(name) for name in frame.columns], axis=1)
    columns = {
        str(name): dates(path, str(name), column) if name in date_fields else _one_type(column)
        for name, column in named.items()
    }
    return pd.DataFrame(columns, index=frame.index)


def _one_type(column: pd.Series[Any]) -> pd.Series[Any]:
    if isinstance(column.dtype, gpd.array.GeometryDtype):
        wkt: pd.Series[Any] = gpd.GeoSeries(column).to_wkt().astype("str")
        return wkt
    if not (column.dtype == object or isinstance(column.dtype, pd.StringDtype)):
        return column
    text = as_text(column)
    if column.dtype == object and not column.dropna().map(lambda value: isinstance(value, str)).all():
        return text
    given = text.where(~text.isin(MISSING))
    numbers = pd.to_numeric(given, errors="coerce")
    is_number = given.notna().any() and (numbers.notna() | given.isna()).all()
    is_code = given.str.match(r"[+-]?0\d").fillna(False).any()
    return numbers if is_number and not is_code else text


def dates(path: str, name: str, column: pd.Series[Any]) -> pd.Series[Any]:
    """Whole days (datetime64[ms]), UTC, NaT where empty; a time of day is cut off."""
    text = as_text(column)
    formed = text.where(text.str.fullmatch(_DATE).fillna(False))
    days = pd.to_datetime(formed, format="ISO8601", errors="coerce", utc=True)
    days = days.where(days.dt.year.between(*_YEARS))
    wrong = (days.isna() & text.notna() & ~text.isin(MISSING)).to_numpy(bool)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ConfigError(
            f"{path}, point {row + 1}: {name} must be a date like 2021-06-30 of the years {_YEARS[0]} to "
            f"{_YEARS[1]}, got {text.iloc[row]!r} ({int(wrong.sum())} such points)"
        )
    return days.dt.tz_localize(None).dt.normalize().astype("datetime64[ms]")
