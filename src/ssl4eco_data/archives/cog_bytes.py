"""Ranges of bytes of files, near or behind HTTP."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
import urllib3
from requests import utils

from ssl4eco_data.archives.refusals import reason_of
from ssl4eco_data.archives.transport import Timeouts

CONNECTIONS = 64
"""Kept open to one server by one process."""
PART_BYTES = 2**19
REASON_BYTES = 4096
MEMORY_BYTES = 2**22
MEMORIES = 32
"""Pieces of memory kept by one process, each of so many bytes: two blocks of 1024 x 1024 fit."""
_FREE: deque[bytearray] = deque()
_REDIRECTS = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Version(NamedTuple):
    """What tells one state of a file from another, as far as it is known."""

    file_bytes: int | None = None
    etag: str = ""
    modified: str = ""

    def differs(self, other: Version) -> bool:
        """Whether the file surely changed.

        Servers behind one address may disagree about the ETag of one file, so it does not count where the
        times of change agree.
        """
        if None not in (self.file_bytes, other.file_bytes) and self.file_bytes != other.file_bytes:
            return True
        if self.modified and other.modified:
            return self.modified != other.modified
        return bool(self.etag and other.etag) and self.etag != other.etag


class Piece(NamedTuple):
    """How many bytes were filled, fewer than asked where file or answer end before; the file's state.

    ``received`` counts what came over the network: more, when a server sent what was not asked for.
    """

    size: int
    version: Version
    received: int


class FileChanged(requests.ConnectionError):
    """The file is not the one that was begun; it may be read anew."""


Read = Callable[[int, memoryview], Piece]
"""Fills memory with the bytes of a file from a position on."""


@contextmanager
def memory(size: int) -> Iterator[memoryview]:
    """Memory of some bytes, to be used inside only; used again, because fresh memory costs page faults."""
    try:
        held = _FREE.pop()
    except IndexError:
        held = bytearray(MEMORY_BYTES)
    if len(held) < size:
        held = bytearray(size)
    try:
        yield memoryview(held)[:size]
    finally:
        if len(held) == MEMORY_BYTES and len(_FREE) < MEMORIES:
            _FREE.append(held)


def read_near(path: Path, start: int, into: memoryview) -> Piece:
    """Fills ``into`` from a local file. Raises OSError."""
    filled = 0
    with path.open("rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        file.seek(start)
        while filled < len(into) and (more := file.readinto(into[filled:])):
            filled += more
    return Piece(filled, Version(status.st_size, modified=str(status.st_mtime_ns)), filled)


def read_far(link: str, timeouts: Timeouts, start: int, into: memoryview) -> Piece:
    """Fills ``into`` from a file behind HTTP, by one range request.

    Raises ``requests.HTTPError`` with the answer for a refusal, ``requests.ConnectionError`` or
    ``requests.Timeout`` for an answer that breaks off or does not come, ``ValueError`` for one that holds
    other bytes than the file.
    """
    deadline_s = time.monotonic() + timeouts.total_s
    parts = urlsplit(link)
    pool, headers = _connections(os.getpid(), f"{parts.scheme}://{parts.netloc}")
    limits = urllib3.Timeout(
        connect=min(timeouts.connect_s, timeouts.total_s), read=min(timeouts.read_s, timeouts.total_s)
    )
    asked = {**headers, "Range": f"bytes={start}-{start + len(into) - 1}"}
    with _as_requests():
        answer = pool.request(
            "GET", link, headers=asked, timeout=limits, preload_content=False, retries=_REDIRECTS
        )
        try:
            return _piece(answer, start, into, deadline_s)
        finally:
            answer.close()  # one that was read to its end is back in the pool, and stays open


@lru_cache(maxsize=64)
def _connections(_process_id: int, server: str) -> tuple[urllib3.PoolManager, Mapping[str, str]]:
    """The connections of this process to a server, and headers for it; a forked child makes its own.

    Proxies, certificates and ``.netrc`` are those of requests, looked up once and not for every request;
    user and password of the link come first.
    """
    certificates = (
        os.environ.get("REQUESTS_CA_BUNDLE")
        or os.environ.get("CURL_CA_BUNDLE")
        or utils.DEFAULT_CA_BUNDLE_PATH
    )
    settings: dict[str, Any] = {
        "maxsize": CONNECTIONS,
        "ca_certs": certificates,
        "cert_reqs": "CERT_REQUIRED",
    }
    proxy = utils.select_proxy(server, utils.get_environ_proxies(server))
    pool = _through(proxy, settings) if proxy else urllib3.PoolManager(**settings)
    linked = utils.get_auth_from_url(server)
    known = linked if any(linked) else utils.get_netrc_auth(server)
    login = urllib3.make_headers(basic_auth=":".join(known)) if known else {}
    return pool, {"Accept-Encoding": "identity", "User-Agent": utils.default_user_agent(), **login}


def _through(proxy: str, settings: Mapping[str, Any]) -> urllib3.PoolManager:
    link = utils.prepend_scheme_if_needed(proxy, "http")
    login = utils.get_auth_from_url(link)
    headers = urllib3.make_headers(proxy_basic_auth=":".join(login)) if any(login) else None
    return urllib3.ProxyManager(link, proxy_headers=headers, **settings)


@contextmanager
def _as_requests() -> Iterator[None]:
    """Turns what urllib3 raises into what requests would."""
    try:
        yield
    except (urllib3.exceptions.TimeoutError, TimeoutError) as error:
        raise requests.Timeout(str(error)) from error
    except urllib3.exceptions.LocationValueError as error:
        raise requests.exceptions.InvalidURL(str(error)) from error
    except (urllib3.exceptions.HTTPError, HTTPException, OSError) as error:
        if isinstance(error, requests.RequestException):
            raise
        if isinstance(getattr(error, "reason", None), urllib3.exceptions.ResponseError):
            raise requests.TooManyRedirects(str(error)) from error
        raise requests.ConnectionError(str(error)) from error


def _piece(answer: urllib3.BaseHTTPResponse, start: int, into: memoryview, deadline_s: float) -> Piece:
    etag, modified = (answer.headers.get(name, "") for name in ("ETag", "Last-Modified"))
    if answer.status == 416:
        return Piece(0, Version(), 0)
    if answer.status not in (200, 206):
        refusal = requests.Response()
        refusal.status_code = answer.status
        refusal.headers.update(answer.headers)
        said = reason_of(answer.read1(REASON_BYTES, decode_content=False))
        raise requests.HTTPError(f"status code {answer.status} {said}".strip(), response=refusal)
    if (encoding := answer.headers.get("Content-Encoding", "identity")) != "identity":
        raise ValueError(f"the server sends the file encoded as {encoding}, which was not asked for")
    begin, end, file_bytes = _extent(answer, start)
    wanted = max(0, min(len(into), end - start))
    skipped = _skip(answer, start - begin if wanted else 0, deadline_s)
    filled = _fill(answer, into[:wanted], deadline_s)
    if filled < wanted and end < sys.maxsize:
        raise requests.ConnectionError(f"the answer broke off after {filled} of {wanted} bytes")
    return Piece(filled, Version(file_bytes, etag, modified), skipped + filled)


def _extent(answer: urllib3.BaseHTTPResponse, start: int) -> tuple[int, int, int | None]:
    """(first byte, byte after the last, bytes of the file): a server may send the whole file instead.

    An answer that does not say its length ends at ``sys.maxsize``.
    """
    if answer.status == 200:
        whole = int(answer.headers["Content-Length"]) if "Content-Length" in answer.headers else None
        return 0, sys.maxsize if whole is None else whole, whole
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if found is None or int(found[1]) != start:
        stated = answer.headers.get("Content-Range", "none")
        raise requests.ConnectionError(f"asked for bytes from {start} on, the answer's range is {stated}")
    return start, int(found[2]) + 1, None if found[3] == "*" else int(found[3])


def _skip(answer: urllib3.BaseHTTPResponse, size: int, deadline_s: float) -> int:
    skipped = 0
    with memory(MEMORY_BYTES) as waste:
        for first in range(0, size, MEMORY_BYTES):
            skipped += _fill(answer, waste[: min(MEMORY_BYTES, size - first)], deadline_s)
    return skipped


def _fill(answer: urllib3.BaseHTTPResponse, into: memoryview, deadline_s: float) -> int:
    """How many bytes of ``into`` the answer filled; the clock is looked at between reads of the socket."""
    filled = 0
    while filled < len(into):
        part = answer.read1(min(len(into) - filled, PART_BYTES), decode_content=False)
        if not part:
            break
        into[filled : filled + len(part)] = part
        filled += len(part)
        if filled < len(into) and time.monotonic() > deadline_s:
            raise requests.Timeout(f"timed out after {filled} of {len(into)} bytes")
    return filled
