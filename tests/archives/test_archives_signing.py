"""Links signed by Planetary Computer's own library against a loopback signer whose signatures end.

The library signs links to one domain only; a loopback proxy stands for that domain.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import shapely
from catalogue_cases import FOOTPRINT, Truth, lonlat

from ssl4eco_data.archives.stac import StacArchive, StacParameters

AREA = lonlat(32631, shapely.box(*FOOTPRINT.bounds_m))
PERIOD = (date(2015, 1, 1), date(2030, 1, 1))
BLOBS = "http://earth.blob.core.windows.net/images"
LIFE_S = 1.0
EARLY_S = 60
"""The library renews signatures that end within a minute."""


class Signer(ThreadingHTTPServer):
    """Gives signatures that end after a while, and files to those who bring one after the first ``ended``."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.issued = self.ended = self.refused = 0
        self.used: set[int] = set()


class Handler(BaseHTTPRequestHandler):
    server: Signer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path.startswith("/token/"):
            self.server.issued += 1
            end = datetime.now(UTC) + timedelta(seconds=EARLY_S + LIFE_S)
            token = {"msft:expiry": end.isoformat(), "token": f"se=x&sig={self.server.issued}"}
            return self._send(200, json.dumps(token).encode())
        number = int(parse_qs(parts.query).get("sig", ["0"])[0])
        if number <= self.server.ended:
            self.server.refused += 1
            return self._send(403, b"Signature not valid in the specified time frame")
        self.server.used.add(number)
        content = (self.server.folder / parts.path.removeprefix("/images/")).read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
        assert asked
        start, end = int(asked[1]), min(int(asked[2]), len(content) - 1)
        return self._send(206, content[start : end + 1], f"bytes {start}-{end}/{len(content)}")

    def _send(self, code: int, body: bytes, extent: str = "") -> None:
        self.send_response(code)
        if extent:
            self.send_header("Content-Range", extent)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def signer(catalogue: tuple[Path, Truth], monkeypatch: pytest.MonkeyPatch) -> Iterator[Signer]:
    from planetary_computer import sas
    from planetary_computer.settings import Settings

    server = Signer(catalogue[0])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    place = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(Settings.get(), "sas_url", f"{place}/token")
    monkeypatch.setenv("http_proxy", place)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    sas.TOKEN_CACHE.clear()
    yield server
    sas.TOKEN_CACHE.clear()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")
def test_signatures_are_renewed_before_they_end(
    signer: Signer, catalogue: tuple[Path, Truth], tmp_path: Path
) -> None:
    truth = catalogue[1]
    document = json.loads((catalogue[0] / "sentinel-2-l2a.json").read_text())
    for item in document["features"]:
        for asset in item["assets"].values():
            asset["href"] = f"{BLOBS}/{asset['href'].removeprefix('./')}"
    path = tmp_path / "items.json"
    path.write_text(json.dumps(document))
    archive = StacArchive(StacParameters(imagery=str(path), sign="planetary-computer", retries=0, threads=1))
    scenes = [s for s in archive.search(AREA, *PERIOD) if s.epsg == FOOTPRINT.epsg]
    for scene in scenes[:3]:
        for band, pixels in archive.read(scene, FOOTPRINT, ["B04", "SCL"]).items():
            np.testing.assert_array_equal(pixels, truth.window(scene.scene_id, FOOTPRINT, band))
        time.sleep(LIFE_S + 0.1)
        signer.ended = signer.issued
    assert len(signer.used) >= 3
    assert signer.refused == 0
