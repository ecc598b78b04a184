"""What kind of failure an archive met, in one place, and another attempt where that may help."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import requests
import tenacity
from pystac_client.exceptions import APIError
from rasterio.errors import RasterioError

from ssl4eco_data.errors import ArchiveError

Answer = TypeVar("Answer")
LONGEST_WAIT_S = 60.0
_STATUS = re.compile(r"(?:HTTP response code|response_code|status code|HTTP error code)\D{0,4}(\d{3})")
_BROKEN_CONNECTION = re.compile(
    r"curl error|timed? ?out|timeout|resolve host|empty reply|ssl connect|"
    r"(connect|connection|recv|send|transfer)\w*\W+(\w+\W+){0,2}(reset|refused|aborted|closed|failed|failure|died|broken)",
    re.IGNORECASE,
)
"""Words of curl and of GDAL; links are taken out before, ``/vsicurl/`` among them."""
_QUERY = re.compile(r"\?[^\s'\"]*")
_LINK = re.compile(r"(/vsi\w+/|https?://)[^\s'\"]*")


def is_transient_status(status: int) -> bool:
    """Whether an HTTP status says that the same request may succeed later."""
    return status in (408, 425, 429) or status >= 500


@contextmanager
def archive_errors(
    what: str, *, remote: bool, unexplained: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Turns what rasterio, pystac-client, requests and the file system raise into :class:`ArchiveError`.

    ``what`` names the file or request. ``unexplained`` is asked whether a failure of a remote file is
    transient when GDAL does not say why it failed. The query part of links is left out of messages,
    because it may carry a signature.
    """
    try:
        yield
    except ArchiveError:
        raise
    except (RasterioError, APIError, requests.RequestException, OSError, ValueError) as error:
        reason = _QUERY.sub("?...", _text(error))
        known = _is_transient(error) if remote else False
        transient = unexplained() if known is None else known
        raise ArchiveError(f"{what}: {reason}", transient=transient) from None


def _text(error: BaseException) -> str:
    """The message of an error and of what caused it, where GDAL puts the HTTP status."""
    texts = [f"{type(error).__name__}: {error}"]
    cause = error.__cause__ or error.__context__
    while cause is not None and len(texts) < 4:
        texts.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    return "; ".join(dict.fromkeys(texts))


def _is_transient(error: BaseException) -> bool | None:
    """None when GDAL failed without a reason: it loses the HTTP status of all but the first request."""
    if status := getattr(error, "status_code", None):  # APIError has it only when there was an answer
        return is_transient_status(int(status))
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return is_transient_status(error.response.status_code)
    if isinstance(error, json.JSONDecodeError | requests.ConnectionError | requests.Timeout):
        return True
    text = _text(error)
    if found := _STATUS.search(text):
        return is_transient_status(int(found[1]))
    if _BROKEN_CONNECTION.search(_LINK.sub("", text)):
        return True
    return None if isinstance(error, RasterioError) else False


def with_retries(request: Callable[[], Answer], *, retries: int, wait_s: float) -> Answer:
    """The answer to ``request``, asked again up to ``retries`` times after a transient ArchiveError.

    The wait doubles from ``wait_s``, with as much jitter, up to a minute. The last error is raised.
    """
    attempts = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(retries + 1),
        wait=tenacity.wait_exponential(multiplier=wait_s, max=LONGEST_WAIT_S)
        + tenacity.wait_random(0, wait_s),
        retry=tenacity.retry_if_exception(lambda e: isinstance(e, ArchiveError) and e.transient),
        reraise=True,
    )
    return attempts(request)
