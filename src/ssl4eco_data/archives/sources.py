"""Where STAC items come from: a catalogue file, or an API."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
import requests
import shapely
from pystac_client import Client
from pystac_client.stac_api_io import StacApiIO
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from ssl4eco_data.archives.documents import HTTP, LINES, Asking, fetch, folder_of, is_remote, may_be_catalogue
from ssl4eco_data.archives.flow_control import lane_of
from ssl4eco_data.archives.items import Item, time_or_none
from ssl4eco_data.archives.retry import archive_errors, is_transient_status, with_retries
from ssl4eco_data.archives.transport import mount
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.types import BoolArray

PAGE_ITEMS = 250
IDS_PER_REQUEST = 100
_SHOWN = 5
logger = logging.getLogger(__name__)
_LOADING = threading.Lock()


class ItemSource(Protocol):
    """Items of one place."""

    @property
    def base(self) -> str:
        """Where relative links of the items start."""
        ...

    def search(self, collection: str, area: BaseGeometry, start: date, end: date) -> list[Item]:
        """Items that meet ``area`` (lon/lat) and begin on days ``start <= day < end``; each once."""
        ...

    def get(self, collection: str, ids: Sequence[str]) -> list[Item]:
        """The items with these ids; unknown ones are left out."""
        ...


def source_of(place: str, asking: Asking) -> ItemSource:
    """The source at a place: an API's landing page, or a catalogue on disk, on a web server or in a bucket.

    A catalogue is an item collection, or one item a line. What a web server gives is told by its content.
    A catalogue behind a network is fetched once by a process.
    """
    if is_remote(place):
        return (_catalogue(place, asking) if may_be_catalogue(place) else None) or ApiSource(place, asking)
    path = Path(place).absolute()
    with archive_errors(f"STAC catalogue {place}", remote=False):
        status = path.stat()
    with _LOADING:
        return _load(path, status.st_mtime_ns, status.st_size)


def _catalogue(place: str, asking: Asking) -> FileSource | None:
    with _LOADING:
        return _fetched(place, asking)


@lru_cache(maxsize=4)
def _fetched(place: str, asking: Asking) -> FileSource | None:
    """The catalogue at a link; None when it is something else that a web server gave, such as an API."""
    content = fetch(place, asking)
    what = f"STAC catalogue {place}"
    with archive_errors(what, remote=False):
        if place.startswith(HTTP) and not _is_catalogue(content):
            return None
        return _collected(what, folder_of(place), _parse(content, place))


def _is_catalogue(content: bytes) -> bool:
    """Whether a document is an item collection or one item a line, and not the landing page of an API."""
    first = content.lstrip().split(b"\n", 1)[0]
    for text in (content, first):
        try:
            document = json.loads(text)
        except ValueError:
            continue
        return isinstance(document, dict) and ("features" in document or document.get("type") == "Feature")
    return False


@dataclass(frozen=True, slots=True, eq=False)
class FileSource:
    """A catalogue file in memory, with a spatial index over its items."""

    base: str
    items: Sequence[Item]
    begins: np.ndarray[Any, np.dtype[np.datetime64]]
    collections: np.ndarray[Any, np.dtype[np.str_]]
    by_id: dict[str, list[int]]
    tree: shapely.STRtree

    def search(self, collection: str, area: BaseGeometry, start: date, end: date) -> list[Item]:
        """As the protocol says."""
        met = np.sort(self.tree.query(area, predicate="intersects"))
        begins = self.begins[met]
        kept = (begins >= np.datetime64(start)) & (begins < np.datetime64(end))
        return [self.items[i] for i in met[kept & self._belong(collection)[met]]]

    def get(self, collection: str, ids: Sequence[str]) -> list[Item]:
        """As the protocol says."""
        belong = self._belong(collection)
        found = (i for name in sorted(set(ids)) for i in self.by_id.get(name, []))
        return [self.items[i] for i in found if belong[i]]

    def _belong(self, collection: str) -> BoolArray:
        """Which items are of a collection; those that name none are of any."""
        belong: BoolArray = np.isin(self.collections, (collection, ""))
        if self.items and not belong.any():
            raise ArchiveError(
                f"the catalogue in {self.base} has no collection {collection!r}, "
                f"only {', '.join(sorted(set(self.collections.tolist())))}",
                transient=False,
            )
        return belong


@lru_cache(maxsize=4)
def _load(path: Path, _mtime_ns: int, _size: int) -> FileSource:
    """The catalogue as it was when the file had this time and size."""
    what = f"STAC catalogue {path}"
    with archive_errors(what, remote=False):
        return _collected(what, f"{path.parent}/", _parse(path.read_bytes(), path.name))


def _collected(what: str, base: str, listed: Sequence[Item]) -> FileSource:
    """The source of these items; those that tell no id, time or place can never be found, and are logged."""
    named = [i for i in listed if isinstance(i, dict) and isinstance(i.get("id"), str) and i["id"]]
    if len(named) < len(listed):
        logger.warning("%s: %d items without an id", what, len(listed) - len(named))
    unique = {(str(item.get("collection") or ""), item["id"]): item for item in named}
    placed = [(item, time_or_none(item), _geometry(item)) for item in unique.values()]
    kept = [(item, time, place) for item, time, place in placed if time is not None and place is not None]
    if len(kept) < len(unique):
        lost = [item["id"] for item, time, place in placed if time is None or place is None]
        shown = ", ".join(map(str, lost[:_SHOWN]))
        logger.warning("%s: %d items without a readable time or geometry: %s", what, len(lost), shown)
    items = [item for item, _, _ in kept]
    by_id: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        by_id.setdefault(item["id"], []).append(i)
    return FileSource(
        base=base,
        items=items,
        begins=np.array([time.replace(tzinfo=None) for _, time, _ in kept], "datetime64[us]"),
        collections=np.array([str(item.get("collection") or "") for item in items], dtype=np.str_),
        by_id=by_id,
        tree=shapely.STRtree([place for _, _, place in kept]),
    )


def _geometry(item: Item) -> BaseGeometry | None:
    """Where an item lies, in lon/lat; None where it does not tell."""
    try:
        found = shapely.from_geojson(json.dumps(item.get("geometry")))
    except (shapely.errors.ShapelyError, TypeError, ValueError):
        return None
    return found if found is not None and not found.is_empty else None


def _parse(content: bytes, name: str) -> list[Item]:
    if Path(urlsplit(name).path).suffix.lower() in LINES:
        return [json.loads(line) for line in content.splitlines() if line.strip()]
    document = json.loads(content)
    listed = document.get("features") if isinstance(document, dict) else None
    if type(listed) is not list:
        raise ValueError(
            "not a GeoJSON FeatureCollection of STAC items; write one item a line in a .ndjson file, "
            "or give the landing page of a STAC API as an http(s) URL"
        )
    return listed


@dataclass(frozen=True, slots=True)
class ApiSource:
    """A STAC API with item search; connects when first asked, once per process."""

    url: str
    asking: Asking
    base: str = ""

    def search(self, collection: str, area: BaseGeometry, start: date, end: date) -> list[Item]:
        """As the protocol says; all pages."""
        if start >= end or area.is_empty:
            return []
        last = datetime(end.year, end.month, end.day, tzinfo=UTC) - timedelta(milliseconds=1)
        span = f"{start.isoformat()}T00:00:00Z/{last:%Y-%m-%dT%H:%M:%S}.999Z"
        found = self._ask(collection, intersects=mapping(area), datetime=span)
        begins = ((item, time_or_none(item)) for item in found)
        return [item for item, begin in begins if begin is None or start <= begin.date() < end]

    def get(self, collection: str, ids: Sequence[str]) -> list[Item]:
        """As the protocol says."""
        wanted = sorted(set(ids))
        found: list[Item] = []
        for first in range(0, len(wanted), IDS_PER_REQUEST):
            found += self._ask(collection, ids=wanted[first : first + IDS_PER_REQUEST])
        return found

    def _ask(self, collection: str, **query: Any) -> list[Item]:
        with archive_errors(f"STAC API {self.url}, collection {collection}", remote=True):
            client = _client(self.url, self.asking)
            search = client.search(collections=[collection], limit=PAGE_ITEMS, **query)
            found: dict[str, Item] = {}
            for page in search.pages_as_dicts():
                known = len(found)
                found |= {item["id"]: item for item in page["features"]}
                if len(found) == known:
                    raise requests.ConnectionError("the search turns in circles: a page has nothing new")
            return list(found.values())


@lru_cache(maxsize=8)
def _client(url: str, asking: Asking) -> Client:
    """A client that asks as we say; connected."""
    return Client.open(url, stac_io=_Patient(url, asking))


class _Patient(StacApiIO):
    """Each page of an answer is asked again by itself, so that a long search ends under throttling too."""

    def __init__(self, url: str, asking: Asking) -> None:
        super().__init__(max_retries=0)
        self._url, self._asking, self._lane = url, asking, lane_of(url, asking.limits)
        mount(self.session, asking.timeouts, asking.limits.in_flight, self._lane)
        self.session.hooks["response"].append(_refuse_later)

    def read_json(self, source: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The document at a link. Raises ArchiveError naming the API."""

        def request() -> dict[str, Any]:
            with archive_errors(f"STAC API {self._url}", remote=True):
                return _whole(super(_Patient, self).read_json(source, *args, **kwargs))

        asking = self._asking
        return with_retries(request, retries=asking.retries, wait_s=asking.wait_s, lane=self._lane)


def _whole(document: Any) -> dict[str, Any]:
    """The document, if it is a page of items or describes the API: an excuse must not pass for no scene."""
    if isinstance(document, dict):
        items = document.get("features")
        if isinstance(items, list) and all(isinstance(item, dict) and "id" in item for item in items):
            return document
        if items is None and "features" not in document and "stac_version" in document:
            return document
    raise requests.ConnectionError(f"the answer is neither items nor an API: {json.dumps(document):.200}")


def _refuse_later(answer: requests.Response, **_options: Any) -> None:
    """Raise what asks to come later here, where Retry-After is still known: the client drops headers."""
    if is_transient_status(answer.status_code):
        answer.raise_for_status()
