"""The archive that the tests' servers serve, and the modules of the archives' Earth Engine server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from resolve_cases import resolve_layer, zipped

sys.path.append(str(Path(__file__).resolve().parents[1] / "archives" / "earth_engine"))


@pytest.fixture(scope="session")
def resolve_zip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A whole archive as the publisher would serve it."""
    return zipped(resolve_layer(), tmp_path_factory.mktemp("resolve") / "shapefile")
