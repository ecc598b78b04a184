"""STAC items of Sentinel-2 L2A turned into :class:`~ssl4eco_data.types.Scene`; pure.

Spellings are those of Planetary Computer, Earth Search (both collections) and CDSE, and of catalogue
files that use them.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urljoin

from shapely.errors import ShapelyError
from shapely.geometry import shape

from ssl4eco_data.archives.identity import acquisition_of, processing_of, strip_start
from ssl4eco_data.archives.series import or_failure
from ssl4eco_data.bands import BANDS
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.patches import offset_dn
from ssl4eco_data.types import Asset, Scene

logger = logging.getLogger(__name__)
Item = Mapping[str, Any]
Answer = TypeVar("Answer")
FEWEST = 4
"""So many items and none of them a scene: it is the collection that is wrong, not the items."""
ROUNDING = 1e-4
_MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError)
_PLATFORM = re.compile(r"sentinel-?2([a-z])", re.IGNORECASE)
_PRODUCT_MADE = re.compile(r"S2[A-Z]_MSIL\d[A-Z]_.*_(\d{8}T\d{6})")
_TILE = re.compile(r"(\d{1,2})([C-HJ-NP-X][A-HJ-NP-Z]{2})")
_TILE_IN_ID = re.compile(r"_T?(\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z]{2})(?=_|$)")


def scene_of(item: Item, base: str) -> Scene:
    """The scene that an item describes; relative links start at ``base`` (a folder or URL ending in ``/``).

    Cloud and sun angles that the item does not state are NaN. Raises ArchiveError (permanent) naming the
    item and what it lacks.
    """
    try:
        return _scene_of(item, base)
    except (*_MALFORMED, ShapelyError) as error:
        raise ArchiveError(
            f"STAC item {item.get('id', 'without id')} cannot be read as a Sentinel-2 L2A scene "
            f"({type(error).__name__}: {error}); is the collection right?",
            transient=False,
        ) from error


def scenes_of(items: Sequence[Item], base: str) -> list[Scene]:
    """A scene for every item, as the catalogue lists them, older processings too.

    An item that no scene can be made of gives one with its ``failure``, as far as its time and geometry are
    known, and is logged. Raises the first ArchiveError when many items give none at all.
    """
    found = [or_failure(partial(scene_of, item, base)) for item in items]
    failures = [each for each in found if isinstance(each, ArchiveError)]
    if len(failures) >= FEWEST and len(failures) == len(found):
        raise failures[0]
    for failure in failures:
        logger.warning("%s", failure)
    broken = (_broken(i, e) for i, e in zip(items, found, strict=True) if isinstance(e, ArchiveError))
    return [*(s for s in found if isinstance(s, Scene)), *(s for s in broken if s)]


def _broken(item: Item, failure: ArchiveError) -> Scene | None:
    """What stands for an item that no scene can be made of; None when it tells no time or no place."""
    name = str(item.get("id", "without id"))
    time, geometry = time_or_none(item), or_none(lambda: dict(item["geometry"]))
    if time is None or geometry is None or or_none(lambda: shape(geometry)) is None:
        return None
    parts = [or_none(partial(part, item)) for part in (_acquisition, _tile)]
    entries = or_none(partial(_entries, item)) or {}
    epsg = or_none(lambda: _epsg(item["properties"], entries))
    return Scene(
        scene_id=name,
        acquisition=parts[0] or name,
        tile=parts[1] or "",
        time=time,
        epsg=epsg or 0,
        tile_west_m=math.nan,
        tile_north_m=math.nan,
        cloud_fraction=math.nan,
        sun_elevation_deg=math.nan,
        failure=str(failure),
        geometry=geometry,
    )


def or_none(part: Callable[[], Answer]) -> Answer | None:
    """What ``part`` reads from an item; None where the item is malformed there."""
    try:
        return part()
    except (*_MALFORMED, ShapelyError):
        return None


def _scene_of(item: Item, base: str) -> Scene:
    properties = item["properties"]
    entries = _entries(item)
    west_m, north_m = _tile_corner(item, entries)
    shape(item["geometry"])  # raises for what is no geometry
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
        processing=_processing(item),
        strip=strip_start(_first_text(properties, ("s2:datastrip_id", "eopf:datastrip_id"))),
        geometry=item["geometry"],
        assets={name: _asset(entry, base) for name, entry in entries.items()},
    )


def _fraction(share: float) -> float:
    """Catalogues overstate 100 % by rounding."""
    return min(share, 1.0) if share < 1 + ROUNDING else share


def item_time(item: Item) -> datetime:
    """When an item was acquired, or when its period begins, in UTC."""
    properties = item["properties"]
    return _utc(properties.get("datetime") or properties["start_datetime"])


def _utc(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def time_or_none(item: Item) -> datetime | None:
    """As :func:`item_time`; None where the item does not state it readably."""
    return or_none(lambda: item_time(item))


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
    scheme, remote, rest = base.partition("://")
    if not remote:
        return base + href.removeprefix("./")
    return f"{scheme}://{urljoin(f'http://{rest}', href).removeprefix('http://')}"  # buckets are joined alike


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
    """Platform and start of the datatake, the same in every archive; without them, of the item's time."""
    properties = item["properties"]
    keys = ("s2:datatake_id", "eopf:datatake_id", "s2:product_uri", "sentinel:product_id")
    for name in (*(properties.get(key) for key in keys), item["id"]):
        if name and (found := acquisition_of(name)):
            return found
    platform = properties.get("platform") or properties.get("constellation") or "sentinel-2"
    known = _PLATFORM.fullmatch(platform)
    return f"{f'S2{known[1].upper()}' if known else platform}_{item_time(item):%Y%m%dT%H%M%S}"


def _processing(item: Item) -> str:
    """Baseline and time of processing, in a form that sorts."""
    properties = item["properties"]
    baseline = _first_text(properties, ("s2:processing_baseline", "processing:version"))
    made = _first_text(properties, ("s2:generation_time", "processing:datetime", "created"))
    for name in (properties.get("s2:product_uri"), properties.get("sentinel:product_id"), item["id"]):
        if not made and name and (found := _PRODUCT_MADE.match(name)):
            made = found[1]
    return processing_of(baseline, or_none(partial(_utc, made)) if made else None)


def _first_text(properties: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    return next((str(properties[key]) for key in keys if properties.get(key)), None)


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
