"""A STAC API and its files on the loopback interface that misbehave on demand, in every way of HTTP."""

from __future__ import annotations

import base64
import json
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from stac_server import CONFORMS, _matches

DRIP_S = 0.05
XML = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>Because.</Message><Key>k3y</Key></Error>"
HTML = b"<html><body>Please sign in</body></html>"


class Faulty(ThreadingHTTPServer):
    """Serves the item collections of ``folder`` and its files by ranges.

    ``plan(path)`` names the fault of the next request, or nothing: a status, ``429:SECONDS`` (Retry-After),
    ``STATUS=CODE`` (with XML of an object store), ``reset`` (at once), ``cut`` (reset in the middle of the
    body), ``short`` (closed in the middle, as if all were said), ``drip`` (a byte now and then), ``silent``
    (no answer as long as the server lives), ``html``, ``latin`` (no UTF-8), or JSON to answer with.
    With ``signatures``, files want one of them as ``sig``. ``capacity`` is the number of requests at a time
    above which it answers 429.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.plan: Callable[[str], str] = lambda _path: ""
        self.signatures: set[str] = set()
        self.sign_items = ""
        self.capacity = 10_000
        self.page_items = 2
        self.log: list[tuple[float, str]] = []
        self.users: set[str] = set()
        self.lock = threading.Lock()
        self.in_flight = self.most_in_flight = 0
        self.closing = threading.Event()
        self.work_s = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def first(self, *faults: str, path: str = "") -> None:
        """The next requests whose path ends in ``path`` meet these faults, the later ones none."""
        left = list(faults)
        self.plan = lambda asked: left.pop(0) if left and asked.endswith(path) else ""

    def often(self, share: float, faults: list[str], seed: int) -> None:
        """Every request meets one of the faults with this probability."""
        rng = random.Random(seed)
        self.plan = lambda _path: rng.choice(faults) if rng.random() < share else ""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are no news."""


class Handler(BaseHTTPRequestHandler):
    server: Faulty
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._serve(b"")

    def do_HEAD(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def _serve(self, body: bytes) -> None:
        server, path = self.server, urlsplit(self.path).path
        kind, _, user = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            server.users.add(base64.b64decode(user).decode())
        with server.lock:
            server.log.append((time.monotonic(), path))
            fault = server.plan(path)
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
            crowded = server.in_flight > server.capacity
        try:
            time.sleep(server.work_s)
            self._answer(path, body, "429" if crowded else fault)
        finally:
            with server.lock:
                server.in_flight -= 1

    def _answer(self, path: str, body: bytes, fault: str) -> None:
        if fault.startswith(("{", "[", "null", '"')):
            return self._send(200, fault.encode())
        status, _, code = fault.partition("=")
        if code:
            return self._send(int(status), XML.format(code=code).encode())
        status, _, wait = fault.partition(":")
        if status.isdigit():
            return self._send(int(status), b"no", {"Retry-After": wait} if wait else {})
        if fault == "reset":
            return self._reset()
        if fault == "silent":
            self.server.closing.wait()
            return self._reset()
        if fault == "latin":
            return self._send(200, '{"d\u00e9j\u00e0": 1}'.encode("latin-1"))
        if fault == "html":
            return self._send(200, HTML, {"Content-Type": "text/html"})
        if path in ("/", "/search"):
            document = self._landing() if path == "/" else self._found(json.loads(body))
            return self._send(200, json.dumps(document).encode(), fault=fault)
        return self._file(path, fault)

    def _landing(self) -> dict[str, Any]:
        url = self.server.url
        links = [
            {"rel": "self", "href": url},
            {"rel": "root", "href": url},
            {"rel": "search", "href": f"{url}/search", "type": "application/geo+json", "method": "POST"},
        ]
        head = {"type": "Catalog", "id": "loopback", "description": "test", "stac_version": "1.0.0"}
        return head | {"conformsTo": CONFORMS, "links": links}

    def _found(self, query: dict[str, Any]) -> dict[str, Any]:
        found = [item for item in self._items() if _matches(item, query)]
        first, size = int(query.get("token", 0)), min(query.get("limit", 10), self.server.page_items)
        links = []
        if first + size < len(found):
            following = {**query, "token": str(first + size)}
            href = f"{self.server.url}/search"
            links = [{"rel": "next", "method": "POST", "href": href, "body": following}]
        return {"type": "FeatureCollection", "features": found[first : first + size], "links": links}

    def _items(self) -> Iterator[dict[str, Any]]:
        signature = f"?se=2030&sig={self.server.sign_items}" if self.server.sign_items else ""
        for path in sorted(self.server.folder.glob("*.json")):
            for item in json.loads(path.read_text()).get("features", []):
                for asset in item["assets"].values():
                    asset["href"] = f"{self.server.url}/{asset['href'].removeprefix('./')}{signature}"
                yield item

    def _file(self, path: str, fault: str) -> None:
        place = self.server.folder / path.lstrip("/")
        if self.server.signatures:
            given = parse_qs(urlsplit(self.path).query).get("sig", [""])[0]
            if given not in self.server.signatures:
                return self._send(403, b"Signature not valid in the specified time frame")
        if not place.is_file():
            return self._send(404, b"no such file")
        content = place.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            return self._send(200, content, fault=fault)
        start, end = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        if start > end:
            return self._send(416, b"")
        extent = {"Content-Range": f"bytes {start}-{end}/{len(content)}"}
        return self._send(206, content[start : end + 1], extent, fault)

    def _send(self, code: int, body: bytes, headers: dict[str, str] | None = None, fault: str = "") -> None:
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return None
        if fault == "cut":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            return self._reset()
        if fault == "short":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return None
        if fault == "drip":
            for at in range(len(body)):
                self.wfile.write(body[at : at + 1])
                self.wfile.flush()
                time.sleep(DRIP_S)
            return None
        self.wfile.write(body)
        return None

    def _reset(self) -> None:
        """RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


@contextmanager
def faulty(folder: Path) -> Iterator[Faulty]:
    """A server of ``folder`` on a free port, stopped at the end."""
    server = Faulty(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
