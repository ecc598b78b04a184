"""Whole documents from web servers and buckets, under the flow control of all archives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import obstore
import requests
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from ssl4eco_data.archives.flow_control import Limits, lane_of
from ssl4eco_data.archives.retry import archive_errors, with_retries
from ssl4eco_data.archives.transport import Timeouts, mount
from ssl4eco_data.errors import ArchiveError

HTTP = ("http://", "https://")
BUCKETS = ("s3://", "gs://", "az://")
LINES = (".ndjson", ".jsonl", ".geojsonl")
"""Endings of files with one item a line."""
_REFUSED = (FileNotFoundError, PermissionError, NotFoundError, PermissionDeniedError, UnauthenticatedError)
_CATALOGUES = (".json", ".geojson", *LINES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a service is asked."""

    timeouts: Timeouts
    limits: Limits
    retries: int
    wait_s: float


def is_remote(place: str) -> bool:
    """Whether a place is a link to a web server or a bucket, and no path."""
    return place.startswith((*HTTP, *BUCKETS))


def may_be_catalogue(place: str) -> bool:
    """Whether a link may lead to a file: all of a bucket, and what ends as such files do."""
    return place.startswith(BUCKETS) or PurePosixPath(urlsplit(place).path).suffix.lower() in _CATALOGUES


def folder_of(link: str) -> str:
    """The link of the folder that a file lies in, ending in ``/``; queries (signatures) are left out."""
    parts = urlsplit(link)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rpartition('/')[0]}/"


def fetch(link: str, asking: Asking) -> bytes:
    """The content of a document, tried again on transient failures. Raises ArchiveError naming the link.

    Buckets take credentials, region and endpoint from the environment (``AWS_*``, ``GOOGLE_*``, ``AZURE_*``).
    """
    lane = lane_of(link, asking.limits)

    def request() -> bytes:
        with archive_errors(f"STAC catalogue {link}", remote=True), _bucket_errors(link):
            if link.startswith(HTTP):
                with mount(requests.Session(), asking.timeouts, 1, lane) as session:
                    answer = session.get(link)
                    answer.raise_for_status()
                    return answer.content
            lane.start()
            content = _from_bucket(link, asking.timeouts)
            lane.received(len(content))
            return content

    return with_retries(request, retries=asking.retries, wait_s=asking.wait_s, lane=lane)


def _from_bucket(link: str, timeouts: Timeouts) -> bytes:
    """One object; obstore itself does not try again."""
    folder = folder_of(link)
    store = from_url(
        folder,
        client_options={
            "timeout": timedelta(seconds=timeouts.total_s),
            "connect_timeout": timedelta(seconds=timeouts.connect_s),
            "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes"),
        },
        retry_config={"max_retries": 0},
    )
    return bytes(obstore.get(store, urlsplit(link).path.rpartition("/")[2]).bytes())


@contextmanager
def _bucket_errors(link: str) -> Iterator[None]:
    """Turns what obstore raises into ArchiveError: absent and refused objects are permanent."""
    try:
        yield
    except _REFUSED as error:
        raise ArchiveError(
            f"STAC catalogue {link}: {_first_line(error)}; look at the name, the region and the credentials "
            "in the environment",
            transient=False,
        ) from None
    except BaseError as error:
        raise ArchiveError(f"STAC catalogue {link}: {_first_line(error)}", transient=True) from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
