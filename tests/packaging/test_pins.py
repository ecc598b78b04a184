"""The pins, the ranges and environment.yml say the same."""

from __future__ import annotations

import importlib.util
import re
import sys
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
