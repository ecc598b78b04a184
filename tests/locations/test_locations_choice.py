"""Allocation, spatial balance, order along the curve and splits."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4eco_data.locations import allocate, block_splits, choose_cells, hilbert_index, hilbert_order
from ssl4eco_data.locations.allocation import spread_order

strata = st.lists(st.integers(1, 60), min_size=1, max_size=12)
rules = st.sampled_from(["proportional", "equal", "sqrt"])


@given(strata, rules, st.integers(0, 5), st.data())
def test_allocation_is_exact_capped_has_its_minimum_and_is_nested(cells, rule, minimum, data):
    floor = sum(min(minimum, c) for c in cells)
    total = data.draw(st.integers(floor, sum(cells)))
    places = allocate(cells, total, rule, minimum=minimum)
    assert places.sum() == total
    assert (places <= cells).all()
    assert (places >= np.minimum(cells, minimum)).all()
    if total < sum(cells):
        assert (allocate(cells, total + 1, rule, minimum=minimum) >= places).all()


@given(strata, st.data())
def test_proportional_places_minimise_the_squared_error_per_cell(cells, data):
    # Sainte-Lague minimises the sum of (places - quota)^2 / weight: moving one place never helps.
    total = data.draw(st.integers(0, sum(cells)))
    places = allocate(cells, total, "proportional")

    def loss(p):
        return sum((p_i - total * c / sum(cells)) ** 2 / c for p_i, c in zip(p, cells, strict=True))

    for a, b in itertools.permutations(range(len(cells)), 2):
        moved = places.copy()
        moved[a] -= 1
        moved[b] += 1
        if moved[a] >= 0 and moved[b] <= cells[b]:
            assert loss(moved) >= loss(places) - 1e-9


def test_rules_on_a_known_case():
    # Quotients of 53, 24 and 23 for seven places: 53 / (1, 3, 5, 7), 24 / (1, 3), 23 / (1, 3).
    assert allocate([53, 24, 23], 7, "proportional").tolist() == [3, 2, 2]
    assert allocate([100, 100, 4], 12, "equal").tolist() == [4, 4, 4]
    assert allocate([100, 100, 2], 12, "equal").tolist() == [5, 5, 2]
    assert allocate([100, 25], 9, "sqrt").tolist() == [6, 3]
    assert allocate([900, 1], 10, "proportional", minimum=1).tolist() == [9, 1]


def test_impossible_totals_are_refused():
    with pytest.raises(ValueError, match="at most the 5 cells there are, got 6"):
        allocate([2, 3], 6, "equal")
    with pytest.raises(ValueError, match=r"at least 4, what a minimum of 2 takes over 2 strata, got 3"):
        allocate([2, 3], 3, "equal", minimum=2)


@pytest.mark.parametrize("count", [1, 2, 7, 64, 100])
def test_spread_order_is_a_permutation_with_even_gaps(count):
    order = spread_order(count, 3, "x")
    assert sorted(order) == list(range(count))
    for n in range(1, count + 1):
        at = np.sort(order[:n])
        gaps = np.diff(np.append(at, at[0] + count))
        assert gaps.max() <= 4 * count / n + 1


def test_every_cell_is_as_likely_as_its_inclusion_probability():
    strata_of = np.array(["a"] * 9 + ["b"] * 21)
    drawn, probability = zip(
        *(choose_cells(strata_of, 8, "equal", minimum=0, seed=s) for s in range(4000)), strict=True
    )
    assert np.mean(drawn, axis=0) == pytest.approx(probability[0], abs=0.04)
    assert probability[0][[0, -1]].tolist() == [4 / 9, 4 / 21]


def test_weighted_means_are_unbiased_and_balance_beats_simple_random_sampling():
    x = np.linspace(0, 1, 400)
    values, strata_of = np.sin(3 * x) + x**2, np.where(x < 0.2, "a", "b")
    balanced, simple = [], []
    for seed in range(300):
        chosen, probability = choose_cells(strata_of, 40, "equal", minimum=0, seed=seed)
        balanced.append((values / probability)[chosen].sum() / len(x))
        rng = np.random.default_rng(seed)
        simple.append(values[rng.choice(len(x), 40, replace=False)].mean())
    assert np.mean(balanced) == pytest.approx(values.mean(), abs=4 * np.std(balanced) / 300**0.5)
    assert np.std(balanced) < 0.5 * np.std(simple)


def test_samples_are_nested_and_depend_on_the_seed():
    strata_of = np.array(["a", "b", "b", "c"] * 50)
    small, _ = choose_cells(strata_of, 40, "sqrt", minimum=2, seed=1)
    large, _ = choose_cells(strata_of, 90, "sqrt", minimum=2, seed=1)
    other, _ = choose_cells(strata_of, 40, "sqrt", minimum=2, seed=2)
    assert (small <= large).all()
    assert (small.sum(), large.sum()) == (40, 90)
    assert (small != other).any()


def test_known_sample_of_this_seed():
    # Fixed by BLAKE2 and integer arithmetic alone, so the same on every machine.
    assert spread_order(10, 0, "forest").tolist() == [4, 2, 8, 6, 0, 5, 3, 9, 7, 1]


def test_curve_visits_every_cell_in_steps_of_one():
    n = 64
    x, y = (a.ravel() for a in np.meshgrid(np.arange(n), np.arange(n)))
    order = np.argsort(hilbert_index(-180 + (x + 0.5) * 360 / n, -180 + (y + 0.5) * 360 / n))
    assert (np.abs(np.diff(x[order])) + np.abs(np.diff(y[order])) == 1).all()


@given(st.permutations(range(8)))
def test_order_does_not_depend_on_the_order_of_the_input(shuffle):
    lon = np.array([0.0, 0.0, 10.0, -50.0, 180.0, -180.0, 3.0, 0.0])
    lat = np.array([0.0, 0.0, 20.0, 80.0, 90.0, -90.0, 3.0, 0.0])
    ids = np.array(list("hgfedcba"))
    s = np.array(shuffle)
    expected = ids[hilbert_order(lon, lat, ids.tolist())]
    assert (ids[s][hilbert_order(lon[s], lat[s], ids[s].tolist())] == expected).all()


SPLIT = {"block_km": 500.0, "val_fraction": 0.2, "test_fraction": 0.1, "seed": 0}


def globe(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-180, 180, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count)))


def test_fractions_hold_over_the_globe():
    share = block_splits(*globe(20_000), **SPLIT).value_counts(normalize=True)
    assert share["val"] == pytest.approx(0.2, abs=0.04)
    assert share["test"] == pytest.approx(0.1, abs=0.04)


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_a_point_keeps_its_split_in_every_sample(seed):
    lon, lat = globe(200, seed)
    whole = block_splits(lon, lat, **SPLIT).to_numpy()
    assert (block_splits(lon[::3], lat[::3], **SPLIT).to_numpy() == whole[::3]).all()


def test_near_points_mostly_share_a_split():
    lon, lat = globe(5000)
    near = np.clip(lat + 0.1, -90, 90)
    same = block_splits(lon, lat, **SPLIT).to_numpy() == block_splits(lon, near, **SPLIT).to_numpy()
    assert same.mean() > 0.97


def test_extreme_fractions_and_places():
    lon, lat = np.array([180.0, -180.0, 0.0, 0.0]), np.array([0.0, 0.0, 90.0, -90.0])
    one = block_splits(lon, lat, block_km=500, val_fraction=0.0, test_fraction=0.0, seed=1)
    assert set(one) == {"train"}
    all_test = block_splits(lon, lat, block_km=500, val_fraction=0.0, test_fraction=1.0, seed=1)
    assert set(all_test) == {"test"}
