"""The small arrays beside the patches: who, where, when and why; written once, from the whole tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ssl4eco_data.store.arrays import SmallArray, Values, codes_into, numbers, of_any_type, write_array
from ssl4eco_data.store.descriptions import described
from ssl4eco_data.store.files import write_atomic
from ssl4eco_data.store.metadata import DOCUMENT, FORMAT_VERSION, group_document, to_bytes
from ssl4eco_data.store.objects import Place
from ssl4eco_data.store.schema import GROUP, Layout
from ssl4eco_data.types import METRICS

UNREADABLE = "unreadable"
"""The reason of a season whose scene was chosen and could not be read."""
_IDENTIFIERS = ("location_id", "scene_id", "phenology_source_id")


def write_coordinates(
    root: Place,
    layout: Layout,
    *,
    locations: pd.DataFrame,
    phenology: pd.DataFrame,
    choices: pd.DataFrame,
) -> list[Place]:
    """Write every small array and the groups' metadata into the Zarr store ``root``; the files, sorted.

    ``locations`` and ``phenology`` have one row per location (``phenology`` in any order), ``choices``
    one per location and season, with ``failure`` where a chosen scene could not be read. Afterwards
    ``xarray.open_zarr(root, group="sentinel2")`` finds everything. Raises ``ValueError`` for tables that
    do not fit the layout.
    """
    ids = locations["location_id"].astype(str)
    if len(ids) != layout.n_locations or ids.duplicated().any():
        raise ValueError(f"locations must be {layout.n_locations} different rows, got {len(ids)}")
    small = [
        *_axes(layout),
        *_per_location(locations.drop(columns="geometry", errors="ignore")),
        *_per_location(_renamed(phenology, layout, ids)),
        *_per_season(_without_unreadable(choices), layout, ids),
    ]
    _refuse_repeats(small)
    files = [path for array in small for path in write_array(root / GROUP, array)]
    return sorted([*files, *_write_groups(root, layout, small)])


def _write_groups(root: Place, layout: Layout, small: list[SmallArray]) -> list[Place]:
    """The metadata of both groups, each with everything below it consolidated."""
    axes = {dim for array in layout.arrays for dim in array.dims}
    coordinates = " ".join(sorted(array.name for array in small if array.name not in axes))
    attributes = {**layout.attributes(), "coordinates": coordinates}
    inside = {spec.name: spec.document() for spec in (*layout.arrays, *(array.spec for array in small))}
    below = {f"{GROUP}/{name}": document for name, document in inside.items()}
    top = group_document(
        {"ssl4eco_format_version": FORMAT_VERSION}, {GROUP: group_document(attributes), **below}
    )
    write_atomic(root / GROUP / DOCUMENT, to_bytes(group_document(attributes, inside)))
    write_atomic(root / DOCUMENT, to_bytes(top))
    return [root / GROUP / DOCUMENT, root / DOCUMENT]


def _axes(layout: Layout) -> Iterator[SmallArray]:
    """Labels of seasons and bands; pixel centres in metres from the patch's north-west corner."""
    seasons = np.array(layout.seasons, dtype=object)
    yield codes_into("season", ("season",), seasons, layout.seasons, {"long_name": "season"})
    for array in layout.arrays:
        pixel_m = int(array.attributes["pixel_m"])
        if f"band_{pixel_m}m" in array.dims:
            name = f"band_{pixel_m}m"
            labels = np.array(array.bands, dtype=object)
            yield codes_into(name, (name,), labels, array.bands, {"long_name": f"band at {pixel_m} m"})
    for pixel_m in sorted({int(array.attributes["pixel_m"]) for array in layout.arrays}):
        yield from _pixel_centres(layout.size_px(pixel_m), pixel_m)


def _pixel_centres(size_px: int, pixel_m: int) -> Iterator[SmallArray]:
    centres = (np.arange(size_px) + 0.5) * pixel_m
    suffix = "_60m" if pixel_m == 60 else ""
    for axis, values, origin in (("x", centres, "west"), ("y", -centres, "north")):
        name = f"{axis}_{pixel_m}m"
        yield numbers(
            name, (name,), values, {"units": "m", "long_name": f"pixel centre; add {origin}{suffix}"}
        )


def _renamed(phenology: pd.DataFrame, layout: Layout, ids: pd.Series[Any]) -> pd.DataFrame:
    """In the order of the locations, with names that say what they belong to."""
    aligned = phenology.set_index(phenology["location_id"].astype(str)).drop(columns="location_id")
    if aligned.index.duplicated().any() or not ids.isin(aligned.index).all():
        raise ValueError("phenology must have exactly one row for each location")
    own = (*METRICS, *layout.seasons)

    def name(column: str) -> str:
        if column.removesuffix("_day") in METRICS:
            return column.removesuffix("_day")
        return column if column.startswith(own) else f"phenology_{column}"

    return aligned.loc[ids].rename(columns=name)


def _without_unreadable(choices: pd.DataFrame) -> pd.DataFrame:
    """A chosen scene that could not be read is none, and ``reason`` says so."""
    if "failure" not in choices:
        return choices
    failed = choices["failure"].fillna("").astype(str) != ""
    rest = choices.drop(columns="failure")
    return rest.assign(
        scene_id=rest["scene_id"].astype(object).mask(failed, None),
        time=rest["time"].mask(failed),
        reason=rest["reason"].astype(object).mask(failed, UNREADABLE),
    )


def _per_location(table: pd.DataFrame) -> Iterator[SmallArray]:
    for name in map(str, table.columns):
        yield _small(name, ("location",), _values(table[name]))


def _per_season(choices: pd.DataFrame, layout: Layout, ids: pd.Series[Any]) -> Iterator[SmallArray]:
    keys = pd.MultiIndex.from_arrays([choices["location_id"].astype(str), choices["season"].astype(str)])
    wanted = pd.MultiIndex.from_product([ids, layout.seasons])
    if keys.duplicated().any() or len(keys.difference(wanted)):
        raise ValueError("choices must have at most one row per location and season of the layout")
    table = choices.drop(columns=["location_id", "season"]).set_axis(keys).reindex(wanted)
    shape = (len(ids), len(layout.seasons))
    for name in map(str, table.columns):
        yield _small(name, ("location", "season"), _values(table[name]).reshape(shape))


def _values(column: pd.Series[Any]) -> Values:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    if isinstance(column.dtype, np.dtype):
        return column.to_numpy()
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return column.astype(object).to_numpy()


def _small(name: str, dims: tuple[str, ...], values: Values) -> SmallArray:
    return of_any_type(name, dims, values, described(name), unique_text=name in _IDENTIFIERS)


def _refuse_repeats(small: list[SmallArray]) -> None:
    names = [array.name for array in small]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"two tables have a column {', '.join(repeated)}; rename one")
