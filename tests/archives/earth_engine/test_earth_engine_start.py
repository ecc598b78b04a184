"""A session that cannot begin: tried again as every request is, and no thread waits for the others' tries."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import ee
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from faulty_server import Faulty, faulty
from shapely.geometry import box

from ssl4eco_data.archives.earth_engine import EarthEngineArchive, EarthEngineParameters
from ssl4eco_data.errors import ArchiveError

HANG_S = 20.0
"""Far more than any time-out here: what takes longer hangs."""

AREA, PERIOD = box(3.0, 50.78, 3.09, 50.84), (date(2020, 7, 1), date(2020, 8, 1))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Faulty]:
    ee.Reset()
    with faulty(tmp_path) as served:
        yield served
    ee.Reset()


@pytest.fixture
def archive(server: Faulty, tmp_path: Path) -> EarthEngineArchive:
    secret = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {"client_email": "robot@p.iam", "token_uri": f"{server.url}/token", "private_key": secret.decode()}
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key))
    parameters = EarthEngineParameters(
        project="p",
        service_account_key=str(path),
        url=server.url,
        retries=2,
        retry_wait_s=0.0,
        deadline_s=0.5,
    )
    return EarthEngineArchive(parameters=parameters)


def unless_signing_in(fault: str) -> Callable[[str], str]:
    token = '{"access_token": "x", "expires_in": 3600, "token_type": "Bearer"}'
    return lambda path: token if path == "/token" else fault


def test_a_session_is_tried_as_often_as_a_request_and_not_by_the_client_too(
    server: Faulty, archive: EarthEngineArchive
) -> None:
    server.plan = unless_signing_in("503")
    with pytest.raises(ArchiveError, match="project p") as caught:
        archive.search(AREA, *PERIOD)
    assert caught.value.transient
    assert len([path for _, path in server.log if path != "/token"]) == 3


@pytest.mark.parametrize("fault", ["503", "429"])
def test_a_sign_in_that_is_put_off_is_no_refusal(
    server: Faulty, archive: EarthEngineArchive, fault: str
) -> None:
    server.plan = lambda _path: fault
    hasty = EarthEngineArchive(parameters=archive.parameters.model_copy(update={"retries": 0}))
    with pytest.raises(ArchiveError, match="sign-in failed") as caught:
        hasty.search(AREA, *PERIOD)
    assert caught.value.transient


def test_threads_that_wait_for_a_session_do_not_try_one_after_the_other(
    server: Faulty, archive: EarthEngineArchive
) -> None:
    server.plan = unless_signing_in("silent")
    hasty = EarthEngineArchive(parameters=archive.parameters.model_copy(update={"retries": 0}))
    begin = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        waits = [pool.submit(hasty.search, AREA, *PERIOD) for _ in range(8)]
        errors = [wait.exception() for wait in waits]
    assert all(isinstance(error, ArchiveError) and error.transient for error in errors)
    assert time.monotonic() - begin < HANG_S
