"""The whole way on the embedded archive: built, built again, killed, damaged, changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ssl4eco_data import config as configuration
from ssl4eco_data import pipeline
from tests.conftest import write_tiny_config
from tests.pipeline.digests import digest


def build(path: Path) -> pipeline.RunRecord:
    return pipeline.build(configuration.load(path), pipeline.run_in_threads)


def stages_of(record: pipeline.RunRecord) -> dict[str, int]:
    return {s["stage"]: s["blocks"] for s in record.stages}


def test_everything_is_there(built_config: Path) -> None:
    root = built_config.parent / "dataset"
    for name in ("config.toml", "locations.parquet", "phenology.parquet", "report/index.html"):
        assert (root / name).stat().st_size > 0
    assert (root / "patches.zarr/sentinel2/r10/zarr.json").is_file()
    assert (
        len(list((root / "ledger").rglob("*.json"))) == 4 * 3 + 5
    )  # four stages of three blocks, five of one
    assert pipeline.first_pending(configuration.load(built_config)) is None


def test_building_again_does_nothing(finished_config: Path) -> None:
    before = digest(finished_config.parent / "dataset")
    assert build(finished_config).stages == []
    assert digest(finished_config.parent / "dataset") == before


def test_a_damaged_shard_is_found_and_only_its_block_redone(finished_config: Path) -> None:
    root = finished_config.parent / "dataset"
    before = digest(root)
    shard = sorted((root / "patches.zarr/sentinel2/r10").rglob("*/*"))[-1]
    shard.write_bytes(shard.read_bytes()[:-9])
    assert stages_of(build(finished_config)) == {"patches": 1}
    assert digest(root) == before


def test_another_threshold_redoes_only_what_depends_on_it(finished_config: Path) -> None:
    text = finished_config.read_text() + "\n[scenes]\nmin_usable_fraction = 0.95\n"
    finished_config.write_text(text)
    done = stages_of(build(finished_config))
    assert done["scenes"] == 3
    assert "phenology" not in done
    assert "layout" not in done


@pytest.mark.parametrize("stage", ["phenology", "scenes", "patches"])
def test_killed_and_started_again_is_byte_identical(
    stage: str, tmp_path: Path, tiny_archive: Path, built_config: Path
) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    command = [sys.executable, "-m", "ssl4eco_data", "build", str(path)]
    ledger = tmp_path / "dataset" / "ledger" / stage
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        while process.poll() is None and not any(ledger.glob("*.json")):
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "the build ended before it could be killed"
    config = configuration.load(path)
    assert pipeline.first_pending(config) is not None
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert digest(tmp_path / "dataset") == digest(built_config.parent / "dataset")


def test_a_run_is_recorded(built_config: Path) -> None:
    (record,) = (built_config.parent / "dataset" / "runs").glob("*.json")
    stages = {s["stage"]: s for s in json.loads(record.read_text())["stages"]}
    assert stages["patches"]["counts"]["patches"] > 0
    assert stages["patches"]["counts"]["unreadable"] == 0
    assert not any(s["failures"] for s in stages.values())
