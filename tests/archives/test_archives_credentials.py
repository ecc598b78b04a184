"""No credential shows anywhere: in logs, errors, ledger, tables, arrays, pages, or in what Prefect keeps."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray as xr
from faulty_server import Faulty, faulty
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ROOT, write_tiny_config

from ssl4eco_data import config as configuration
from ssl4eco_data import pipeline
from ssl4eco_data.archives.stac import StacArchive, StacParameters
from ssl4eco_data.errors import ArchiveError, ConfigError
from ssl4eco_data.redaction import redact_logs, redacted

USER, PASSWORD, SIGNATURE, TOKEN = "robot", "pa55word-Zq8", "s1gnature%2BXy9%3D", "t0ken-of-the-query"
SECRETS = (PASSWORD, SIGNATURE, "s1gnature+Xy9=", TOKEN)
FAULTS = ["429:0", "503", "500", "reset", "cut"]


@pytest.fixture
def server(tiny_archive: Path) -> Iterator[Faulty]:
    """Wants a signature for files, and gives it in the links of its items."""
    with faulty(tiny_archive) as served:
        served.sign_items, served.signatures, served.page_items = SIGNATURE, {"s1gnature+Xy9="}, 100
        yield served


def remote_config(folder: Path, archive: Path, server: Faulty) -> Path:
    """As the tiny configuration, over HTTP with everything secret that a link can hold."""
    path = write_tiny_config(folder, archive)
    link = server.url.replace("http://", f"http://{USER}:{PASSWORD}@") + f"/?token={TOKEN}"
    text = path.read_text()
    for name in ("sentinel-2-l2a", "modis-13Q1-061"):
        text = text.replace(f'"{archive}/{name}.json"', f'"{link}"')
    text = text.replace("[locations]", "retries = 12\nretry_wait_s = 0.01\n\n[locations]", 1)
    path.write_text(text)
    return path


def assert_clean(folder: Path) -> None:
    """Neither in any file nor in any file's name."""
    seen = 0
    for path in folder.rglob("*"):
        content = str(path).encode() + (path.read_bytes() if path.is_file() else b"")
        seen += path.is_file()
        for secret in SECRETS:
            assert secret.encode() not in content, f"{secret} is in {path}"
    assert seen


@pytest.mark.slow
def test_a_whole_build_with_secrets_under_faults_leaves_none_and_changes_nothing(
    tmp_path: Path,
    tiny_archive: Path,
    built_config: Path,
    server: Faulty,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = remote_config(tmp_path, tiny_archive, server)
    server.often(0.01, FAULTS, seed=5)
    config = configuration.load(path)
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.INFO, "numba"):  # a line per instruction
        record = pipeline.build(config, pipeline.run_in_threads)
        summary = pipeline.summarise_dataset(config, record)
        summary.show()
    assert f"{USER}:{PASSWORD}" in server.users, "the password was not used, so nothing was tested"
    shown = caplog.text + "".join(capfd.readouterr()) + summary.markdown()
    assert not [secret for secret in SECRETS if secret in shown]
    assert_clean(tmp_path / "dataset")
    host = f"127.0.0.1:{server.server_port}"
    patches = next(s for s in record.stages if s["stage"] == "patches")["traffic"][host]
    assert patches["requests"] > 10 and patches["received_bytes"] > 10_000
    assert sum(s["traffic"].get(host, {"retries": 0})["retries"] for s in record.stages) > 0
    assert any(host in name and "requests" in said for name, said in summary.facts)
    undisturbed = xr.open_zarr(built_config.parent / "dataset" / "patches.zarr", group="sentinel2")
    xr.testing.assert_equal(
        xr.open_zarr(tmp_path / "dataset" / "patches.zarr", group="sentinel2"), undisturbed
    )


@pytest.mark.slow
def test_a_build_that_fails_shows_no_secret(
    tmp_path: Path,
    tiny_archive: Path,
    server: Faulty,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = remote_config(tmp_path, tiny_archive, server)
    server.signatures = {"another"}
    with (
        caplog.at_level(logging.DEBUG),
        caplog.at_level(logging.INFO, "numba"),
        pytest.raises(pipeline.BuildError) as caught,
    ):
        pipeline.build(configuration.load(path), pipeline.run_in_threads)
    shown = caplog.text + "".join(capfd.readouterr()) + str(caught.value)
    assert "403" in shown
    assert not [secret for secret in SECRETS if secret in shown]
    assert_clean(tmp_path / "dataset")


@pytest.mark.slow
def test_prefect_keeps_no_secret(tmp_path: Path, tiny_archive: Path, server: Faulty) -> None:
    """A failing flow: its states, logs and artifacts are in Prefect's data base."""
    path = remote_config(tmp_path / "work", tiny_archive, server)
    server.signatures = {"another"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_") and k != "DO_NOT_TRACK"}
    env = kept | {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_LOGGING_LEVEL": "DEBUG"}
    done = subprocess.run(
        [sys.executable, "-m", "flows.dataset", str(path)],
        cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 1 and "403" in done.stderr, done.stderr
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]
    assert_clean(tmp_path / "prefect")
    assert_clean(tmp_path / "work" / "dataset")


KEY = {
    "type": "service_account",
    "private_key_id": "k3yid-9f8e",
    "private_key": "-----BEGIN PRIVATE KEY-----\nMIIEvS3cretB0dy\n-----END PRIVATE KEY-----\n",
}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (json.dumps(KEY), "MIIEvS3cretB0dy"),
        (json.dumps(KEY), "k3yid-9f8e"),
        (str(KEY), "MIIEvS3cretB0dy"),
        (KEY["private_key"], "S3cret"),
        ("GET /a/b.tif?se=1&sig=abc%3D HTTP/1.1", "abc"),
        ("'/vsicurl/https://x.net/a.tif?sig=abc' not found", "abc"),
        ("s3://key:word@bucket/a", "word"),
        ("https://ghp_abcdef@host/x", "ghp_abcdef"),
        ("{'Authorization': 'Bearer abcdefgh.ijk'}", "abcdefgh"),
        ("Authorization: Basic cm9ib3Q6cGE1NQ==", "cm9ib3Q6"),
        ("token=abc123&x=1", "abc123"),
        ("AccountKey=abc123==;EndpointSuffix=x", "abc123"),
        ("{'access_token': 'ya29.A0Bcd', 'n': 1}", "A0Bcd"),
        ("assertion eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln was refused", "eyJpc3MiOiJ4In0"),
        ("Ocp-Apim-Subscription-Key: abc123", "abc123"),
        ("aws_secret_access_key = wJalr/abc", "wJalr"),
        ("AWS_SESSION_TOKEN=FwoGZX", "FwoGZX"),
        ("X-Amz-Security-Token: FwoGZX", "FwoGZX"),
        ("AKIAIOSFODNN7EXAMPLE is not allowed", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS4-HMAC-SHA256 Credential=AK/2030, SignedHeaders=host, Signature=fe5f80", "fe5f80"),
        ("X-Amz-Credential=ABC123&x=1", "ABC123"),
        ("<SignatureProvided>fe5f80</SignatureProvided>", "fe5f80"),
        ("Authorization: SharedKey account:abc123=", "abc123"),
        ('{"accessToken": "abc123", "n": 1}', "abc123"),
        (json.dumps(json.dumps({"refresh_token": "1//0gabc123"})), "abc123"),
        ('EARTHENGINE_TOKEN=\'{"client_secret": "abc123"}\'', "abc123"),
        ("PC_SDK_SUBSCRIPTION_KEY=abc123", "abc123"),
        ("token=b'abc123'", "abc123"),
        ("password = 'a long abc123, with comma'", "abc123"),
        ("'https:/robot:abc123@x.net/a' as a path", "abc123"),
        ("https://robot:a@abc123@x.net/a", "abc123"),
        ("next=https%3A%2F%2Fx.net%2Fa%3Fse%3D1%26sig%3Dabc123", "abc123"),
        ("the token was 1//0gabc123-XyZ_9", "0gabc123"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in redacted(text)
    assert secret not in str(ArchiveError(text, transient=False))
    assert secret not in str(ConfigError(text))
    assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "file https://x.net/a_b/S2A_T31UDS.tif: HTTP response code: 404; is the collection right?",
        "no configuration file /a/demo.tmol; did you mean /a/demo.toml?",
        "greenup_sigma = 3, tokens: none, secretary@home",
        "archive.service_account_key /keys/robot.json is not a readable key file",
        "columns greenup_sig: 0.3, design=3, assigned: 4, mean_ndvi, cycle_phase, key = 5, token = None",
        "the basic configuration/values; Basic understanding; bearer instruments",
        "Earth Engine, project p: credentials refused (RefreshError); renew them: earthengine authenticate",
        "contact me@x.org about https://x.org/y, and /a/b",
        "<Code>AuthenticationFailed</Code> Signature not valid in the specified time frame",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=6))
def test_any_password_of_a_link_goes(word: str) -> None:
    secret = f"{word}-Zq"
    assert secret not in redacted(f"cannot reach http://robot:{secret}@host:80/x?sig={secret}, again")


@pytest.mark.parametrize(
    "unit",
    ["a", "a/b", "://", "a:/", "token", "sig='", "?", "https://x?", "/", "'", "a@", "basic ", "eyJ.", "%3D"],
)
def test_a_long_page_is_looked_through_in_time(unit: str) -> None:
    begin = time.process_time()
    redacted(unit * (300_000 // len(unit)))
    assert time.process_time() - begin < 2


def test_a_log_call_whose_arguments_do_not_fit_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    redact_logs()
    made = logging.getLogRecordFactory()
    record = made("x", logging.INFO, "file", 1, "%d of %s", ("token=abc123",), None)
    assert "abc123" not in str(record.msg) and not record.args


def test_tracebacks_in_logs_are_clean(caplog: pytest.LogCaptureFixture) -> None:
    redact_logs()
    redact_logs()
    try:
        Path(f"https://{USER}:{PASSWORD}@x.net/a?sig={SIGNATURE}").read_text()
    except OSError:
        logging.getLogger("anything").exception("failed with %s", f"token={TOKEN}")
    assert "FileNotFoundError" in caplog.text and "x.net" in caplog.text
    assert not [secret for secret in SECRETS if secret in caplog.text]


def test_a_secret_neither_decides_the_data_nor_goes_into_the_dataset(
    tmp_path: Path, tiny_archive: Path
) -> None:
    texts = set()
    for password in (PASSWORD, "another"):
        path = write_tiny_config(tmp_path, tiny_archive)
        link = f"https://{USER}:{password}@stac.example.org/v1?key={password}"
        path.write_text(path.read_text().replace(f"{tiny_archive}/sentinel-2-l2a.json", link))
        config = configuration.load(path, with_files=False)
        assert config.archive.imagery == link
        texts.add(config.to_toml())
        written = config.written("archive")
        assert written["imagery"] == "https://***@stac.example.org/v1?..."
    assert len(texts) == 1


def test_a_search_that_fails_does_not_tell_its_link(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    link = f"http://{USER}:{PASSWORD}@127.0.0.1:9/?token={TOKEN}"
    with pytest.raises(ArchiveError) as caught:
        StacArchive(StacParameters(imagery=link, retries=0)).get(["x"])
    assert "127.0.0.1:9" in str(caught.value)
    assert not [secret for secret in SECRETS if secret in str(caught.value)]
