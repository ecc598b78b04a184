"""What kind of failure an archive met, in one place, and another attempt where that may help."""

from __future__ import annotations

import errno
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import requests
import tenacity
from pystac_client.exceptions import APIError
from rasterio.errors import RasterioError

from ssl4eco_data.archives.flow_control import Lane, sleep, worth_waiting
from ssl4eco_data.archives.refusals import meant
from ssl4eco_data.archives.window import Traffic
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.redaction import redacted

Answer = TypeVar("Answer")
LONGEST_WAIT_S = 60.0
_REFUSED = (401, 403)
_STATUS = re.compile(
    r"(?:HTTP response code|response_code|status code|HTTP error code)(?: on \S+)?\D{0,4}(\d{3})\b"
)
_BROKEN_CONNECTION = re.compile(
    r"curl error|timed? ?out|timeout|resolve host|empty reply|ssl connect|"
    r"(connect|connection|recv|send|transfer)\w*\W+(\w+\W+){0,2}(reset|refused|aborted|closed|failed|failure|died|broken)",
    re.IGNORECASE,
)
"""Words of curl and of GDAL; links are taken out before, ``/vsicurl/`` among them."""
_LINK = re.compile(r"(/vsi\w+/|https?://)[^\s'\"]*")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_LONGEST_CHAIN = 6
_LONGEST_REASON = 4096
_LONGEST_TEXT = 2000
"""Pages that stand in for answers are not worth more in a message."""
_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.ENETRESET)
_BROKEN_ANSWER = (
    json.JSONDecodeError,
    UnicodeDecodeError,
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)


def is_transient_status(status: int) -> bool:
    """Whether an HTTP status says that the same request may succeed later.

    501 and 505 say that the server will never do what it is asked.
    """
    return status in (408, 425, 429) or (status >= 500 and status not in (501, 505))


@contextmanager
def archive_errors(
    what: str, *, remote: bool, unexplained: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Turns what rasterio, pystac-client, requests and the file system raise into :class:`ArchiveError`.

    ``what`` names the file or request. ``unexplained`` is asked whether a failure of a remote file is
    transient when GDAL does not say why it failed.
    """
    try:
        yield
    except ArchiveError:
        raise
    except (RasterioError, APIError, requests.RequestException, OSError, ValueError) as error:
        status, asked_s = asked_by(error)
        known = _is_transient(error, status) if remote else False
        transient = unexplained() if known is None else known
        raise ArchiveError(
            f"{what}: {_text(error)}", transient=transient, status=status, retry_after_s=asked_s
        ) from None


def asked_by(error: BaseException) -> tuple[int | None, float | None]:
    """HTTP status and Retry-After in seconds of the answer behind an error, None where there is none.

    Knows the answers that requests and httplib2 leave in errors, and the texts of GDAL. The status is the one
    that was meant, where the answer names its reason (:mod:`ssl4eco_data.archives.refusals`).
    """
    status, asked_s = _stated(error)
    return (None if status is None else meant(status, _text(error) + _body(error))), asked_s


def _stated(error: BaseException) -> tuple[int | None, float | None]:
    for link in _chain(error):
        answer = getattr(link, "response", None)
        if isinstance(answer, requests.Response):
            return int(answer.status_code), retry_after_s(answer.headers)
        answer = getattr(link, "resp", None)
        if answer is not None:
            return int(answer.status), retry_after_s(answer)
    for link in _chain(error):
        if status := getattr(link, "status_code", None):  # APIError has it only when there was an answer
            return int(status), None
    found = _STATUS.search(_text(error))
    return (int(found[1]), None) if found else (None, None)


def _body(error: BaseException) -> str:
    """What the answer behind an error says, as far as it was read already."""
    for link in _chain(error):
        answer = getattr(link, "response", None)
        if isinstance(answer, requests.Response) and isinstance(answer._content, bytes):
            return answer._content[:_LONGEST_REASON].decode("latin-1")
    return ""


def retry_after_s(headers: Mapping[str, Any]) -> float | None:
    """Seconds that an answer asks to wait, from seconds or a date (RFC 9110, 10.2.3); None without it.

    A date is compared with the answer's own, because the clocks may differ.
    """
    value = _header(headers, "Retry-After")
    if _SECONDS.fullmatch(value):
        return float(value)
    when = _date(value)
    if when is None:
        return None
    return max(0.0, (when - (_date(_header(headers, "Date")) or datetime.now(UTC))).total_seconds())


def _header(headers: Mapping[str, Any], name: str) -> str:
    return str(headers.get(name) or headers.get(name.lower()) or "").strip()


def _date(value: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return when.replace(tzinfo=when.tzinfo or UTC)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, the nearest first."""
    link: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if link is None:
            return
        yield link
        link = link.__cause__ or link.__context__


def _text(error: BaseException) -> str:
    """The message of an error and of what caused it, where GDAL puts the HTTP status."""
    texts: list[str] = []
    for raw in (f"{type(error).__name__}: {error}", *(str(link) for link in list(_chain(error))[1:4])):
        text = redacted(raw)[:_LONGEST_TEXT]
        if not any(text in said for said in texts):  # urllib3 and requests quote what they come from
            texts.append(text)
    return "; ".join(texts)


def _is_transient(error: BaseException, status: int | None) -> bool | None:
    """None when GDAL failed without a reason: it loses the HTTP status of all but the first request."""
    if status is not None:
        return is_transient_status(status)
    if any(isinstance(link, _BROKEN_ANSWER) or _errno(link) in _UNREACHABLE for link in _chain(error)):
        return True
    if _BROKEN_CONNECTION.search(_LINK.sub("", _text(error))):
        return True
    return None if isinstance(error, RasterioError) else False


def _errno(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None


def with_retries(
    request: Callable[[], Answer],
    *,
    retries: int,
    wait_s: float,
    lane: Lane | None = None,
    renew: Callable[[], None] | None = None,
) -> Answer:
    """The answer to ``request``, asked again up to ``retries`` times after a transient ArchiveError.

    The wait before attempt n + 1 is random up to ``wait_s * 2**(n - 1)``, at most a minute, and comes on
    top of what the server asked for (Retry-After); one that wants more than five minutes is not asked again.
    Each attempt is a turn of ``lane``; ``request`` itself calls ``lane.start()`` for what it sends. ``renew``
    is called once when the server refuses (401, 403), for a fresh signature. The last error is raised.
    """
    renewals = [renew] if renew else []
    attempts = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(retries + 1),
        wait=_pause(wait_s),
        retry=tenacity.retry_if_exception(worth_waiting),
        sleep=sleep,
        before_sleep=None if lane is None else _counted(lane),
        reraise=True,
    )

    def turn() -> Answer:
        with lane.turn() if lane else nullcontext():
            return request()

    def attempt() -> Answer:
        try:
            return turn()
        except ArchiveError as error:
            if error.status not in _REFUSED or not renewals:
                raise
        renewals.pop()()
        return turn()

    try:
        return attempts(attempt)
    except ArchiveError as error:
        if lane:
            lane.count(Traffic(transient=int(error.transient), permanent=int(not error.transient)))
        raise


def _pause(wait_s: float) -> Callable[[tenacity.RetryCallState], float]:
    """Full jitter: it spreads clients that failed together best (Brooker 2015, AWS Architecture Blog)."""
    jitter = tenacity.wait_random_exponential(multiplier=wait_s, max=LONGEST_WAIT_S)

    def pause_s(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked_s = error.retry_after_s if isinstance(error, ArchiveError) else None
        return jitter(state) + (asked_s or 0.0)

    return pause_s


def _counted(lane: Lane) -> Callable[[tenacity.RetryCallState], None]:
    def count(state: tenacity.RetryCallState) -> None:
        lane.count(Traffic(retries=1, waited_s=state.next_action.sleep if state.next_action else 0.0))

    return count
