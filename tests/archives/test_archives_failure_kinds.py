"""Each way to fail is told apart: what may pass, what will not, and what only needs a new signature."""

from __future__ import annotations

import errno
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import requests
import shapely
from catalogue_cases import FOOTPRINT, Truth, lonlat
from faulty_server import Faulty, faulty
from rasterio.errors import RasterioIOError

from ssl4eco_data.archives import cog_direct, signing
from ssl4eco_data.archives.cog import Access, Raster, read
from ssl4eco_data.archives.flow_control import Limits
from ssl4eco_data.archives.refusals import meant, reason_of
from ssl4eco_data.archives.retry import archive_errors, asked_by, is_transient_status
from ssl4eco_data.archives.stac import StacArchive, StacParameters
from ssl4eco_data.archives.transport import Timeouts
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.types import Scene

HANG_S = 20.0
"""Far more than any time-out here: what takes longer hangs."""

AREA = lonlat(32631, shapely.box(*FOOTPRINT.bounds_m))
PERIOD = (date(2015, 1, 1), date(2030, 1, 1))
PASSING = {408, 425, 429, 500, 502, 503, 504, 507, 508, 511, 520, 522, 524}
LASTING = {400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 411, 412, 413, 414, 415, 422, 451, 501, 505}


@pytest.fixture
def server(catalogue: tuple[Path, Truth], tmp_path: Path) -> Iterator[Faulty]:
    folder = tmp_path / "served"
    shutil.copytree(catalogue[0], folder)
    with faulty(folder) as served:
        yield served


def archive_at(server: Faulty | str, **changed: object) -> StacArchive:
    """It tries once."""
    given = {"imagery": server if isinstance(server, str) else server.url, "retries": 0, "threads": 1}
    return StacArchive(StacParameters(**(given | {"timeout_s": 5.0} | changed)))


def scene_of(server: Faulty) -> Scene:
    return next(s for s in archive_at(server).search(AREA, *PERIOD) if s.epsg == FOOTPRINT.epsg)


def failure(request: Callable[[], object]) -> ArchiveError:
    with pytest.raises(ArchiveError) as caught:
        request()
    return caught.value


def both(server: Faulty, fault: str) -> list[ArchiveError]:
    """The errors of a search and of a file that meet the fault."""
    scene, archive = scene_of(server), archive_at(server)
    server.plan = lambda _path: fault
    return [
        failure(lambda: archive.search(AREA, *PERIOD)),
        failure(lambda: archive.read(scene, FOOTPRINT, ["B02"])),
    ]


@pytest.mark.parametrize("status", sorted(PASSING | LASTING))
def test_every_status_is_of_one_kind(server: Faulty, status: int) -> None:
    assert is_transient_status(status) == (status in PASSING)
    for error in both(server, str(status)):
        assert (error.status, error.transient) == (status, status in PASSING)
        assert error.throttled == (status in (429, 503))


@pytest.mark.parametrize(
    ("answer", "status", "transient"),
    [
        ("400=ExpiredToken", 401, False),
        ("400=TokenRefreshRequired", 401, False),
        ("400=RequestTimeout", 408, True),
        ("400=InvalidArgument", 400, False),
        ("400=Throttling", 429, True),
        ("403=SlowDown", 429, True),
        ("403=AuthenticationFailed", 403, False),
        ("403=RequestTimeTooSkewed", 403, False),
        ("403=AccessDenied", 403, False),
        ("404=BlobNotFound", 404, False),
        ("404=NoSuchKey", 404, False),
        ("409=OperationAborted", 408, True),
        ("409=PublicAccessNotPermitted", 409, False),
        ("503=SlowDown", 503, True),
        ("503=ServerBusy", 503, True),
        ("500=OperationTimedOut", 500, True),
    ],
)
def test_what_an_object_store_means_counts_more_than_its_status(
    server: Faulty, answer: str, status: int, transient: bool
) -> None:
    errors = both(server, answer)
    for error in errors:
        assert (error.status, error.transient) == (status, transient)
    assert f"<Code>{answer.partition('=')[2]}</Code> Because." in str(errors[1])
    assert "k3y" not in str(errors[1])


def test_reasons_are_told_without_what_is_said_of_keys() -> None:
    body = (
        b"<Error><Code>SignatureDoesNotMatch</Code><Message>It does not match.\nMore</Message>"
        b"<SignatureProvided>fe5f80</SignatureProvided></Error>"
    )
    assert reason_of(body) == "<Code>SignatureDoesNotMatch</Code> It does not match."
    assert reason_of(b"no") == reason_of(b"\xff\xfe") == ""
    assert reason_of(b"<Code>SlowDown</Code><Message> \n</Message>") == "<Code>SlowDown</Code>"
    assert meant(403, '{"error": {"errors": [{"reason": "rateLimitExceeded"}]}}') == 429
    assert meant(200, "<Code>SlowDown</Code>") == 200


@pytest.mark.parametrize("fault", ["short", "cut", "reset"])
def test_a_body_that_ends_early_is_transient_and_never_a_result(server: Faulty, fault: str) -> None:
    assert all(error.transient and error.status is None for error in both(server, fault))


@pytest.mark.parametrize(
    "answer",
    [
        '{"message": "Endpoint request timed out"}',
        '{"code": "InternalError", "links": []}',
        '{"type": "FeatureCollection", "features": null, "links": []}',
        '{"type": "FeatureCollection", "features": [{}], "links": []}',
        '{"type": "FeatureCollection", "features": [1], "links": []}',
        "[]",
        "null",
        '"later"',
        "latin",
        "html",
    ],
)
def test_an_excuse_with_status_200_is_not_taken_for_no_scene(
    server: Faulty, truth: Truth, answer: str
) -> None:
    archive = archive_at(server, retries=1, retry_wait_s=0.0)
    for path in ("/", "/search"):
        server.first(answer, path=path)
        assert [s.scene_id for s in archive.search(AREA, *PERIOD)] == truth.scene_ids
    server.plan = lambda _path: answer
    assert failure(lambda: archive.search(AREA, *PERIOD)).transient


@pytest.fixture
def truth(catalogue: tuple[Path, Truth]) -> Truth:
    return catalogue[1]


def test_a_search_whose_pages_turn_in_circles_ends(server: Faulty) -> None:
    archive = archive_at(server)
    (item,) = json.loads((server.folder / "sentinel-2-l2a.json").read_text())["features"][:1]
    link = {"rel": "next", "method": "POST", "href": f"{server.url}/search", "body": {"token": "same"}}
    page = json.dumps({"type": "FeatureCollection", "features": [item], "links": [link]})
    scene_of(server)
    server.plan = lambda path: page if path == "/search" and len(server.log) < 20 else ""
    error = failure(lambda: archive.search(AREA, *PERIOD))
    assert error.transient and "circles" in str(error)
    assert len(server.log) < 10


def far(link: str, timeout_s: float = 0.6, **changed: object) -> None:
    def use(raster: Raster) -> object:
        return raster.window(0, 0, 8, 8)

    read(link, use, Access(timeout_s=timeout_s, retries=0, **changed))


@pytest.mark.parametrize("fault", ["silent", "drip"])
def test_gdal_and_the_probe_after_it_give_up_a_server_that_gives_nothing(
    server: Faulty, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the range reader leaves to GDAL."""
    href = scene_of(server).assets["B02"].href
    monkeypatch.setattr(cog_direct, "reader_of", lambda *_, **__: None)
    server.plan = lambda _path: fault
    begin = time.monotonic()
    error = failure(lambda: far(href))
    assert error.transient
    assert time.monotonic() - begin < HANG_S


def test_a_silent_server_is_given_up_by_everything(server: Faulty) -> None:
    scene, archive = scene_of(server), archive_at(server, timeout_s=0.5)
    server.plan = lambda _path: "silent"
    begin = time.monotonic()
    assert failure(lambda: archive.search(AREA, *PERIOD)).transient
    assert failure(lambda: archive.read(scene, FOOTPRINT, ["B02"])).transient
    assert time.monotonic() - begin < HANG_S


@pytest.mark.parametrize("link", ["http://nowhere.invalid/", "http://127.0.0.1:9/", "http://[::1]:9/"])
def test_a_server_that_cannot_be_reached_may_come_back(link: str) -> None:
    assert failure(lambda: archive_at(link).search(AREA, *PERIOD)).transient
    assert failure(lambda: far(f"{link}a.tif")).transient


def test_a_link_that_is_none_will_not() -> None:
    assert not failure(lambda: archive_at("http://:x/").search(AREA, *PERIOD)).transient


@pytest.mark.parametrize(
    ("error", "status", "transient"),
    [
        (RasterioIOError("HTTP response code on https://x.net/a.tif?..: 503"), 503, True),
        (RasterioIOError("HTTP response code: 404 - Not Found"), 404, False),
        (RasterioIOError("HTTP error code : 429"), 429, True),
        (RasterioIOError("CURL error: Could not resolve host: x.net"), None, True),
        (RasterioIOError("CURL error: SSL certificate problem: unable to get local issuer"), None, True),
        (RasterioIOError("not recognized as being in a supported file format"), None, False),
        (requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"), None, True),
        (requests.exceptions.ContentDecodingError("failed to decode gzip"), None, True),
        (requests.exceptions.ChunkedEncodingError("IncompleteRead"), None, True),
        (requests.TooManyRedirects("30"), None, False),
        (requests.exceptions.InvalidURL("no host"), None, False),
        (ConnectionResetError(104, "Connection reset by peer"), None, True),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), None, True),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), None, True),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), None, True),
        (BrokenPipeError(32, "Broken pipe"), None, True),
        (OSError(errno.EACCES, "Permission denied"), None, False),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), None, True),
    ],
)
def test_errors_without_an_answer_are_of_one_kind(
    error: Exception, status: int | None, transient: bool
) -> None:
    assert asked_by(error)[0] == status

    def fail() -> None:
        with archive_errors("file x", remote=True):
            raise error

    assert failure(fail).transient == transient


def test_a_cause_that_is_quoted_already_is_not_told_again() -> None:
    error = failure(lambda: archive_at("http://nowhere.invalid/").search(AREA, *PERIOD))
    assert str(error).count("Max retries exceeded") == 1
    assert str(error).count("Failed to resolve") == 1


def test_a_certificate_that_nobody_vouches_for_marks_no_file_as_broken(tmp_path: Path) -> None:
    """The line is at fault: were it permanent, scenes would be recorded as unreadable."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def answer() -> None:
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 400 plain\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        assert failure(lambda: archive_at(f"https://127.0.0.1:{port}/").search(AREA, *PERIOD)).transient
        assert failure(lambda: far(f"https://127.0.0.1:{port}/a.tif")).transient
        thread.join(5)


SHORT = Timeouts(connect_s=0.4, read_s=0.4, total_s=0.4)
BLOB = "https://store.blob.core.windows.net/box/a.tif"


@pytest.fixture
def tokens(server: Faulty, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    """The service of tokens on the loopback interface."""
    from planetary_computer import sas
    from planetary_computer.settings import Settings

    monkeypatch.setattr(Settings.get(), "sas_url", f"{server.url}/token")
    sas.TOKEN_CACHE.clear()
    yield server
    sas.TOKEN_CACHE.clear()


def token(name: str, minutes: float = 60) -> str:
    end = datetime.now(UTC) + timedelta(minutes=minutes)
    return json.dumps({"token": f"sig={name}", "msft:expiry": end.isoformat()})


pytestmark = pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")


def test_a_token_is_fetched_once_for_all_threads_and_anew_before_it_ends(tokens: Faulty) -> None:
    tokens.plan = lambda _path: token("one", minutes=1.2)
    with ThreadPoolExecutor(8) as pool:
        links = set(pool.map(lambda _: signing.signed(BLOB, SHORT, Limits()), range(8)))
    assert links == {f"{BLOB}?sig=one"} and len(tokens.log) == 8, "it ends too soon to be kept"
    tokens.plan = lambda _path: token("two")
    with ThreadPoolExecutor(8) as pool:
        links = set(pool.map(lambda _: signing.signed(BLOB, SHORT, Limits()), range(8)))
    assert links == {f"{BLOB}?sig=two"} and len(tokens.log) == 9
    assert tokens.log[-1][1] == "/token/store/box"
    assert signing.signed("https://x.net/a.tif", SHORT, Limits()) == "https://x.net/a.tif"
    assert signing.signed(f"{BLOB}?se=1&sig=x", SHORT, Limits()) == f"{BLOB}?se=1&sig=x"
    assert len(tokens.log) == 9


def test_only_the_refused_token_is_forgotten(tokens: Faulty) -> None:
    tokens.plan = lambda _path: token("one")
    signing.signed(BLOB, SHORT, Limits())
    refused = signing.tokens()
    signing.forget(refused)
    tokens.plan = lambda _path: token("two")
    assert signing.signed(BLOB, SHORT, Limits()).endswith("sig=two")
    signing.forget(refused)
    assert signing.signed(BLOB, SHORT, Limits()).endswith("sig=two")
    assert len(tokens.log) == 2


@pytest.mark.parametrize(
    ("fault", "transient"), [("silent", True), ("503", True), ("{}", True), ("403", False)]
)
def test_a_service_of_tokens_that_fails_holds_up_nobody(tokens: Faulty, fault: str, transient: bool) -> None:
    """Left to its library it would have no time-out, and be tried ten more times."""
    tokens.plan = lambda _path: fault
    begin = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        waits = [pool.submit(far, BLOB, 0.5, sign="planetary-computer") for _ in range(8)]
        errors = [wait.exception() for wait in waits]
    assert time.monotonic() - begin < HANG_S
    assert all(isinstance(e, ArchiveError) and e.transient == transient for e in errors)
    assert not any(e.throttled for e in errors if isinstance(e, ArchiveError))
