"""Versions of a dataset: linked, served, compared, removed; on disk and on object stores."""

from __future__ import annotations

import hashlib
import math
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3_server import s3_bucket
from small_dataset import PER_SHARD, Small, build_small, random_pixels, small_layout

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import (
    ChangeLimits,
    Ledger,
    Mark,
    ObjectPath,
    Place,
    PruneRule,
    check,
    dataset_place,
    diff,
    exceeded,
    file_record,
    leased,
    open_dataset,
    place_of,
    prune,
    version_place,
    write_atomic,
    write_block,
)
from ssl4eco_data.store import versions as v

DAY = datetime(2026, 11, 21, 12, tzinfo=UTC)
RULE = PruneRule(keep=1, min_age_days=0)


@pytest.fixture(params=["folder", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An empty place of every kind."""
    if request.param == "s3":
        with s3_bucket(monkeypatch) as bucket:
            yield place_of(f"{bucket}/data/set")
    elif request.param == "memory":
        yield place_of(f"memory://{uuid.uuid4().hex}/data/set")
    else:
        yield tmp_path / "set"


def first_version(root: Place) -> Small:
    """A complete version, served."""
    note = v.begin(root, DAY)
    small = build_small(version_place(root, note.version))  # type: ignore[arg-type]
    done(small.root)
    v.serve(root, note.version)
    v.finish(root)
    return small


def done(version: Place) -> None:
    Ledger(version).write(Mark(stage="close", block=0, fingerprint="f"))


def digests(root: Place) -> dict[str, str]:
    return {
        str(path).removeprefix(str(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def damage(version: Place) -> list[str]:
    """What is wrong with the patches; the stages that the small dataset does not have are left out."""
    return [str(problem) for problem in check(version) if problem.stage == "patches"]


def next_version(root: Place, day: int = 1) -> Place:
    """A complete version that begins from the served one; not served."""
    place = version_place(root, v.begin(root, DAY + timedelta(days=day)).version)
    done(place)
    return place


def rewrite(small: Small, version: Place, block: int, add: int = 0, seed: int = 0) -> None:
    """Write one block of a version anew, its pixels ``add`` brighter or random."""
    rows = slice(block * PER_SHARD, block * PER_SHARD + PER_SHARD)
    here = {name: values[rows] for name, values in small.pixels.items()}
    if seed:
        here = random_pixels(small.layout, len(small.present[rows]), seed)
    here = {name: values + (add if name != "scl" else 0) for name, values in here.items()}
    here = {name: values.astype(small.pixels[name].dtype) for name, values in here.items()}
    files = write_block(version / "patches.zarr", small.layout, rows.start, here, small.present[rows])
    mark = Ledger(version).read("patches", block)
    assert mark is not None
    changed = tuple(file_record(version, path) for path in files)
    kept = tuple(f for f in mark.files if "quality" in f.path)
    Ledger(version).write(replace(mark, files=(*changed, *kept)))


def test_the_served_version_is_what_readers_get(root: Place) -> None:
    assert v.latest(root) is None and v.versions(root) == [] and dataset_place(root) == root
    small = first_version(root)
    assert dataset_place(root) == small.root
    assert dataset_place(small.root) == small.root
    there = open_dataset(root)
    np.testing.assert_array_equal(
        there["r10"].isel(location=0, season=0).to_numpy(), small.pixels["r10"][0, 0]
    )


def test_a_new_version_has_the_files_of_the_served_one_and_leaves_it_alone(root: Place) -> None:
    small = first_version(root)
    (root / "versions").mkdir(exist_ok=True)
    write_atomic(small.root / "runs" / "x.json", b"{}")
    write_atomic(small.root / "runs" / "judged" / "00000.parquet", b"kept")
    before = digests(small.root)
    new = next_version(root)
    names = digests(new)
    assert {**names, "/runs/x.json": before["/runs/x.json"]} == before
    assert damage(new) == []
    rewrite(small, new, 1, seed=7)
    v.begin(root, DAY)
    assert digests(small.root) == before, "the served version was written to"
    assert digests(new) != names
    assert v.latest(root) == small.root.name


def test_links_share_their_bytes_on_disk(tmp_path: Path) -> None:
    small = first_version(tmp_path)
    new = next_version(tmp_path)
    shard = sorted((small.root / "patches.zarr/sentinel2/r10/c").rglob("0"))[-1]
    other = Path(str(new)) / shard.relative_to(small.root)
    assert shard.samefile(other)


def test_without_hard_links_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    small = first_version(tmp_path)
    monkeypatch.setattr(os, "link", refuse)
    new = next_version(tmp_path)
    assert digests(new) == digests(small.root)


def test_linking_goes_on_where_it_was_stopped(root: Place) -> None:
    small = first_version(root)
    note = v.begin(root, DAY + timedelta(days=1))
    new = version_place(root, note.version)
    whole = digests(new)
    for path in sorted(new.rglob("*.json"))[::2]:
        path.unlink()
    write_atomic(root / "next", note.model_copy(update={"seeded": False}).model_dump_json().encode())
    assert v.begin(root, DAY + timedelta(days=2)) == note
    assert digests(new) == whole
    assert whole.items() <= digests(small.root).items()


def test_what_is_seeded_is_not_linked_again(root: Place) -> None:
    small = first_version(root)
    new = next_version(root)
    Ledger(new).remove("patches", 0)
    v.begin(root, DAY)
    assert Ledger(new).read("patches", 0) is None
    assert Ledger(small.root).read("patches", 0) is not None


def test_only_a_complete_version_is_served(root: Place) -> None:
    small = first_version(root)
    new = next_version(root)
    Ledger(new).remove("close", 0)
    with pytest.raises(
        StoreError, match=f"no complete version '{new.name}'; complete are: {small.root.name}"
    ):
        v.serve(root, new.name)
    assert v.latest(root) == small.root.name
    done(new)
    v.serve(root, new.name)
    assert v.latest(root) == new.name


@pytest.mark.parametrize("text", [b"", b"../../etc", b"20260101", b"\xff\xfe"])
def test_a_damaged_pointer_is_refused(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "latest").write_bytes(text)
    with pytest.raises(StoreError, match="must hold the id of a version"):
        dataset_place(tmp_path)


@pytest.mark.parametrize("text", [b"", b"[]", b'{"version": "../x"}', b'{"version": 3}'])
def test_a_damaged_note_is_refused(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "next").write_bytes(text)
    with pytest.raises(StoreError, match="remove it, and the next build begins a new version"):
        v.unfinished(tmp_path)


def test_nothing_differs_in_a_version_that_was_only_linked(root: Place) -> None:
    small = first_version(root)
    change = diff(small.root, next_version(root))
    assert change.locations_changed == change.scenes_replaced == change.seasons_lost == 0
    assert change.files_same == change.files_before == change.files_after > 0
    assert math.isnan(change.dn_shift) and exceeded(change, ChangeLimits()) == []


def test_brighter_pixels_under_the_same_scenes_are_a_shift(tmp_path: Path) -> None:
    small = first_version(tmp_path)
    new = next_version(tmp_path)
    rewrite(small, new, 0, add=1000)
    change = diff(small.root, new)
    assert change.dn_shift == pytest.approx(1000, abs=2)
    (reason,) = exceeded(change, ChangeLimits())
    assert "+1000" in reason and "max_dn_shift = 400" in reason
    assert exceeded(change, ChangeLimits(max_dn_shift=1001)) == []


def test_lost_seasons_are_a_share_of_those_served(tmp_path: Path) -> None:
    small = first_version(tmp_path)
    change = replace(diff(small.root, next_version(tmp_path)), patches_before=100, seasons_lost=3)
    (reason,) = exceeded(change, ChangeLimits(max_lost_seasons=0.02))
    assert "3 of 100 seasons are lost (3.0%)" in reason
    assert exceeded(change, ChangeLimits(max_lost_seasons=0.03)) == []
    lost = replace(change, seasons_lost=0, candidates_before=10, candidates_lost=2)
    assert "2 of 10 candidates are lost" in exceeded(lost, ChangeLimits(max_lost_candidates=0.1))[0]


def test_old_versions_are_removed_whole_and_the_served_one_never(root: Place) -> None:
    first = first_version(root).root
    second = next_version(root, 1)
    v.finish(root)
    third = next_version(root, 2)
    v.finish(root)
    assert prune(root, DAY + timedelta(days=3), PruneRule(keep=1, min_age_days=30)) == []
    assert prune(root, DAY + timedelta(days=3), RULE) == [second.name]
    assert v.versions(root) == [first.name, third.name]
    assert not second.exists()
    assert open_dataset(root).sizes["location"] == 5
    v.serve(root, third.name)
    assert prune(root, DAY + timedelta(days=3), RULE) == [first.name]
    assert damage(third) == []


def test_the_version_being_built_and_its_base_are_kept(root: Place) -> None:
    first = first_version(root).root
    second = next_version(root, 1)
    v.finish(root)
    v.serve(root, second.name)
    third = next_version(root, 2)
    v.serve(root, first.name)
    assert prune(root, DAY + timedelta(days=9), RULE) == []
    assert v.versions(root) == [first.name, second.name, third.name]


def test_the_served_version_cannot_be_dropped(root: Place) -> None:
    first = first_version(root).root
    with pytest.raises(StoreError, match="serve another one before"):
        v.drop(root, first.name)
    with pytest.raises(StoreError, match="no version '20000101T000000Z'"):
        v.drop(root, "20000101T000000Z")
    second = next_version(root)
    v.drop(root, second.name)
    assert v.versions(root) == [first.name] and damage(first) == []


def test_a_build_that_lost_its_lease_links_and_serves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    root = ObjectPath(f"memory://{uuid.uuid4().hex}", "data/set")
    small = first_version(root)
    with leased(root, patience_s=0.2) as mine:
        pass
    with pytest.raises(StoreError, match="has lost its lease"):
        v.serve(mine, small.root.name)
    with pytest.raises(StoreError, match="has lost its lease"):
        v.link_all(version_place(mine, small.root.name), version_place(mine, "20300101T000000Z"))
    assert v.versions(root) == [small.root.name]


ids = st.datetimes(datetime(2017, 1, 1), datetime(2040, 1, 1)).map(
    lambda moment: v.new_id(moment.replace(tzinfo=UTC), [])
)
moments = st.datetimes(datetime(2017, 1, 1), datetime(2040, 1, 1)).map(lambda m: m.replace(tzinfo=UTC))


@given(known=st.lists(ids, max_size=5), now=moments)
def test_ids_only_rise_whatever_the_clock_says(known: list[str], now: datetime) -> None:
    new = v.new_id(now, known)
    assert all(new > old for old in known)
    assert v.begun(new) >= now.replace(microsecond=0)


@given(
    known=st.lists(ids, max_size=8, unique=True),
    now=moments,
    keep=st.integers(1, 5),
    days=st.floats(0, 3000),
    data=st.data(),
)
def test_pruning_keeps_what_the_rule_says(
    known: list[str], now: datetime, keep: int, days: float, data: st.DataObject
) -> None:
    kept = data.draw(st.lists(st.sampled_from(known), max_size=2)) if known else []
    gone = v.to_prune(known, kept, now, PruneRule(keep=keep, min_age_days=days))
    assert set(gone) <= set(known) - set(kept) - set(sorted(known)[-keep:])
    assert all(now - v.begun(each) >= timedelta(days=days) for each in gone)
    young = {each for each in known if now - v.begun(each) < timedelta(days=days)}
    assert set(gone) | young | set(kept) | set(sorted(known)[-keep:]) == set(known)


def test_chunks_kept_encoded_give_the_same_shard(tmp_path: Path) -> None:
    from ssl4eco_data.store.codec import is_whole
    from ssl4eco_data.store.shard_array import read_shard_array

    small = first_version(tmp_path)
    plan = small_layout()
    arrays = [read_shard_array(small.root / "patches.zarr/sentinel2", array.name) for array in plan.arrays]
    n = len(plan.seasons)
    kept = {
        (0, season): [array.chunks(0)[season] or b"" for array in arrays]
        for season in range(n)
        if small.present[0, season]
    }
    assert kept and all(is_whole(chunk) for chunks in kept.values() for chunk in chunks)
    blank = {name: values[:PER_SHARD].copy() for name, values in small.pixels.items()}
    for values in blank.values():
        values[0] = 0
    other = tmp_path / "other"
    written = write_block(other, plan, 0, blank, small.present[:PER_SHARD], kept)
    assert written
    for path in written:
        there = small.root / "patches.zarr" / path.relative_to(other)
        assert path.read_bytes() == there.read_bytes()
