"""A dataset built as versions: only what changed is fetched, and only what may be served is served."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ssl4eco_data import config as configuration
from ssl4eco_data import open_dataset, pipeline
from ssl4eco_data.cli import app
from ssl4eco_data.errors import ConfigError, StoreError
from ssl4eco_data.pipeline import tables
from ssl4eco_data.store import Ledger, check, diff, place_of
from ssl4eco_data.store import versions as v
from tests.conftest import write_tiny_config
from tests.pipeline.counting_server import serving, write_remote_catalogue
from tests.pipeline.digests import digest
from tests.store.s3_server import s3_bucket

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = "max_lost_seasons = 1.0\nmax_lost_candidates = 1.0\nmax_dn_shift = 20000.0\n"


def write_config(folder: Path, archive: Path, *, end: str = "2021-07-01", rules: str = LIMITS) -> Path:
    """The tiny configuration with versions, its imagery ending at a day of one's choice."""
    path = write_tiny_config(folder, archive)
    head, period, tail = path.read_text().partition("[period]\n")
    tail = tail.replace("imagery_end = 2022-07-01", f"imagery_end = {end}", 1)
    path.write_text(f"{head}{period}{tail}\n[versions]\nenabled = true\n{rules}")
    return path


def another_year(path: Path, **changes: str) -> None:
    text = path.read_text().replace("imagery_end = 2021-07-01", "imagery_end = 2022-07-01")
    for name, value in changes.items():
        text += f"{name} = {value}\n"
    path.write_text(text)


def build(path: Path, day: int = 0) -> pipeline.Built:
    config = configuration.load(path)
    return pipeline.build_version(config, pipeline.run_in_threads, lambda: FIRST_DAY + timedelta(days=day))


@pytest.fixture(scope="module")
def one_version(tmp_path_factory: pytest.TempPathFactory, tiny_archive: Path) -> Path:
    """The configuration of a dataset with one version, of one year; never written to."""
    path = write_config(tmp_path_factory.mktemp("versions"), tiny_archive)
    build(path)
    return path


@pytest.fixture
def first(tmp_path: Path, one_version: Path) -> Path:
    """The same for a test that may change it."""
    shutil.copytree(one_version.parent, tmp_path / "mine")
    return tmp_path / "mine" / one_version.name


def served(path: Path) -> Path:
    place = v.dataset_place(path.parent / "dataset")
    assert isinstance(place, Path)
    return place


def data_files(root: Path) -> dict[str, str]:
    """What a reader can see; marks say how a block came about, and config.toml is the configuration."""
    return {n: d for n, d in digest(root).items() if not n.startswith(("ledger/", "lease.json"))}


def read(root: Path, path: Path) -> dict[tuple[str, str], str]:
    """(location, season) -> the scene that was read for it."""
    config = configuration.load(path).of_version(root.name)
    quality = tables.parts(config, tables.QUALITY)
    good = quality[quality["failure"] == ""]
    return {(r.location_id, r.season): r.read_scene_id for r in good.itertuples()}


def test_nothing_changed_makes_no_version(first: Path) -> None:
    before = digest(first.parent / "dataset")
    built = build(first, day=1)
    assert built.lines == (f"no change since version {served(first).name}: no new version is needed",)
    assert built.record is None and pipeline.is_current(configuration.load(first))
    after = digest(first.parent / "dataset")
    assert after == before and v.versions(first.parent / "dataset") == [served(first).name]


def test_one_more_year_fetches_only_what_changed(tmp_path: Path, tiny_archive: Path) -> None:
    with serving(tiny_archive) as server:
        write_remote_catalogue(tiny_archive, server.url, tmp_path / "items.json")
        path = write_config(tmp_path, tiny_archive)
        path.write_text(path.read_text().replace(f"{tiny_archive}/sentinel-2-l2a.json", "items.json"))
        build(path)
        old = served(path)
        before, chosen = digest(old), read(old, path)
        inodes = {p: p.stat().st_ino for p in old.rglob("*") if p.is_file()}
        server.forget()
        another_year(path, sticky_margin_days="0")
        built = build(path, day=1)
        new = served(path)
        fetched = {name.split("/")[-2] for name in server.asked("/B12.tif")}
    assert new != old and digest(old) == before
    assert {p: p.stat().st_ino for p in inodes} == inodes
    now = read(new, path)
    changed = {scene for place, scene in now.items() if chosen.get(place) != scene}
    kept = {place for place, scene in now.items() if chosen.get(place) == scene}
    assert changed and kept and fetched == changed
    change = diff(old, new)
    moved = sum(chosen[place] != scene for place, scene in now.items() if place in chosen)
    assert change.scenes_replaced == moved > 0
    assert change.locations_changed == len({place[0] for place in now if chosen.get(place) != now[place]})
    assert change.days_moved > 100
    assert any(line.startswith("scenes") and "dates moved" in line for line in built.lines)
    assert check(new) == []


def test_chunks_taken_over_have_the_bytes_of_fetched_ones(first: Path) -> None:
    another_year(first, sticky_margin_days="0")
    build(first, day=1)
    new = served(first)
    marks = [Ledger(new).read("patches", block) for block in range(3)]
    assert all(mark and mark.counts["reused"] > 0 for mark in marks)
    assert any(mark and mark.counts["reused"] < mark.counts["patches"] for mark in marks)
    before = data_files(new)
    for block in range(3):
        Ledger(new).remove("patches", block)
    pipeline.build(configuration.load(first).of_version(new.name), pipeline.run_in_threads)
    again = [Ledger(new).read("patches", block) for block in range(3)]
    assert not any(mark and "reused" in mark.counts for mark in again), "they were not fetched"
    assert data_files(new) == before


def test_served_scenes_stay_within_the_margin(first: Path) -> None:
    before = read(served(first), first)
    another_year(first, sticky_margin_days="366")
    build(first, day=1)
    after = read(served(first), first)
    lost = {place for place, scene in before.items() if after.get(place) != scene}
    assert not lost, "a served scene was replaced within the margin"
    assert after.keys() >= before.keys()


def test_a_version_beyond_the_limits_is_not_served(first: Path) -> None:
    old = served(first)
    first.write_text(first.read_text().replace("max_lost_seasons = 1.0", "max_lost_seasons = 0.01"))
    another_year(first)
    text = first.read_text()
    first.write_text(
        text.replace(
            "2020-07-01\nimagery_end = 2022-07-01\nvegetation_start = 2020-01-01\n"
            "vegetation_end = 2023-01-01\n\n[archive]",
            "2022-04-01\nimagery_end = 2022-07-01\nvegetation_start = 2020-01-01\n"
            "vegetation_end = 2023-01-01\n\n[archive]",
        )
    )
    for day in (1, 2):
        with pytest.raises(
            pipeline.UnservedError, match=r"seasons are lost .*max_lost_seasons = 0\.01"
        ) as raised:
            build(first, day)
        assert served(first) == old
        assert len(v.versions(first.parent / "dataset")) == 2
    new = v.versions(first.parent / "dataset")[-1]
    assert "still is: " in str(raised.value) and f"versions publish {first.parent / 'dataset'} {new}" in str(
        raised.value
    )
    root = str(first.parent / "dataset")
    listed = run("versions", "list", root)
    assert f"{old.name}  served" in listed and f"{new}  complete, not served yet" in listed
    assert "lost" in run("versions", "diff", root)
    assert "removed" in run("versions", "drop", root, new)
    first.write_text(text)
    build(first, day=3)
    assert served(first) != old and check(served(first)) == []


def test_a_limit_that_is_raised_lets_the_waiting_version_be_served(first: Path) -> None:
    old = served(first)
    first.write_text(first.read_text().replace("max_dn_shift = 20000.0", "max_dn_shift = 0.0"))
    another_year(first, sticky_margin_days="0")
    with pytest.raises(pipeline.UnservedError, match=r"max_dn_shift = 0"):
        build(first, day=1)
    first.write_text(first.read_text().replace("max_dn_shift = 0.0", "max_dn_shift = 20000.0"))
    built = build(first, day=2)
    assert built.record is not None and built.record.stages == []
    assert served(first).name == v.versions(first.parent / "dataset")[-1] != old.name
    assert v.unfinished(first.parent / "dataset") is None


def test_rolled_back_and_published_again(first: Path) -> None:
    old, root = served(first), str(first.parent / "dataset")
    another_year(first)
    build(first, day=1)
    new = served(first)
    assert f"version {old.name} is served" in run("versions", "rollback", root)
    assert served(first) == old
    assert open_dataset(root).attrs == open_dataset(old).attrs
    assert "no complete version before" in run("versions", "rollback", root, fails=True)
    assert f"version {new.name} is served" in run("versions", "publish", root, new.name)
    assert served(first) == new
    assert json.loads(run("versions", "diff", root, "--json"))["old"] == old.name
    assert "nothing to remove" in run("versions", "prune", root)
    assert f"removed {old.name}" in run("versions", "prune", root, "--keep", "1", "--min-age-days", "0")
    assert v.versions(Path(root)) == [new.name]
    for words in (["info", root], ["check", root], ["status", str(first)]):
        run(*words)


def test_old_versions_are_removed_after_a_new_one_is_served(first: Path) -> None:
    old = served(first)
    another_year(first, keep="1", min_age_days="1.0")
    built = build(first, day=3)
    assert built.lines[-1] == f"old versions removed: {old.name}"
    assert check(served(first)) == [] and not old.exists()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["next", "patches", "close"])
def test_killed_in_the_middle_it_goes_on_with_the_same_version(
    moment: str, first: Path, tmp_path: Path, one_version: Path
) -> None:
    whole = Path(shutil.copytree(one_version.parent, tmp_path / "whole")) / one_version.name
    for path in (first, whole):
        another_year(path, sticky_margin_days="0")
    build(whole, day=1)
    root, old = first.parent / "dataset", served(first)
    before = digest(old)
    command = [sys.executable, "-m", "ssl4eco_data", "build", str(first)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        while process.poll() is None and not come_to(moment, root):
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "the build ended before it could be killed"
    assert served(first) == old and digest(old) == before
    assert open_dataset(root)["r10"].isel(location=0, season=0).to_numpy().any()
    note = v.unfinished(root)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert note is None or served(first).name == note.version
    assert len(v.versions(root)) == 2 and v.unfinished(root) is None
    assert data_files(served(first)) == data_files(served(whole))
    assert digest(old) == before


def come_to(moment: str, root: Path) -> bool:
    """Whether a build has come to a moment: begun, a block of patches redone, or close begun."""
    note = v.unfinished(root)
    if moment == "next" or note is None or not note.seeded:
        return note is not None and moment == "next"
    at = Ledger(v.version_place(root, note.version))
    if moment == "close":
        return at.read("close", 0) is None and all(at.read("check", block) for block in range(3))
    mark = at.read("patches", 0)
    return mark is not None and "reused" in mark.counts


def test_a_dataset_is_plain_or_has_versions(first: Path, finished_config: Path) -> None:
    first.write_text(first.read_text().replace("enabled = true", "enabled = false"))
    with pytest.raises(ConfigError, match=r"has versions: set versions\.enabled = true"):
        build(first)
    finished_config.write_text(finished_config.read_text() + "\n[versions]\nenabled = true\n")
    with pytest.raises(ConfigError, match="is a dataset without versions"):
        build(finished_config)


def test_a_stage_alone_never_writes_into_a_served_version(first: Path) -> None:
    config = configuration.load(first)
    with pytest.raises(ConfigError, match=r"no version of .* is being built"):
        pipeline.being_built(config)
    assert pipeline.being_built(config, "20300101T000000Z").root.name == "20300101T000000Z"


@pytest.mark.slow
def test_versions_on_s3(tmp_path: Path, tiny_archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_bucket(monkeypatch) as bucket:
        path = write_config(tmp_path, tiny_archive)
        path.write_text(path.read_text().replace('root = "dataset"', f'root = "{bucket}/a/dataset"'))
        root = place_of(f"{bucket}/a/dataset")
        build(path)
        old = v.dataset_place(root)
        before = {str(p): p.read_bytes() for p in old.rglob("*") if p.name != "lease.json"}
        another_year(path, sticky_margin_days="0")
        build(path, day=1)
        new = v.dataset_place(root)
        assert new != old and v.versions(root) == [old.name, new.name]
        assert {str(p): p.read_bytes() for p in old.rglob("*") if p.name != "lease.json"} == before
        assert check(new) == []
        assert diff(old, new).scenes_replaced > 0
        assert np.asarray(open_dataset(str(root))["r10"].isel(location=0, season=0)).any()
        assert "served" in run("versions", "list", str(root))
        run("versions", "rollback", str(root))
        assert v.dataset_place(root) == old


def test_without_versions_there_is_nothing_to_list(built_config: Path) -> None:
    root = str(built_config.parent / "dataset")
    assert "no versions" in run("versions", "list", root)
    assert "has no versions" in run("versions", "rollback", root, fails=True)
    with pytest.raises(StoreError, match="no two such complete versions"):
        v.pair(Path(root))


def run(*words: str, fails: bool = False) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == (1 if fails else 0), result.output
    return result.output
