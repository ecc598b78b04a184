"""Links signed for Planetary Computer: tokens fetched under our time-outs, and forgotten when they end early.

The library of Planetary Computer keeps the tokens and signs; but when it fetches one itself, it has no
time-out and tries for many minutes.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from ssl4eco_data.archives.flow_control import Limits, lane_of
from ssl4eco_data.archives.retry import archive_errors
from ssl4eco_data.archives.transport import Timeouts, mount
from ssl4eco_data.errors import ArchiveError

SHORTEST_S = 90
"""A token that ends sooner is fetched anew, before the library would do so itself at 60 s."""
_STORE = ".blob.core.windows.net"
_PUBLIC = "ai4edatasetspublicassets"
_FETCHING = threading.Lock()
_FAILED: dict[str, tuple[float, ArchiveError]] = {}
"""When the last token of a place could not be had, and why: those who waited meanwhile need not try too."""


def signed(href: str, timeouts: Timeouts, limits: Limits) -> str:
    """The link with a signature that lasts a minute at least; links to other stores as they are.

    Raises ArchiveError when no token can be had.
    """
    import planetary_computer  # slow to import, and it warns when it is

    if container := _container(href):
        _hold_token("/".join(container), timeouts, limits)
    return str(planetary_computer.sign_url(href))


def tokens() -> Mapping[str, Any]:
    """The tokens of this process, as they are now."""
    from planetary_computer import sas  # slow to import

    return dict(sas.TOKEN_CACHE)


def forget(refused: Mapping[str, Any]) -> None:
    """Drop these tokens, because one of them was refused; those that came in their place meanwhile stay."""
    from planetary_computer import sas  # slow to import

    with _FETCHING:
        for place, token in refused.items():
            if sas.TOKEN_CACHE.get(place) is token:
                del sas.TOKEN_CACHE[place]


def _container(href: str) -> tuple[str, str] | None:
    """(account, container) of a link that has to be signed."""
    parts = urlsplit(href)
    account, name = parts.netloc.removesuffix(_STORE), parts.path.strip("/").split("/")[0]
    is_blob = parts.netloc.endswith(_STORE) and account != _PUBLIC and bool(name)
    return (account, name) if is_blob and not set(parse_qs(parts.query)) & {"st", "se", "sp"} else None


def _hold_token(container: str, timeouts: Timeouts, limits: Limits) -> None:
    """See to it that the library has a token of the container; one thread fetches it for all."""
    from planetary_computer import sas  # slow to import
    from planetary_computer.settings import Settings

    settings = Settings.get()
    place = f"{settings.sas_url}/{container}"
    asked_s = time.monotonic()
    with _FETCHING:
        token = sas.TOKEN_CACHE.get(place)
        if token is not None and token.ttl() >= SHORTEST_S:
            return
        failed_s, failure = _FAILED.get(place, (-math.inf, None))
        if failure and failed_s >= asked_s:
            raise ArchiveError(str(failure), transient=failure.transient)
        key = settings.subscription_key
        headers = {"Ocp-Apim-Subscription-Key": key} if key else {}
        try:
            sas.TOKEN_CACHE[place] = sas.SASToken(**_fetched(place, headers, timeouts, limits))
        except ArchiveError as error:
            _FAILED[place] = time.monotonic(), error
            raise


def _fetched(place: str, headers: Mapping[str, str], timeouts: Timeouts, limits: Limits) -> dict[str, Any]:
    """The answer of the service. A pause that it asks for is not the file server's, hence no status."""
    try:
        with archive_errors(f"token of {place}", remote=True), requests.Session() as session:
            answer = mount(session, timeouts, 1, lane_of(place, limits)).get(place, headers=headers)
            answer.raise_for_status()
            document = answer.json()
            if not isinstance(document, dict) or not {"token", "msft:expiry"} <= set(document):
                raise requests.ConnectionError("the answer holds no token")
            return document
    except ArchiveError as error:
        raise ArchiveError(str(error), transient=error.transient) from None
