"""STAC items of Sentinel-2 L2A turned into :class:`~ssl4eco_data.types.Scene`; pure.

Spellings are those of Planetary Computer, Earth Search (both collections) and CDSE, and of catalogue
files that use them.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urljoin

from ssl4eco_data.archives.series import or_failure
from ssl4eco_data.bands import BANDS
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.patches import offset_dn
from ssl4eco_data.types import Asset, Scene

logger = logging.getLogger(__name__)
Item = Mapping[str, Any]
ROUNDING = 1e-4
_BASELINE_SUFFIX = re.compile(r"_N\d\d\.\d\d$")
_PRODUCT = re.compile(r"(S2[A-Z])_MSIL\d[A-Z]_(\d{8}T\d{6})_")
_TILE = re.compile(r"(\d{1,2})([C-HJ-NP-X][A-HJ-NP-Z]{2})")
_TILE_IN_ID = re.compile(r"_T?(\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z]{2})(?=_|$)")


def scene_of(item: Item, base: str) -> Scene:
    """The scene that an item describes; relative links start at ``base`` (a folder or URL ending in ``/``).

    Cloud and sun angles that the item does not state are NaN. Raises ArchiveError (permanent) naming the
    item and what it lacks.
    """
    try:
        return _scene_of(item, base)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ArchiveError(
            f"STAC item {item.get('id', 'without id')} cannot be read as a Sentinel-2 L2A scene "
            f"({type(error).__name__}: {error}); is the collection right?",
            transient=False,
        ) from error


def readable_scenes(items: Sequence[Item], base: str) -> list[Scene]:
    """The scenes of the items that describe one; the others are logged. ArchiveError when none does."""
    found = [or_failure(partial(scene_of, item, base)) for item in items]
    failures = [each for each in found if isinstance(each, ArchiveError)]
    if failures and len(failures) == len(found):
        raise failures[0]
    for failure in failures:
        logger.warning("%s; it is left out", failure)
    return [each for each in found if isinstance(each, Scene)]


def _scene_of(item: Item, base: str) -> Scene:
    properties = item["properties"]
    entries = _entries(item)
    west_m, north_m = _tile_corner(item, entries)
    reflectance = next((entries[name] for name in entries if name != "SCL"), None)
    return Scene(
        scene_id=item["id"],
        acquisition=_acquisition(item),
        tile=_tile(item),
        time=item_time(item),
        epsg=_epsg(properties, entries),
        tile_west_m=west_m,
        tile_north_m=north_m,
        cloud_fraction=_fraction(_number(properties, "eo:cloud_cover") / 100),
        sun_elevation_deg=_sun_elevation(properties),
        sun_azimuth_deg=_first_number(properties, ("view:sun_azimuth", "s2:mean_solar_azimuth")),
        offset_dn=offset_dn(properties, _raster_band(reflectance)),
        geometry=item["geometry"],
        assets={name: _asset(entry, base) for name, entry in entries.items()},
    )


def _fraction(share: float) -> float:
    """Catalogues overstate 100 % by rounding."""
    return min(share, 1.0) if share < 1 + ROUNDING else share


def item_time(item: Item) -> datetime:
    """When an item was acquired, or when its period begins, in UTC."""
    properties = item["properties"]
    text = properties.get("datetime") or properties["start_datetime"]
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def asset_href(item: Item, key: str, base: str) -> str:
    """The link of one asset; raises ArchiveError (permanent) when the item does not have it."""
    try:
        return absolute_href(item["assets"][key]["href"], base)
    except KeyError as error:
        raise ArchiveError(
            f"STAC item {item['id']} has no asset {key!r}, only {', '.join(sorted(item['assets']))}",
            transient=False,
        ) from error


def absolute_href(href: str, base: str) -> str:
    """``href`` as a path or URL of its own; relative ones start at ``base``."""
    if "://" in href or href.startswith("/"):
        return href
    return urljoin(base, href) if "://" in base else base + href.removeprefix("./")


def _entries(item: Item) -> dict[str, Mapping[str, Any]]:
    """The item's assets by band name, in the order of the band table."""
    assets = item["assets"]
    found = {}
    for name, band in BANDS.items():
        for key in (name, band.common_name, f"{name}_{band.pixel_m}m"):
            if key in assets:
                found[name] = assets[key]
                break
    return found


def _asset(entry: Mapping[str, Any], base: str) -> Asset:
    transform, shape = entry.get("proj:transform"), entry.get("proj:shape")
    return Asset(
        href=absolute_href(entry["href"], base),
        transform=_six(transform) if transform else None,
        shape=(int(shape[0]), int(shape[1])) if shape else None,
    )


def _six(transform: list[float]) -> tuple[float, float, float, float, float, float]:
    a, b, c, d, e, f = (float(v) for v in transform[:6])
    return a, b, c, d, e, f


def _tile_corner(item: Item, entries: Mapping[str, Mapping[str, Any]]) -> tuple[float, float]:
    """The outer corner of the tile, which its grids of all resolutions share."""
    for source in (*entries.values(), item["properties"]):
        if transform := source.get("proj:transform"):
            return float(transform[2]), float(transform[5])
        if bounds := source.get("proj:bbox"):
            return float(bounds[0]), float(bounds[3])
    raise KeyError("proj:transform")


def _epsg(properties: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]]) -> int:
    for source in (properties, *entries.values()):
        if epsg := source.get("proj:epsg"):
            return int(epsg)
        if code := source.get("proj:code"):
            return int(code.removeprefix("EPSG:"))
    raise KeyError("proj:epsg")


def _tile(item: Item) -> str:
    """The MGRS tile as five characters, ``06VVN``."""
    properties = item["properties"]
    code = properties.get("s2:mgrs_tile") or properties.get("grid:code")
    if not code and "mgrs:grid_square" in properties:
        parts = (properties[f"mgrs:{part}"] for part in ("utm_zone", "latitude_band", "grid_square"))
        code = "".join(str(part) for part in parts)
    if not code and (match := _TILE_IN_ID.search(item["id"])):
        code = match[1]
    match = _TILE.fullmatch(str(code or "").removeprefix("MGRS-").removeprefix("T"))
    if not match:
        raise ValueError(f"no MGRS tile in s2:mgrs_tile, grid:code, mgrs:* or the id, got {code!r}")
    return match[1].zfill(2) + match[2]


def _acquisition(item: Item) -> str:
    """Platform and start of the datatake, which all its tiles share whatever baseline they were made with."""
    properties = item["properties"]
    if datatake := properties.get("s2:datatake_id"):
        return _BASELINE_SUFFIX.sub("", datatake)
    names = (properties.get("s2:product_uri"), properties.get("sentinel:product_id"), item["id"])
    for name in names:
        if name and (product := _PRODUCT.match(name)):
            return f"G{product[1]}_{product[2]}"
    platform = properties.get("platform") or properties.get("constellation") or "sentinel-2"
    return f"{platform}_{item_time(item):%Y%m%dT%H%M%S}"


def _sun_elevation(properties: Mapping[str, Any]) -> float:
    if properties.get("view:sun_elevation") is not None:
        return float(properties["view:sun_elevation"])
    return 90 - _number(properties, "s2:mean_solar_zenith")


def _raster_band(entry: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Scale and offset of an asset, as STAC 1.0 (``raster:bands``) or 1.1 (``raster:offset``) spell them."""
    if entry is None:
        return None
    if bands := entry.get("raster:bands"):
        band: Mapping[str, Any] = bands[0]
        return band
    stated = entry if "raster:offset" in entry else (entry.get("bands") or [{}])[0]
    return {"offset": stated.get("raster:offset"), "scale": stated.get("raster:scale")}


def _number(properties: Mapping[str, Any], key: str) -> float:
    value = properties.get(key)
    return math.nan if value is None else float(value)


def _first_number(properties: Mapping[str, Any], keys: tuple[str, ...]) -> float:
    return next((float(properties[key]) for key in keys if properties.get(key) is not None), math.nan)
