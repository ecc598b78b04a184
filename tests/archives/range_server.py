"""A server of one file by ranges, on the loopback interface, that misbehaves as it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import urlsplit

_NAMES = count()
STINGY_BYTES = 5000


class Files:
    """One file under any name; ``moods`` are what becomes of the next requests."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.moods: list[str] = []
        self.asked: list[tuple[int, int]] = []
        self.state: dict[str, str] = {}
        self.logins: list[str] = []
        self.connections = 0
        self.url = ""

    def href(self) -> str:
        """A name that nothing is remembered of."""
        return f"{self.url}/{next(_NAMES)}.tif"


def handler_of(files: Files) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            files.connections += 1

        def do_GET(self) -> None:
            start, end = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            files.asked.append((start, end))
            files.logins.append(self.headers.get("Authorization", ""))
            mood = files.moods.pop(0) if files.moods else "well"
            if mood == "silent":
                time.sleep(3)
            if mood == "loop" or (mood == "moved" and not self.path.startswith("/moved/")):
                return self._moved(mood)
            if mood.isdigit():
                return self._send(int(mood), b"no")
            if mood == "chunked":
                return self._chunked(files.data)
            if mood == "whole":
                return self._send(200, files.data)
            if start >= len(files.data):
                return self._send(416, b"")
            last = start + STINGY_BYTES - 1 if mood == "stingy" else end
            return self._part(start, files.data[start : min(last, end) + 1], mood)

        def _moved(self, mood: str) -> None:
            place = urlsplit(self.path).path
            self._send(302, b"", Location=place if mood == "loop" else f"/moved{place}")

        def _part(self, start: int, body: bytes, mood: str) -> None:
            shift = 1 if mood == "elsewhere" else 0
            size = "*" if mood == "unsized" else len(files.data) + (mood == "grown")
            headers = {"Content-Range": f"bytes {start + shift}-{start + len(body) - 1 + shift}/{size}"}
            if mood == "gzip":
                headers["Content-Encoding"] = "gzip"
            if mood == "drip":
                return self._drip(body, headers)
            self._send(206, body, cut=mood == "reset", **headers, **files.state)
            return None

        def _drip(self, body: bytes, headers: dict[str, str]) -> None:
            self._send(206, body, none=True, **headers)
            for part in body:
                self.wfile.write(bytes([part]))
                time.sleep(0.02)
            self.close_connection = True

        def _chunked(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

        def _send(
            self, status: int, body: bytes, *, cut: bool = False, none: bool = False, **headers: str
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if not none:
                self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = cut

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextmanager
def serving(data: bytes) -> Iterator[Files]:
    """The file on a free port, until the end."""
    files = Files(data)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(files)) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        files.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield files
        server.shutdown()
