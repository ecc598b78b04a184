"""The flow builds the next version as the single process does, and leaves what is current alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ssl4eco_data.store import Ledger, check
from ssl4eco_data.store import versions as v
from tests.flows.running import run_flow
from tests.pipeline.digests import digest
from tests.pipeline.versioned import build_next, imagery_until, served, with_one_version


def test_the_flow_builds_the_next_version_with_the_same_bytes(
    tmp_path: Path,
    env: dict[str, str],
    tiny_archive: Path,
    built_config: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import flows.dataset

    path = with_one_version(tmp_path / "flow", tiny_archive, built_config)
    imagery_until(path, "2021-07-01")
    shutil.copytree(path.parent, tmp_path / "single")
    first = digest(served(path))
    build_next(tmp_path / "single" / path.name)
    done = run_flow(path, env)
    assert done.returncode == 0, done.stdout + done.stderr
    root, new = path.parent / "dataset", served(path)
    assert f"version {new.name} is served" in done.stdout
    assert digest(new) == digest(served(tmp_path / "single" / path.name))
    assert len(v.versions(root)) == 2 and v.unfinished(root) is None
    assert digest(root / v.VERSIONS / v.versions(root)[0]) == first
    marks = [Ledger(new).read("patches", block) for block in range(3)]
    assert any(mark and mark.counts.get("reused") for mark in marks), "all was fetched"
    assert check(new) == []
    capsys.readouterr()
    assert flows.dataset.main([str(path)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert served(path) == new and len(v.versions(root)) == 2
