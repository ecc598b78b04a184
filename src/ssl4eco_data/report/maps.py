"""The map of locations: markers or dots by biome or split over a light picture of the land."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from ssl4eco_data.errors import Ssl4ecoError
from ssl4eco_data.report.biomes import colour_class, looks_of, shape_of
from ssl4eco_data.report.dots import layer, runs_of, square_side
from ssl4eco_data.report.images import mask_png
from ssl4eco_data.report.svg import Scale, element, figure, line, marker, text
from ssl4eco_data.types import BoolArray

WIDTH = 960.0
MAX_MARKERS = 2000
"""More locations than this are drawn as dots."""
SPLITS = ("train", "val", "test", "buffer")
MIN_SPAN_DEG = 24.0
MIN_ASPECT = 2.0
MARGIN_DEG = 4.0
IMAGE_COLUMNS = 960
CELLS_PER_DEG = 120
LINES_DEG = (1, 2, 5, 10, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The part of the world that is drawn, in whole degrees, plate carrée."""

    west_deg: int
    south_deg: int
    east_deg: int
    north_deg: int

    @property
    def width_deg(self) -> int:
        """Degrees of longitude across."""
        return self.east_deg - self.west_deg

    @property
    def height_deg(self) -> int:
        """Degrees of latitude from bottom to top."""
        return self.north_deg - self.south_deg


def view_of(lon_deg: Sequence[float], lat_deg: Sequence[float]) -> View:
    """The locations with a margin, at least 24 degrees wide, twice as wide as high."""
    south, north = _widen(min(lat_deg), max(lat_deg), MIN_SPAN_DEG / MIN_ASPECT, 90)
    west, east = _widen(min(lon_deg), max(lon_deg), MIN_ASPECT * (north - south), 180)
    return View(west_deg=west, south_deg=south, east_deg=east, north_deg=north)


def location_map(shown: pd.DataFrame, biomes: Sequence[str], splits: Sequence[str]) -> Markup:
    """Drawing of all locations (columns location_id, lon, lat, biome, split), coloured as in the legends.

    Up to 2000 are markers with tooltips, more are dots. The style sheet chooses between the colours of
    biomes and of splits.
    """
    view = view_of(shown["lon"].tolist(), shown["lat"].tolist())
    height = WIDTH * view.height_deg / view.width_deg
    x = Scale(domain=(view.west_deg, view.east_deg), range=(0, WIDTH))
    y = Scale(domain=(view.north_deg, view.south_deg), range=(0, height))
    children = [land_image(view, WIDTH, height)]
    children += _graticule(view, x, y, height)
    if len(shown) <= MAX_MARKERS:
        children += _markers(shown, x, y, biomes)
    else:
        children += _dots(shown, view, biomes, splits)
    corners = [_place(shown["lat"].agg(end), shown["lon"].agg(end)) for end in ("min", "max")]
    label = f"Map of {len(shown)} locations in {len(biomes)} biomes, from {' to '.join(corners)}"
    return figure(WIDTH, height, label, children, "chart map")


def land_image(view: View, width: float, height: float) -> Markup:
    """A light picture of the land, as large as the drawing."""
    land = mask_png(land_mask(view), grey=128, alpha=90)
    return element("image", href=land, width=width, height=height, preserveAspectRatio="none")


def split_class(split: str) -> str:
    """CSS class of the colour of a split."""
    return f"s{SPLITS.index(split) if split in SPLITS else len(SPLITS)}"


def _markers(shown: pd.DataFrame, x: Scale, y: Scale, biomes: Sequence[str]) -> list[Markup]:
    radius = 8.0 if len(shown) <= 100 else 5.0 if len(shown) <= 500 else 3.0
    drawn = []
    looks = looks_of(biomes)
    for row in shown.to_dict("records"):
        split = row["split"]
        place = _place(row["lat"], row["lon"])
        title = f"{row['location_id']}: {row['biome']}, {place}{', ' if split else ''}{split}"
        biome = biomes.index(row["biome"])
        class_ = f"{colour_class(looks[biome])} {split_class(split) if split else ''}".rstrip()
        at = x(row["lon"]), y(row["lat"])
        drawn.append(marker(shape_of(looks[biome]), *at, radius, title, class_, data_biome=biome))
    return drawn


def _dots(shown: pd.DataFrame, view: View, biomes: Sequence[str], splits: Sequence[str]) -> list[Markup]:
    """Squares by biome, and once more by split when there are several.

    Squares are as much wider than high as the projection stretches the ground.
    """
    lon, lat = shown["lon"].to_numpy(np.float64), shown["lat"].to_numpy(np.float64)
    per_deg = WIDTH / view.width_deg
    right, down = (lon - view.west_deg) * per_deg, (view.north_deg - lat) * per_deg
    stretch = 1 / np.maximum(np.cos(np.radians(lat)), 1e-9)
    side = square_side(right / stretch, down)
    looks = {
        "biome": {n: colour_class(look) for n, look in zip(biomes, looks_of(biomes), strict=True)},
        "split": {name: split_class(name) for name in splits if len(splits) > 1},
    }
    layers = []
    for column, classes in looks.items():
        if classes:
            codes = pd.Index(list(classes)).get_indexer(pd.Index(shown[column]))
            count = np.bincount(codes, minlength=len(classes))
            named = [(c, f"{n}: {count[i]:,} locations") for i, (n, c) in enumerate(classes.items())]
            runs = runs_of(right / side, down / side, stretch, codes.astype(np.int64))
            layers.append(layer(runs, side, named, f"by-{column}"))
    return layers


@lru_cache(maxsize=4)
def land_mask(view: View) -> BoolArray:
    """``(y, x)`` bool, true on land, north up, about 960 cells across or the source's 1/120 degree.

    From the GLOBE elevation model as packaged by ``global_land_mask``. The file is read as a stream,
    since its importing module keeps all 0.9 GB of it in memory.
    """
    spec = find_spec("global_land_mask")
    if spec is None or spec.origin is None:
        raise Ssl4ecoError("the map needs global_land_mask; install ssl4eco-data[build]")
    step = max(1, view.width_deg * CELLS_PER_DEG // IMAGE_COLUMNS)
    first, last = (90 - view.north_deg) * CELLS_PER_DEG, (90 - view.south_deg) * CELLS_PER_DEG
    left, right = (view.west_deg + 180) * CELLS_PER_DEG, (view.east_deg + 180) * CELLS_PER_DEG
    wanted = range(first + step // 2, last, step)
    source = Path(spec.origin).with_name("globe_combined_mask_compressed.npz")
    rows = []
    with zipfile.ZipFile(source) as archive, archive.open("mask.npy") as stream:
        np.lib.format.read_magic(stream)
        (_, columns), _, _ = np.lib.format.read_array_header_1_0(stream)
        for number in range(last):
            sea = stream.read(columns)
            if number in wanted:
                rows.append(np.frombuffer(sea, dtype=np.bool_)[left + step // 2 : right : step])
    return ~np.stack(rows)


def _widen(low: float, high: float, span: float, limit: int) -> tuple[int, int]:
    extra = max(MARGIN_DEG, (span - (high - low)) / 2)
    start, end = max(-limit, int(np.floor(low - extra))), min(limit, int(np.ceil(high + extra)))
    missing = max(0, int(np.ceil(span)) - (end - start))
    return (start, min(limit, end + missing)) if start == -limit else (start - missing, end)


def _graticule(view: View, x: Scale, y: Scale, height: float) -> list[Markup]:
    """About six labelled meridians and parallels."""
    step = next((s for s in LINES_DEG if view.width_deg / s <= 13), LINES_DEG[-1])
    parts: list[Markup] = []
    for lon in range(-(-view.west_deg // step) * step, view.east_deg + 1, step):
        parts.append(line(x(lon), 0, x(lon), height, "grid"))
        if view.west_deg < lon < view.east_deg:
            parts.append(text(x(lon) + 3, height - 4, _degrees(lon, "E", "W"), class_="faint"))
    for lat in range(-(-view.south_deg // step) * step, view.north_deg + 1, step):
        parts.append(line(0, y(lat), WIDTH, y(lat), "axis" if lat == 0 else "grid"))
        if view.south_deg < lat < view.north_deg:
            parts.append(text(3, y(lat) - 3, _degrees(lat, "N", "S"), class_="faint"))
    return parts


def _degrees(value: float, positive: str, negative: str) -> str:
    return f"{abs(value):g}°{positive if value > 0 else negative if value < 0 else ''}"


def _place(lat_deg: float, lon_deg: float) -> str:
    return f"{_degrees(round(lat_deg, 2), 'N', 'S')} {_degrees(round(lon_deg, 2), 'E', 'W')}"
