"""Small whole arrays, one chunk each, and the types Zarr v3 has no settled form for: text and time.

Text with a value of its own per row is UTF-8 in fixed-width uint8 (attribute ``text``); other text is
int16 codes into the attribute ``labels`` (-1: none); times are int64 milliseconds in CF units.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from ssl4eco_data.store.descriptions import flags
from ssl4eco_data.store.files import remove, write_atomic
from ssl4eco_data.store.metadata import DOCUMENT, ArraySpec, group_document, to_bytes
from ssl4eco_data.store.objects import Place

TEXT, LABELS = "text", "labels"
FLAGS = ("flag_values", "flag_meanings")
"""The labels again, as CF has them: one word each."""
NO_TIME = np.iinfo(np.int64).min
TIME_UNITS = "milliseconds since 1970-01-01"
Values = npt.NDArray[Any]


class SmallArray(NamedTuple):
    """An array's metadata and values, ready to be written."""

    spec: ArraySpec
    content: Values

    @property
    def name(self) -> str:
        """Name of the array."""
        return self.spec.name


def numbers(name: str, dims: Sequence[str], values: Values, attributes: Mapping[str, Any]) -> SmallArray:
    """An array of numbers or truth values; missing floats are NaN."""
    fill = np.nan if values.dtype.kind == "f" else False if values.dtype.kind == "b" else 0
    spec = ArraySpec(
        name=name,
        dims=tuple(dims),
        shape=values.shape,
        chunk_shape=tuple(max(1, n) for n in values.shape),
        dtype=values.dtype.name,
        fill_value=fill,
        attributes=attributes,
    )
    return SmallArray(spec, values)


def text(name: str, dims: Sequence[str], values: Values, attributes: Mapping[str, Any]) -> SmallArray:
    """Fixed-width UTF-8 with one more dimension ``NAME_byte``; missing text is empty."""
    encoded = [b"" if pd.isna(v) else str(v).encode() for v in values.ravel()]
    width = max([1, *map(len, encoded)])
    table = np.array(encoded, dtype=f"S{width}").view(np.uint8).reshape(*values.shape, width)
    return numbers(name, (*dims, f"{name}_byte"), table, {**attributes, TEXT: "utf-8"})


def codes(name: str, dims: Sequence[str], values: Values, attributes: Mapping[str, Any]) -> SmallArray:
    """Codes into the sorted labels that occur; missing text is -1."""
    present = sorted({str(v) for v in values.ravel() if not pd.isna(v)})
    return codes_into(name, dims, values, present, attributes)


def codes_into(
    name: str, dims: Sequence[str], values: Values, labels: Sequence[str], attributes: Mapping[str, Any]
) -> SmallArray:
    """Codes into these labels, in their order. Raises ``ValueError`` when int16 cannot number them."""
    if len(labels) > np.iinfo(np.int16).max:
        raise ValueError(f"{name} has {len(labels)} different labels, at most 32767 can be numbered")
    place = {label: i for i, label in enumerate(labels)}
    flat = [-1 if pd.isna(v) else place[str(v)] for v in values.ravel()]
    table = np.array(flat, dtype=np.int16).reshape(values.shape)
    return numbers(name, dims, table, {**attributes, LABELS: list(labels), **flags(labels)})


def times(name: str, dims: Sequence[str], values: Values, attributes: Mapping[str, Any]) -> SmallArray:
    """Times (UTC) as int64 milliseconds; missing ones are the smallest int64."""
    milliseconds = values.astype("datetime64[ms]").astype(np.int64)
    cf = {"units": TIME_UNITS, "calendar": "proleptic_gregorian", "_FillValue": int(NO_TIME)}
    return numbers(name, dims, milliseconds, {**attributes, **cf})


def of_any_type(
    name: str,
    dims: Sequence[str],
    values: Values,
    attributes: Mapping[str, Any],
    *,
    unique_text: bool = False,
) -> SmallArray:
    """The form that fits the values' type; text as codes unless ``unique_text``."""
    if values.dtype.kind == "M":
        return times(name, dims, values, attributes)
    if values.dtype.kind in "OUT":
        return (text if unique_text else codes)(name, dims, values, attributes)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} has type {values.dtype}, which the store has no form for")
    return numbers(name, dims, values, attributes)


def write_arrays(group: Place, attributes: Mapping[str, Any], small: Iterable[SmallArray]) -> list[Place]:
    """Write a group of small arrays with consolidated metadata; the files, sorted."""
    arrays = list(small)
    files = [path for array in arrays for path in write_array(group, array)]
    document = group / DOCUMENT
    inside = {array.name: array.spec.document() for array in arrays}
    write_atomic(document, to_bytes(group_document(attributes, inside)))
    return sorted([*files, document])


def write_array(group: Place, array: SmallArray) -> list[Place]:
    """Write a small array's one chunk, then its metadata; the files."""
    chunk = group / array.spec.key(*[0] * array.content.ndim)
    document = group / array.name / DOCUMENT
    if array.content.size:
        write_atomic(chunk, array.spec.codec.encode(array.content))
    else:
        remove(chunk)
    write_atomic(document, to_bytes(array.spec.document()))
    return [chunk, document] if array.content.size else [document]


def decode(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with text and labels in place of bytes and codes, dimension names kept."""
    decoded = {}
    for name, variable in dataset.variables.items():
        coded = (TEXT, LABELS, *FLAGS) if LABELS in variable.attrs else (TEXT,)
        attributes = {k: v for k, v in variable.attrs.items() if k not in coded}
        if variable.attrs.get(TEXT) == "utf-8":
            decoded[name] = (variable.dims[:-1], _texts(variable.to_numpy()), attributes)
        elif LABELS in variable.attrs:
            table = np.array([*variable.attrs[LABELS], ""], dtype=object)
            decoded[name] = (variable.dims, table[variable.to_numpy()], attributes)
    return dataset.assign({k: v for k, v in decoded.items() if k in dataset.data_vars}).assign_coords(
        {k: v for k, v in decoded.items() if k in dataset.coords}
    )


def _texts(table: Values) -> Values:
    plain = np.ascontiguousarray(table).view(f"S{table.shape[-1]}")[..., 0]
    texts = [item.decode() for item in plain.ravel().tolist()]
    return np.array(texts, dtype=object).reshape(plain.shape)
