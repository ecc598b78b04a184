"""Regions and reductions of the loopback Earth Engine."""

# ruff: noqa: N803 (argument names are the service's)
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from ee_graphs import GraphError
from rasterio.warp import transform_geom

Reducer = Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class Region:
    """A geometry with planar edges in a coordinate system of its own."""

    crs: str
    shape: shapely.Geometry


@dataclass(frozen=True)
class Weighted:
    """A reducer that still counts a pixel by its share of the region."""

    reducer: Reducer


def in_degrees(geometry: Any) -> shapely.Geometry:
    if isinstance(geometry, Region):
        return shapely.geometry.shape(
            transform_geom(geometry.crs, "EPSG:4326", shapely.geometry.mapping(geometry.shape))
        )
    return geometry


def _rectangle(coordinates: list[float], crs: str, geodesic: bool, evenOdd: bool = True) -> Region:
    if geodesic:
        raise GraphError("a rectangle with geodesic edges is none in its own coordinates")
    return Region(crs, shapely.box(*coordinates))


def _histogram(values: np.ndarray) -> dict[str, float] | None:
    """Keys are strings, counts floats; nothing at all is null."""
    found, counts = np.unique(values, return_counts=True)
    return {str(v): float(n) for v, n in zip(found.tolist(), counts, strict=True)} or None


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean(dtype=np.float64)) if values.size else None


def _reduce_region(
    image: Any,
    reducer: Reducer | Weighted,
    geometry: Region,
    crs: str,
    crsTransform: list[float],
    maxPixels: float = 1e7,
) -> dict[str, Any]:
    """Each band by itself, over the pixels whose centres lie in the region; others are refused."""
    if isinstance(reducer, Weighted):
        raise GraphError("only unweighted reductions are evaluated here")
    if geometry.crs != crs:
        raise GraphError(f"the region is in {geometry.crs}, the pixels in {crs}")
    a, b, c, d, e, f = crsTransform
    west, south, east, north = geometry.shape.bounds
    first, top = int(np.floor((west - c) / a)) - 1, int(np.floor((north - f) / e)) - 1
    width, height = int(np.ceil((east - west) / a)) + 3, int(np.ceil((south - north) / e)) + 3
    grid = {
        "crsCode": crs,
        "dimensions": {"width": width, "height": height},
        "affineTransform": {
            "scaleX": a,
            "shearX": b,
            "translateX": c + first * a,
            "shearY": d,
            "scaleY": e,
            "translateY": f + top * e,
        },
    }
    x = c + (first + np.arange(width) + 0.5) * a
    y = f + (top + np.arange(height) + 0.5) * e
    inside = shapely.contains_xy(geometry.shape, *np.meshgrid(x, y))
    if inside.sum() > maxPixels:
        raise GraphError(
            f"Image.reduceRegion: Too many pixels in the region. Found {inside.sum()}, but maxPixels allows "
            f"only {maxPixels:.0f}."
        )
    return {name: reducer(layer(grid)[inside].compressed()) for name, layer in image.layers.items()}


def reductions() -> dict[str, Callable[..., Any]]:
    """The functions of this module by the service's names."""
    return {
        "GeometryConstructors.Rectangle": _rectangle,
        "Image.reduceRegion": _reduce_region,
        "Projection": lambda crs: crs,
        "Reducer.frequencyHistogram": lambda: Weighted(_histogram),
        "Reducer.mean": lambda: Weighted(_mean),
        "Reducer.unweighted": lambda reducer: reducer.reducer,
    }
