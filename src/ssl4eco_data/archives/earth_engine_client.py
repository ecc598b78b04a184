"""The official Earth Engine client: its parameters, its session, its errors; only this module imports it.

The client is a singleton of the process: it is initialised on the first request (in every Dask worker
anew), and a process that has initialised it already, as notebooks do, keeps its own session.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from types import ModuleType
from typing import Any, ClassVar, Literal, TypeVar

import requests
from pydantic import Field, field_validator

from ssl4eco_data.archives.flow_control import FlowParameters, lane_of
from ssl4eco_data.archives.retry import asked_by, is_transient_status, with_retries
from ssl4eco_data.archives.transport import Httplib2Like, Timeouts, mount
from ssl4eco_data.errors import ArchiveError, ConfigError
from ssl4eco_data.types import LocalPath

Answer = TypeVar("Answer")
_INITIALIZE = threading.Lock()
_FAILED: list[tuple[float, ArchiveError]] = []
"""When and why a session could not begin the last time."""
_RATE = "ateLimitExceeded"
"""Reason of a 403 that means 429 (``rateLimitExceeded``, ``userRateLimitExceeded``)."""


class EarthEngineParameters(FlowParameters):
    """Earth Engine as the archive; needs the extra ``earthengine`` and a Cloud project."""

    IMAGERY: ClassVar[tuple[str, ...]] = ("kind", "imagery")
    """What decides the pixels of a scene."""
    JUDGED: ClassVar[tuple[str, ...]] = (*IMAGERY, "blue_min_usable_fraction", "cloud_score")
    """What decides the candidates and their statistics."""

    def series_fields(self) -> tuple[str, ...]:
        """The fields that decide the vegetation series."""
        return ("kind", "vegetation", "phenology_product")

    kind: Literal["earth_engine"] = Field(default="earth_engine", description="this archive")
    project: str = Field(min_length=1, description="Cloud project that the requests are billed to")
    service_account_key: LocalPath | None = Field(
        default=None, description="key file of a service account; without it, the user's own credentials"
    )
    url: str = Field(
        default="https://earthengine-highvolume.googleapis.com",
        pattern=r"^https?://",
        description="endpoint; the high-volume one by default",
    )
    imagery: str = Field(
        default="COPERNICUS/S2_SR_HARMONIZED", min_length=1, description="Sentinel-2 L2A, offset removed"
    )
    vegetation: str = Field(
        default="MODIS/061/MOD13Q1", min_length=1, description="collection with EVI, DayOfYear, SummaryQA"
    )
    phenology_product: str = Field(
        default="MODIS/061/MCD12Q2",
        min_length=1,
        description="collection of yearly dates; asked where phenology.source is mcd12q2",
    )
    cloud_score: str = Field(
        default="GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED",
        description="collection with cs_cdf by the image's name; empty: not asked",
    )
    blue_min_usable_fraction: float = Field(
        default=0.8, ge=0, le=1, description="patches less clear than this are not measured in blue and red"
    )
    max_requests_in_flight: int = Field(
        default=20, ge=1, le=40, description="requests at a time, of all processes; the project's limit is 40"
    )
    read_timeout_s: float = Field(default=120.0, gt=0, description="a server that says nothing is given up")
    deadline_s: float = Field(
        default=120.0, gt=0, description="a request that takes longer as a whole is given up"
    )
    retries: int = Field(
        default=5, ge=0, lt=100, description="further attempts on throttling, server errors and time-outs"
    )
    retry_wait_s: float = Field(
        default=1.0, ge=0, description="longest wait before the first further attempt; doubles each time"
    )

    @field_validator("project")
    @classmethod
    def _no_placeholder(cls, value: str) -> str:
        if value != value.lower():
            raise ValueError(
                f"{value!r} is no Cloud project (ids have no capital letters): put the id of yours that "
                "is registered for Earth Engine; https://code.earthengine.google.com/register shows them"
            )
        return value


def ask(parameters: EarthEngineParameters, what: str, request: Callable[[Any], Answer]) -> Answer:
    """The answer to one request, made when fewer than the allowed number are in flight, and made again on
    transient failures.

    ``request`` gets the client (the module ``ee``); ``what`` names it in errors. Raises
    :class:`~ssl4eco_data.errors.ArchiveError`, transient where another attempt may succeed, and
    :class:`~ssl4eco_data.errors.ConfigError` without the client or with an unreadable key file.
    """

    def attempt() -> Answer:
        ee = session(parameters)
        with _errors_named(ee, what):
            return request(ee)

    lane = lane_of(parameters.url, parameters.limits)
    return with_retries(attempt, retries=parameters.retries, wait_s=parameters.retry_wait_s, lane=lane)


def session(parameters: EarthEngineParameters) -> ModuleType:
    """The client, initialised once in this process."""
    try:
        import ee  # the client is optional: configurations are read without it
    except ImportError as error:
        raise ConfigError(
            "archive.kind earth_engine needs the client: install ssl4eco-data[earthengine]"
        ) from error
    asked_s = time.monotonic()
    with _INITIALIZE:
        if not ee.data.is_initialized():
            _initialise(ee, parameters, asked_s)
    module: ModuleType = ee
    return module


def _initialise(ee: Any, parameters: EarthEngineParameters, asked_s: float) -> None:
    """Begin the session; who asked before the last attempt failed need not try, one after the other."""
    for failed_s, failure in _FAILED[-1:]:
        if failed_s >= asked_s:
            raise ArchiveError(str(failure), transient=failure.transient, status=failure.status)
    ee.data.setMaxRetries(0)  # further attempts are ours, or they would keep the turn while they wait
    try:
        with _errors_named(ee, f"project {parameters.project}"):
            ee.Initialize(
                _credentials(parameters),
                url=parameters.url,
                project=parameters.project,
                http_transport=_transport(parameters),
            )
    except ArchiveError as error:
        _FAILED[:] = [(time.monotonic(), error)]
        raise


def _transport(parameters: EarthEngineParameters) -> Httplib2Like:
    """Requests that keep our time-outs and are counted."""
    p = parameters
    timeouts = Timeouts(connect_s=p.connect_timeout_s, read_s=p.read_timeout_s, total_s=p.deadline_s)
    lane = lane_of(p.url, p.limits)
    return Httplib2Like(mount(requests.Session(), timeouts, p.max_requests_in_flight, lane))


def _credentials(parameters: EarthEngineParameters) -> Any:
    if parameters.service_account_key is None:
        return "persistent"
    from ee import oauth
    from google.oauth2 import service_account

    kind: Any = service_account.Credentials
    try:
        return kind.from_service_account_file(parameters.service_account_key, scopes=oauth.SCOPES)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"archive.service_account_key {parameters.service_account_key} is not a readable key file "
            f"({type(error).__name__}); create one for a service account of the project"
        ) from None


@contextmanager
def _errors_named(ee: Any, what: str) -> Iterator[None]:
    """Turns what the client raises into ArchiveError, transient where another attempt may succeed."""
    from google.auth import exceptions as auth
    from googleapiclient.errors import HttpError  # type: ignore[import-untyped]

    try:
        yield
    except (ee.EEException, HttpError) as error:  # the latter while the session begins
        status, asked_s = asked_by(error)
        if status == HTTPStatus.FORBIDDEN and _RATE in str(getattr(error.__context__, "content", "")):
            status = HTTPStatus.TOO_MANY_REQUESTS
        transient = status is not None and is_transient_status(status)
        code = f" ({int(status)})" if status else ""
        raise ArchiveError(
            f"Earth Engine, {what}{code}: {error}", transient=transient, status=status, retry_after_s=asked_s
        ) from None
    except auth.TransportError as error:
        raise ArchiveError(f"Earth Engine, {what}: sign-in broke off: {error}", transient=True) from None
    except auth.GoogleAuthError as error:
        kind = type(error).__name__
        if error.retryable:
            raise ArchiveError(f"Earth Engine, {what}: sign-in failed ({kind})", transient=True) from None
        raise ArchiveError(
            f"Earth Engine, {what}: credentials refused ({kind}); renew them", transient=False
        ) from None
    except (OSError, EOFError, ValueError, TypeError, KeyError) as error:  # the client indexes what it got
        raise ArchiveError(
            f"Earth Engine, {what}: broken answer ({type(error).__name__}: {error})", transient=True
        ) from None
