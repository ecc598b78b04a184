"""What is lost, moved or half there is said to be so, never served as right."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from s3_server import s3_bucket, s3_environment
from small_dataset import EMPTY_ROW, PER_SHARD, Small, build_small, small_layout, tables, write_small_block
from werkzeug.serving import make_server

from ssl4eco_data.errors import ConfigError, StoreError
from ssl4eco_data.store import (
    HeldError,
    Ledger,
    Mark,
    ObjectPath,
    Place,
    PruneRule,
    check,
    diff,
    leased,
    open_dataset,
    place_of,
    prune,
    version_place,
    write_atomic,
)
from ssl4eco_data.store import versions as v
from ssl4eco_data.store.shards import ShardReader

DAY = datetime(2026, 11, 21, 12, tzinfo=UTC)
PATIENCE_S = 0.5


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return build_small(tmp_path / "dataset")


def copied(small: Small, to: Place) -> Place:
    """The dataset's files at another place."""
    for path in small.root.rglob("*"):
        if path.is_file():
            write_atomic(to / path.relative_to(small.root).as_posix(), path.read_bytes())
    return to


def test_a_lost_shard_does_not_read_as_no_data_in_xarray(small: Small) -> None:
    dataset = open_dataset(small.root)
    (small.root / "patches.zarr/sentinel2/r10/c/0/0/0/0/0").unlink()
    with pytest.raises(
        StoreError, match=r"r10, location row 0, season spring: the patch is lost; run ssl4eco"
    ):
        dataset["r10"].isel(location=0, season=0).load()
    np.testing.assert_array_equal(dataset["r20"][0, 0], small.pixels["r20"][0, 0])
    assert not dataset["r10"].isel(location=EMPTY_ROW).any()


def test_a_patch_that_nobody_chose_is_not_read_in_xarray(small: Small) -> None:
    group = small.root / "patches.zarr/sentinel2/scl/c"
    shards = [group / str(shard) / "0/0/0" for shard in (0, 1)]
    shards[1].write_bytes(shards[0].read_bytes())
    with pytest.raises(StoreError, match="there though no scene was chosen"):
        open_dataset(small.root)["scl"].isel(location=EMPTY_ROW).load()


def test_places_in_another_order_of_axes_are_refused(small: Small) -> None:
    reader = ShardReader(small.root)
    rows_then_seasons = np.array([[0, 1, 2], [0, 1, 2]])
    with pytest.raises(
        ValueError, match=r"places must be \(n, 2\), a row and a season each, got shape \(2, 3\)"
    ):
        reader.read_batch(rows_then_seasons, reader.empty(3))
    assert reader.read_batch([], reader.empty(0)).shape == (0,)
    there = reader.read_batch(rows_then_seasons.T, reader.empty(3))
    np.testing.assert_array_equal(there, small.present[[0, 1, 2], [0, 1, 2]])


def test_a_dataset_removed_while_it_is_read_is_gone_and_not_empty(small: Small) -> None:
    """On an object store, where a version is removed object by object."""
    root = place_of(f"memory://{uuid.uuid4().hex}/data")
    assert isinstance(root, ObjectPath)
    old, new = ("20260101T000000Z", "20260202T000000Z")
    for version in (old, new):
        copied(small, version_place(root, version))
        Ledger(version_place(root, version)).write(Mark(stage="close", block=0, fingerprint="f"))
    v.serve(root, new)
    reader = ShardReader(version_place(root, old))
    out = reader.empty()
    assert not reader.read_into(EMPTY_ROW, 0, out), "a location without patches is none that is gone"
    assert prune(root, DAY, PruneRule(keep=1, min_age_days=0)) == [old]
    with pytest.raises(StoreError, match="sentinel2 is gone; check the address"):
        reader.read_into(0, 0, out)


def test_one_damaged_table_of_choices_accuses_one_block(small: Small) -> None:
    for block in range(3):
        path = small.root / f"scenes/choices/{block:05d}.parquet"
        whole = path.read_bytes()
        path.write_bytes(whole[:100])
        assert {problem.block for problem in check(small.root)} == {block}
        path.write_bytes(whole)
    assert check(small.root) == []


def test_a_version_is_not_complete_before_it_is_closed_itself(tmp_path: Path) -> None:
    """Killed while it was linked it has some of the shards, and would be served without the others."""
    root = tmp_path / "set"
    first = v.begin(root, DAY).version
    build_small(version_place(root, first))  # type: ignore[arg-type]
    Ledger(version_place(root, first)).write(Mark(stage="close", block=0, fingerprint="f"))
    v.serve(root, first)
    v.finish(root)
    second = v.begin(root, DAY + timedelta(days=1)).version
    assert v.is_complete(root, first) and not v.is_complete(root, second)
    with pytest.raises(StoreError, match=f"no complete version '{second}'"):
        v.serve(root, second)


def test_the_shift_is_told_without_bands_at_10_m(tmp_path: Path) -> None:
    layout = small_layout(bands=("B01", "B05"))
    old, new = (build_small(tmp_path / name, layout) for name in ("old", "new"))
    pixels = {
        name: values + np.array(900 * (name != "scl"), values.dtype) for name, values in new.pixels.items()
    }
    write_small_block(replace(new, pixels=pixels), 0, slice(0, PER_SHARD), tables(new)[1])
    assert diff(old.root, new.root).dn_shift == pytest.approx(900, abs=1)


@pytest.mark.parametrize("key", ["a#b", "a?b", "a//b", "a/../b", "./a"])
def test_an_address_that_would_lead_elsewhere_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="must be s3://BUCKET/KEY without"):
        place_of(f"s3://bucket/{key}")


@dataclass
class Flaky:
    """S3 that does some writes of a lease and answers that it failed."""

    lost: int = 0
    done: list[str] = field(default_factory=list)
    app: Any = field(default_factory=lambda: DomainDispatcherApplication(create_backend_app))

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        if not (
            self.lost and environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].endswith("lease.json")
        ):
            return self.app(environ, start)
        self.lost -= 1

        def noted(status: str, *_: Any) -> None:
            self.done.append(status)

        list(self.app(environ, noted))
        start("500 Internal Server Error", [("Content-Length", "0")])
        return [b""]


@contextmanager
def serving(flaky: Flaky) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, flaky, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()


def test_an_answer_that_was_lost_does_not_make_a_build_refuse_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client asks again when a write failed; its first write was done, and it meets its own lease."""
    flaky = Flaky(lost=1)
    with serving(flaky) as url, s3_environment(monkeypatch, url) as bucket:
        root = place_of(f"{bucket}/set")
        assert isinstance(root, ObjectPath)
        with leased(root, patience_s=PATIENCE_S) as mine:
            flaky.lost = 1
            wait_for(lambda: len(flaky.done) == 2)
            with (
                pytest.raises(HeldError, match="another build works on"),
                leased(root, patience_s=PATIENCE_S),
            ):
                pass
            write_atomic(mine / "x", b"1")
        with leased(root, patience_s=60):
            pass


def wait_for(there: Callable[[], bool]) -> None:
    for _ in range(1000):
        if there():
            return
        time.sleep(0.01)
    raise AssertionError("waited for 10 s")


@pytest.mark.parametrize("name", ["data#1", "50%41"])
def test_names_that_an_address_would_decode(small: Small, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with s3_bucket(monkeypatch) as bucket:
        root = copied(small, place_of(bucket) / name)
        np.testing.assert_array_equal(open_dataset(root)["r10"][0, 0], small.pixels["r10"][0, 0])
