"""Whole tiles behind HTTP on the loopback interface, in a process of their own; requests and bytes counted.

``python -m benchmarks.reading_server FOLDER LATENCY_MS`` prints its port and serves until it is ended.
``/ANY-SCENE/BAND.tif`` is the file of that band; ``/count`` tells the counts since the last ``/count``.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from benchmarks.reading_data import PIXEL_M, file_name

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Handler(BaseHTTPRequestHandler):
    """Answers with a file or a range of it, after a wait."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder = Path()
    latency_s = 0.0
    counts: ClassVar[Counter[str]] = Counter()
    lock = threading.Lock()

    def do_GET(self) -> None:
        """A file, a range of it, or the counts."""
        if self.path == "/count":
            return self._tell()
        return self._file(body=True)

    def do_HEAD(self) -> None:
        """The size of a file."""
        self._file(body=False)

    def _tell(self) -> None:
        with self.lock:
            data = json.dumps(self.counts).encode()
            self.counts.clear()
        self._head(200, len(data))
        self.wfile.write(data)

    def _file(self, *, body: bool) -> None:
        with self.lock:
            self.counts["requests"] += 1
        time.sleep(self.latency_s)
        name = self.path.partition("?")[0].rpartition("/")[2]
        if name.removesuffix(".tif") not in PIXEL_M or not name.endswith(".tif"):
            return self._head(404, 0)
        with (self.folder / file_name(name.removesuffix(".tif"))).open("rb") as file:
            total = file.seek(0, 2)
            asked = _RANGE.fullmatch(self.headers.get("Range", ""))
            start = int(asked[1]) if asked else 0
            end = min(int(asked[2]) + 1 if asked and asked[2] else total, total)
            self._head(
                206 if asked else 200, end - start, f"bytes {start}-{end - 1}/{total}" if asked else ""
            )
            if body:
                with self.lock:
                    self.counts["bytes"] += end - start
                self.wfile.flush()
                self.connection.sendfile(file, start, end - start)
        return None

    def _head(self, status: int, length: int, content_range: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    Handler.folder, Handler.latency_s = Path(sys.argv[1]), float(sys.argv[2]) / 1000
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        print(server.server_address[1], flush=True)
        server.serve_forever()
