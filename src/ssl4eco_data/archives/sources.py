"""Where STAC items come from: a catalogue file, or an API."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import requests
import shapely
from pystac_client import Client
from pystac_client.stac_api_io import StacApiIO
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from ssl4eco_data.archives.flow_control import Limits, lane_of
from ssl4eco_data.archives.items import Item, item_time
from ssl4eco_data.archives.retry import archive_errors, is_transient_status, with_retries
from ssl4eco_data.archives.transport import Timeouts, mount
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.types import BoolArray

PAGE_ITEMS = 250
IDS_PER_REQUEST = 100
_LINES = (".ndjson", ".jsonl", ".geojsonl")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How an API is asked."""

    timeouts: Timeouts
    limits: Limits
    retries: int
    wait_s: float


def source_of(place: str, asking: Asking) -> ItemSource:
    """The source at a URL (an API's landing page) or at a path (an item collection, or one item a line)."""
    if place.startswith(("http://", "https://")):
        return ApiSource(place, asking)
    path = Path(place).absolute()
    with archive_errors(f"STAC catalogue {place}", remote=False):
        status = path.stat()
    with _LOADING:
        return _load(path, status.st_mtime_ns, status.st_size)


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
    with archive_errors(f"STAC catalogue {path}", remote=False):
        items = _parse(path)
        unique = list({(item.get("collection"), item["id"]): item for item in items}.values())
        geometries = shapely.from_geojson([json.dumps(item["geometry"]) for item in unique])
        begins = np.array([item_time(item).replace(tzinfo=None) for item in unique], "datetime64[us]")
    by_id: dict[str, list[int]] = {}
    for i, item in enumerate(unique):
        by_id.setdefault(item["id"], []).append(i)
    collections = np.array([str(item.get("collection") or "") for item in unique], dtype=np.str_)
    return FileSource(
        base=f"{path.parent}/",
        items=unique,
        begins=begins,
        collections=collections,
        by_id=by_id,
        tree=shapely.STRtree(geometries),
    )


def _parse(path: Path) -> list[Item]:
    if path.suffix in _LINES:
        with path.open("rb") as lines:
            return [json.loads(line) for line in lines if line.strip()]
    document = json.loads(path.read_bytes())
    if not isinstance(document, dict) or "features" not in document:
        raise ValueError(
            "not a GeoJSON FeatureCollection of STAC items; write one item a line in a .ndjson file, "
            "or give the landing page of a STAC API as an http(s) URL"
        )
    features: list[Item] = document["features"]
    return features


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
        return [item for item in found if start <= item_time(item).date() < end]

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
            return list({item["id"]: item for item in search.items_as_dicts()}.values())


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
                found: dict[str, Any] = super(_Patient, self).read_json(source, *args, **kwargs)
                return found

        asking = self._asking
        return with_retries(request, retries=asking.retries, wait_s=asking.wait_s, lane=self._lane)


def _refuse_later(answer: requests.Response, **_options: Any) -> None:
    """Raise what asks to come later here, where Retry-After is still known: the client drops headers."""
    if is_transient_status(answer.status_code):
        answer.raise_for_status()
