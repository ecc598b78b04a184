"""The whole way on the embedded archive: built, built again, killed, damaged, changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

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
    marks = list((root / "ledger").rglob("*.json"))
    assert len(marks) == 4 * 3 + 6  # four stages of three blocks, six of one
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


def test_time_outs_and_retries_make_nothing_stale(finished_config: Path) -> None:
    text = finished_config.read_text().replace('kind = "stac"', 'kind = "stac"\nretries = 6\nthreads = 2')
    finished_config.write_text(text)
    assert set(stages_of(build(finished_config))) <= {"close", "catalogue", "report"}


@pytest.mark.parametrize("stage", ["phenology", "scenes", "patches"])
def test_another_seed_of_the_embedded_earth_makes_everything_stale(stage: str, finished_config: Path) -> None:
    text = finished_config.read_text()
    other = finished_config.with_name("other.toml")
    other.write_text(text.replace("[simulate.earth]", "[simulate.earth]\nseed = 77"))
    plans = [
        pipeline.plan(configuration.load(path), pipeline.stage_named(stage))
        for path in (finished_config, other)
    ]
    assert all(one.fingerprint != two.fingerprint for one, two in zip(*plans, strict=True))


def test_other_points_in_the_same_file_are_noticed(tmp_path: Path, tiny_archive: Path) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    text = path.read_text()
    (tmp_path / "points.csv").write_text("lon,lat\n3.0,50.0\n3.1,50.0\n")
    start, end = text.index("[locations.source]"), text.index("[patches]")
    path.write_text(
        text[:start] + '[locations.source]\nkind = "points"\npoints = "points.csv"\n\n' + text[end:]
    )
    config = configuration.load(path)
    locations = pipeline.stage_named("locations")
    (work,) = pipeline.pending(config, locations)
    pipeline.execute(config, locations, work)
    assert pipeline.pending(config, locations) == []
    (tmp_path / "points.csv").write_text("lon,lat\n3.0,50.0\n")
    assert len(pipeline.pending(config, locations)) == 1


def test_larger_blocks_leave_nothing_of_the_smaller_ones(finished_config: Path, built_config: Path) -> None:
    finished_config.write_text(
        finished_config.read_text().replace("shard_locations = 2", "shard_locations = 2\nblock_shards = 2")
    )
    build(finished_config)
    root = finished_config.parent / "dataset"
    assert len(list((root / "scenes" / "choices").glob("*.parquet"))) == 2
    assert len(list((root / "ledger" / "patches").glob("*.json"))) == 2
    shards = [
        {n: d for n, d in digest(r).items() if n.startswith("patches.zarr/sentinel2/r10/c")}
        for r in (root, built_config.parent / "dataset")
    ]
    assert shards[0] == shards[1]


def test_a_kill_between_files_and_mark_leaves_the_block_pending(finished_config: Path) -> None:
    config = configuration.load(finished_config)
    close = pipeline.stage_named("close")
    (work,) = pipeline.plan(config, close)

    def killed(_config: configuration.Config, _block: int) -> pipeline.Outcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.execute(config, replace(close, run=killed), work)
    assert pipeline.pending(config, close) == [work]


def test_a_deleted_page_is_written_again(finished_config: Path) -> None:
    page = finished_config.parent / "dataset" / "report" / "index.html"
    page.unlink()
    assert set(stages_of(build(finished_config))) == {"report"}
    assert page.is_file()


def test_a_second_build_of_one_dataset_is_refused(finished_config: Path) -> None:
    lock = FileLock(finished_config.parent / "dataset" / "runs" / ".lock")
    with lock, pytest.raises(pipeline.BuildError, match="another build works on"):
        build(finished_config)


def test_the_artifact_has_facts_and_season_coverage(built_config: Path) -> None:
    text = pipeline.summarise_dataset(configuration.load(built_config), None).markdown()
    assert "| locations | 6 in 2 biomes |" in text
    assert "| Temperate Broadleaf & Mixed Forests | 3/3 | 3/3 | 3/3 | 3/3 |" in text
