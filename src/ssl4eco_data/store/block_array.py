"""Any xarray Dataset as a small Zarr v3 group with deterministic bytes: one chunk per array."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ssl4eco_data.store.arrays import SmallArray, decode, of_any_type, write_arrays
from ssl4eco_data.store.metadata import FORMAT_VERSION
from ssl4eco_data.store.objects import Place, zarr_store


def write_dataset_block(path: Place, dataset: xr.Dataset) -> list[Place]:
    """Write a dataset as the Zarr group ``path``; the files, sorted.

    Text labels of a dimension become codes, those of ``location`` the array ``location_id``; times become
    milliseconds. Raises ``ValueError`` for a type the store has no form for, :class:`StoreError` when the
    disk does not take a file.
    """
    attributes = {"ssl4eco_format_version": FORMAT_VERSION, **_plain(dataset.attrs)}
    arrays = [
        _small(str(name), variable) for name, variable in sorted(dataset.variables.items(), key=_by_name)
    ]
    coordinates = sorted({_stored_name(str(c)) for c in dataset.coords} - set(map(str, dataset.dims)))
    if coordinates:
        attributes["coordinates"] = " ".join(coordinates)
    return write_arrays(path, attributes, arrays)


def read_dataset_block(path: Place) -> xr.Dataset:
    """The dataset that :func:`write_dataset_block` wrote, in memory, labels decoded."""
    dataset = decode(xr.open_zarr(zarr_store(path), chunks=None)).load()
    if "location_id" in dataset.variables:
        dataset = dataset.assign_coords(location=("location", dataset["location_id"].to_numpy()))
        dataset = dataset.drop_vars("location_id")
    return dataset


def _by_name(item: tuple[Any, xr.Variable]) -> str:
    return str(item[0])


def _stored_name(name: str) -> str:
    return "location_id" if name == "location" else name


def _small(name: str, variable: xr.Variable) -> SmallArray:
    values = np.asarray(variable.to_numpy())
    dims = [str(dim) for dim in variable.dims]
    attributes = _plain(variable.attrs)
    return of_any_type(_stored_name(name), dims, values, attributes, unique_text=name == "location")


def _plain(attributes: dict[Any, Any]) -> dict[str, Any]:
    """Attributes without NumPy types, in the order of their names."""
    plain = {
        str(k): v.tolist() if isinstance(v, (np.ndarray, np.generic)) else v for k, v in attributes.items()
    }
    return dict(sorted(plain.items()))
