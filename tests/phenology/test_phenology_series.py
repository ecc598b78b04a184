"""What a series may look like: variables left out, axes and chunks in any order, digital numbers."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from phenology_curves import series_of, yearly

from ssl4eco_data.phenology import derive_cycles
from ssl4eco_data.phenology.kernel import analyse

TIME = pd.date_range("2019-01-05", "2022-12-30", freq="8D")
DAY = (TIME - pd.Timestamp("1970-01-01")).days.to_numpy(float)
START = (pd.Timestamp("2019-01-01") - pd.Timestamp("1970-01-01")).days


def cube(rows=3, columns=4, seed=0):
    """(time, y, x) of a plain user: a coordinate of dates, values, nothing else."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(100, 130, (rows, columns))
    value = np.stack([[yearly(DAY - START, s, s + 150) for s in row] for row in start]) + rng.normal(
        0, 0.01, (rows, columns, len(DAY))
    )
    value[rng.random(value.shape) < 0.1] = np.nan
    data = xr.DataArray(np.moveaxis(value, -1, 0), dims=("time", "y", "x"), coords={"time": TIME})
    return xr.Dataset({"value": data}, attrs={"index": "evi2"})


def test_values_and_dates_are_enough():
    plain = derive_cycles(cube())
    value = np.moveaxis(cube()["value"].to_numpy(), 0, -1).reshape(12, -1)
    full = derive_cycles(series_of(DAY, value))
    assert plain["date"].dims == ("y", "x", "cycle", "metric")
    ours, theirs = plain["date"].to_numpy().reshape(12, -1), full["date"].to_numpy().reshape(12, -1)
    np.testing.assert_array_equal(ours, theirs)
    assert (plain["status"] == 0).all()


def test_one_compilation_serves_arrays_that_may_be_written_and_others():
    data = cube()
    fixed = cube()
    fixed["value"].data.flags.writeable = False
    full = fixed.assign(weight=xr.ones_like(data["value"]), snow=xr.zeros_like(data["value"], dtype=bool))
    for one in (data, fixed, full, full.transpose("y", "x", "time"), full.isel(y=0, x=0)):
        derive_cycles(one)
    assert [[array.mutable for array in taken[:4]] for taken in analyse.signatures] == [[False] * 4]


@pytest.mark.parametrize("chunks", [{"y": 1, "x": 1}, {"y": 2, "x": 3}, {"time": 20}, {"time": 7, "x": 2}])
def test_any_order_of_axes_and_any_chunks_give_the_same_numbers(chunks):
    whole = derive_cycles(cube())
    lazy = derive_cycles(cube().transpose("x", "time", "y").chunk(chunks))
    assert lazy["date"].chunks is not None
    lazy = lazy.transpose(*whole.dims).compute()
    for name in whole.data_vars:
        np.testing.assert_array_equal(
            lazy[name].transpose(*whole[name].dims).to_numpy(), whole[name].to_numpy()
        )


def test_unsorted_and_repeated_observations_give_the_same_dates():
    data = cube()
    order = np.random.default_rng(1).permutation(data.sizes["time"])
    shuffled = data.isel(time=order)
    np.testing.assert_array_equal(derive_cycles(shuffled)["date"], derive_cycles(data)["date"])
    twice = xr.concat([data, data], "time")
    # The same observation twice says no more than once.
    np.testing.assert_allclose(derive_cycles(twice)["date"], derive_cycles(data)["date"], atol=1e-6)


def test_digital_numbers_are_refused_with_the_factor():
    with pytest.raises(ValueError, match=r"typically [0-9.]+, the index lies in .* apply the scale factor"):
        derive_cycles((cube() * 10_000).assign_attrs(index="evi2"))
    lazy = derive_cycles((cube() * 10_000).assign_attrs(index="evi2").chunk(x=2))
    with pytest.raises(ValueError, match="apply the scale factor"):
        lazy.compute()


def test_infinite_values_and_days_are_no_observations():
    data = cube()
    spoilt = data.copy(deep=True)
    spoilt["value"][10:14] = np.inf
    spoilt["value"][20:22] = -np.inf
    missing = data.copy(deep=True)
    missing["value"][10:14] = np.nan
    missing["value"][20:22] = np.nan
    np.testing.assert_array_equal(derive_cycles(spoilt)["date"], derive_cycles(missing)["date"])


def test_all_missing_and_single_observations_are_no_data():
    data = cube()
    data["value"][:, 0, 0] = np.nan
    data["value"][1:, 0, 1] = np.nan
    status = derive_cycles(data)["status"]
    assert status[0, :2].to_numpy().tolist() == [3, 3]
    assert np.isnan(derive_cycles(data)["date"][0, :2]).all()


def test_what_cannot_be_a_series_is_told_with_a_way_out():
    day = np.arange(18000.0, 19000.0, 8.0)
    good = series_of(day, np.full((2, day.size), 0.3))
    with pytest.raises(TypeError, match="must be a Dataset"):
        derive_cycles(good["value"])
    with pytest.raises(ValueError, match="needs the variable 'value'"):
        derive_cycles(good.rename(value="evi"))
    with pytest.raises(ValueError, match="coordinate 'time' of datetime64"):
        derive_cycles(good.drop_vars("day"))
    with pytest.raises(ValueError, match="as days of the year do"):
        derive_cycles(good.assign(day=good["day"] % 365 + 1))
    with pytest.raises(ValueError, match="weight lies in"):
        derive_cycles(good.assign(weight=good["weight"] * 100))
    with pytest.raises(ValueError, match="rename it"):
        derive_cycles(good.rename(pixel="cycle"))
    with pytest.raises(ValueError, match="more than 200 years"):
        derive_cycles(good.assign(day=good["day"].where(good["day"] > 18010, 1e7)))


def test_dates_flags_and_gaps_as_xarray_leaves_them():
    day = np.arange(18000.0, 19400.0, 8.0)
    value = 0.3 + 0.2 * np.sin(2 * np.pi * day / 365.2425)
    usual = series_of(day, value, snow=np.zeros(day.size, bool))
    dates = derive_cycles(usual)["date"]
    times = np.datetime64("1970-01-01") + (day * 86400).astype("timedelta64[s]")
    as_dates = usual.assign(day=("time", times), snow=usual["snow"].astype(float).where(False))
    xr.testing.assert_allclose(derive_cycles(as_dates)["date"], dates)
    times = times.astype("datetime64[ns]")
    times[60] = "NaT"
    lost = usual.drop_vars("day").assign_coords(time=times)
    assert np.isfinite(derive_cycles(lost)["date"]).sum() == np.isfinite(dates).sum()


def test_several_observations_of_one_day_are_their_mean_in_any_order():
    day = np.repeat(np.arange(18000.0, 19400.0, 8.0), 3)
    rng = np.random.default_rng(0)
    value = 0.3 + 0.2 * np.sin(2 * np.pi * day / 365.2425) + rng.normal(0, 0.02, day.size)
    order = rng.permutation(day.size)
    mean = value.reshape(-1, 3).mean(axis=1)
    once = derive_cycles(series_of(day[::3], mean))["date"]
    for which in (slice(None), order):
        np.testing.assert_allclose(
            derive_cycles(series_of(day[which], value[which]))["date"], once, atol=1e-6
        )
