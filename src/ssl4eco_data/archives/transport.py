"""HTTP below the clients' own code: time-outs for connect, silence and the whole; what goes is counted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from ssl4eco_data.archives.flow_control import Lane

_CHUNK_BYTES = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds after which a request is given up: no connection, no word, not finished."""

    connect_s: float
    read_s: float
    total_s: float

    @property
    def shortest_s(self) -> float:
        """Seconds of silence, or of the whole, after which a request that began is given up."""
        return min(self.read_s, self.total_s)


def mount(session: requests.Session, timeouts: Timeouts, connections: int, lane: Lane) -> requests.Session:
    """``session``, which now keeps these time-outs whatever its caller asks; ``lane`` counts its requests."""
    adapter = _Adapter(timeouts, connections, lane)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Adapter(HTTPAdapter):
    def __init__(self, timeouts: Timeouts, connections: int, lane: Lane) -> None:
        super().__init__(pool_maxsize=connections, max_retries=0)
        self._timeouts = timeouts
        self._lane = lane

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """As requests does it; the caller's ``timeout`` gives way to the adapter's."""
        limits = self._timeouts
        self._lane.start()
        end_s = time.monotonic() + limits.total_s
        options["timeout"] = (min(limits.connect_s, limits.total_s), min(limits.read_s, limits.total_s))
        answer = super().send(request, *args, **options)
        answer.raw = _Body(answer.raw, end_s, limits.total_s, self._lane)
        return answer


class _Body:
    """urllib3's answer, whose stream ends in a time-out when the whole takes too long.

    A server that sends a byte now and then never meets the time-out for silence.
    """

    def __init__(self, raw: Any, end_s: float, total_s: float, lane: Lane) -> None:
        self._raw = raw
        self._end_s = end_s
        self._total_s = total_s
        self._lane = lane

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, _amount: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:
        while chunk := self._raw.read1(_CHUNK_BYTES, decode_content=decode_content):
            self._lane.received(len(chunk))
            if time.monotonic() > self._end_s:
                self._raw.close()
                raise requests.ReadTimeout(f"timed out: not finished within {self._total_s:g} s")
            yield chunk


class Httplib2Like:
    """The one method of ``httplib2.Http`` that Google's clients call, over a session of requests."""

    def __init__(self, session: requests.Session) -> None:
        self._session = session

    def request(
        self,
        uri: str,
        method: str = "GET",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        redirections: int | None = None,
        connection_type: Any = None,
    ) -> tuple[Any, bytes]:
        """(answer with its headers, content)."""
        import httplib2  # type: ignore[import-untyped]  # comes with Google's client, which is optional

        answer = self._session.request(method, uri, data=body, headers=headers)
        return httplib2.Response({**answer.headers, "status": str(answer.status_code)}), answer.content
