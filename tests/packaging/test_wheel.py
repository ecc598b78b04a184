"""The wheel carries what its commands need, and reading a dataset imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "ssl4eco_data"
HEAVY = ("geopandas", "rasterio", "dask", "prefect", "torch", "ee", "numba", "scipy", "matplotlib")
LIST_HEAVY = "import sys, {module}; print(*sorted(set(sys.modules) & set({heavy})))"


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a wheel built by the installed back end, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_file_of_the_package(wheel_names: set[str]) -> None:
    files = {
        p.relative_to(PACKAGE.parent).as_posix()
        for p in PACKAGE.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert {Path(name).suffix for name in files} >= {".py", ".typed", ".j2", ".css", ".js"}
    assert files <= wheel_names


def test_the_wheel_holds_the_package_only(wheel_names: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ssl4eco_data"}


def test_the_wheel_carries_its_licence_and_command(wheel_names: set[str]) -> None:
    inside = {name.split("/", 1)[1] for name in wheel_names if ".dist-info/" in name}
    assert {"licenses/LICENSE", "entry_points.txt"} <= inside


@pytest.mark.parametrize("module", ["ssl4eco_data", "ssl4eco_data.store", "ssl4eco_data.cli"])
def test_a_light_installation_imports_nothing_heavy(module: str) -> None:
    code = LIST_HEAVY.format(module=module, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_heavy_imports_would_be_seen() -> None:
    code = LIST_HEAVY.format(module="ssl4eco_data.pipeline", heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "rasterio" in done.stdout.split()
