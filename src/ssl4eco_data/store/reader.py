"""Reading a dataset for analysis: an xarray Dataset with labels, one location as a map, NDVI."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import xarray as xr
import zarr

from ssl4eco_data.bands import BANDS, REFLECTANCE_BANDS
from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.arrays import decode
from ssl4eco_data.store.metadata import FORMAT_VERSION
from ssl4eco_data.store.schema import GROUP, RESOLUTIONS_M

PATCHES = "patches.zarr"


def open_dataset(root: str | Path, *, chunks: dict[str, int] | None = None) -> xr.Dataset:
    """The patches of a dataset, with every label decoded; pixels are read when they are asked for.

    ``root`` is the folder or URL of the dataset, or of its ``patches.zarr``. Variables ``r10``, ``r20``,
    ``r60`` ``(location, season, band_*, y_*, x_*)`` uint16 reflectance x 10 000 with 0 = no data, ``scl``
    uint8; everything known of a location or a season is a coordinate. Coordinate ``location`` holds the
    location ids. With ``chunks`` (needs dask) the arrays are dask arrays; read one (location, season) at a
    time for speed. Raises :class:`StoreError` when there is no closed dataset, or a newer format.
    """
    store = _patches_store(root)
    _check_version(store)
    dataset = xr.open_zarr(store, group=GROUP, chunks=chunks, consolidated=True)
    decoded = decode(dataset)
    return decoded.assign_coords(location=("location", decoded["location_id"].to_numpy()))


def patch(dataset: xr.Dataset, location_id: str, season: str | None = None) -> xr.DataArray:
    """One location as a map at 10 m: ``(band, y, x)`` uint16, or ``(season, band, y, x)`` without ``season``.

    Bands in the order of the band table; 20 m pixels are repeated twice, 60 m pixels are the nearest of their
    own grid; 0 = no data. ``x``, ``y`` are pixel centres in metres of the zone in ``spatial_ref`` (CF grid
    mapping, as rioxarray reads it). Raises ``KeyError`` for an unknown location or season.
    """
    _check_label(dataset, "location", location_id)
    here = dataset.sel(location=location_id)
    if season is not None:
        _check_label(dataset, "season", season)
        return _map(here.sel(season=season))
    maps = [_map(here.sel(season=label)) for label in here["season"].to_numpy()]
    varying = [name for name in ("time", "scene_id") if name in maps[0].coords]
    return xr.concat(maps, dim="season", coords=varying, compat="equals")


def ndvi(dataset: xr.Dataset) -> xr.DataArray:
    """NDVI at 10 m, float32 in [-1, 1]; NaN where red (B04) or near infrared (B08) has no data.

    Select locations and seasons before: it reads the pixels of all that ``dataset`` holds.
    """
    red, nir = (dataset["r10"].sel(band_10m=b, drop=True).astype("float32") for b in ("B04", "B08"))
    valid = (red > 0) & (nir > 0)
    index = ((nir - red) / (nir + red).where(valid)).rename("ndvi")
    return index.assign_attrs(long_name="normalised difference vegetation index", units="1")


def describe_dataset(root: str | Path) -> Iterator[tuple[str, str]]:
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


def _check_version(store: str) -> None:
    try:
        group = zarr.open_group(store, mode="r", zarr_format=3)
    except (FileNotFoundError, KeyError) as error:
        raise StoreError(f"no dataset at {store}: build it first, or check the path ({error})") from error
    version = group.attrs.get("ssl4eco_format_version")
    if not isinstance(version, int):
        raise StoreError(f"{store} is not finished: run the build again to its end")
    if version > FORMAT_VERSION:
        raise StoreError(
            f"{store} has format version {version}, this program reads up to {FORMAT_VERSION}: "
            "update ssl4eco-data"
        )


def _patches_store(root: str | Path) -> str:
    text = str(root).rstrip("/")
    if text.endswith(".zarr"):
        return text
    return f"{text}/{PATCHES}"


def _check_label(dataset: xr.Dataset, dim: str, label: str) -> None:
    known = dataset[dim].to_numpy()
    if label not in known:
        some = ", ".join(map(str, known[:4])) + (" ..." if len(known) > 4 else "")
        raise KeyError(f"no {dim} {label!r}; there are {len(known)}: {some}")


def _map(here: xr.Dataset) -> xr.DataArray:
    """One location and season as a map at 10 m."""
    size_px = int(here.attrs["size_m"] // 10)
    planes: dict[str, npt.NDArray[np.uint16]] = {}
    for pixel_m in RESOLUTIONS_M:
        if f"r{pixel_m}" in here:
            native = here[f"r{pixel_m}"].to_numpy()
            fine = _nearest_60m(native, here, size_px) if pixel_m == 60 else _repeated(native, pixel_m // 10)
            planes |= dict(zip(here[f"band_{pixel_m}m"].to_numpy(), fine, strict=True))
    bands = [band for band in REFLECTANCE_BANDS if band in planes]
    west, north = float(here["west"]), float(here["north"])
    centres = (np.arange(size_px) + 0.5) * 10
    return xr.DataArray(
        np.stack([planes[band] for band in bands]),
        dims=("band", "y", "x"),
        coords={
            "band": bands,
            "y": ("y", north - centres, {"standard_name": "projection_y_coordinate", "units": "m"}),
            "x": ("x", west + centres, {"standard_name": "projection_x_coordinate", "units": "m"}),
            "wavelength_nm": ("band", [BANDS[band].wavelength_nm for band in bands]),
            "spatial_ref": _grid_mapping(int(here["epsg"]), west, north),
            **_facts(here),
        },
        name="reflectance",
        attrs={"long_name": "surface reflectance x 10 000", "grid_mapping": "spatial_ref"},
    )


def _facts(here: xr.Dataset) -> dict[str, Any]:
    names: Sequence[str] = ("location", "season", "time", "scene_id")
    return {name: here[name].reset_coords(drop=True) for name in names if name in here.coords}


def _grid_mapping(epsg: int, west: float, north: float) -> xr.Variable:
    crs = pyproj.CRS.from_epsg(epsg)
    transform = f"{west} 10.0 0.0 {north} 0.0 -10.0"
    return xr.Variable((), np.int32(0), {**crs.to_cf(), "crs_wkt": crs.to_wkt(), "GeoTransform": transform})


def _repeated(native: npt.NDArray[np.uint16], times: int) -> npt.NDArray[np.uint16]:
    return native.repeat(times, axis=-2).repeat(times, axis=-1)


def _nearest_60m(native: npt.NDArray[np.uint16], here: xr.Dataset, size_px: int) -> npt.NDArray[np.uint16]:
    """The 60 m pixel that holds each 10 m pixel's centre; the grids share no corner in general."""
    if not np.isfinite(float(here["west_60m"])):
        return np.zeros((len(native), size_px, size_px), dtype=native.dtype)
    centres = (np.arange(size_px) + 0.5) * 10
    columns = np.floor((float(here["west"]) - float(here["west_60m"]) + centres) / 60).astype(int)
    rows = np.floor((float(here["north_60m"]) - float(here["north"]) + centres) / 60).astype(int)
    return native[:, rows[:, None], columns[None, :]]
