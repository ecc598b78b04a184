"""The pins, the ranges and environment.yml say the same."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lock() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock", ROOT / "tools" / "lock.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["lock"] = module
    spec.loader.exec_module(module)
    return module


def test_environment_yml_has_the_pinned_versions(lock: ModuleType) -> None:
    assert (ROOT / "environment.yml").read_text() == lock.environment()


def test_test_pins_extend_the_dataset_pins(lock: ModuleType) -> None:
    dataset, test = (lock.pins(ROOT / "requirements" / f"{name}.txt") for name in ("dataset", "test"))
    assert dataset.items() <= test.items()


def test_test_pins_extend_the_training_pins(lock: ModuleType) -> None:
    training, test = (lock.pins(ROOT / "requirements" / f"{name}.txt") for name in ("training", "test"))
    assert training.items() <= test.items()


def test_training_pins_are_those_of_both_packages(lock: ModuleType) -> None:
    pinned = lock.pins(ROOT / "requirements" / "training.txt")
    asked = {
        re.split(r"[<>=~ ]", line, maxsplit=1)[0]
        for path in ("pyproject.toml", "training/pyproject.toml")
        for line in tomllib.loads((ROOT / path).read_text())["project"]["dependencies"]
    }
    assert asked - {"ssl4eco-data"} <= pinned.keys()
    assert not {"prefect", "earthengine-api", "geopandas", "rasterio", "torchvision"} & pinned.keys()


def test_there_is_one_torch(lock: ModuleType) -> None:
    """And none of the packages that a build of torch for one kind of GPU brings."""
    for name in ("training", "test"):
        lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
        assert [line for line in lines if line.startswith("torch")] == ["torch==2.13.0"]
        assert not [line for line in lines if line.startswith(("nvidia", "cuda", "triton"))]


def test_every_direct_dependency_is_pinned(lock: ModuleType) -> None:
    pinned = lock.pins(ROOT / "requirements" / "test.txt")
    assert {name.split("[")[0] for name in lock.direct_dependencies()} <= pinned.keys()


def test_load_bearing_pins_hold(lock: ModuleType) -> None:
    pinned = lock.pins(ROOT / "requirements" / "dataset.txt")
    assert tuple(map(int, pinned["fastapi"].split(".")[:2])) < (0, 151)
    assert tuple(map(int, pinned["sqlalchemy"].split(".")[:2])) < (2, 1)
    assert "torch" not in pinned


def test_no_requirement_file_names_an_index() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        assert not re.search(r"https?://|--index|--find-links|file:", path.read_text()), path
