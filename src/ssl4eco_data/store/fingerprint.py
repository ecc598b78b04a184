"""One hash of parameters and tables, the same on every machine and under every library version."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from pydantic import BaseModel


def fingerprint(*parts: Any) -> str:
    """SHA-256 (hexadecimal) of values: SHA-256 over their canonical JSON.

    Takes ``None``, bool, int, float (exact), str, dates, sequences, sets and mappings (their order does not
    matter), pydantic models, NumPy arrays, pandas tables and columns (types and values in order; the
    index does not count, nor does which of pandas' text types a column has). Raises ``TypeError`` for
    anything else.
    """
    return _sha256(json.dumps([_canonical(part) for part in parts], separators=(",", ":")).encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _canonical(value: Any) -> Any:
    """JSON in which two values are equal only when they are the same value of the same kind."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return {"float": "nan" if math.isnan(value) else value.hex()}
    if isinstance(value, (date, datetime)):
        return {type(value).__name__: value.isoformat()}
    return _canonical_container(value)


def _canonical_container(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {"model": _canonical(value.model_dump())}
    if isinstance(value, Mapping):
        pairs = [[_canonical(key), _canonical(item)] for key, item in value.items()]
        return {"map": sorted(pairs, key=json.dumps)}
    if isinstance(value, pd.DataFrame):
        return {"table": [[str(name), _canonical(value[name])] for name in value.columns]}
    if isinstance(value, (pd.Series, pd.Index)):
        return _column(pd.Series(value))
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, Set):
        return {"set": sorted((_canonical(item) for item in value), key=json.dumps)}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [_canonical(item) for item in value]
    raise TypeError(f"cannot take a fingerprint of {type(value).__name__}: {value!r:.100}")


def _array(values: npt.NDArray[Any]) -> Any:
    if values.dtype.kind in "OUST":
        return {
            "objects": [_canonical(item) for item in values.ravel().tolist()],
            "shape": list(values.shape),
        }
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    plain = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return {"dtype": plain.dtype.str, "shape": list(values.shape), "sha256": _sha256(plain.tobytes())}


def _column(column: pd.Series[Any]) -> Any:
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return _array(column.to_numpy())
    if pd.api.types.is_datetime64_any_dtype(dtype):
        zone = getattr(dtype, "tz", None)
        moments = column.dt.tz_convert("UTC").dt.tz_localize(None) if zone is not None else column
        nanoseconds = moments.astype("datetime64[ns]").to_numpy().view("int64")
        return {"time": _array(nanoseconds), "zone": zone is not None}
    if dtype.name == "geometry":
        return {"wkb": _sha256(b"".join(_sized(g) for g in shapely.to_wkb(column.to_numpy(), byte_order=1)))}
    missing = column.isna().to_numpy()
    items = column.astype(object).to_numpy()
    return {"objects": [None if gone else _canonical(i) for i, gone in zip(items, missing, strict=True)]}


def _sized(item: bytes | None) -> bytes:
    """With its length before it, so that neighbours cannot trade bytes."""
    return b"-" if item is None else len(item).to_bytes(8, "little") + item
