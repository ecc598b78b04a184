"""The ecoregions from Earth Engine, through the official client, against a loopback service."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import ee
import numpy as np
import pytest
import shapely
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from feature_server import Feature, FeatureServer, features_of, serving_features
from resolve_cases import resolve_layer
from rich.console import Console
from shapely.geometry import box
from typer.testing import CliRunner

from ssl4eco_data import cli
from ssl4eco_data.archives.earth_engine import EarthEngineParameters
from ssl4eco_data.errors import ArchiveError, ConfigError
from ssl4eco_data.layers import EarthEngineAsset, Fetched, fetch, source_for
from ssl4eco_data.layers.earth_engine import layer_of
from ssl4eco_data.locations import read_layer

FIELDS = ("ECO_NAME", "BIOME_NAME", "REALM")
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def _server() -> Iterator[FeatureServer]:
    ee.Reset()
    with serving_features(resolve_layer()) as served:
        yield served
    ee.Reset()


@pytest.fixture
def server(_server: FeatureServer, monkeypatch: pytest.MonkeyPatch) -> FeatureServer:
    """Whole, quiet, with nothing counted."""
    monkeypatch.setattr("googleapiclient.http.time.sleep", lambda seconds: None)
    _server.put(features_of(resolve_layer()))
    _server.most_per_page = 1000
    for counted in (_server.requests, _server.pages, _server.faults):
        counted.clear()
    return _server


@pytest.fixture(scope="module")
def key_file(_server: FeatureServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key of a service account that signs in at the loopback server."""
    secret = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "k",
        "private_key": secret.decode(),
        "client_email": "robot@p.iam.gserviceaccount.com",
        "token_uri": f"{_server.url}/token",
    }
    path = tmp_path_factory.mktemp("key") / "key.json"
    path.write_text(json.dumps(key))
    return path


@pytest.fixture
def asset(server: FeatureServer, key_file: Path) -> EarthEngineAsset:
    return EarthEngineAsset(
        EarthEngineParameters(project="p", service_account_key=str(key_file), url=server.url, retries=2)
    )


def got(folder: Path, asset: EarthEngineAsset) -> Fetched:
    return fetch(folder, asset, date(2024, 5, 6), QUIET)


def put(server: FeatureServer, name: str, feature: Feature | None) -> None:
    """Another feature in place of the one of this name."""
    kept = [f for f in server.features if f.properties["ECO_NAME"] != name]
    server.put(kept + ([feature] if feature else []))


def named(server: FeatureServer, name: str) -> Feature:
    (found,) = [f for f in server.features if f.properties["ECO_NAME"] == name]
    return found


def test_all_pages_become_one_layer_with_a_record(tmp_path, asset, server):
    fetched = got(tmp_path, asset)
    assert fetched.path == tmp_path / "Ecoregions2017.gpkg"
    layer = read_layer(str(fetched.path), FIELDS)
    expected = resolve_layer().sort_values("ECO_NAME", ignore_index=True)
    assert layer.labels.to_dict() == expected[list(FIELDS)].to_dict()
    assert shapely.equals(layer.parts, expected.geometry.to_numpy()).all()
    assert [size for size, _ in server.pages] == [25] * 34
    assert [token for _, token in server.pages] == ["", *map(str, range(25, 847, 25))]
    record = json.loads((tmp_path / "Ecoregions2017.json").read_text())["Ecoregions2017.gpkg"]
    assert (record["url"], record["features"]) == ("earthengine://RESOLVE/ECOREGIONS/2017", 847)
    assert record["sha256"] == fetched.record.sha256
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Ecoregions2017.gpkg", "Ecoregions2017.json"]


def test_the_server_simplifies_and_selects(tmp_path, asset, server):
    wavy = shapely.segmentize(box(0, 0, 0.5, 0.5), 0.01)
    put(server, "Ecoregion 000", replace(named(server, "Ecoregion 000"), geometry=wavy))
    layer = read_layer(str(got(tmp_path, asset).path), FIELDS)
    assert len(layer.parts[0].exterior.coords) == 5
    used = {"Collection.loadTable", "Collection.map", "Feature.select", "Feature.simplify", "ErrorMargin"}
    assert used <= server.used


def test_the_bytes_depend_on_the_features_alone(tmp_path, asset, server):
    first = got(tmp_path / "a", asset)
    server.most_per_page = 20
    server.put(server.features[::-1])
    assert got(tmp_path / "b", asset).record.sha256 == first.record.sha256


def test_a_later_use_asks_nobody_and_a_tampered_file_comes_again(tmp_path, asset, server):
    first = got(tmp_path, asset)
    server.requests.clear()
    assert got(tmp_path, asset).how == "verified"
    assert server.requests == []
    first.path.write_bytes(b"tampered")
    again = got(tmp_path, asset)
    assert (again.how, again.record) == ("restored", first.record)


def test_an_island_smaller_than_the_simplification_comes_whole(tmp_path, asset, server):
    island = box(10, 10, 10.001, 10.001)
    put(server, "Ecoregion 003", replace(named(server, "Ecoregion 003"), geometry=island))
    layer = read_layer(str(got(tmp_path, asset).path), FIELDS)
    assert layer.labels["ECO_NAME"][3] == "Ecoregion 003"
    assert layer.parts[3].equals(island)
    assert len(layer.parts) == 847


def test_a_feature_without_any_polygon_is_an_error(tmp_path, asset, server):
    point = shapely.Point(1, 1)
    put(server, "Ecoregion 003", replace(named(server, "Ecoregion 003"), geometry=point))
    with pytest.raises(ArchiveError, match=r"RESOLVE/ECOREGIONS/2017: no polygon for Ecoregion 003"):
        got(tmp_path / "layers", asset)
    assert not (tmp_path / "layers").exists()


def test_what_is_not_resolve_is_not_recorded(tmp_path, asset, server):
    put(server, "Ecoregion 003", None)
    with pytest.raises(ConfigError, match="845 named ecoregions instead of 846"):
        got(tmp_path / "layers", asset)
    assert not (tmp_path / "layers").exists()


def test_throttling_is_waited_out_and_refusal_is_named(tmp_path, asset, server):
    server.faults += ["429", "503"]
    assert got(tmp_path / "a", asset).record.features == 847
    server.faults += ["403"]
    with pytest.raises(ArchiveError, match=r"features of RESOLVE/ECOREGIONS/2017 \(403\)") as caught:
        got(tmp_path / "b", asset)
    assert not caught.value.transient
    assert not (tmp_path / "b").exists()


def test_an_answer_cut_off_half_way_leaves_nothing(tmp_path, asset, server):
    got(tmp_path / "a", asset)
    server.faults += ["cut"] * 3
    with pytest.raises(ArchiveError, match="broken answer"):
        got(tmp_path / "b", asset)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("shift", [-360, 0])
def test_polygons_beyond_the_antimeridian_are_brought_to_its_other_side(shift):
    ring = [[x + shift, y] for x, y in box(178, 60, 183, 62).exterior.coords]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    layer = layer_of([{"type": "Feature", "properties": {"ECO_NAME": "a"}, "geometry": geometry}])
    expected = shapely.MultiPolygon([box(178, 60, 180, 62), box(-180, 60, -177, 62)])
    assert shapely.equals(layer.geometry[0], expected)


def test_lines_and_points_of_mixed_geometries_are_left_out():
    mixed = {
        "type": "GeometryCollection",
        "geometries": [shapely.geometry.mapping(g) for g in (box(0, 0, 1, 1), shapely.Point(5, 5))],
    }
    layer = layer_of(
        [
            {"type": "Feature", "properties": {"ECO_NAME": "b"}, "geometry": mixed},
            {"type": "Feature", "properties": None, "geometry": None},
        ]
    )
    assert np.array_equal(shapely.area(layer.geometry), [1, 0])
    assert layer["REALM"].isna().all()


def test_the_source_follows_the_archive(asset):
    assert source_for(asset.parameters, None) == asset
    assert source_for(None, None).url.startswith("https://storage.googleapis.com/teow2016/")
    assert source_for("a STAC archive", "http://localhost/x.zip").url == "http://localhost/x.zip"
    with pytest.raises(ConfigError, match="two sources"):
        source_for(asset.parameters, "http://localhost/x.zip")


def test_the_command_takes_earth_engine_from_the_configuration(tmp_path, server, key_file):
    config = tmp_path / "my.toml"
    config.write_text(
        '[dataset]\nroot = "d"\n[period]\nimagery_start = 2020-01-01\nimagery_end = 2021-01-01\n'
        f'[archive]\nkind = "earth_engine"\nproject = "p"\nurl = "{server.url}"\n'
        f'service_account_key = "{key_file}"\n[locations]\nstrata = "layers/Ecoregions2017.gpkg"\n'
    )
    folder = str(tmp_path / "layers")
    done = CliRunner().invoke(cli.app, ["fetch-layer", "--config", str(config), "--to", folder])
    assert (done.exit_code, done.stderr) == (0, "")
    assert "846 ecoregions" in done.stdout
    assert "simplified by 500 m" in done.stdout
    written = tomllib.loads(done.stdout[done.stdout.index("[locations]") :])
    assert written == {"locations": {"strata": "layers/Ecoregions2017.gpkg"}}
