"""``ssl4eco doctor`` and ``plan`` with the official client against the loopback service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import ee
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from ee_server import TOKEN, Server, serving
from ee_world import write_world
from typer.testing import CliRunner

from ssl4eco_data.cli import app

CONFIG = """
[dataset]
root = "dataset"
[period]
imagery_start = 2020-07-01
imagery_end = 2020-08-01
[archive]
kind = "earth_engine"
project = "my-project"
url = "{url}"
service_account_key = "key.json"
retries = 0
[patches]
size_px = 64
[locations.source]
kind = "points"
points = "points.csv"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    ee.Reset()
    with serving(write_world(tmp_path_factory.mktemp("world"))) as served:
        yield served
    ee.Reset()


@pytest.fixture
def config(tmp_path: Path, server: Server) -> Path:
    secret = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "key-id-of-mine",
        "private_key": secret.decode(),
        "client_email": "robot@p.iam.gserviceaccount.com",
        "token_uri": f"{server.url}/token",
    }
    (tmp_path / "key.json").write_text(json.dumps(key))
    (tmp_path / "points.csv").write_text("lon,lat\n3.035,50.82\n")
    path = tmp_path / "ee.toml"
    path.write_text(CONFIG.format(url=server.url))
    server.requests.clear()
    server.faults.clear()
    ee.Reset()
    return path


def doctor(config: Path) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["doctor", str(config)])
    return result.exit_code, result.output


def test_a_healthy_project_passes_and_no_secret_is_printed(config: Path, server: Server) -> None:
    code, text = doctor(config)
    assert code == 0, text
    found = {line.split()[1]: line for line in text.splitlines()}
    assert "project my-project, service account" in text
    assert found["imagery"].startswith("ok") and found["mask"].startswith("ok")
    assert found["vegetation"].startswith("ok")
    assert server.requests.count("value:compute") == 2  # a search, a mask
    key = json.loads((config.parent / "key.json").read_text())
    secrets = [TOKEN, key["private_key"].splitlines()[1], key["private_key_id"]]
    assert not any(secret in text for secret in secrets)


def test_a_refused_request_is_told_with_its_fix(config: Path, server: Server) -> None:
    server.faults[:] = ["403", "403", "403"]
    code, text = doctor(config)
    assert code == 1
    assert "failed  imagery" in text
    assert "fix: see that the account may use the project" in text


def test_a_broken_key_file_is_told_without_its_content(config: Path) -> None:
    (config.parent / "key.json").write_text('{"private_key": "do-not-print-me"}')
    code, text = doctor(config)
    assert code == 1
    assert "failed  earth engine" in text
    assert "do-not-print-me" not in text
    assert "imagery" not in [line.split()[1] for line in text.splitlines() if line[:1].strip()]
