"""S3 on loopback: moto's server in a thread, and the environment that points clients to it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from moto.server import ThreadedMotoServer

BUCKET = "datasets"


@contextmanager
def s3_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an empty bucket, ``s3://datasets-PORT``: clients are kept by the bucket's name."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with s3_environment(monkeypatch, f"http://{host}:{port}") as bucket:
            yield bucket
    finally:
        server.stop()


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
