"""The policy ``list``: exactly the images that a file names, whatever they show."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import shapely

from ssl4eco_data.archives import Archive
from ssl4eco_data.archives.identity import of_identity
from ssl4eco_data.config import Config
from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations import PointSource, coordinate_ids, footprint_polygon
from ssl4eco_data.locations.columns import check_columns, read_csv
from ssl4eco_data.pipeline import tables
from ssl4eco_data.scenes import Candidate, Choice
from ssl4eco_data.scenes.candidates import utc_date
from ssl4eco_data.scenes.image_list import ListedImage, listed_images
from ssl4eco_data.store import read_geo_table
from ssl4eco_data.types import Location, Scene, SeasonWindow

NOT_LISTED, NOT_IN_ARCHIVE, OTHER_ZONE = "not_listed", "not_in_archive", "other_zone"
SEARCH_THREADS = 4
"""Searches of a block at a time; each waits mostly for the archive."""
Images = Mapping[str, Mapping[str, ListedImage]]
_List = tuple[str, int, str, tuple[str, ...], int]
_LOADING = threading.Lock()
"""A long list takes seconds to read: one thread does it for all."""


def images_of(config: Config, located: Sequence[Location]) -> Images:
    """Location id -> season -> listed image, of these locations.

    Rows belong to locations by ``locations.source.id_field`` or a column ``location_id`` where the file has
    it, else by ``lon`` and ``lat``. Raises ConfigError for a file that is no such list.
    """
    by_id, images = _file_once(_list(config))
    names = [loc.location_id for loc in located]
    lon, lat = (np.array([getattr(loc, f"{axis}_deg") for loc in located]) for axis in ("lon", "lat"))
    keys = names if by_id else coordinate_ids(lon, lat)
    return {name: images.get(key, {}) for name, key in zip(names, keys, strict=True)}


def check_form(config: Config) -> None:
    """Raise ConfigError for a file that is no list of images, before anything is asked of an archive."""
    if config.scenes.policy == "list":
        _file_once(_list(config))


def check_list(config: Config) -> None:
    """Raise ConfigError when the list names not one image of the dataset's locations."""
    located = config.root / tables.LOCATIONS
    if not _names_any(_list(config), located, located.stat().st_mtime_ns):
        raise ConfigError(
            f"scenes.images = {str(config.scenes.images)!r} names no image of any location: give its rows "
            "the locations' ids in the column of locations.source.id_field (or location_id), or their lon "
            "and lat"
        )


@lru_cache(maxsize=2)
def _names_any(of: _List, located: Path, _mtime_ns: int) -> bool:
    """Every block without an image asks, and the answer is the same: the table is read once."""
    by_id, images = _file_once(of)
    table = read_geo_table(located)
    keys = (
        table["location_id"].astype(str).tolist()
        if by_id
        else coordinate_ids(table["lon"].to_numpy(), table["lat"].to_numpy())
    )
    return any(images.get(key) for key in keys)


def _list(config: Config) -> _List:
    """What decides how the list is read: path, version, column of ids, seasons and how many are needed."""
    path = str(config.scenes.images)
    return path, Path(path).stat().st_mtime_ns, _id_field(config), config.seasons, config.min_seasons


def _id_field(config: Config) -> str:
    source = config.locations.source
    return source.id_field if isinstance(source, PointSource) else ""


def _file_once(of: _List) -> tuple[bool, Images]:
    with _LOADING:
        return _file(*of)


@lru_cache(maxsize=2)
def _file(
    path: str, _mtime_ns: int, id_field: str, seasons: tuple[str, ...], min_seasons: int
) -> tuple[bool, Images]:
    """(whether its keys are location ids, key -> season -> image)."""
    table = read_csv(path)
    field = next((name for name in (id_field, "location_id") if name and name in table.columns), "")
    if field:
        keys = [text.strip() for text in table[field].astype(str)]
    else:
        check_columns(path, table, ["lon", "lat"])
        degrees = table[["lon", "lat"]].apply(pd.to_numeric, errors="coerce")
        if degrees.isna().to_numpy().any():
            row = int(np.argmax(degrees.isna().any(axis=1).to_numpy()))
            raise ConfigError(f"{path}, row {row + 1}: lon and lat must be numbers")
        keys = coordinate_ids(degrees["lon"].to_numpy(), degrees["lat"].to_numpy())
    return bool(field), listed_images(path, table, keys, seasons, min_seasons)


def find(archive: Archive, images: Images, located: Mapping[str, Location]) -> dict[str, Scene]:
    """Image id -> the archive's scene of it; those that the archive does not have are absent.

    An archive that names its scenes as the list does is asked by id, any other by one search for each day.
    """
    wanted = {image.image_id: image for own in images.values() for image in own.values()}
    found = dict(archive.get(sorted(wanted)))
    areas: dict[date, list[shapely.Geometry]] = defaultdict(list)
    for name, own in images.items():
        for image in own.values():
            if image.image_id not in found:
                areas[image.taken.date()].append(footprint_polygon(located[name].footprint))
    days = sorted(areas)

    def search(day: date) -> Sequence[Scene]:
        return archive.search(shapely.union_all(areas[day]), day, day + timedelta(days=2))

    with ThreadPoolExecutor(SEARCH_THREADS) as pool:
        answers = list(pool.map(search, days))
    for day, listed in zip(days, answers, strict=True):
        for image in wanted.values():
            if image.taken.date() == day and image.image_id not in found:
                same = of_identity(listed, image.acquisition, image.tile, image.near)
                if same:
                    found[image.image_id] = same[0]
    return found


def listed_choices(
    own: Mapping[str, ListedImage],
    found: Mapping[str, Scene],
    location: Location,
    windows: Sequence[SeasonWindow],
    seasons: Sequence[str],
) -> dict[str, Choice]:
    """The choice of every season: its listed scene, or the reason why there is none."""
    choices: dict[str, Choice] = {}
    for season in seasons:
        image = own.get(season)
        scene = found.get(image.image_id) if image else None
        reason = NOT_LISTED if image is None else NOT_IN_ARCHIVE if scene is None else ""
        if scene and scene.epsg and scene.epsg != location.footprint.epsg:
            reason = OTHER_ZONE
        candidate = _candidate(season, scene, windows) if scene and not reason else None
        choices[season] = Choice(season=season, candidate=candidate, reason=reason)
    return choices


def _candidate(season: str, scene: Scene, windows: Sequence[SeasonWindow]) -> Candidate:
    """The scene, seen from the nearest window of its season; from its own day where there is none."""
    day = utc_date(scene)
    own = [window for window in windows if window.season == season]
    window = min(own, key=lambda w: (abs((day - w.middle).days), w.year)) if own else None
    return Candidate(
        season=season,
        year=window.year if window else day.year,
        days_from_middle=(day - window.middle).days if window else 0,
        scene=scene,
        failure=scene.failure,
    )


def judged(choices: Mapping[str, Choice], candidates: Sequence[Candidate]) -> dict[str, Choice]:
    """The choices with what is known of their scenes by now."""
    known = {c.key: c for c in candidates}
    return {
        season: replace(choice, candidate=known[choice.candidate.key] if choice.candidate else None)
        for season, choice in choices.items()
    }
