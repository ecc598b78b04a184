"""Whether a build can work here: each thing it needs is tried, and what fails says how to mend it.

The archive is asked by the code that a build uses: one search, one mask, one vegetation series, all of one
location and a short period. Nothing is written but a temporary file that is gone at once.
"""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import rasterio

from ssl4eco_data.archives.earth_engine import EarthEngineParameters
from ssl4eco_data.archives.earth_engine_client import session
from ssl4eco_data.config import Config, load
from ssl4eco_data.errors import ArchiveError, ConfigError, Ssl4ecoError, StoreError
from ssl4eco_data.locations import footprint_polygon, locations_of
from ssl4eco_data.phenology import spline
from ssl4eco_data.pipeline.archive import open_archive
from ssl4eco_data.pipeline.listed import check_form
from ssl4eco_data.pipeline.planning import estimate, located, size
from ssl4eco_data.redaction import redacted
from ssl4eco_data.simulate import is_written
from ssl4eco_data.store import ObjectPath
from ssl4eco_data.types import Location, Scene

State = Literal["ok", "failed", "note"]
PACKAGES = ("ssl4eco-data", "zarr", "numba", "rasterio")
SEARCHED_DAYS = 40
"""Long enough for an image and a MODIS composite anywhere."""
_FIXES = (
    ("not registered", "register the project at https://code.earthengine.google.com/register"),
    ("has not been used", "enable the Earth Engine API in the project's console"),
    ("serviceusage", "give the account the role Service Usage Consumer in the project"),
    ("credentials", "run `earthengine authenticate`, or set archive.service_account_key to a valid key"),
    ("401", "renew the credentials"),
    ("403", "see that the account may use the project and the collection; renew expired links or keys"),
    ("404", "see that archive.imagery and archive.collection name what is there"),
    ("429", "the archive asks for patience: wait, and lower archive.max_requests_in_flight"),
    ("utm zone", "name a list of tiles in locations.tiles: it tells which zone covers a place"),
    ("resolve", "see that this machine reaches the internet, and its proxy (HTTPS_PROXY)"),
    ("connect", "see that the address is right and this machine reaches it, and its proxy (HTTPS_PROXY)"),
)
"""A word of a failure, and what mends it; the first that is found counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was tried and how it went; ``note`` is worth knowing and stops nothing."""

    name: str
    state: State
    found: str
    fix: str = ""


def examine(path: Path) -> Iterator[Check]:
    """Every check of a configuration, one by one; each as soon as it is known.

    Raises :class:`~ssl4eco_data.errors.ConfigError` for a configuration that cannot be read.
    """
    config = load(path, with_files=False)
    yield Check(name="configuration", state="ok", found=str(path))
    yield from versions()
    yield numba_cache()
    yield write_access(config)
    files = _tried("input files", "named files are there", lambda: _files(path))
    yield files
    if files.state == "failed":
        yield Check(name="archive", state="note", found="not tried before these files are there and right")
        return
    if config.simulate and not is_written(Path(config.simulate.folder), config.simulate.earth):
        found = "the first build writes the embedded archive and its layers; locations are not tried before"
        yield Check(name="archive", state="note", found=found)
        return
    places: list[pd.DataFrame] = []
    yield _tried("locations", "mend the file or key that it names", lambda: _places(config, places))
    if places:
        yield disk(config, places[0])
    if isinstance(config.archive, EarthEngineParameters):
        signed_in = earth_engine(config.archive)
        yield signed_in
        if signed_in.state == "failed":
            return
    if places:
        yield from archive(config, locations_of(places[0].iloc[:1])[0])


def versions() -> Iterator[Check]:
    """Python, GDAL and the packages that matter, as installed."""
    yield Check(name="python", state="ok", found=platform.python_version())
    yield Check(name="gdal", state="ok", found=rasterio.__gdal_version__)
    for package in PACKAGES:
        try:
            yield Check(name=package, state="ok", found=version(package))
        except PackageNotFoundError:
            yield Check(
                name=package, state="failed", found="not installed", fix="pip install 'ssl4eco-data[build]'"
            )


def numba_cache() -> Check:
    """Whether compiled functions can be kept; without, every process compiles for a minute."""
    compiled: Any = spline.fit
    folder = Path(compiled.stats.cache_path)
    problem = _unwritable(folder)
    if problem:
        fix = "set NUMBA_CACHE_DIR to a folder that can be written, or every process compiles anew"
        return Check(name="numba cache", state="note", found=f"{folder}: {problem}", fix=fix)
    return Check(name="numba cache", state="ok", found=str(folder))


def write_access(config: Config) -> Check:
    """Whether the dataset's folder, or the nearest one above it that is there, takes a file."""
    root = config.root
    problem = _unwritable_prefix(root) if isinstance(root, ObjectPath) else _unwritable(root)
    if problem:
        fix = "choose another dataset.root, or give this user the right to write there"
        return Check(name="write access", state="failed", found=f"{config.root}: {problem}", fix=fix)
    return Check(name="write access", state="ok", found=str(config.root))


def _unwritable(folder: Path) -> str:
    """Why no file can be written in a folder, or made in it; empty when one can."""
    there = _nearest(folder)
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"x")
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _unwritable_prefix(root: ObjectPath) -> str:
    """Why no object can be written below a prefix; empty when one can."""
    try:
        probe = root / ".ssl4eco-doctor"
        probe.put(b"x")
        probe.unlink()
    except StoreError as error:
        return str(error)
    return ""


def _nearest(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


def disk(config: Config, places: pd.DataFrame) -> Check:
    """Free space against what is still to be written, by the assumptions of ``[plan]``."""
    if isinstance(config.root, ObjectPath):
        return Check(name="free disk", state="ok", found=f"{config.root} is an object store")
    free = shutil.disk_usage(_nearest(config.root)).free
    needed = estimate(config, places, config.scenes.judge).disk_bytes
    found = f"{size(free)} free, about {size(needed)} to write"
    if free < needed:
        fix = "free some space, or choose another dataset.root or fewer locations"
        return Check(name="free disk", state="failed", found=found, fix=fix)
    return Check(name="free disk", state="ok", found=found)


def earth_engine(parameters: EarthEngineParameters) -> Check:
    """Client, credentials, project and registration: the client signs in and lists its functions."""
    who = "service account" if parameters.service_account_key else "own credentials"

    def sign_in() -> str:
        client = session(parameters)
        return f"project {parameters.project}, {who}, client {client.__version__}"

    return _tried("earth engine", "run `earthengine authenticate`, and see archive.project", sign_in)


def archive(config: Config, place: Location) -> Iterator[Check]:
    """Imagery listed, a mask read, and the vegetation series read, at one location."""
    asked, area = open_archive(config), footprint_polygon(place.footprint)
    scenes: list[Scene] = []

    def search() -> str:
        start, end = _days(config.period.imagery)
        scenes.extend(scene for scene in asked.search(area, start, end) if not scene.failure)
        here = f"around {place.location_id} from {start} to {end}"
        if not scenes:
            raise ArchiveError(f"no image {here}", transient=False)
        return f"{len(scenes)} images {here}"

    def mask() -> str:
        zone = place.footprint.epsg
        here = [scene for scene in scenes if scene.epsg == zone]
        if not here:
            raise ArchiveError(
                f"none of the {len(scenes)} images is in the patch's UTM zone, EPSG:{zone}", transient=False
            )
        (stats,) = asked.judge(here[-1:], place.footprint)
        return f"{stats.scene_id} is {stats.usable_fraction:.0%} usable there"

    def series() -> str:
        start, end = _days(config.period.vegetation)
        found = asked.vegetation_series([place], start, end)
        if unreadable := found.attrs.get("unreadable"):
            raise ArchiveError(str(unreadable[0]), transient=False)
        if found.sizes["time"] == 0:
            raise ArchiveError(
                f"no observation around {place.location_id} from {start} to {end}", transient=False
            )
        return f"{found.sizes['time']} days of {found.attrs['index']} around {place.location_id}"

    yield _tried("imagery", "see archive.imagery, archive.collection and period", search)
    if scenes:
        yield _tried("mask", "see archive.sign, and that the files' server is reached", mask)
    yield _tried("vegetation", "see archive.vegetation, its collection and period", series)


def _days(period: tuple[date, date]) -> tuple[date, date]:
    """The last days of a period."""
    start, end = period
    return max(start, end - timedelta(days=SEARCHED_DAYS)), end


def _places(config: Config, places: list[pd.DataFrame]) -> str:
    places.append(located(config))
    return f"{len(places[0]):,}"


def _files(path: Path) -> str:
    check_form(load(path))
    return "all are there"


def _tried(name: str, fix: str, attempt: Callable[[], str]) -> Check:
    """What an attempt says, or its failure without secrets and with what mends it."""
    try:
        return Check(name=name, state="ok", found=redacted(attempt()))
    except (Ssl4ecoError, OSError, ValueError) as error:
        return Check(name=name, state="failed", found=redacted(str(error)), fix=_fix(error, fix))


def _fix(error: Exception, otherwise: str) -> str:
    """What mends a failure; a message about the configuration holds its own way out."""
    if isinstance(error, ConfigError):
        return "as it says"
    text = str(error).lower()
    return next((fix for word, fix in _FIXES if _says(text, word)), otherwise)


def _says(text: str, word: str) -> bool:
    """Whether a text has a word, perhaps with an ending; a number stands alone, not in a location's id."""
    return re.search(rf"(?<!\w){word}" + r"(?!\w)" * word.isdigit(), text) is not None


def describe_check(check: Check, width: int) -> list[str]:
    """State, name and what was found, then the fix, in lines of at most ``width`` columns."""
    lines = _wrapped(f"{check.state:<7} {check.name:<14} ", check.found, width)
    return [*lines, *_wrapped(f"{'fix:':>22} ", check.fix, width)] if check.fix else lines


def _wrapped(head: str, text: str, width: int) -> list[str]:
    words = " ".join(text.split())
    indent = " " * len(head)
    return textwrap.wrap(words, max(width, 60), initial_indent=head, subsequent_indent=indent) or [head]
