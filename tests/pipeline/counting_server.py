"""The files of an archive over loopback HTTP; which were asked for is noted."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class CountingServer(ThreadingHTTPServer):
    """Serves the files of a folder, ranges too."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def asked(self, name: str) -> set[str]:
        """The paths that end so and were asked for since the last call of :meth:`forget`."""
        return {path for path in self.requests if path.endswith(name)}

    def forget(self) -> None:
        self.requests.clear()


class _Handler(BaseHTTPRequestHandler):
    server: CountingServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        self.server.requests.append(self.path)
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = path.read_bytes()
        first, last, size = 0, len(body) - 1, len(body)
        if span := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(span[1]), min(int(span[2] or last), last)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        if with_body:
            self.wfile.write(body[first : last + 1])


@contextmanager
def serving(folder: Path) -> Iterator[CountingServer]:
    server = CountingServer(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write_remote_catalogue(archive: Path, url: str, to: Path) -> None:
    """The catalogue of the archive with its files at ``url``."""
    catalogue = json.loads((archive / "sentinel-2-l2a.json").read_text())
    for item in catalogue["features"]:
        for asset in item["assets"].values():
            asset["href"] = asset["href"].replace("./", f"{url}/", 1)
    to.write_text(json.dumps(catalogue))
