"""Layers and wishes that the tests of the starter share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from starter_layers import ALPS, write_layer

from ssl4eco_data.starter import Wishes


@pytest.fixture
def wish(tmp_path: Path) -> Callable[..., Wishes]:
    """Wishes for ``tmp_path / "my.toml"`` from an archive without an account, with what is asked on top."""

    def make(**asked: Any) -> Wishes:
        usual = {
            "to": tmp_path / "my.toml",
            "start": date(2018, 3, 1),
            "end": date(2024, 1, 1),
            "archive": "earth-search",
        }
        return Wishes(**(usual | asked))

    return make


@pytest.fixture
def alps(tmp_path: Path) -> str:
    """A polygon file around the western Alps."""
    return write_layer(tmp_path / "alps.gpkg", [ALPS])


@pytest.fixture
def halves(tmp_path: Path) -> str:
    """Two strata over the western Alps, the eastern one four times as wide."""
    west, south, east, north = ALPS
    boxes = [(west, south, west + 1, north), (west + 1, south, east, north)]
    columns = {"ECO_NAME": ["west", "east"], "BIOME_NAME": ["b", "b"], "REALM": ["r", "r"]}
    return write_layer(tmp_path / "strata.gpkg", boxes, **columns)


@pytest.fixture
def plots(tmp_path: Path) -> str:
    """Two places in a table."""
    path = tmp_path / "plots.csv"
    path.write_text("lon,lat\n7.5,46.5\n8.5,46.5\n")
    return str(path)
