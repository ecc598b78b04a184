"""The official Earth Engine client: its parameters, its session, its errors; only this module imports it.

The client is a singleton of the process: it is initialised on the first request (in every Dask worker
anew), and a process that has initialised it already, as notebooks do, keeps its own session.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field

from ssl4eco_data.archives.retry import is_transient_status
from ssl4eco_data.errors import ArchiveError, ConfigError
from ssl4eco_data.types import LocalPath, Parameters

Answer = TypeVar("Answer")
_INITIALIZE = threading.Lock()


class EarthEngineParameters(Parameters):
    """Earth Engine as the archive; needs the extra ``earthengine`` and a Cloud project."""

    IMAGERY: ClassVar[tuple[str, ...]] = ("kind", "imagery")
    """What decides the pixels of a scene."""
    JUDGED: ClassVar[tuple[str, ...]] = (*IMAGERY, "blue_min_usable_fraction")
    """What decides the candidates and their statistics."""

    def series_fields(self) -> tuple[str, ...]:
        """The fields that decide the vegetation series."""
        return ("kind", "vegetation")

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
    blue_min_usable_fraction: float = Field(
        default=0.8, ge=0, le=1, description="patches less clear than this are not measured in blue"
    )
    max_requests_in_flight: int = Field(
        default=20, ge=1, le=40, description="requests at a time in one process; the project's limit is 40"
    )
    deadline_s: float = Field(default=120.0, gt=0, description="a request that takes longer is given up")
    retries: int = Field(
        default=5, ge=0, lt=100, description="further attempts on throttling, server errors and time-outs"
    )


def ask(parameters: EarthEngineParameters, what: str, request: Callable[[Any], Answer]) -> Answer:
    """The answer to one request, made when fewer than the allowed number are in flight.

    ``request`` gets the client (the module ``ee``); ``what`` names it in errors. Raises
    :class:`~ssl4eco_data.errors.ArchiveError`, transient where another attempt may succeed, and
    :class:`~ssl4eco_data.errors.ConfigError` without the client or with an unreadable key file.
    """
    ee = session(parameters)
    with _slots(parameters.max_requests_in_flight), _errors_named(ee, what):
        return request(ee)


def session(parameters: EarthEngineParameters) -> ModuleType:
    """The client, initialised once in this process."""
    try:
        import ee  # the client is optional: configurations are read without it
    except ImportError as error:
        raise ConfigError(
            "archive.kind earth_engine needs the client: install ssl4eco-data[earthengine]"
        ) from error
    with _INITIALIZE:
        if not ee.data.is_initialized():
            with _errors_named(ee, f"project {parameters.project}"):
                ee.Initialize(_credentials(parameters), url=parameters.url, project=parameters.project)
                ee.data.setDeadline(parameters.deadline_s * 1000)
                ee.data.setMaxRetries(parameters.retries)
    module: ModuleType = ee
    return module


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


@cache
def _slots(count: int) -> threading.BoundedSemaphore:
    """One semaphore for all archives and threads of this process; it cannot live in what is pickled."""
    return threading.BoundedSemaphore(count)


@contextmanager
def _errors_named(ee: Any, what: str) -> Iterator[None]:
    """Turns what the client raises into ArchiveError, transient where another attempt may succeed."""
    from google.auth import exceptions as auth

    try:
        yield
    except ee.EEException as error:
        status = getattr(getattr(error.__context__, "resp", None), "status", None)
        transient = status is not None and is_transient_status(int(status))
        code = f" ({status})" if status else ""
        raise ArchiveError(f"Earth Engine, {what}{code}: {error}", transient=transient) from None
    except auth.TransportError as error:
        raise ArchiveError(f"Earth Engine, {what}: sign-in broke off: {error}", transient=True) from None
    except auth.GoogleAuthError as error:
        kind = type(error).__name__
        raise ArchiveError(
            f"Earth Engine, {what}: credentials refused ({kind}); renew them", transient=False
        ) from None
    except (OSError, EOFError, ValueError, TypeError, KeyError) as error:  # the client indexes what it got
        raise ArchiveError(
            f"Earth Engine, {what}: broken answer ({type(error).__name__}: {error})", transient=True
        ) from None
