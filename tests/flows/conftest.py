"""Prefect for the tests of flows: settings of its own, and one server for all that need none of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


def without_prefect() -> dict[str, str]:
    """The environment without settings of Prefect."""
    return {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_") and k != "DO_NOT_TRACK"}


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """A Prefect without server, profile and settings: the flow starts a server of its own."""
    return without_prefect() | {"PREFECT_HOME": str(tmp_path / "prefect")}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server, started as the flow itself starts one."""
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_HOME, temporary_settings

    with temporary_settings({PREFECT_HOME: tmp_path_factory.mktemp("prefect")}):
        running = SubprocessASGIServer()
        running.start()
        try:
            yield str(running.api_url)
        finally:
            running.stop()


@pytest.fixture
def env(alone: dict[str, str], server: str) -> dict[str, str]:
    """A Prefect that finds a server."""
    return alone | {"PREFECT_API_URL": server}
