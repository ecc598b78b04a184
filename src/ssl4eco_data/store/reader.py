"""Opening a dataset for analysis: an xarray Dataset with labels, lazy, and what it holds in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr

from ssl4eco_data.errors import StoreError
from ssl4eco_data.imports import need_for_analysis
from ssl4eco_data.store.arrays import decode
from ssl4eco_data.store.objects import Place, zarr_store
from ssl4eco_data.store.pixels import lazy_patches
from ssl4eco_data.store.schema import ARRAYS, GROUP
from ssl4eco_data.store.shard_array import patches_store
from ssl4eco_data.store.supported import refuse_unreadable


def open_dataset(root: str | Place, *, chunks: Mapping[str, int] | None = None) -> xr.Dataset:
    """The patches of a dataset, with every label decoded; pixels are read when they are asked for.

    ``root`` is the folder or URL of the dataset, or of its ``patches.zarr``. Variables ``r10``, ``r20``,
    ``r60`` ``(location, season, band_*, y_*, x_*)`` uint16 reflectance x 10 000 with 0 = no data, ``scl``
    uint8; everything known of a location or a season is a coordinate. Coordinate ``location`` holds the
    location ids. With ``chunks`` (needs dask) the arrays are dask arrays: ``{}`` makes each patch a chunk,
    ``{"location": 64}`` puts 64 locations into one. Raises
    :class:`~ssl4eco_data.errors.StoreError` when there is no closed dataset, a newer format or an unknown
    codec; ``ValueError`` for chunks that are no mapping of known dimensions to lengths;
    :class:`~ssl4eco_data.errors.MissingPackageError` for chunks without dask, an address without obstore.
    """
    if chunks is not None:
        need_for_analysis("dask", "open_dataset with chunks")
    place = patches_store(root)
    refuse_unreadable(place)
    try:
        dataset, lazy = _opened(place)
    except (LookupError, TypeError, ValueError, AttributeError, OSError, OverflowError) as error:
        raise StoreError(
            f"{place} cannot be opened ({error!r}): ssl4eco check names what is damaged"
        ) from error
    return dataset if chunks is None else _chunked(dataset, lazy, chunks)


def _opened(place: Place) -> tuple[xr.Dataset, list[str]]:
    """(the dataset, the names of its arrays of patches); raises whatever damaged metadata lead to."""
    dataset = decode(xr.open_zarr(zarr_store(place), group=GROUP, chunks=None, consolidated=True))
    chosen = np.asarray(dataset["scene_id"].to_numpy() != "", dtype=np.bool_)
    lazy = {
        n: lazy_patches(place, n, dataset[n].dims, dataset[n].attrs, chosen) for n in ARRAYS if n in dataset
    }
    located = dataset.assign(lazy).assign_coords(location=("location", dataset["location_id"].to_numpy()))
    return located, list(lazy)


def describe_dataset(root: str | Place) -> Iterator[tuple[str, str]]:
    """Names and values that tell a person what a dataset holds."""
    dataset = open_dataset(root)
    yield "title", str(dataset.attrs["title"])
    yield "format", f"version {dataset.attrs['ssl4eco_format_version']}"
    yield "locations", f"{dataset.sizes['location']}"
    yield "seasons", ", ".join(dataset["season"].to_numpy())
    yield "patch", f"{dataset.attrs['size_m']:g} m a side"
    for name in ("r10", "r20", "r60", "scl"):
        if name in dataset:
            array = dataset[name]
            bands = ", ".join(array.attrs.get("bands", ["scene classification"]))
            yield name, f"{array.attrs['pixel_m']} m, {array.sizes[array.dims[-1]]} px: {bands}"
    chosen = dataset["scene_id"] != ""
    total = dataset.sizes["location"] * dataset.sizes["season"]
    yield "patches", f"{int(chosen.sum())} of {total}"
    if bool(chosen.any()):
        time = dataset["time"].to_numpy()[chosen.to_numpy()]
        yield (
            "period",
            f"{np.datetime_as_string(time.min(), 'D')} to {np.datetime_as_string(time.max(), 'D')}",
        )
    names = sorted(str(name) for name in dataset.coords if name not in dataset.dims)
    yield "coordinates", ", ".join(names)
    yield "licence", str(dataset.attrs["license"])
    yield "attribution", str(dataset.attrs["attribution"])


def _chunked(dataset: xr.Dataset, names: Sequence[str], chunks: Mapping[str, int]) -> xr.Dataset:
    lengths = chunks.values() if isinstance(chunks, Mapping) else [0]
    if not all(isinstance(n, int) and (n > 0 or n == -1) for n in lengths):
        raise ValueError(f'chunks must be lengths by dimension, such as {{"location": 64}}, got {chunks!r}')
    known = {str(dim) for name in names for dim in dataset[name].dims}
    if unknown := [dim for dim in chunks if dim not in known]:
        raise ValueError(f"chunks must be along {', '.join(sorted(known))}, got {unknown[0]!r}")
    sizes = {"location": 1, "season": 1, **chunks}
    return dataset.assign(
        {
            name: dataset[name].chunk({dim: n for dim, n in sizes.items() if dim in dataset[name].dims})
            for name in names
        }
    )
