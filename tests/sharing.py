"""What all workers of a test run share: made by the first that asks, while the others wait for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock


def run_folder(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of the whole run; a worker of pytest-xdist has one of its own inside it."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextmanager
def made_once(folder: Path, make: Callable[[Path], object]) -> Iterator[Path]:
    """``folder``, which ``make`` filled once; AssertionError at the end where a test has changed it."""
    finished = folder.with_name(f"{folder.name}.made")
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not finished.exists():
            make(folder)
            finished.touch()
    before = _files(folder)
    yield folder
    changed = {str(path) for path, _, _ in _files(folder) ^ before}
    assert not changed, f"all tests share what one of them changed: {sorted(changed)[:5]}"


def _files(folder: Path) -> set[tuple[Path, int, int]]:
    """Path, size in bytes and time of the last change in ns, of every file and folder."""
    seen = ((path, path.stat()) for path in folder.rglob("*"))
    return {(path, stat.st_size, stat.st_mtime_ns) for path, stat in seen}
