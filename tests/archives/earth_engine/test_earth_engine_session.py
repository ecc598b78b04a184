"""One session per process, of threads and of worker processes; credentials of users; the project's limit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import ee
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from distributed import Client, LocalCluster, wait
from ee import oauth
from ee_server import REFRESH_TOKEN, TOKEN, Server, serving
from ee_world import write_world
from shapely.geometry import box

from ssl4eco_data.archives.earth_engine import EarthEngineArchive, EarthEngineParameters
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.types import Footprint

AREA = box(3.0, 50.78, 3.09, 50.84)
PERIOD = date(2020, 7, 1), date(2020, 8, 1)
INNER = Footprint(epsg=32631, west_m=502_040, north_m=5_630_980, size_m=1_280)
SESSION = ["algorithms", "rest", "rest", "token"]
"""What the client asks for when it begins: the list of functions, what the service can (twice), a token."""


@pytest.fixture(scope="module")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(write_world(tmp_path_factory.mktemp("world"))) as served:
        yield served


@pytest.fixture
def server(_served: Server) -> Iterator[Server]:
    """The service, and a process that has no session with it."""
    ee.Reset()
    _served.sign_ins.clear()
    _served.requests.clear()
    _served.most_in_flight = 0
    yield _served
    _served.pause_s = 0.0
    ee.Reset()


@pytest.fixture
def asked(server: Server, tmp_path: Path) -> Callable[[int], EarthEngineParameters]:
    """Parameters of a service account with a limit of requests in flight."""
    secret = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "k",
        "private_key": secret.decode(),
        "client_email": "robot@p.iam.gserviceaccount.com",
        "token_uri": f"{server.url}/token",
    }
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key))
    return lambda limit: EarthEngineParameters(
        project="p",
        service_account_key=str(path),
        url=server.url,
        retries=0,
        max_requests_in_flight=limit,
    )


def read_often(parameters: EarthEngineParameters, times: int) -> int:
    """As a worker does: many threads ask at once from the start; the id of its process."""
    archive = EarthEngineArchive(parameters)

    def work(_: int) -> bool:
        (scene,) = [s for s in archive.search(AREA, *PERIOD) if (s.tile, s.time.day) == ("31UDS", 2)]
        return bool(archive.read(scene, INNER, ["B02"])["B02"].any())

    with ThreadPoolExecutor(times) as pool:
        assert all(pool.map(work, range(times)))
    return os.getpid()


def test_threads_that_race_begin_one_session(server, asked):
    read_often(asked(8), 12)
    assert sorted(server.sign_ins) == SESSION
    assert len(server.requests) == 24


def test_each_worker_process_begins_one_session_and_all_keep_the_limit_of_the_project(server, asked):
    share = asked(6).share(2)
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        addresses = list(client.scheduler_info()["workers"])

        def on_each(times: int) -> set[int]:
            """Two jobs in each worker, begun together."""
            jobs = [client.submit(read_often, share, times, workers=[a], pure=False) for a in addresses * 2]
            wait(jobs, timeout=120)
            return set(client.gather(jobs))

        processes = on_each(1)
        server.pause_s = 0.1
        assert on_each(8) == processes
    assert len(processes) == 2 and os.getpid() not in processes
    assert sorted(server.sign_ins) == sorted(SESSION * 2)
    assert len(server.requests) == 2 * 2 * (1 + 8) * 2
    assert 3 < server.most_in_flight <= 6


@pytest.fixture
def user_file(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What ``earthengine authenticate`` leaves at home; where it is renewed is a constant of the client."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(oauth, "TOKEN_URI", f"{server.url}/token")
    path = Path(oauth.get_credentials_path())
    path.parent.mkdir(parents=True)
    stored = {"refresh_token": REFRESH_TOKEN, "client_id": "id", "client_secret": "s3cret", "project": "mine"}
    path.write_text(json.dumps({**stored, "scopes": oauth.SCOPES}))
    return path


def test_without_a_key_file_the_users_own_credentials_are_taken(server, user_file):
    archive = EarthEngineArchive(EarthEngineParameters(project="p", url=server.url, retries=0))
    assert len(archive.search(AREA, *PERIOD)) == 4
    assert set(server.sign_ins) == set(SESSION)


def test_credentials_that_were_revoked_are_refused_for_good_and_not_shown(server, user_file):
    stored = json.loads(user_file.read_text())
    user_file.write_text(json.dumps({**stored, "refresh_token": "revoked-token"}))
    archive = EarthEngineArchive(EarthEngineParameters(project="p", url=server.url, retries=3))
    with pytest.raises(ArchiveError, match="earthengine authenticate") as caught:
        archive.search(AREA, *PERIOD)
    assert not caught.value.transient
    for secret in ("revoked-token", "s3cret", TOKEN):
        assert secret not in str(caught.value)
    assert not server.requests
