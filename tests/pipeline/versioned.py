"""Datasets with versions for the tests, the first one made of a dataset that was built without."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ssl4eco_data import config as configuration
from ssl4eco_data import pipeline
from ssl4eco_data.store import versions as v
from tests.conftest import write_tiny_config

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
RULES = """
[versions]
enabled = true
keep = 9
max_lost_seasons = 1.0
max_lost_candidates = 1.0
max_dn_shift = 20000.0
sticky_margin_days = 366
"""


def write_versioned_config(folder: Path, archive: Path) -> Path:
    """The tiny configuration with versions, which serves any change and stays with every scene it has."""
    path = write_tiny_config(folder, archive)
    path.write_text(path.read_text() + RULES)
    return path


def with_one_version(folder: Path, archive: Path, built: Path) -> Path:
    """The configuration of a dataset that serves one version: what was built from ``built`` without."""
    path = write_versioned_config(folder, archive)
    root, version = folder / "dataset", v.new_id(FIRST_DAY, [])
    shutil.copytree(built.parent / "dataset", root / v.VERSIONS / version)
    (root / v.LATEST).write_text(f"{version}\n")
    return path


def imagery_until(path: Path, day: str) -> None:
    """Let the imagery of a configuration end at a day."""
    head, period, tail = path.read_text().partition("[period]\n")
    lines = [f"imagery_end = {day}" if t.startswith("imagery_end") else t for t in tail.splitlines()]
    path.write_text(head + period + "\n".join(lines) + "\n")


def build_next(path: Path, day: int = 1, until: str = "report") -> Path:
    """Build the next version, in threads; the folder of the served one."""
    config = configuration.load(path)
    moment = FIRST_DAY + timedelta(days=day)
    pipeline.build_version(config, pipeline.run_in_threads, lambda: moment, until=until)
    return served(path)


def served(path: Path) -> Path:
    """The folder of the served version."""
    place = v.dataset_place(path.parent / "dataset")
    assert isinstance(place, Path)
    return place


def copy_linked(source: Path, to: Path) -> Path:
    """A copy of a folder whose files are linked among each other as those of the folder are."""
    copies: dict[int, str] = {}

    def copy(one: str, other: str) -> str:
        inode = Path(one).stat().st_ino
        if inode in copies:
            os.link(copies[inode], other)
            return other
        copies[inode] = other
        return shutil.copy2(one, other)

    copier: Callable[[str, str], str] = copy
    return Path(shutil.copytree(source, to, copy_function=copier))
