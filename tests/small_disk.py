"""A disk of a few pages, to be full or read-only."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, *options: str) -> Iterator[Path]:
    """A tmpfs at the new ``folder`` with options of mount; skips, saying so, where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no 'mount' here: a small disk was NOT tried")
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs ({mounted.stderr.strip()}): a small disk was NOT tried")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
