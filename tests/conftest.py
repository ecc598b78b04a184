"""Fixtures that several areas share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tests.sharing import made_once, run_folder

ROOT = Path(__file__).resolve().parents[1]

for _name in ("COLUMNS", "LINES"):  # workers of pytest-xdist get 80 by 24, which rich keeps for good
    os.environ.pop(_name, None)

TINY = """
[dataset]
root = "dataset"
title = "tiny"

[simulate]
folder = "{archive}"

[simulate.earth]
regions = ["temperate_forest", "pampas"]
locations_per_site = 3
imagery_start = 2020-07-01
imagery_end = 2022-07-01
vegetation_start = 2020-01-01
vegetation_end = 2023-01-01

[period]
imagery_start = 2020-07-01
imagery_end = 2022-07-01
vegetation_start = 2020-01-01
vegetation_end = 2023-01-01

[archive]
kind = "stac"
imagery = "{archive}/sentinel-2-l2a.json"
vegetation = "{archive}/modis-13Q1-061.json"

[locations]
strata = "{archive}/layers/ecoregions.gpkg"

[locations.source]
kind = "grid"
spacing_km = 1.0
land = "{archive}/layers/land.gpkg"

[patches]
size_px = 64

[store]
shard_locations = 2

[run]
workers = 2
retry_delay_s = 0.0
"""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; the test is skipped, saying so, when it is absent."""
    folder = Path(os.environ.get("SSL4ECO_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"REAL DATA ABSENT: {folder} is not there (set SSL4ECO_SHARED); this test did not run")
    return folder


def write_tiny_config(folder: Path, archive: Path) -> Path:
    """A configuration of six locations in two climates, whose dataset goes beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny.toml"
    path.write_text(TINY.format(archive=archive))
    return path


@pytest.fixture(scope="session")
def compiled_phenology(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The functions of phenology compiled, once for all workers: numba keeps them beside their source."""
    from ssl4eco_data.phenology import derive_cycles

    def make(folder: Path) -> None:
        time = pd.date_range("2020-01-01", periods=69, freq="16D")
        value = 0.4 - 0.2 * np.cos(2 * np.pi * np.asarray(time.day_of_year) / 365.25)
        derive_cycles(xr.Dataset({"value": ("time", value)}, {"time": time}, {"index": "evi2"}))

    with made_once(run_folder(tmp_path_factory) / "phenology", make):
        yield


@pytest.fixture(scope="session")
def tiny_archive(tmp_path_factory: pytest.TempPathFactory, compiled_phenology: None) -> Iterator[Path]:
    """A small embedded archive, for builds that find phenology compiled; never written to."""
    from ssl4eco_data import config, pipeline

    def make(folder: Path) -> None:
        pipeline.prepare_archive(config.load(write_tiny_config(folder, folder / "archive")))

    with made_once(run_folder(tmp_path_factory) / "earth", make) as folder:
        yield folder / "archive"


@pytest.fixture(scope="session")
def built_config(tmp_path_factory: pytest.TempPathFactory, tiny_archive: Path) -> Iterator[Path]:
    """The configuration of a dataset that was built without disturbance; never written to."""
    from ssl4eco_data import config, pipeline

    def make(folder: Path) -> None:
        path = write_tiny_config(folder, tiny_archive)
        pipeline.build(config.load(path), pipeline.run_in_threads)

    with made_once(run_folder(tmp_path_factory) / "built", make) as folder:
        yield folder / "tiny.toml"


@pytest.fixture
def finished_config(tmp_path: Path, tiny_archive: Path, built_config: Path) -> Path:
    """The configuration of a finished dataset that a test may change."""
    path = write_tiny_config(tmp_path / "finished", tiny_archive)
    shutil.copytree(built_config.parent / "dataset", path.parent / "dataset")
    return path


@pytest.fixture
def own_config(tmp_path: Path, tiny_archive: Path) -> Path:
    """The configuration of a finished dataset that a test may change, and the archive beside it, too."""
    from ssl4eco_data import config, pipeline

    archive = shutil.copytree(tiny_archive, tmp_path / "own" / "archive")
    path = write_tiny_config(archive.parent, archive)
    pipeline.build(config.load(path), pipeline.run_in_threads)
    return path
