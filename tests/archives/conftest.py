"""The small archive with known pixels, on disk and behind a loopback STAC API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from catalogue_cases import Truth, write_catalogue
from stac_server import Server, serving


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """(folder, truth)."""
    folder = tmp_path_factory.mktemp("catalogue")
    return folder, write_catalogue(folder)


@pytest.fixture(scope="session")
def _api(catalogue: tuple[Path, Truth]) -> Iterator[Server]:
    with serving(catalogue[0]) as server:
        yield server


@pytest.fixture
def api(_api: Server) -> Iterator[Server]:
    """The API, with no failures planned and no requests counted."""
    _api.failures.clear()
    _api.requests.clear()
    yield _api
    _api.failures.clear()
