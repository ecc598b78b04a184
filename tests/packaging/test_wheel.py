"""The wheel carries what its commands need, and reading a dataset imports nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from tests.store.small_dataset import build_small

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "ssl4eco_data"
HEAVY = ("geopandas", "rasterio", "dask", "prefect", "torch", "ee", "numba", "scipy", "matplotlib")
LIST_HEAVY = "import sys, {module}; print(*sorted(set(sys.modules) & set({heavy})))"


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a wheel built by the installed back end, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300)
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


def with_their_own(requirements: list[str]) -> dict[str, Distribution]:
    """What is installed for these requirements and for what those require, by name."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        if wanted.name not in found and (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
            found[wanted.name] = distribution(wanted.name)
            waiting += [Requirement(text) for text in found[wanted.name].requires or ()]
    return found


@pytest.fixture(scope="module")
def light_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A search path with this package and its base dependencies alone."""
    folder = tmp_path_factory.mktemp("light")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for installed in with_their_own(project["dependencies"]).values():
        for top in {file.parts[0] for file in installed.files or ()} - {"..", "bin", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(str(installed.locate_file(top)))
    return os.pathsep.join([str(folder), str(PACKAGE.parent)])


ANALYSE = """
import sys, ssl4eco_data as s4e
dataset = s4e.open_dataset(sys.argv[1])
place = dataset["location"].item(0)
print(s4e.ndvi(s4e.cube(dataset, place, "summer")).shape)
for address, chunks in ((sys.argv[1], {}), ("s3://bucket/key", None)):
    try:
        s4e.open_dataset(address, chunks=chunks)
    except ImportError as error:
        print(error)
"""


def test_a_light_installation_reads_and_names_the_extra_for_the_rest(light_path: str, tmp_path: Path) -> None:
    build_small(tmp_path)
    done = subprocess.run(
        [sys.executable, "-S", "-c", ANALYSE, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": light_path},
        check=True,
        capture_output=True,
        text=True,
    )
    way_out = "pip install '.[analysis]' in the checkout"
    assert done.stdout.splitlines() == [
        "(16, 16)",
        f"open_dataset with chunks needs dask: {way_out}",
        f"an address of s3:// needs obstore: {way_out}",
    ]
