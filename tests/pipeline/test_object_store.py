"""A dataset built on an object store: the same bytes as in a folder, checked, read and shown there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ssl4eco_data import config, open_dataset, pipeline
from ssl4eco_data.cli import app
from ssl4eco_data.store import HeldError, ObjectPath, check, leased, place_of
from tests.conftest import write_tiny_config
from tests.store.s3_server import s3_bucket

UNLIKE = ("runs/", "report/", "lease.json")


def test_a_build_on_s3_gives_the_bytes_of_a_build_in_a_folder(
    tmp_path: Path, tiny_archive: Path, built_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_bucket(monkeypatch) as bucket:
        path = write_tiny_config(tmp_path, tiny_archive)
        path.write_text(path.read_text().replace('root = "dataset"', f'root = "{bucket}/a/dataset"'))
        settings = config.load(path)
        pipeline.build(settings, pipeline.run_in_threads)
        root = place_of(f"{bucket}/a/dataset")
        assert isinstance(root, ObjectPath)
        assert digests(root) == digests(built_config.parent / "dataset")
        assert check(root) == []
        assert pipeline.first_pending(settings) is None
        here, there = open_dataset(built_config.parent / "dataset"), open_dataset(str(root))
        np.testing.assert_array_equal(here["r10"].to_numpy(), there["r10"].to_numpy())
        assert b"<html" in (root / "report" / "index.html").read_bytes()
        for words in (["info", str(root)], ["check", str(root)], ["status", str(path)]):
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 0, result.output
        with leased(root, patience_s=0.2), pytest.raises(HeldError, match="another build works on"):
            again(path)


def again(path: Path) -> None:
    """Another location: there is something to do."""
    path.write_text(path.read_text().replace("spacing_km = 1.0", "spacing_km = 0.9"))
    pipeline.build(config.load(path), pipeline.run_in_threads)


def digests(root: Path | ObjectPath) -> dict[str, str]:
    """SHA-256 of every file that two builds share, by its way from the root."""
    found = {}
    for path in root.rglob("*"):
        name = str(path).removeprefix(str(root)).strip("/")
        if path.is_file() and not name.startswith(UNLIKE):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
