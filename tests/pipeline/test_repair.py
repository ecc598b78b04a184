"""A damaged dataset is mended by doing again what is damaged, with the same bytes; and nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock
from typer.testing import CliRunner

from ssl4eco_data import config as configuration
from ssl4eco_data import open_dataset, pipeline
from ssl4eco_data.cli import app
from ssl4eco_data.errors import ConfigError, StoreError
from ssl4eco_data.pipeline import tables
from ssl4eco_data.store import HeldError, Ledger, check, leased, place_of, read_table, write_atomic
from ssl4eco_data.store.check import BLOCK_STAGES, SINGLE_STAGES
from tests.conftest import write_tiny_config
from tests.pipeline.digests import digest
from tests.store.s3_server import s3_bucket


def mend(path: Path) -> pipeline.Repair:
    return pipeline.repair(configuration.load(path), pipeline.run_in_threads)


def flip(path: Path, at: int) -> None:
    whole = bytearray(path.read_bytes())
    whole[at] ^= 16
    path.write_bytes(bytes(whole))


def shard(root: Path, array: str, number: int) -> Path:
    (found,) = (
        p for p in (root / "patches.zarr/sentinel2" / array / "c" / str(number)).rglob("*/0") if p.is_file()
    )
    return found


def test_the_check_knows_which_stages_leave_marks() -> None:
    names = {stage.name for stage in pipeline.STAGES}
    assert {*BLOCK_STAGES, *SINGLE_STAGES} == names - {"report"}


def test_a_sound_dataset_is_left_as_it_is(finished_config: Path) -> None:
    before = digest(finished_config.parent / "dataset")
    assert mend(finished_config) == pipeline.Repair(problems=())
    assert digest(finished_config.parent / "dataset") == before


def in_shard(root: Path) -> None:
    flip(shard(root, "r10", 1), 100)


def in_index(root: Path) -> None:
    path = shard(root, "scl", 0)
    flip(path, path.stat().st_size - 30)


def torn(root: Path) -> None:
    path = shard(root, "r20", 2)
    path.write_bytes(path.read_bytes()[:-1])


def swapped(root: Path) -> None:
    """Every checksum inside is right: only that of the file is not."""
    shutil.copy(shard(root, "r60", 0), shard(root, "r60", 1))


def lost_with_all_arrays(root: Path) -> None:
    for array in ("r10", "r20", "r60", "scl"):
        shard(root, array, 1).unlink()


def choices(root: Path) -> None:
    (root / "scenes/choices/00001.parquet").write_bytes(b"PAR1")


def other_choices(root: Path) -> None:
    """A table that reads well and says something else."""
    path = root / "scenes/choices/00000.parquet"
    read_table(path).iloc[::-1].to_parquet(path)


def quality(root: Path) -> None:
    flip(root / "patches/quality/00002.parquet", 40)


def mark_lost(root: Path) -> None:
    (root / "ledger/patches/00001.json").unlink()


def mark_of_another(root: Path) -> None:
    shutil.copy(root / "ledger/patches/00000.json", root / "ledger/scenes/00001.json")


def mark_of_no_block(root: Path) -> None:
    text = (root / "ledger/patches/00000.json").read_text().replace('"block": 0', '"block": 9')
    (root / "ledger/patches/00009.json").write_text(text)


def label(root: Path) -> None:
    flip(root / "patches.zarr/sentinel2/time/c/0/0", 20)


def group(root: Path) -> None:
    (root / "patches.zarr/zarr.json").write_bytes(b"{}")


def array(root: Path) -> None:
    (root / "patches.zarr/sentinel2/r10/zarr.json").unlink()


def locations(root: Path) -> None:
    flip(root / "locations.parquet", 10)


def windows(root: Path) -> None:
    (root / "phenology.parquet").unlink()


def series(root: Path) -> None:
    (root / "phenology/series/00002.parquet").write_bytes(b"")


def beyond(root: Path) -> None:
    path = root / "patches.zarr/sentinel2/scl/c/3/0/0/0"
    path.parent.mkdir(parents=True)
    shutil.copy(shard(root, "scl", 0), path)


FAULTS: list[tuple[Callable[[Path], None], set[tuple[str, int]]]] = [
    (in_shard, {("patches", 1)}),
    (in_index, {("patches", 0)}),
    (torn, {("patches", 2)}),
    (swapped, {("patches", 1)}),
    (lost_with_all_arrays, {("patches", 1)}),
    (choices, {("scenes", 1), ("patches", 1)}),
    (other_choices, {("scenes", 0)}),
    (quality, {("patches", 2)}),
    (mark_lost, {("patches", 1), ("close", 0), ("report", 0)}),
    (mark_of_another, {("scenes", 1)}),
    (mark_of_no_block, {("patches", 0), ("patches", 9)}),
    (label, {("close", 0)}),
    (group, {("close", 0)}),
    (array, {("layout", 0), ("patches", 0), ("patches", 1), ("patches", 2)}),
    (locations, {("locations", 0), ("patches", 0), ("patches", 1), ("patches", 2)}),
    (windows, {("windows", 0)}),
    (series, {("phenology", 2)}),
    (beyond, {("patches", 2)}),
]


@pytest.mark.parametrize(("fault", "blocks"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_every_fault_is_mended_with_the_bytes_there_were(
    fault: Callable[[Path], None], blocks: set[tuple[str, int]], finished_config: Path
) -> None:
    root = finished_config.parent / "dataset"
    before = digest(root)
    fault(root)
    mended = mend(finished_config)
    assert mended.problems
    assert set(mended.redone) <= blocks
    assert check(root) == []
    assert digest(root) == before
    assert pipeline.first_pending(configuration.load(finished_config)) is None
    assert open_dataset(root).sizes["location"] == 6


@contextmanager
def hidden(files: Sequence[Path]) -> Iterator[None]:
    """Files of the archive that nobody can read meanwhile."""
    moved = [(path, path.with_name(f"{path.name}.hidden")) for path in files]
    for path, aside in moved:
        path.rename(aside)
    try:
        yield
    finally:
        for path, aside in moved:
            aside.rename(path)


def test_only_the_damaged_patch_is_fetched_again(own_config: Path) -> None:
    root, archive = own_config.parent / "dataset", own_config.parent / "archive"
    before = digest(root)
    read = read_table(root / "patches/quality/00001.parquet")
    flip(shard(root, "r10", 1), 100)
    (problem,) = (p for p in check(root) if p.location_ids)
    season = problem.what.split(":")[0].removeprefix("season ")
    here = read[(read["location_id"] == problem.location_ids[0]) & (read["season"] == season)]
    (scene_id,) = here["read_scene_id"]
    items = json.loads((archive / "sentinel-2-l2a.json").read_text())["features"]
    files = {
        archive / asset["href"]
        for item in items
        if item["id"] != scene_id
        for asset in item["assets"].values()
    }
    assert len(files) > 10
    with hidden(sorted(path for path in files if path.is_file())):
        assert mend(own_config).redone == (("patches", 1),)
    assert digest(root) == before


def test_with_another_configuration_nothing_is_touched(finished_config: Path) -> None:
    root = finished_config.parent / "dataset"
    flip(shard(root, "r10", 1), 100)
    before = digest(root)
    finished_config.write_text(finished_config.read_text() + "\n[scenes]\nmin_usable_fraction = 0.95\n")
    with pytest.raises(ConfigError, match="was built with another configuration: 3 blocks of stage scenes"):
        mend(finished_config)
    assert digest(root) == before


def test_an_unfinished_dataset_stays_unfinished(tmp_path: Path, tiny_archive: Path) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    loaded = configuration.load(path)
    pipeline.build(loaded, pipeline.run_in_threads, until="scenes")
    before = digest(tmp_path / "dataset")
    choices(tmp_path / "dataset")
    assert mend(path).redone == (("scenes", 1),)
    assert digest(tmp_path / "dataset") == before
    assert pipeline.first_pending(loaded) == "layout"


def test_a_repair_that_is_interrupted_leaves_its_block_for_the_next(finished_config: Path) -> None:
    root = finished_config.parent / "dataset"
    before = digest(root)
    flip(shard(root, "r10", 1), 100)

    def killed(config: configuration.Config, stage: pipeline.Stage, todo: Sequence[pipeline.Work]) -> object:
        Ledger(config.root).remove(stage.name, todo[0].block)  # the first thing that a block's work does
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.repair(configuration.load(finished_config), killed)  # type: ignore[arg-type]
    assert [p.file for p in check(root)] == ["ledger/patches/00001.json"]
    assert ("patches", 1) in mend(finished_config).redone
    assert digest(root) == before


def test_repair_and_build_exclude_each_other(finished_config: Path) -> None:
    lock = FileLock(finished_config.parent / "dataset" / "runs" / ".lock")
    with lock, pytest.raises(pipeline.BuildError, match="another build works on"):
        mend(finished_config)


def test_repair_on_an_object_store_needs_the_lease(
    finished_config: Path, tiny_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = finished_config.parent / "dataset"
    with s3_bucket(monkeypatch) as bucket:
        root = place_of(f"{bucket}/dataset")
        for path in source.rglob("*"):
            if path.is_file():
                write_atomic(root / path.relative_to(source).as_posix(), path.read_bytes())
        text = finished_config.read_text().replace('root = "dataset"', f'root = "{bucket}/dataset"')
        finished_config.write_text(text)
        victim = root / shard(source, "r10", 1).relative_to(source).as_posix()
        write_atomic(victim, victim.read_bytes()[:-1])
        with leased(root, patience_s=0.2), pytest.raises(HeldError, match="another build works on"):  # type: ignore[arg-type]
            mend(finished_config)
        assert mend(finished_config).redone[0] == ("patches", 1)
        assert check(root) == []
        assert victim.read_bytes() == shard(source, "r10", 1).read_bytes()


def test_clocks_set_back_change_nothing(finished_config: Path) -> None:
    root = finished_config.parent / "dataset"
    before = digest(root)
    for path in root.rglob("*"):
        os.utime(path, (4e9, 4e9))
    now = iter(datetime(1980, 1, 1, tzinfo=UTC) - timedelta(days=n) for n in range(100))
    loaded = configuration.load(finished_config)
    assert pipeline.build(loaded, pipeline.run_in_threads, lambda: next(now)).stages == []
    flip(shard(root, "r20", 0), 100)
    assert pipeline.repair(loaded, pipeline.run_in_threads, lambda: next(now)).redone == (("patches", 0),)
    assert digest(root) == before


def test_a_table_of_the_same_size_and_time_is_read_anew(finished_config: Path) -> None:
    loaded = configuration.load(finished_config)
    path = loaded.root / tables.PHENOLOGY
    kept, frame = path.stat(), tables.phenology(loaded)
    assert isinstance(frame, pd.DataFrame)
    other = path.read_bytes()
    path.unlink()
    path.write_bytes(b"x" * len(other))
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    with pytest.raises(StoreError, match=r"phenology\.parquet"):
        tables.phenology(loaded)


def test_the_command_line_repairs(finished_config: Path) -> None:
    root = finished_config.parent / "dataset"
    run = CliRunner().invoke
    assert "nothing was done" in run(app, ["repair", str(finished_config)]).output
    flip(shard(root, "r10", 1), 100)
    told = run(app, ["repair", str(finished_config)])
    assert told.exit_code == 0, told.output
    assert "done again and right now: patches 1" in told.output and "shard 1" in told.output
    assert run(app, ["check", str(root)]).exit_code == 0
