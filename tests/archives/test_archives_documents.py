"""Catalogues that lie elsewhere: in a bucket, and as files on a web server; told from APIs by content."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import rasterio
import shapely
from catalogue_cases import FOOTPRINT, Truth, lonlat
from moto.server import ThreadedMotoServer
from rasterio.transform import Affine
from stac_server import Server

from ssl4eco_data.archives import sources
from ssl4eco_data.archives.documents import _bucket_errors, folder_of, may_be_catalogue
from ssl4eco_data.archives.sources import ApiSource, FileSource
from ssl4eco_data.archives.stac import StacArchive, StacParameters
from ssl4eco_data.errors import ArchiveError

AREA = lonlat(32631, shapely.box(*FOOTPRINT.bounds_m))
PERIOD = (date(2015, 1, 1), date(2030, 1, 1))


@pytest.fixture(scope="module")
def bucket(catalogue: tuple[Path, Truth]) -> Iterator[tuple[Any, str]]:
    """(client, endpoint) of a loopback S3 whose bucket ``earth`` holds the small archive below ``data/``."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket="earth")
    folder = catalogue[0]
    for path in folder.rglob("*"):
        if path.is_file():
            client.put_object(Bucket="earth", Key=f"data/{path.relative_to(folder)}", Body=path.read_bytes())
    yield client, f"{host}:{port}"
    server.stop()


@pytest.fixture
def s3(bucket: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The client; the environment names the endpoint and the keys, as a user's would."""
    settings = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{bucket[1]}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_S3_ENDPOINT": bucket[1],
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    sources._fetched.cache_clear()
    return bucket[0]


def archive_at(place: str, **changes: Any) -> StacArchive:
    return StacArchive(StacParameters(imagery=place, retry_wait_s=0, **changes))


def test_a_catalogue_in_a_bucket_is_the_same_archive(s3: Any, catalogue: tuple[Path, Truth]) -> None:
    truth = catalogue[1]
    archive = archive_at("s3://earth/data/sentinel-2-l2a.json")
    scenes = archive.search(AREA, *PERIOD)
    assert [scene.scene_id for scene in scenes] == truth.scene_ids
    scene = scenes[0]
    assert scene.assets["B04"].href.startswith("s3://earth/data/files/")
    found = archive.read(scene, FOOTPRINT, ["B04", "B09", "SCL"])
    for band, pixels in found.items():
        np.testing.assert_array_equal(pixels, truth.window(scene.scene_id, FOOTPRINT, band))
    near = archive_at(str(catalogue[0] / "sentinel-2-l2a.json"))
    assert str(archive.judge(scenes[:2], FOOTPRINT)) == str(near.judge(scenes[:2], FOOTPRINT))


def test_one_item_a_line_in_a_bucket(s3: Any, catalogue: tuple[Path, Truth]) -> None:
    items = json.loads((catalogue[0] / "sentinel-2-l2a.json").read_text())["features"]
    s3.put_object(Bucket="earth", Key="data/lines.ndjson", Body="\n".join(map(json.dumps, items)).encode())
    scenes = archive_at("s3://earth/data/lines.ndjson").search(AREA, *PERIOD)
    assert [scene.scene_id for scene in scenes] == catalogue[1].scene_ids


def test_jpeg_2000_in_a_bucket_is_read(s3: Any, catalogue: tuple[Path, Truth], tmp_path: Path) -> None:
    """As the Copernicus Data Space keeps its files."""
    truth = catalogue[1]
    document = json.loads((catalogue[0] / "sentinel-2-l2a.json").read_text())
    item = next(i for i in document["features"] if i["id"] == truth.scene_ids[0])
    assets = {}
    for name, pixel_m in (("B04", 10), ("B11", 20), ("SCL", 20)):
        tile = truth.tiles[item["id"]]
        grid = (pixel_m, 0.0, tile.west_m, 0.0, -pixel_m, tile.north_m)
        image = truth.raw[item["id"], name]
        path = tmp_path / f"{name}.jp2"
        write_jpeg_2000(path, image, tile.epsg, grid)
        s3.put_object(Bucket="earth", Key=f"eodata/{path.name}", Body=path.read_bytes())
        assets[f"{name}_{pixel_m}m"] = {
            "href": f"s3://earth/eodata/{path.name}",
            "proj:transform": grid,
            "proj:shape": image.shape,
        }
    catalogue_path = tmp_path / "items.json"
    catalogue_path.write_text(
        json.dumps({"type": "FeatureCollection", "features": [item | {"assets": assets}]})
    )
    archive = archive_at(str(catalogue_path))
    (scene,) = archive.search(AREA, *PERIOD)
    for band, pixels in archive.read(scene, FOOTPRINT, ["B04", "B11", "SCL"]).items():
        np.testing.assert_array_equal(pixels, truth.window(scene.scene_id, FOOTPRINT, band))


def write_jpeg_2000(path: Path, image: np.ndarray, epsg: int, grid: tuple[float, ...]) -> None:
    """A JPEG 2000 file without loss."""
    with rasterio.open(
        path,
        "w",
        driver="JP2OpenJPEG",
        crs=f"EPSG:{epsg}",
        transform=Affine(*grid),
        height=image.shape[0],
        width=image.shape[1],
        count=1,
        dtype=image.dtype,
        QUALITY="100",
        REVERSIBLE="YES",
    ) as file:
        file.write(image, 1)


@pytest.mark.parametrize("place", ["s3://earth/data/nothing.json", "s3://elsewhere/data/sentinel-2-l2a.json"])
def test_what_is_not_in_the_bucket_is_permanent_and_named(s3: Any, place: str) -> None:
    with pytest.raises(ArchiveError, match="look at the name, the region and the credentials") as caught:
        archive_at(place).search(AREA, *PERIOD)
    assert not caught.value.transient
    assert place in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_refusal_without_words_is_named_by_its_kind() -> None:
    with (
        pytest.raises(ArchiveError, match=r"s3://b/i\.json: PermissionError; look"),
        _bucket_errors("s3://b/i.json"),
    ):
        raise PermissionError


def test_a_bucket_that_does_not_answer_is_transient(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ArchiveError) as caught:
        archive_at("s3://earth/data/sentinel-2-l2a.json", retries=1, timeout_s=2).search(AREA, *PERIOD)
    assert caught.value.transient
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_catalogue_is_named(s3: Any) -> None:
    s3.put_object(Bucket="earth", Key="data/page.json", Body=b"<html>maintenance</html>")
    with pytest.raises(ArchiveError, match=r"s3://earth/data/page\.json"):
        archive_at("s3://earth/data/page.json").search(AREA, *PERIOD)


def test_a_catalogue_on_a_web_server_is_read_once(api: Server, catalogue: tuple[Path, Truth]) -> None:
    sources._fetched.cache_clear()
    archive = archive_at(f"{api.url}/sentinel-2-l2a.json")
    for _ in range(3):
        scenes = archive.search(AREA, *PERIOD)
    assert [scene.scene_id for scene in scenes] == catalogue[1].scene_ids
    assert api.requests["sentinel-2-l2a.json"] == 1
    assert api.requests["search"] == 0
    pixels = archive.read(scenes[0], FOOTPRINT, ["B02"])["B02"]
    np.testing.assert_array_equal(pixels, catalogue[1].window(scenes[0].scene_id, FOOTPRINT, "B02"))


def test_a_catalogue_on_a_web_server_is_asked_again_after_a_failure(
    api: Server, catalogue: tuple[Path, Truth]
) -> None:
    sources._fetched.cache_clear()
    api.failures["sentinel-2-l2a.json"] = [503, 429]
    scenes = archive_at(f"{api.url}/sentinel-2-l2a.json").search(AREA, *PERIOD)
    assert [scene.scene_id for scene in scenes] == catalogue[1].scene_ids


def test_an_api_is_told_from_a_catalogue_by_what_it_says(api: Server, catalogue: tuple[Path, Truth]) -> None:
    sources._fetched.cache_clear()
    landing = catalogue[0] / "landing.json"
    try:
        landing.write_text(json.dumps({"type": "Catalog", "stac_version": "1.0.0", "id": "x", "links": []}))
        archive = archive_at(f"{api.url}/landing.json")
        assert isinstance(archive._source(archive.parameters.imagery), ApiSource)
    finally:
        landing.unlink()
    archive = archive_at(f"{api.url}/sentinel-2-l2a.json")
    assert isinstance(archive._source(archive.parameters.imagery), FileSource)


@pytest.mark.parametrize(
    ("link", "folder", "maybe"),
    [
        ("s3://b/a/c.json", "s3://b/a/", True),
        ("gs://b/c.ndjson", "gs://b/", True),
        ("https://x.net/v1", "https://x.net/", False),
        ("https://x.net/a/c.geojsonl?sig=1.json", "https://x.net/a/", True),
        ("https://x.net/stac/v1/", "https://x.net/stac/v1/", False),
    ],
)
def test_links_and_their_folders(link: str, folder: str, maybe: bool) -> None:
    assert (folder_of(link), may_be_catalogue(link)) == (folder, maybe)
