"""An address without credentials: the error says which are missing, not what the client tried instead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ssl4eco_data import open_dataset
from ssl4eco_data.errors import StoreError


class Refusing(BaseHTTPRequestHandler):
    """The metadata service of a machine that has no role."""

    def do_PUT(self) -> None:
        self.send_response(403)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metadata_service() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_missing_credentials_are_told_as_such(metadata_service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", metadata_service)
    with pytest.raises(StoreError, match=r"no credentials in the environment.*AWS_SKIP_SIGNATURE=true"):
        open_dataset("s3://bucket-without-credentials/key")
