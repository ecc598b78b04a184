"""Fetching the official archive from a loopback server: first use, later uses, and everything that breaks."""

from __future__ import annotations

import hashlib
import json
import socket
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import geopandas as gpd
import pytest
from file_server import FileServer, serving
from resolve_cases import resolve_layer, zipped
from rich.console import Console
from typer.testing import CliRunner

from ssl4eco_data import cli
from ssl4eco_data.errors import ArchiveError, ConfigError, StoreError
from ssl4eco_data.layers import Download, Fetched, fetch, write_record
from ssl4eco_data.layers.record import LayerRecord
from ssl4eco_data.locations import read_layer

TODAY = date(2024, 5, 6)
QUIET = Console(quiet=True)


@pytest.fixture
def server(resolve_zip: bytes) -> Iterator[FileServer]:
    with serving(resolve_zip) as served:
        yield served


@pytest.fixture
def unreachable() -> str:
    """The address of a port where nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}/Ecoregions2017.zip"


def got(folder: Path, url: str, today: date = TODAY) -> Fetched:
    return fetch(folder, Download(url), today, QUIET)


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_the_first_use_keeps_the_zip_and_records_it(tmp_path, server, resolve_zip):
    fetched = got(tmp_path / "new" / "layers", server.url)
    assert fetched.how == "fetched"
    found = files(tmp_path / "new" / "layers")
    assert sorted(found) == ["Ecoregions2017.json", "Ecoregions2017.zip"]
    assert found["Ecoregions2017.zip"] == resolve_zip
    assert json.loads(found["Ecoregions2017.json"]) == {
        "Ecoregions2017.zip": {
            "url": server.url,
            "sha256": hashlib.sha256(resolve_zip).hexdigest(),
            "bytes": len(resolve_zip),
            "date_utc": "2024-05-06",
            "features": 847,
        }
    }


def test_the_file_serves_as_the_layer_of_strata(tmp_path, server):
    layer = read_layer(str(got(tmp_path, server.url).path), ("ECO_NAME", "BIOME_NAME", "REALM"))
    assert len(layer.labels) == 847
    assert layer.labels["ECO_NAME"].iloc[-1] == "Rock and Ice"


def test_a_later_use_asks_nobody(tmp_path, server, unreachable):
    first = got(tmp_path, server.url)
    before = files(tmp_path)
    again = got(tmp_path, unreachable, date(2025, 1, 1))
    assert (again.how, again.record) == ("verified", first.record)
    assert files(tmp_path) == before
    assert len(server.requests) == 1


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"tampered"), Path.unlink])
def test_a_file_that_no_longer_fits_its_record_comes_again(
    tmp_path: Path, server: FileServer, damage: Callable[[Path], object]
):
    first = got(tmp_path, server.url)
    before = files(tmp_path)
    damage(first.path)
    again = got(tmp_path, server.url, date(2025, 1, 1))
    assert (again.how, again.record, len(server.requests)) == ("restored", first.record, 2)
    assert files(tmp_path) == before


def test_a_tampered_file_is_named_when_it_cannot_come_again(tmp_path, server, unreachable):
    path = got(tmp_path, server.url).path
    path.write_bytes(b"tampered")
    with pytest.raises(ArchiveError, match=r"does not fit its record Ecoregions2017.json, and cannot fetch"):
        got(tmp_path, unreachable)
    assert path.read_bytes() == b"tampered"


def test_another_archive_than_the_recorded_one_is_refused(tmp_path, server):
    first = got(tmp_path, server.url)
    first.path.write_bytes(b"tampered")
    before = files(tmp_path)
    server.body = zipped(resolve_layer().iloc[::-1], tmp_path.parent / f"{tmp_path.name}-other")
    other = hashlib.sha256(server.body).hexdigest()
    with pytest.raises(StoreError, match=rf"{other}(?s:.*){first.record.sha256}(?s:.*)nothing was changed"):
        got(tmp_path, server.url)
    assert files(tmp_path) == before


def test_a_file_found_without_a_record_is_checked_and_recorded(tmp_path, resolve_zip, unreachable):
    (tmp_path / "Ecoregions2017.zip").write_bytes(resolve_zip)
    found = got(tmp_path, unreachable)
    assert (found.how, found.record.url, found.record.features) == ("found", "", 847)
    assert got(tmp_path, unreachable).how == "verified"


@pytest.mark.parametrize("content", [b"half a zip", b"PK\x03\x04"])
def test_a_broken_file_found_without_a_record_is_not_recorded(tmp_path, unreachable, content):
    (tmp_path / "Ecoregions2017.zip").write_bytes(content)
    with pytest.raises(ArchiveError, match="no whole zip archive"):
        got(tmp_path, unreachable)
    assert files(tmp_path) == {"Ecoregions2017.zip": content}


def test_no_network_is_one_error_with_the_ways_out(tmp_path, unreachable):
    with pytest.raises(ArchiveError) as caught:
        got(tmp_path / "new" / "layers", unreachable)
    message = str(caught.value)
    assert caught.value.transient
    assert message.startswith(f"cannot fetch {unreachable}: ConnectionError: [Errno")
    assert "\n" not in message
    for way_out in ("in a browser", "locations.strata", "HTTPS_PROXY"):
        assert way_out in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("status", "transient"), [(404, False), (503, True)])
def test_an_http_error_names_the_status(tmp_path, server, status, transient):
    server.status = status
    with pytest.raises(ArchiveError, match=f"cannot fetch {server.url}: HTTP {status} ") as caught:
        got(tmp_path / "layers", server.url)
    assert caught.value.transient == transient
    assert ("try again later" in str(caught.value)) == transient
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("announced", [True, False], ids=["with length", "without length"])
def test_a_truncated_archive_leaves_nothing(tmp_path, server, announced):
    server.missing_bytes, server.announced = 1000, announced
    cause = "IncompleteRead" if announced else "no whole zip archive"
    with pytest.raises(ArchiveError, match=cause):
        got(tmp_path / "layers", server.url)
    assert list(tmp_path.iterdir()) == []


def test_a_page_instead_of_the_archive_is_shown(tmp_path, server):
    server.body = b"<html>please sign in</html>"
    with pytest.raises(ArchiveError, match=r"no whole zip archive .*<html>.*sign-in page .*in a browser"):
        got(tmp_path / "layers", server.url)
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_byte_within_the_archive_is_noticed(tmp_path, server):
    body = bytearray(server.body)
    body[len(body) // 10] ^= 0xFF
    server.body = bytes(body)
    with pytest.raises(ArchiveError, match=r"zip archive|damaged at its member"):
        got(tmp_path / "layers", server.url)
    assert list(tmp_path.iterdir()) == []


def test_a_half_download_replaces_no_file(tmp_path, server):
    path = got(tmp_path, server.url).path
    path.write_bytes(b"changed by hand")
    before = files(tmp_path)
    server.missing_bytes = 1
    with pytest.raises(ArchiveError):
        got(tmp_path, server.url)
    assert files(tmp_path) == before


def _without(name: str) -> Callable[[], gpd.GeoDataFrame]:
    return lambda: resolve_layer().drop(columns=name)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: resolve_layer(ecoregions=845), "845 named ecoregions instead of 846"),
        (lambda: resolve_layer(biomes=13), "13 biomes instead of 14"),
        (lambda: resolve_layer(realms=9), "9 realms instead of 8"),
        (lambda: resolve_layer(3, 2, 2), "3 named ecoregions .*; 2 biomes .*; 2 realms"),
        (_without("REALM"), "no field REALM"),
        (_without("ECO_NAME"), "no field ECO_NAME"),
        (lambda: resolve_layer().set_crs(None, allow_override=True), "no coordinate system"),
        (lambda: resolve_layer().replace("Ecoregion 007", None), "845 named ecoregions"),
        (lambda: resolve_layer().replace("Ecoregion 007", "N/A"), "845 named ecoregions"),
        (lambda: resolve_layer().replace("Realm 3", "N/A"), "7 realms instead of 8"),
    ],
)
# pyogrio warns of the layer without a coordinate system that this test writes
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_what_is_not_resolve_is_not_recorded(tmp_path, server, layer, message):
    server.body = zipped(layer(), tmp_path / "source")
    with pytest.raises(ConfigError, match=f"not RESOLVE Ecoregions 2017: .*{message}.*Nothing was recorded"):
        got(tmp_path / "layers", server.url)
    assert not (tmp_path / "layers").exists()


def test_a_zip_without_a_layer_is_refused(tmp_path, server):
    empty = zipped(resolve_layer(1, 1, 1), tmp_path / "source")
    server.body = empty.replace(b"Ecoregions2017.", b"Ecoregions2017_")
    with pytest.raises(ConfigError, match="holds no layer that GeoPandas reads"):
        got(tmp_path / "layers", server.url)


def test_a_layer_without_ice_fits_too(tmp_path, server):
    layer = resolve_layer()
    server.body = zipped(layer[layer["ECO_NAME"] != "Rock and Ice"], tmp_path / "source")
    assert got(tmp_path / "layers", server.url).record.features == 846


def test_ice_may_be_written_otherwise(tmp_path, server):
    server.body = zipped(resolve_layer().replace("Rock and Ice", "Rock and ice"), tmp_path / "source")
    assert got(tmp_path / "layers", server.url).record.features == 847


def test_records_of_other_files_stay(tmp_path, server):
    other = LayerRecord(url="u", sha256="s", bytes=1, date_utc="2020-01-01", features=2)
    write_record(tmp_path, "Ecoregions2017.gpkg", other)
    got(tmp_path, server.url)
    assert sorted(json.loads((tmp_path / "Ecoregions2017.json").read_text())) == [
        "Ecoregions2017.gpkg",
        "Ecoregions2017.zip",
    ]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"Ecoregions2017.zip": {"sha": 1}}', '{"Ecoregions2017.zip": 1}']
)
def test_a_damaged_record_is_named(tmp_path, server, text):
    (tmp_path / "Ecoregions2017.json").write_text(text)
    with pytest.raises(StoreError, match=r"cannot read the record .*Ecoregions2017\.json.*remove it"):
        got(tmp_path, server.url)
    assert (tmp_path / "Ecoregions2017.json").read_text() == text


def test_a_file_in_place_of_the_folder_is_named(tmp_path, server):
    (tmp_path / "layers").write_text("")
    with pytest.raises(StoreError, match="layers is a file; name another folder"):
        got(tmp_path / "layers", server.url)


@pytest.mark.parametrize("url", ["ftp://example.org/x.zip", "x.zip"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ConfigError, match=f"https:// or http://, got {url}"):
        Download(url)


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli.app, ["fetch-layer", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_the_command_says_what_to_write_into_the_configuration(tmp_path, server, resolve_zip):
    code, text, errors = run("--to", str(tmp_path / "layers"), "--url", server.url)
    assert (code, errors) == (0, "")
    for part in ("(new)", "846 ecoregions", hashlib.sha256(resolve_zip).hexdigest(), "states no checksum"):
        assert part in text
    toml = text[text.index("[locations]") :]
    assert Path(tomllib.loads(toml)["locations"]["strata"]) == tmp_path / "layers" / "Ecoregions2017.zip"
    record = json.loads((tmp_path / "layers" / "Ecoregions2017.json").read_text())["Ecoregions2017.zip"]
    assert abs((datetime.now(UTC).date() - date.fromisoformat(record["date_utc"])).days) <= 1
    assert "nothing was fetched" in run("--to", str(tmp_path / "layers"), "--url", server.url)[1]


def test_the_command_writes_paths_from_the_configuration(tmp_path, server):
    config = tmp_path / "configs" / "my.toml"
    config.parent.mkdir()
    config.write_text(
        '[dataset]\nroot = "d"\n[period]\nimagery_start = 2020-01-01\nimagery_end = 2021-01-01\n'
        '[archive]\nkind = "stac"\nimagery = "https://example.org/s"\nvegetation = "https://example.org/v"\n'
        '[locations]\nstrata = "../layers/Ecoregions2017.zip"\n'
    )
    code, text, _ = run("--to", str(tmp_path / "layers"), "--url", server.url, "--config", str(config))
    assert code == 0
    strata = tomllib.loads(text[text.index("[locations]") :])["locations"]["strata"]
    assert strata == "../layers/Ecoregions2017.zip"


def test_the_command_fails_readably_without_network(tmp_path, monkeypatch):
    """The official address, reached through a proxy that is not there: no packet leaves this machine."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    code, text, errors = run("--to", str(tmp_path / "layers"))
    assert (code, text) == (1, "")
    assert errors.startswith("error: cannot fetch https://storage.googleapis.com/teow2016/Ecoregions2017.zip")
    assert "ProxyError" in errors
    assert len(errors.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
