"""Random numbers from counters, the stream of samples, and what is drawn for each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4eco_training.random import names, philox, uniform
from ssl4eco_training.stream import SampleStream
from ssl4eco_training.views import Augmentation, draw_seasons, draw_view


def items(n: int) -> np.ndarray:
    return names(f"L{i}" for i in range(n))


@pytest.mark.parametrize(
    ("word", "expected"),
    [(0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"), (0xFFFFFFFF, "408f276d 41c83b0e a20bc7c6 6d5451fd")],
)
def test_philox_gives_the_known_answers(word: int, expected: str) -> None:
    words = np.array([word], dtype=np.uint64)
    assert " ".join(f"{int(out[0]):08x}" for out in philox((words,) * 4, (words,) * 2)) == expected


def test_philox_gives_the_known_answer_of_pi() -> None:
    digits = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0]
    words = [np.array([digit], dtype=np.uint64) for digit in digits]
    found = philox(tuple(words[:4]), tuple(words[4:]))
    assert [int(out[0]) for out in found] == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**24 - 1), st.integers(0, 255), st.integers(1, 30))
def test_a_number_depends_on_its_place_alone(seed: int, epoch: int, stream: int, count: int) -> None:
    many = uniform(seed, epoch, items(5), stream, count)
    assert many.shape == (5, count) and (many >= 0).all() and (many < 1).all()
    np.testing.assert_array_equal(uniform(seed, np.full(5, epoch), items(5), stream, count), many)
    for i in range(5):
        np.testing.assert_array_equal(uniform(seed, epoch, items(5)[i : i + 1], stream, count)[0], many[i])
    np.testing.assert_array_equal(uniform(seed, epoch, items(5), stream, count + 7)[:, :count], many)


def test_numbers_are_uniform_and_streams_differ() -> None:
    u = uniform(1, 0, items(4000), 7, 5)
    assert abs(u.mean() - 0.5) < 0.01 and abs(u.var() - 1 / 12) < 0.003
    assert abs(np.corrcoef(u.T) - np.eye(5)).max() < 0.06
    for other in (
        uniform(2, 0, items(9), 7, 5),
        uniform(1, 1, items(9), 7, 5),
        uniform(1, 0, items(9), 8, 5),
    ):
        assert not (other == u[:9]).any()


@pytest.mark.parametrize(("epoch", "stream"), [(1 << 24, 0), (0, 256), (0, -1)])
def test_places_that_would_collide_are_refused(epoch: int, stream: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        uniform(0, epoch, items(1), stream, 1)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**40), st.integers(1, 5), st.integers(1, 7), st.integers(0, 99))
def test_the_stream_covers_epochs_and_knows_no_processes(
    n: int, seed: int, processes: int, batch: int, start: int
) -> None:
    stream = SampleStream(seed=seed, items=items(n))
    whole = stream.take(0, 4 * n)
    for epoch in range(4):
        here = slice(epoch * n, epoch * n + n)
        assert sorted(whole.places[here].tolist()) == list(range(n))
        assert (whole.epochs[here] == epoch).all()
    assert n < 12 or len({tuple(whole.places[e * n : e * n + n]) for e in range(4)}) == 4
    long = stream.take(start, 3 * processes * batch)
    parts = [
        SampleStream(seed=seed, items=items(n)).take(start + (step * processes + rank) * batch, batch)
        for step in range(3)
        for rank in range(processes)
    ]
    for part in ("places", "epochs", "keys"):
        joined = np.concatenate([getattr(each, part) for each in parts])
        np.testing.assert_array_equal(joined, getattr(long, part))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=30).filter(lambda w: sum(w) > 1e-3), st.integers(0, 99)
)
def test_weights_give_the_floor_or_the_ceiling(weights: list[float], seed: int) -> None:
    w = np.array(weights)
    stream = SampleStream(seed=seed, items=items(w.size), weights=w)
    expected = w.size * w / w.sum()
    for epoch in (0, 3):
        samples = stream.take(epoch * w.size, w.size)
        counts = np.bincount(samples.places, minlength=w.size)
        assert (counts >= np.floor(expected - 1e-9)).all() and (counts <= np.ceil(expected + 1e-9)).all()
        assert np.unique(samples.keys).size == w.size  # one that comes twice has two names


def test_weights_belong_to_names_not_to_an_order() -> None:
    w = np.random.default_rng(0).random(20)
    turned = np.random.default_rng(1).permutation(20)
    one = SampleStream(seed=5, items=items(20), weights=w).take(0, 60)
    other = SampleStream(seed=5, items=items(20)[turned], weights=w[turned]).take(0, 60)
    np.testing.assert_array_equal(one.places, turned[other.places])
    np.testing.assert_array_equal(one.keys, other.keys)


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.0], [1.0, -1.0], [1.0, np.nan]])
def test_weights_that_cannot_be_drawn_by_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights must be 2"):
        SampleStream(seed=0, items=items(2), weights=np.array(weights))


def test_seasons_come_without_replacement() -> None:
    """The published code of SeCo and SSL4EO-S12 draws with replacement: a quarter of pairs are one image."""
    n = 4000
    seasons = draw_seasons(0, np.zeros(n, np.int64), items(n), np.ones((n, 4), dtype=bool), 3)
    assert all(len(set(row)) == 3 for row in seasons.tolist())
    for image in range(3):
        share = np.bincount(seasons[:, image], minlength=4) / n
        assert abs(share - 0.25).max() < 0.03


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4).filter(any), min_size=1, max_size=9))
def test_with_fewer_seasons_the_last_comes_again(present: list[list[bool]]) -> None:
    there = np.array(present)
    seasons = draw_seasons(3, np.zeros(len(there), np.int64), items(len(there)), there, 3)
    for row, some in zip(seasons.tolist(), there, strict=True):
        assert some[row].all()
        distinct = min(3, int(some.sum()))
        assert len(set(row[:distinct])) == distinct and set(row[distinct:]) <= {row[distinct - 1]}


def test_a_location_without_season_is_refused() -> None:
    with pytest.raises(ValueError, match="1 locations have no season"):
        draw_seasons(0, np.zeros(1, np.int64), items(1), np.zeros((1, 4), dtype=bool), 2)


def test_views_have_the_distributions_of_the_paper() -> None:
    n = 20_000
    d = draw_view(0, np.zeros(n, np.int64), items(n), 1, 3, Augmentation())
    assert abs((d.brightness != 1).mean() - 0.8) < 0.01 and abs((d.contrast != 1).mean() - 0.8) < 0.01
    assert (d.brightness >= 0.6).all() and (d.brightness < 1.4).all()
    assert ((d.brightness == 1)[:, None] == (d.contrast == 1)).all()
    assert abs(d.grey.mean() - 0.2) < 0.01 and abs(d.flip.mean() - 0.5) < 0.015
    blurred = d.sigma_px[d.sigma_px > 0]
    assert abs(len(blurred) / n - 0.5) < 0.015 and blurred.min() >= 0.1 and blurred.max() < 2
    left, top, width, height = d.box.T
    assert (d.box >= 0).all() and (left + width <= 1).all() and (top + height <= 1).all()
    area, ratio = width * height, width / height
    assert area.min() >= 0.2 - 1e-9 and ratio.min() >= 3 / 4 - 1e-9 and ratio.max() <= 4 / 3 + 1e-9
    assert abs(np.median(ratio) - 1) < 0.02 and 0.5 < area.mean() < 0.6  # large boxes fit less often


def test_views_and_epochs_are_drawn_apart() -> None:
    zero = np.zeros(50, np.int64)
    draws = [
        draw_view(0, epochs, items(50), view, 3, Augmentation()).box
        for epochs, view in [(zero, 0), (zero, 1), (zero + 1, 0)]
    ]
    assert not (draws[0] == draws[1]).any() and not (draws[0] == draws[2]).any()


def test_a_crop_that_never_fits_is_the_whole() -> None:
    wide = Augmentation(crop_scale=(1.0, 1.0), crop_ratio=(2.0, 3.0))
    box = draw_view(0, np.zeros(5, np.int64), items(5), 0, 1, wide).box
    np.testing.assert_array_equal(box, [[0, 0, 1, 1]] * 5)
