"""Batches of seasons: what they hold, that nothing but their place decides it, and how it ends."""

from __future__ import annotations

import logging
import threading
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from season_data import SEASONS, SeasonData, write_season_data

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import read_small_arrays, shard_source
from ssl4eco_training.batch import Batch
from ssl4eco_training.inputs import InputSpec
from ssl4eco_training.loader import SeasonLoader
from ssl4eco_training.transforms import make_views
from ssl4eco_training.views import ViewPlan

SPEC = InputSpec(image_px=8)
PRESENT = np.ones((11, 4), dtype=bool)
PRESENT[2, 1:] = False
PRESENT[3, :2] = False
PRESENT[5] = False
"""One season, two, none."""
SPLITS = ["train"] * 9 + ["val", "test"]
WEIGHTS = [1.0, 2.0, 0.5, 1, 1, 1, 3, 1, 0, 1, 1]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SeasonData:
    root = tmp_path_factory.mktemp("seasons") / "dataset"
    return write_season_data(root, PRESENT, splits=SPLITS, weights=WEIGHTS)


def loader(data: SeasonData, **changes: Any) -> SeasonLoader:
    values = {"batch": 6, "images": 3, "views": 4, "spec": SPEC, "split": None, **changes}
    return SeasonLoader(data.root, **values)


def batches(data: SeasonData, count: int, **changes: Any) -> list[Batch]:
    with loader(data, **changes) as feed:
        return list(islice(feed, count))


def flat(found: list[Batch]) -> dict[str, torch.Tensor]:
    """All tensors of some batches, by name, batch after batch."""
    out = {n: torch.cat([b.pixels[n] for b in found]) for n in found[0].pixels}
    for name in ("rows", "seasons", "day_of_year", "phase", "lon", "lat"):
        out[name] = torch.cat([getattr(b, name) for b in found])
    for view in range(len(found[0].views)):
        for name in ("box", "brightness", "contrast", "grey", "sigma_px", "flip"):
            out[f"{view} {name}"] = torch.cat([getattr(b.views[view], name) for b in found])
    return out


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert list(one) == list(other)
    for name, values in one.items():
        np.testing.assert_array_equal(values.numpy(), other[name].numpy(), err_msg=name)


def alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ssl4eco-")]


def test_a_batch_holds_what_is_stored(data: SeasonData) -> None:
    found = batches(data, 5)
    assert [b.position for b in found] == [6, 12, 18, 24, 30]
    assert found[0].bands == {"r10": ("B02", "B03", "B04", "B08"), "r20": ("B05", "B06", "B07", "B8A")}
    small = read_small_arrays(data.root, ["lon", "lat", "cycle_phase", "time"])
    day = (small["time"].astype("datetime64[D]") - small["time"].astype("datetime64[Y]")).astype(float) + 1
    for batch in found:
        rows, seasons = batch.rows.numpy(), batch.seasons.numpy()
        assert data.present[rows[:, None], seasons].all()
        for name, array in batch.pixels.items():
            np.testing.assert_array_equal(array.numpy(), data.pixels[name][rows[:, None], seasons])
        np.testing.assert_array_equal(batch.lon.numpy(), small["lon"][rows].astype(np.float32))
        np.testing.assert_array_equal(batch.lat.numpy(), small["lat"][rows].astype(np.float32))
        np.testing.assert_array_equal(batch.day_of_year.numpy(), day[rows[:, None], seasons])
        phase = small["cycle_phase"][rows[:, None], seasons].astype(np.float32)
        np.testing.assert_array_equal(batch.phase.numpy(), phase)
        assert {name: gone.any().item() for name, gone in batch.missing().items()} == {
            "r10": False,
            "r20": False,
        }
    every = flat(found)
    assert np.isnan(every["phase"].numpy()).any() and not np.isnan(every["day_of_year"].numpy()).any()
    assert sorted(every["rows"][:10].tolist()) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]  # all that have a season


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_batches_depend_on_their_place_alone(
    data: SeasonData, weighted: bool, threads: int, processes: int
) -> None:
    whole = flat(batches(data, 6, weighted=weighted, seed=9))
    start, steps = 12, 4
    ranks = [
        batches(
            data,
            steps,
            batch=6 // processes,
            weighted=weighted,
            seed=9,
            threads=threads,
            rank=rank,
            processes=processes,
            start=start,
            ahead=1 + threads % 3,
        )
        for rank in range(processes)
    ]
    dealt = flat([ranks[rank][step] for step in range(steps) for rank in range(processes)])
    same(dealt, {name: values[start : start + 24] for name, values in whole.items()})
    assert ranks[0][0].position == start + 6


def test_weights_are_those_of_the_locations(data: SeasonData) -> None:
    rows = flat(batches(data, 10, batch=10, weighted=True))["rows"].reshape(10, 10)  # ten epochs
    w = np.delete(np.array(WEIGHTS), 5)
    expected = dict(zip(np.delete(np.arange(11), 5).tolist(), 10 * w / w.sum(), strict=True))
    for epoch in rows.numpy():
        for row, times in expected.items():
            assert np.floor(times) <= (epoch == row).sum() <= np.ceil(times)


def test_a_season_of_two_images_is_read_once(data: SeasonData, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    real = shard_source.read_at

    def counted(file: Any, into: Any, offset: int) -> int:
        reads.append(offset)
        return real(file, into, offset)

    monkeypatch.setattr(shard_source, "read_at", counted)
    with loader(data, batch=10, ahead=1, threads=1) as feed:
        batch = next(feed)
        distinct = sum(len(set(row)) for row in batch.seasons.tolist())
        assert distinct == 8 * 3 + 2 + 1
        indices = 2 * 3
        assert len(reads) >= 2 * distinct + indices  # the next batch may have begun
    by_row = dict(zip(batch.rows.tolist(), batch.seasons.tolist(), strict=True))
    assert by_row[2] == [0, 0, 0] and by_row[3] in ([2, 3, 3], [3, 2, 2])
    for name, array in batch.pixels.items():
        at = batch.rows.tolist().index(3)
        np.testing.assert_array_equal(array[at, 2].numpy(), array[at, 1].numpy(), err_msg=name)


def test_kept_batches_stay_and_memory_is_used_again(data: SeasonData) -> None:
    with loader(data, ahead=2) as feed:
        kept = list(islice(feed, 8))
        copies = [{n: a.clone() for n, a in b.pixels.items()} for b in kept]
        list(islice(feed, 8))
        for batch, copy in zip(kept, copies, strict=True):
            for name, array in copy.items():
                np.testing.assert_array_equal(batch.pixels[name].numpy(), array.numpy())
        batch = None
        kept.clear()
        places = {next(feed).pixels["r10"].data_ptr() for _ in range(60)}
        assert len(places) <= 8 + 8 + 4  # as many as were alive at once
        part = next(feed).pixels["r10"][2, 1]  # a part keeps the whole
        copy = part.clone()
        list(islice(feed, 30))
        np.testing.assert_array_equal(part.numpy(), copy.numpy())


def test_locations_without_a_season_are_said_once(data: SeasonData, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), loader(data, split="train") as feed:
        assert feed.n == 8 and feed.seasons == SEASONS
        rows = {row for batch in islice(feed, 4) for row in batch.rows.tolist()}
    assert rows == {0, 1, 2, 3, 4, 6, 7, 8}
    (line,) = [record.message for record in caplog.records]
    assert "1 of 9 locations have no season and are left out" in line


def test_a_split_smaller_than_the_batch_wraps(data: SeasonData) -> None:
    (batch,) = batches(data, 1, split="val", batch=4)
    assert batch.rows.tolist() == [9] * 4
    assert len({tuple(box) for box in batch.views[0].box.tolist()}) == 4  # four epochs, four crops


def test_only_arrays_of_wanted_bands_are_read(data: SeasonData) -> None:
    with loader(data, spec=InputSpec(bands=("B08", "B04"), image_px=8)) as feed:
        batch = next(feed)
        assert batch.bands == {"r10": ("B08", "B04")} and feed.read_bytes == 6 * 3 * 2 * 16 * 16 * 2
        assert feed.stall_s > 0
        expected = data.pixels["r10"][batch.rows.numpy()[:, None], batch.seasons.numpy()][:, :, [3, 2]]
        np.testing.assert_array_equal(batch.pixels["r10"].numpy(), expected)


def test_a_dataset_without_phenology_has_no_phase(tmp_path: Path) -> None:
    data = write_season_data(tmp_path / "d", np.ones((2, 4), dtype=bool), phase=False)
    (batch,) = batches(data, 1, batch=2)
    assert batch.phase.isnan().all() and not batch.day_of_year.isnan().any()


def test_what_cannot_be_loaded_is_refused_with_the_way_out(data: SeasonData, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no location in the split 'trian'; there are: test, train, val"):
        loader(data, split="trian")
    with pytest.raises(ValueError, match=r"B02.*B8A.*got B02, B12"):
        loader(data, spec=InputSpec(bands=("B02", "B12"), ndvi=False))
    with pytest.raises(StoreError, match="build the dataset first"):
        SeasonLoader(tmp_path, batch=1, images=1, views=1, spec=SPEC)
    empty = write_season_data(tmp_path / "empty", np.zeros((2, 4), dtype=bool))
    with pytest.raises(ValueError, match=r"none of the 2 locations \(split: train\) has a season"):
        loader(empty, split="train")
    for wrong in ({"batch": 0}, {"images": 0}, {"threads": 0}, {"ahead": 0}, {"rank": 1}, {"start": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
            loader(data, **wrong)
    assert not alive()


@pytest.mark.parametrize("threads", [1, 3])
def test_damage_reaches_the_consumer_with_the_location(tmp_path: Path, threads: int) -> None:
    data = write_season_data(tmp_path / "d", np.ones((8, 4), dtype=bool))
    shard = data.root / "patches.zarr/sentinel2/r20/c/1/0/0/0/0"
    content = bytearray(shard.read_bytes())
    content[100] ^= 0xFF
    shard.write_bytes(content)
    feed = loader(data, batch=4, images=4, threads=threads)
    with pytest.raises(StoreError, match=r"location L00[4-7]: .*checksum.*ssl4eco check"):
        for _ in range(2 * 8 // 4):
            next(feed)
    assert not alive()
    assert next(feed, None) is None


def test_a_patch_that_the_times_promise_must_be_there(tmp_path: Path) -> None:
    data = write_season_data(tmp_path / "d", np.ones((2, 4), dtype=bool))
    for path in data.root.glob("patches.zarr/sentinel2/r?0/c/0/0/0/0/0"):
        path.unlink()
    with (
        loader(data) as feed,
        pytest.raises(StoreError, match=r"location L00[01] has a time in season .* no patch"),
    ):
        next(feed)


def test_an_error_of_the_plan_reaches_the_consumer(data: SeasonData) -> None:
    with loader(data, start=(1 << 24) * 10 - 6) as feed:
        assert next(feed).position == (1 << 24) * 10
        with pytest.raises(ValueError, match="epoch must be below"):
            next(feed)
    assert not alive()


def test_closing_ends_all_threads(data: SeasonData) -> None:
    feed = loader(data, threads=5)
    assert not alive()  # nothing is read before the first batch
    next(feed)
    assert len(alive()) == 6
    feed.close()
    assert not alive() and next(feed, None) is None
    feed.close()
    loader(data).close()


def test_closing_ends_a_consumer_that_waits(data: SeasonData, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, go_on, real = threading.Event(), threading.Event(), shard_source.read_at

    def slow(file: Any, into: Any, offset: int) -> int:
        reading.set()
        go_on.wait()
        return real(file, into, offset)

    monkeypatch.setattr(shard_source, "read_at", slow)
    feed, seen = loader(data, threads=1), []
    consumer = threading.Thread(target=lambda: seen.extend(feed), daemon=True)
    consumer.start()
    reading.wait()
    closing = threading.Thread(target=feed.close, daemon=True)
    closing.start()
    consumer.join(10)
    go_on.set()
    closing.join(10)
    assert not consumer.is_alive() and not seen and not alive()


def test_views_can_be_made_of_a_batch(data: SeasonData) -> None:
    (batch,) = batches(data, 1)
    plans = [ViewPlan(image=v % 3, augment=v % 2 == 1) for v in range(4)]
    views = make_views(batch.to(torch.device("cpu")), plans, SPEC)
    assert [view.shape for view in views] == [(6, 9, 8, 8)] * 4 and all(v.isfinite().all() for v in views)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="NO GPU: pinned batches and copies were not tested")
def test_pinned_batches_reach_a_gpu_whole(data: SeasonData) -> None:
    plain = flat(batches(data, 20))
    with loader(data, pin=True, ahead=1) as feed:
        moved = [next(feed).to(torch.device("cuda")) for _ in range(20)]
    assert next(loader(data, pin=True)).pixels["r10"].is_pinned()
    same(plain, {name: values.cpu() for name, values in flat(moved).items()})
