"""One location as a map: all bands at 10 m, or one resolution as it is stored, with CRS and transform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyproj
import xarray as xr

from ssl4eco_data.bands import BANDS, REFLECTANCE_BANDS, bands_at
from ssl4eco_data.store.schema import RESOLUTIONS_M
from ssl4eco_data.store.selection import refuse_unknown


def cube(
    dataset: xr.Dataset,
    location_id: str,
    season: str | None = None,
    bands: Sequence[str] | None = None,
) -> xr.DataArray:
    """One location at 10 m: ``(band, y, x)`` uint16, or ``(season, band, y, x)`` without ``season``.

    ``bands`` in the order asked, by default all in the order of the band table; only what they need is
    read, each array once a season (where the dataset was opened with ``chunks``, when Dask computes).
    20 m pixels are repeated twice, 60 m pixels are the nearest of their own grid; reflectance x 10 000,
    0 = no data (:func:`~ssl4eco_data.store.reflectance` makes it float). ``x``, ``y`` are pixel centres in
    metres of the UTM zone in ``spatial_ref`` (CF grid mapping, as rioxarray reads it); all else known of
    the location is a coordinate. Raises ``ValueError`` for an unknown location, season or band.
    """
    wanted = _wanted(dataset, bands)
    if season is not None:
        return _map(_at(dataset, location_id, season), wanted)
    maps = [_map(_at(dataset, location_id, label), wanted) for label in dataset["season"].to_numpy()]
    stacked = _stacked(dataset, maps)
    return stacked.assign_attrs(long_name="surface reflectance x 10 000")


def native(dataset: xr.Dataset, location_id: str, season: str, pixel_m: int) -> xr.DataArray:
    """The bands of one resolution as they are stored: ``(band, y, x)`` uint16 with its own transform.

    At 60 m this is the window of the scene's own 60 m pixels that covers the patch. Everything else as
    :func:`cube`. Raises ``ValueError`` also for a resolution without bands, and at 60 m for a season
    without a patch, whose window lies nowhere.
    """
    if pixel_m not in RESOLUTIONS_M or f"r{pixel_m}" not in dataset:
        there = ", ".join(str(p) for p in RESOLUTIONS_M if f"r{p}" in dataset)
        raise ValueError(f"pixel_m must be one of {there}, got {pixel_m!r}")
    here = _at(dataset, location_id, season)
    bands = here[f"band_{pixel_m}m"].to_numpy().tolist()
    west, north = _corner(here, pixel_m)
    if not np.isfinite(west):
        raise ValueError(f"{location_id} has no patch for {season}: {here['reason'].item()}")
    return _placed(here, _plain(here[f"r{pixel_m}"]), bands, pixel_m, west, north)


def scene_classes(
    dataset: xr.Dataset, location_id: str, season: str | None = None, pixel_m: int = 10
) -> xr.DataArray:
    """The scene classification ``(y, x)`` uint8, or ``(season, y, x)``, on the grid of :func:`cube`.

    At ``pixel_m`` 10, each stored pixel twice, or 20, as stored. 0 = no data; ``flag_values`` and
    ``flag_meanings`` name the classes, :func:`~ssl4eco_data.store.masks` groups them. Errors as
    :func:`cube`.
    """
    if pixel_m not in (10, 20):
        raise ValueError(f"pixel_m must be 10 or 20, got {pixel_m}")
    seasons = dataset["season"].to_numpy() if season is None else [season]
    maps = []
    for label in seasons:
        here = _at(dataset, location_id, label)
        fine = _repeated(_plain(here["scl"]), 20 // pixel_m)
        placed = _placed(here, fine, None, pixel_m, *_corner(here, pixel_m))
        flags = {name: here["scl"].attrs[name] for name in ("flag_values", "flag_meanings")}
        placed = placed.assign_attrs(long_name="Sentinel-2 L2A scene classification", **flags)
        maps.append(placed.rename("scene_classes"))
    return _stacked(dataset, maps) if season is None else maps[0]


def stored_bands(dataset: xr.Dataset) -> tuple[str, ...]:
    """The reflectance bands of a dataset in the order of the band table."""
    arrays = [f"r{pixel_m}" for pixel_m in RESOLUTIONS_M if f"r{pixel_m}" in dataset]
    there = {band for name in arrays for band in dataset[f"band_{name[1:]}m"].to_numpy().tolist()}
    return tuple(band for band in REFLECTANCE_BANDS if band in there)


def _wanted(dataset: xr.Dataset, bands: Sequence[str] | None) -> tuple[str, ...]:
    there = stored_bands(dataset)
    if bands is None:
        return there
    if isinstance(bands, str) or not bands or len(set(bands)) < len(bands):
        raise ValueError(f"bands must be a list of different bands, at least one, got {bands!r}")
    refuse_unknown("band", bands, np.array(there, dtype=object))
    return tuple(bands)


def _at(dataset: xr.Dataset, location_id: str, season: str) -> xr.Dataset:
    for kind, label in (("location", location_id), ("season", season)):
        if isinstance(label, xr.DataArray):
            raise TypeError(f"{kind} must be a label, got a DataArray: add .item()")
        if label not in dataset.indexes[kind]:
            refuse_unknown(kind, [label], dataset[kind].to_numpy())
    return dataset.sel(location=location_id, season=season)


def _map(here: xr.Dataset, bands: tuple[str, ...]) -> xr.DataArray:
    """One location and season at 10 m."""
    layers: list[xr.DataArray] = []
    order: list[str] = []
    for pixel_m in RESOLUTIONS_M:
        if own := bands_at(pixel_m, bands):
            native_bands = here[f"r{pixel_m}"].sel({f"band_{pixel_m}m": list(own)})
            layers.append(_at_10m(_plain(native_bands), here, pixel_m))
            order += own
    together = xr.concat(layers, dim="band") if len(layers) > 1 else layers[0]
    if tuple(order) != bands:
        together = together.isel(band=[order.index(band) for band in bands])
    return _placed(here, together, list(bands), 10, *_corner(here, 10))


def _at_10m(native_bands: xr.DataArray, here: xr.Dataset, pixel_m: int) -> xr.DataArray:
    if pixel_m < 60:
        return _repeated(native_bands, pixel_m // 10)
    size_px = int(here.attrs["size_m"] // 10)
    (west, north), (west_60m, north_60m) = _corner(here, 10), _corner(here, 60)
    if not np.isfinite(west_60m):  # no patch: nothing but zeros, wherever they lie
        west_60m, north_60m = west, north
    centres = (np.arange(size_px) + 0.5) * 10
    columns = np.floor((west - west_60m + centres) / 60).astype(int)
    rows = np.floor((north_60m - north + centres) / 60).astype(int)
    return native_bands.isel(y=rows, x=columns)


def _repeated(pixels: xr.DataArray, times: int) -> xr.DataArray:
    if times == 1:
        return pixels
    y, x = (np.arange(pixels.sizes[dim] * times) // times for dim in ("y", "x"))
    return pixels.isel(y=y, x=x)


def _plain(pixels: xr.DataArray) -> xr.DataArray:
    """Without coordinates and attributes, its dimensions ``(band, y, x)`` or ``(y, x)``."""
    names = {dim: str(dim).partition("_")[0] for dim in pixels.dims}
    bare = pixels.reset_coords(drop=True).drop_vars(list(pixels.coords), errors="ignore")
    return bare.rename(names).drop_attrs()


def _corner(here: xr.Dataset, pixel_m: int) -> tuple[float, float]:
    suffix = "_60m" if pixel_m == 60 else ""
    return float(here[f"west{suffix}"]), float(here[f"north{suffix}"])


def _placed(
    here: xr.Dataset, pixels: xr.DataArray, bands: list[str] | None, pixel_m: int, west: float, north: float
) -> xr.DataArray:
    """The pixels with coordinates, grid mapping and everything known of the location and season."""
    facts = {str(name): here[name].reset_coords(drop=True) for name in here.coords if not here[name].ndim}
    x, y = ((np.arange(pixels.sizes[dim]) + 0.5) * pixel_m for dim in ("x", "y"))
    coords: dict[str, Any] = {
        **facts,
        "y": ("y", north - y, {"standard_name": "projection_y_coordinate", "units": "m"}),
        "x": ("x", west + x, {"standard_name": "projection_x_coordinate", "units": "m"}),
        "spatial_ref": _grid_mapping(int(here["epsg"]), west, north, pixel_m),
    }
    if bands is not None:
        coords["band"] = bands
        coords["wavelength_nm"] = ("band", [BANDS[band].wavelength_nm for band in bands])
    attributes = {"grid_mapping": "spatial_ref", "_FillValue": pixels.dtype.type(0), "units": "1"}
    if bands is not None:
        attributes["long_name"] = list(bands)  # rioxarray names the layers of a file by it
    if pixels.chunks is None:
        pixels = pixels.load()  # once, and not at every use
    placed = pixels.assign_coords(coords).assign_attrs(attributes)
    return placed.rename("reflectance_x_10000")


def _stacked(dataset: xr.Dataset, maps: Sequence[xr.DataArray]) -> xr.DataArray:
    varying = [str(name) for name in dataset.coords if "season" in dataset[name].dims and name != "season"]
    varying = [name for name in varying if name in maps[0].coords]
    return xr.concat(
        list(maps), dim="season", coords=varying, compat="equals", join="exact", combine_attrs="override"
    )


def _grid_mapping(epsg: int, west: float, north: float, pixel_m: int) -> xr.Variable:
    crs = pyproj.CRS.from_epsg(epsg)
    transform = f"{west} {float(pixel_m)} 0.0 {north} 0.0 {-float(pixel_m)}"
    return xr.Variable((), np.int32(0), {**crs.to_cf(), "crs_wkt": crs.to_wkt(), "GeoTransform": transform})
