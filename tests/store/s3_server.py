"""S3 on loopback: moto's server in a thread, and the environment that points clients to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from moto.moto_server.werkzeug_app import MotoRequestHandler
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "datasets"


class OneWriteAtATime(DomainDispatcherApplication):
    """moto looks whether an object is there, then writes it; S3 does both at once."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._turn = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return super().__call__(environ, start_response)
        with self._turn:
            return super().__call__(environ, start_response)


@contextmanager
def s3_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an empty bucket, ``s3://datasets-PORT``: clients are kept by the bucket's name."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, OneWriteAtATime(), threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with s3_environment(monkeypatch, f"http://127.0.0.1:{server.port}") as bucket:
            yield bucket
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def s3_environment(monkeypatch: pytest.MonkeyPatch, url: str) -> Iterator[str]:
    """Address of an empty bucket at the server at ``url``."""
    bucket = f"{BUCKET}-{url.rpartition(':')[2]}"
    environment = {
        "AWS_ACCESS_KEY_ID": "loopback",
        "AWS_SECRET_ACCESS_KEY": "loopback",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    requests.put(f"{url}/{bucket}", timeout=30).raise_for_status()
    yield f"s3://{bucket}"
