"""A loopback Earth Engine: the REST API as far as the official client needs it, over a small world."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import numpy as np
from ee_evaluate import Evaluator, Image, described
from ee_graphs import TESTS, Checker, GraphError
from ee_world import World

MAX_BYTES, MAX_SIDE_PX, MAX_BANDS = 48 * 2**20, 32_768, 1_024
TOKEN = "loopback-access-token"
REFRESH_TOKEN = "loopback-refresh-token"


class Server(ThreadingHTTPServer):
    """Counts requests and misbehaves on demand: ``faults`` is consumed by the next requests.

    ``sign_ins`` are the requests of a session that begins, ``pause_s`` is how long an answer takes at least.
    """

    daemon_threads = True

    def __init__(self, world: World) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.world = world
        self.requests: list[str] = []
        self.sign_ins: list[str] = []
        self.refresh_tokens = {REFRESH_TOKEN}
        self.pause_s = 0.0
        self.used: set[str] = set()
        self.faults: list[str] = []
        self.max_elements = 5_000
        self.lock = threading.Lock()
        self.in_flight = self.most_in_flight = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One connection of the client."""

    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.server.sign_ins.append(path.rpartition("/")[2])
        if path == "/$discovery/rest":
            document = (TESTS / "cloud_api_discovery_document.json").read_text()
            return self._send(200, document.replace("v1alpha", "v1").encode())
        if re.fullmatch(r"/v1/projects/[^/]+/algorithms", path):
            return self._send(200, (TESTS / "algorithms.json").read_bytes())
        if re.fullmatch(r"/v1/projects/[^/]+/config", path):
            return self._send(200, b'{"maxConcurrentExports": 2}')
        return self._error(404, f"no {path}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/token":
            return self._token(parse_qs(body.decode()))
        method = self.path.split("?")[0].rpartition("/")[2]
        with self._counted(method):
            fault = self.server.faults.pop(0) if self.server.faults else ""
            if fault:
                return self._misbehave(fault)
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self._error(401, "Request had invalid authentication credentials.")
            time.sleep(self.server.pause_s)
            try:
                return self._answer(method, json.loads(body))
            except GraphError as error:
                return self._error(400, str(error))

    def _token(self, asked: dict[str, list[str]]) -> None:
        """To service accounts as to users; a refresh token must be known."""
        self.server.sign_ins.append("token")
        known = asked.get("refresh_token", [""])[0] in self.server.refresh_tokens
        if asked["grant_type"] == ["refresh_token"] and not known:
            return self._send(400, b'{"error": "invalid_grant", "error_description": "revoked"}')
        token = {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}
        return self._send(200, json.dumps(token).encode())

    @contextmanager
    def _counted(self, method: str) -> Iterator[None]:
        with self.server.lock:
            self.server.requests.append(method)
            self.server.in_flight += 1
            self.server.most_in_flight = max(self.server.most_in_flight, self.server.in_flight)
        try:
            yield
        finally:
            with self.server.lock:
                self.server.in_flight -= 1

    def _answer(self, method: str, body: dict[str, Any]) -> None:
        expression = body["expression"]
        self.server.used |= Checker(expression).used
        result = Evaluator(self.server.world, expression).run()
        if method == "value:compute":
            return self._send(200, json.dumps({"result": self._value(result)}).encode())
        if method == "image:computePixels":
            return self._send(200, _npy(result, body), "application/octet-stream")
        return self._error(404, f"no method {method}")

    def _value(self, result: Any) -> Any:
        if isinstance(result, dict):
            return result
        if len(result) > self.server.max_elements:
            raise GraphError("Collection query aborted after accumulating over 5000 elements.")
        return {"type": "ImageCollection", "features": [described(image) for image in result]}

    def _misbehave(self, fault: str) -> None:
        status, _, wait = fault.partition(":")
        if status.isdigit():
            return self._error(int(status), "injected", {"Retry-After": wait} if wait else {})
        if fault == "rate":
            return self._error(403, "too fast", reason="rateLimitExceeded")
        if fault == "drip":
            return self._drip()
        if fault == "html":
            return self._send(200, b"<html>please sign in</html>", "text/html")
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"cut")
        self.close_connection = True
        return None

    def _drip(self) -> None:
        """A byte now and then, for longer than anybody should wait."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.05)

    def _send(
        self, code: int, body: bytes, kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _error(
        self, code: int, message: str, headers: dict[str, str] | None = None, reason: str = ""
    ) -> None:
        status = "RESOURCE_EXHAUSTED" if code == 429 else "INVALID_ARGUMENT"
        error: dict[str, Any] = {"code": code, "message": message, "status": status}
        if reason:
            error["errors"] = [{"reason": reason, "message": message}]
        self._send(code, json.dumps({"error": error}).encode(), headers=headers)


def _npy(image: Image, body: dict[str, Any]) -> bytes:
    """The structured array of the answer; sizes are counted as the service does, with a byte of mask."""
    if body.get("fileFormat") != "NPY":
        raise GraphError(f"only NPY here, got {body.get('fileFormat')}")
    grid = body["grid"]
    width, height = grid["dimensions"]["width"], grid["dimensions"]["height"]
    if max(width, height) > MAX_SIDE_PX or len(image.layers) > MAX_BANDS:
        raise GraphError(f"{width} x {height} pixels of {len(image.layers)} bands are too many")
    if not image.layers:
        raise GraphError("Image has no bands.")
    layers = {name: layer(grid) for name, layer in image.layers.items()}
    size = sum((layer.dtype.itemsize + 1) * width * height for layer in layers.values())
    if size > MAX_BYTES:
        raise GraphError(
            f"Total request size ({size} bytes) must be less than or equal to {MAX_BYTES} bytes."
        )
    found = np.zeros((height, width), dtype=[(name, layer.dtype) for name, layer in layers.items()])
    for name, layer in layers.items():
        found[name] = layer.filled(0)
    buffer = io.BytesIO()
    np.save(buffer, found)
    return buffer.getvalue()


@contextmanager
def serving(world: World) -> Iterator[Server]:
    server = Server(world)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
