"""Allocation, spatial balance, order along the curve and splits."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from ssl4eco_data.locations import (
    GridSource,
    all_cells,
    allocate,
    block_splits,
    choose_cells,
    hilbert_index,
    hilbert_order,
    land_cells,
)
from ssl4eco_data.locations.allocation import spread_order, wanted
from ssl4eco_data.types import EARTH_RADIUS_KM

strata = st.lists(st.integers(1, 60), min_size=1, max_size=12)
rules = st.sampled_from(["proportional", "equal", "sqrt"])


@given(strata, rules, st.integers(0, 5), st.none() | st.integers(1, 70), st.data())
def test_allocation_is_exact_has_its_minimum_and_cap_and_is_nested(cells, rule, minimum, cap, data):
    assume(cap is None or cap >= minimum)
    least, most = np.minimum(cells, minimum), np.minimum(cells, cap or 60)
    total = data.draw(st.integers(least.sum(), most.sum()))
    places = allocate(cells, total, rule, minimum=minimum, cap=cap)
    assert places.sum() == total
    assert (places <= most).all()
    assert (places >= least).all()
    if total < most.sum():
        assert (allocate(cells, total + 1, rule, minimum=minimum, cap=cap) >= places).all()


@given(strata, rules, st.integers(0, 5), st.none() | st.integers(1, 70), st.data())
def test_no_place_would_be_better_in_another_stratum(cells, rule, minimum, cap, data):
    # The defining inequality of a divisor method, for every stratum that may still give and take.
    assume(cap is None or cap >= minimum)
    least, most = np.minimum(cells, minimum), np.minimum(cells, cap or 60)
    places = allocate(cells, data.draw(st.integers(least.sum(), most.sum())), rule, minimum=minimum, cap=cap)
    weight = {"proportional": np.array(cells), "equal": np.ones(len(cells)), "sqrt": np.sqrt(cells)}[rule]
    last, next_ = weight / np.maximum(2 * places - 1, 1), weight / (2 * places + 1)
    gives, takes = last[places > least], next_[places < most]
    if len(gives) and len(takes):
        assert gives.min() >= takes.max() * (1 - 1e-12)


@given(strata, rules, st.integers(0, 5), st.data())
def test_what_is_asked_is_what_large_strata_would_get(cells, rule, minimum, data):
    total = data.draw(st.integers(0, sum(cells)))
    asked = wanted(cells, total, rule, minimum=minimum)
    assert asked.sum() == max(total, minimum * len(cells))
    if (asked <= cells).all():
        assert (allocate(cells, asked.sum(), rule, minimum=minimum) == asked).all()


def test_table_of_strata_tells_what_was_short():
    strata_of = np.array(["large"] * 90 + ["small"] * 4 + ["middle"] * 30)
    chosen, table = choose_cells(strata_of, 60, "equal", seed=0)
    assert table.to_dict("list") == {
        "stratum": ["large", "middle", "small"],
        "available": [90, 30, 4],
        "asked": [20, 20, 20],
        "got": [28, 28, 4],
        "inclusion_probability": [28 / 90, 28 / 30, 1.0],
    }
    assert chosen.sum() == 60
    every = all_cells(strata_of)
    assert every["got"].tolist() == every["available"].tolist() == every["asked"].tolist() == [90, 30, 4]


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
    with pytest.raises(ValueError, match=r"at most the 4 cells .* with at most 2 from each of the 2 strata"):
        allocate([2, 30], 5, "equal", cap=2)
    with pytest.raises(ValueError, match="cap must be at least the minimum of 3, got 2"):
        allocate([2, 30], 4, "equal", minimum=3, cap=2)
    with pytest.raises(ValueError, match=r"at least 4, what a minimum of 2 takes over 2 strata, got 3"):
        allocate([2, 3], 3, "equal", minimum=2)


@pytest.mark.parametrize("count", [1, 2, 7, 64, 100])
def test_spread_order_is_a_permutation_with_even_gaps(count):
    order = spread_order(count, 3, "x")
    assert sorted(order) == list(range(count))
    for n in range(1, count + 1):
        at = np.sort(order[:n])
        gaps = np.diff(np.append(at, at[0] + count))
        assert gaps.max() <= 2 * count / n + 1
        assert gaps.min() >= min(0.5 * count / n - 1, 1)


def test_every_cell_is_as_likely_as_its_inclusion_probability():
    strata_of = np.array(["a"] * 9 + ["b"] * 21)
    drawn, tables = zip(*(choose_cells(strata_of, 8, "equal", seed=s) for s in range(4000)), strict=True)
    probability = tables[0].set_index("stratum")["inclusion_probability"]
    assert np.mean(drawn, axis=0) == pytest.approx(probability[strata_of].to_numpy(), abs=0.04)
    assert probability.to_dict() == {"a": 4 / 9, "b": 4 / 21}


@pytest.fixture(scope="module")
def northern_land():
    """Cells of the 100 km grid over the packaged land north of 20 degrees, along the curve, three belts."""
    grid, cells = land_cells(GridSource(spacing_km=100, min_lat_deg=20))
    lon, lat = grid.centres(cells)
    order = hilbert_order(lon, lat, grid.names(cells))
    lon, lat = lon[order], lat[order]
    return lon, lat, np.array(["south", "middle", "north"])[np.searchsorted([40, 55], lat)]


def weighted_mean(values, strata_of, chosen, table):
    probability = table.set_index("stratum")["inclusion_probability"][strata_of].to_numpy()
    return (values / probability)[chosen].sum() / len(values)


@pytest.mark.parametrize("rule", ["proportional", "equal", "sqrt"])
def test_weighted_means_are_unbiased_and_balance_beats_simple_random_sampling(northern_land, rule):
    lon, lat, strata_of = northern_land
    values = np.sin(np.radians(2 * lon)) + np.cos(np.radians(6 * lat)) + (strata_of == "north")
    members = {name: np.flatnonzero(strata_of == name) for name in np.unique(strata_of)}
    balanced, simple = [], []
    for seed in range(200):
        chosen, table = choose_cells(strata_of, 120, rule, seed=seed)
        balanced.append(weighted_mean(values, strata_of, chosen, table))
        rng, at_random = np.random.default_rng(seed), np.zeros(len(values), bool)
        for name, n in zip(table["stratum"], table["got"], strict=True):
            at_random[rng.choice(members[name], n, replace=False)] = True
        simple.append(weighted_mean(values, strata_of, at_random, table))
    assert np.mean(balanced) == pytest.approx(values.mean(), abs=4 * np.std(balanced) / 200**0.5)
    assert np.mean(simple) == pytest.approx(values.mean(), abs=4 * np.std(simple) / 200**0.5)
    assert np.std(balanced) < 0.6 * np.std(simple)


def test_unweighted_means_are_biased_where_strata_are_not_shared_by_area(northern_land):
    _lon, lat, strata_of = northern_land
    means = [lat[choose_cells(strata_of, 120, "equal", seed=s)[0]].mean() for s in range(50)]
    assert abs(np.mean(means) - lat.mean()) > 20 * np.std(means) / 50**0.5


def voronoi_unevenness(places, chosen):
    """Variance of the share of all cells that lie nearest to each chosen one, times n squared.

    The measure of spatial balance of Stevens and Olsen (2004), doi:10.1198/016214504000000250.
    """
    _, nearest = cKDTree(places[chosen]).query(places)
    return np.var(np.bincount(nearest, minlength=chosen.sum()) * chosen.sum() / len(places))


def test_chosen_cells_spread_more_evenly_than_at_random(northern_land):
    lon, lat = np.radians(northern_land[0]), np.radians(northern_land[1])
    places = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    for n in (60, 100, 128, 200):
        ratios = []
        for seed in range(20):
            chosen, _ = choose_cells(np.full(len(places), "one"), n, "equal", seed=seed)
            at_random = np.zeros(len(places), bool)
            at_random[np.random.default_rng(seed).choice(len(places), n, replace=False)] = True
            ratios.append(voronoi_unevenness(places, chosen) / voronoi_unevenness(places, at_random))
        assert np.mean(ratios) < 0.75, n


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
    assert spread_order(10, 0, "forest").tolist() == [9, 4, 1, 6, 0, 5, 2, 7, 3, 8]


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


SPLIT = {"block_km": 500.0, "buffer_km": 0.0, "val_fraction": 0.2, "test_fraction": 0.1, "seed": 0}


def globe(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-180, 180, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count)))


def test_fractions_hold_over_the_globe():
    share = block_splits(*globe(20_000), **SPLIT).value_counts(normalize=True)
    assert share["val"] == pytest.approx(0.2, abs=0.04)
    assert share["test"] == pytest.approx(0.1, abs=0.04)


def km_between(lon, lat, at, others):
    """Great-circle distance from the points ``at`` to the nearest of ``others``."""
    lam, phi = np.radians(lon), np.radians(lat)
    xyz = np.column_stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    chord, _ = cKDTree(xyz[others]).query(xyz[at])
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chord / 2, 1))


@pytest.mark.parametrize(("block_km", "buffer_km"), [(500, 50), (200, 100), (2000, 300), (20000, 700)])
def test_no_leakage_across_the_buffer_on_the_sphere(block_km, buffer_km):
    lon, lat = globe(60_000, seed=int(block_km))
    # Denser around both poles and the antimeridian, where blocks are odd.
    lon = np.concatenate([lon, lon[:4000], np.where(lon[:4000] < 0, -179.99, 179.99) + lon[:4000] / 1e5])
    lat = np.concatenate([lat, np.sign(lat[:4000]) * (90 - np.abs(lat[:4000]) / 20), lat[:4000]])
    split = block_splits(
        lon, lat, block_km=block_km, buffer_km=buffer_km, val_fraction=0.2, test_fraction=0.2, seed=3
    ).to_numpy()
    assert set(split) <= {"train", "val", "test", "buffer"}
    pairs = [p for p in itertools.combinations(("train", "val", "test"), 2) if all(np.isin(p, split))]
    assert pairs
    for first, second in pairs:
        assert km_between(lon, lat, split == first, split == second).min() >= buffer_km


def test_the_buffer_is_no_wider_than_needed():
    lon, lat = np.random.default_rng(0).uniform((0, 30), (40, 60), (60_000, 2)).T
    kept, cut = (block_splits(lon, lat, **(SPLIT | {"buffer_km": width})).to_numpy() for width in (0.0, 50.0))
    assert (cut[kept == "test"] == "test").all()
    assert ((cut == kept) | (cut == "buffer")).all()
    lost = (cut == "buffer") & (kept == "train")
    # Points lie 13 km apart, so the nearest of another split is hardly farther than its block's edge.
    assert np.quantile(km_between(lon, lat, lost, np.isin(kept, ["val", "test"])), 0.9) < 60
    assert 0.02 < lost.mean() < 0.15


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_a_point_keeps_its_split_and_buffer_in_every_sample(seed):
    lon, lat = globe(200, seed)
    whole = block_splits(lon, lat, **(SPLIT | {"buffer_km": 120.0})).to_numpy()
    part = block_splits(lon[::3], lat[::3], **(SPLIT | {"buffer_km": 120.0})).to_numpy()
    assert (part == whole[::3]).all()


def test_near_points_mostly_share_a_split():
    lon, lat = globe(5000)
    near = np.clip(lat + 0.1, -90, 90)
    same = block_splits(lon, lat, **SPLIT).to_numpy() == block_splits(lon, near, **SPLIT).to_numpy()
    assert same.mean() > 0.97


def test_extreme_fractions_and_places():
    lon, lat = np.array([180.0, -180.0, 0.0, 0.0]), np.array([0.0, 0.0, 90.0, -90.0])
    one = block_splits(lon, lat, block_km=500, buffer_km=250, val_fraction=0.0, test_fraction=0.0, seed=1)
    assert set(one) == {"train"}
    all_test = block_splits(
        lon, lat, block_km=500, buffer_km=250, val_fraction=0.0, test_fraction=1.0, seed=1
    )
    assert set(all_test) == {"test"}
