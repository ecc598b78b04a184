"""Readers of MCD12Q2, MOD13 and Sentinel-2: real files against their own tables, and refused input."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.phenology import derive_cycles
from ssl4eco_data.phenology.readers import (
    composite_dates,
    composite_series,
    composite_table,
    product_dates,
    read_bands,
    read_stack,
    reflectance_series,
)
from ssl4eco_data.types import METRICS

rasterio = pytest.importorskip("rasterio", reason="the readers of rasters need rasterio")
CLASSES = {"Best": 0, "Good": 1, "Fair": 2, "Poor": 3}
TIMES = np.array(["2020-12-02", "2020-12-18", "2021-01-01"], "datetime64[ns]")


# MCD12Q2


@pytest.fixture(scope="module")
def luxembourg(shared_data):
    folder = shared_data / "mcd12q2-luxembourg"
    names = [f"{band}_{n}" for band in ("Greenup", "QA_Detailed") for n in (0, 1)]
    return folder, read_bands({n: folder / f"MCD12Q2.006_{n}_doy2010001_aid0001.tif" for n in names})


def test_the_products_dates_agree_with_its_statistics(luxembourg):
    folder, bands = luxembourg
    dates = product_dates(bands)
    assert dates["date"].dims == ("y", "x", "cycle", "metric")
    statistics = pd.read_csv(folder / "MCD12Q2-006-Statistics.csv").set_index("File Name")
    for cycle in (0, 1):
        row = statistics.loc[f"MCD12Q2_006_Greenup_{cycle}_doy2010001_aid0001"]
        greenup = dates["date"].sel(cycle=cycle, metric="greenup")
        assert int(np.isfinite(greenup).sum()) == row["Count"]
        assert float(greenup.mean()) == pytest.approx(row["Mean"], abs=1e-4)
        assert (float(greenup.min()), float(greenup.max())) == (row["Minimum"], row["Maximum"])
    assert np.isnan(dates["date"].sel(metric="peak")).all()


def test_the_detailed_bits_agree_with_the_look_up_table(luxembourg):
    folder, bands = luxembourg
    table = pd.read_csv(folder / "MCD12Q2-006-QA-Detailed-0-lookup.csv").set_index("Value")
    everywhere = xr.full_like(bands["Greenup_0"], 15000)
    named = ("Greenup", "MidGreenup", "Maturity", "Peak", "Senescence", "MidGreendown", "Dormancy")
    filled = xr.Dataset({f"{n}_0": everywhere for n in named} | {"QA_Detailed_0": bands["QA_Detailed_0"]})
    quality = product_dates(filled)["quality"].isel(cycle=0)
    bits = bands["QA_Detailed_0"].to_numpy()
    assert len(table) > 50
    for value, words in table.iterrows():
        expected = [CLASSES[words[name]] for name in named]
        assert (quality.to_numpy()[bits == value] == expected).all(), value
    assert (quality.to_numpy()[bits == 32767] == 255).all()


def test_fill_has_no_quality_although_its_bits_say_poor():
    fill = np.full((2, 2), 32767, np.int16)
    bands = xr.Dataset(dict.fromkeys(("Greenup_1", "QA_Detailed_1"), (("y", "x"), fill)))
    dates = product_dates(bands)
    assert np.isnan(dates["date"]).all()
    assert (dates["quality"] == 255).all()


def test_a_date_that_is_fill_has_no_quality_although_others_of_its_cycle_have():
    bands = xr.Dataset({"Greenup_1": ("x", [32767]), "Peak_1": ("x", [15000]), "QA_Detailed_1": ("x", [0])})
    quality = product_dates(bands)["quality"].isel(x=0, cycle=0)
    assert (int(quality.sel(metric="greenup")), int(quality.sel(metric="peak"))) == (255, 0)


@given(classes=st.lists(st.integers(0, 3), min_size=7, max_size=7), years=st.integers(1, 3))
def test_two_bits_per_metric(classes, years):
    bits = sum(c << 2 * i for i, c in enumerate(classes))
    named = ("Greenup", "MidGreenup", "Maturity", "Peak", "Senescence", "MidGreendown", "Dormancy")
    bands = {f"{n}_1": ("year", np.full(years, 15000 + 10 * i)) for i, n in enumerate(named)}
    dates = product_dates(xr.Dataset(bands | {"QA_Detailed_1": ("year", np.full(years, bits))}))
    assert dates["quality"].to_numpy().tolist() == [[classes]] * years
    assert list(dates["metric"].to_numpy()) == list(METRICS)
    assert (np.diff(dates["date"].to_numpy(), axis=-1) == 10).all()


def test_the_second_cycle_is_the_second_in_both_ways_of_counting():
    for numbers in ((0, 1), (1, 2)):
        bands = xr.Dataset({f"Peak_{n}": ("x", [15000 + 100 * i]) for i, n in enumerate(numbers)})
        assert product_dates(bands)["date"].sel(metric="peak").to_numpy().tolist() == [[15000, 15100]]
    alone = xr.Dataset({"Peak_1": ("x", [15000])})
    assert product_dates(alone).sizes["cycle"] == 1
    assert product_dates(alone, first_cycle=0)["date"].sel(cycle=1, metric="peak").item() == 15000


def test_the_product_is_the_same_under_dask():
    rng = np.random.default_rng(4)
    bands = xr.Dataset(
        {n: (("y", "x"), rng.integers(11138, 16000, (6, 5))) for n in ("Peak_1", "QA_Detailed_1")}
    )
    xr.testing.assert_identical(product_dates(bands.chunk(y=2)).compute(), product_dates(bands))


def test_what_is_no_product_is_refused():
    with pytest.raises(ValueError, match=r"Greenup_1 are wanted, got greenup"):
        product_dates(xr.Dataset({"greenup": ("x", [15000])}))
    with pytest.raises(ValueError, match=r"Greenup_1 must be days since 1970-01-01 .* got 120"):
        product_dates(xr.Dataset({"Greenup_1": ("x", [15000, 120])}))
    with pytest.raises(ValueError, match="before the first cycle 1"):
        product_dates(xr.Dataset({"Greenup_0": ("x", [15000])}), first_cycle=1)


# MOD13


def composites(**bands):
    return xr.Dataset({n: ("time", np.asarray(v)) for n, v in bands.items()}, coords={"time": TIMES})


def test_days_scale_weights_and_snow_of_composites():
    series = composite_series(
        composites(EVI=[2500, -3000, 3000], DayOfYear=[350, 1, 3], SummaryQA=[1, 0, 2]), index="evi"
    )
    days = [(date(2020, 12, 15) - date(1970, 1, 1)).days, np.nan, (date(2021, 1, 3) - date(1970, 1, 1)).days]
    np.testing.assert_array_equal(series["day"], days)
    np.testing.assert_allclose(series["value"], [0.25, np.nan, 0.3])
    assert series["weight"].to_numpy().tolist() == [0.5, 0, 1]
    assert series["snow"].to_numpy().tolist() == [False, False, True]
    assert series.attrs == {"index": "evi"}


def test_january_days_of_a_december_composite_are_next_years():
    series = composite_series(composites(EVI=[2500] * 3, DayOfYear=[340, 1, 2]))
    assert series["day"][1] == (date(2021, 1, 1) - date(1970, 1, 1)).days


def test_a_day_outside_its_composite_is_left_out_and_cloud_is_none():
    series = composite_series(composites(EVI=[2500] * 3, DayOfYear=[300, 354, 2], SummaryQA=[0, 0, 3]))
    assert np.isfinite(series["value"]).to_numpy().tolist() == [False, True, False]


def test_without_days_half_a_composite_is_added():
    series = composite_series(composites(EVI=[2500] * 3))
    assert (series["day"].to_numpy() - TIMES.astype("datetime64[D]").astype(int)).tolist() == [8, 8, 8]
    assert (series["weight"] == 1).all()


def test_infinity_is_no_observation():
    series = composite_series(composites(EVI=[np.inf, 3000, -np.inf]))
    assert np.isfinite(series["value"]).to_numpy().tolist() == [False, True, False]
    red = images(0.05)
    red[0] = np.inf
    weight = reflectance_series(red, images(0.4), images(4, 4, np.uint8))["weight"]
    assert weight.mean(("y", "x")).to_numpy().tolist() == [0, 1, 1]


def test_scaled_numbers_and_other_axes_give_the_same_series():
    rng = np.random.default_rng(1)
    counts = rng.integers(-3000, 9000, (2, 3, 4))
    bands = xr.Dataset({"NDVI": (("y", "time", "x"), counts)}, coords={"time": TIMES})
    series = composite_series(bands, index="ndvi")
    assert series["value"].dims == ("y", "time", "x")
    xr.testing.assert_allclose(series, composite_series(bands * 1e-4, index="ndvi", scale=1))
    xr.testing.assert_identical(series, composite_series(bands.chunk(x=1), index="ndvi").compute())


@pytest.mark.parametrize(
    ("bands", "options", "message"),
    [
        ({"NDVI": [1, 2, 3]}, {}, "need a band EVI.*there are: NDVI"),
        ({"EVI": [0.2, 0.3, 0.4]}, {}, "scaled already; give scale=1"),
        ({"EVI": [2000, 3000, 4000]}, {"scale": 1}, "typically 3000 after the scale factor 1.*scale=0.0001"),
        ({"EVI": [2000, 3000, 4000], "DayOfYear": [18000, 1, 2]}, {}, "at most 366, got 18000"),
        ({"EVI": [2000, 3000, 4000], "SummaryQA": [0, 2062, 1]}, {}, "got 2062: is it another quality band"),
        ({"EVI": [2000, 3000, 4000]}, {"index": "lai"}, "one of evi, ndvi, got 'lai'"),
    ],
)
def test_what_are_no_composites_is_refused(bands, options, message):
    with pytest.raises(ValueError, match=message):
        composite_series(composites(**bands), **options)


def test_unsorted_and_repeated_times_are_refused():
    bands = composites(EVI=[2000, 3000, 4000])
    with pytest.raises(ValueError, match=r"2020-12-02.* \(number 1\) follows 2020-12-18"):
        composite_series(bands.isel(time=[1, 0, 2]))
    with pytest.raises(ValueError, match=r"\(number 2\) is there twice"):
        composite_series(bands.isel(time=[0, 1, 1]))
    with pytest.raises(ValueError, match="must be dates"):
        composite_series(bands.assign_coords(time=[1, 2, 3]))
    with pytest.raises(ValueError, match="number 1 is not"):
        composite_series(bands.assign_coords(time=np.array(["2020", "NaT", "2021"], "datetime64[ns]")))


def test_flux_sites_from_their_table_as_by_hand(shared_data):
    table = pd.read_csv(shared_data / "mod13a1-flux-sites" / "mod13a1.csv.gz")
    series = composite_table(table.sample(frac=1, random_state=0), place="site")
    assert series["value"].dims == ("site", "time")
    seen = table[table["EVI"].ge(-2000) & table["SummaryQA"].isin([0, 1, 2])]
    assert int(np.isfinite(series["value"]).sum()) == len(seen)
    begin = pd.to_datetime(seen["date"])
    year = begin.dt.year + (seen["DayOfYear"] < begin.dt.day_of_year - 30)
    day = pd.to_datetime(year.astype(str) + "-01-01") + pd.to_timedelta(seen["DayOfYear"] - 1, "D")
    expected = (day - pd.Timestamp(0)) / pd.Timedelta(days=1)
    assert np.nansum(series["day"]) == pytest.approx(expected.sum(), rel=1e-12)
    dates = derive_cycles(series)
    found = np.isfinite(dates["date"].sel(metric="peak")).sum("cycle")
    assert int(found.min()) >= 10


def test_tables_that_cannot_be_read_are_refused():
    table = pd.DataFrame({"date": ["2020-01-01", "2020-01-17"], "EVI": [2000, 3000]})
    assert composite_table(table).sizes == {"time": 2}
    with pytest.raises(ValueError, match="'date' is not among: day, EVI"):
        composite_table(table.rename(columns={"date": "day"}))
    with pytest.raises(ValueError, match=r"row 1 of the table has no date .* 'soon'"):
        composite_table(table.assign(date=["2020-01-01", "soon"]))
    with pytest.raises(ValueError, match=r"row 1 of the table: EVI must be a number, got 'high'"):
        composite_table(table.assign(EVI=[2000, "high"]))
    with pytest.raises(ValueError, match="row 1 of the table has no plot"):
        composite_table(table.assign(plot=["a", None]), place="plot")
    twice = pd.concat([table, table.iloc[:1]])
    with pytest.raises(ValueError, match=r"2020-01-01 is there twice \(1 such rows\)"):
        composite_table(twice)
    with pytest.raises(ValueError, match="2020-01-01 of plot 'a' is there twice"):
        composite_table(twice.assign(plot="a"), place="plot")


def test_the_sinop_cube_shows_two_crops_a_year(shared_data):
    path = shared_data / "mod13q1-sinop" / "evi.tif"
    times = composite_dates(date(2000, 2, 18), 392)
    stack = read_stack(path, times)
    assert stack.dims == ("time", "y", "x") and stack.attrs["crs_wkt"]
    part = xr.Dataset({"EVI": stack.isel(time=slice(-92, None), y=slice(0, 40, 8), x=slice(0, 40, 8))})
    dates = derive_cycles(composite_series(part))
    cycles = np.isfinite(dates["date"].sel(metric="peak")).sum("cycle")
    assert float((cycles >= 6).mean()) > 0.3
    with pytest.raises(ValueError, match="392 bands, and 391 times"):
        read_stack(path, times[:-1])


@given(first=st.integers(0, 22), year=st.integers(2000, 2030), count=st.integers(1, 100))
def test_composites_start_every_sixteen_days_and_with_the_year(first, year, count):
    begin = date(year, 1, 1) + timedelta(days=16 * first)
    days = composite_dates(begin, count)
    assert len(days) == count
    of_year = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(int)
    assert (of_year % 16 == 0).all()
    assert (np.diff(days).astype(int) <= 16).all()


def test_composites_that_start_otherwise_are_refused():
    with pytest.raises(ValueError, match="none starts on 2000-02-19"):
        composite_dates(date(2000, 2, 19), 3)


def test_rasters_that_do_not_fit_are_refused(tmp_path, shared_data):
    with pytest.raises(ConfigError, match="cannot read the raster"):
        read_stack(tmp_path / "absent.tif", TIMES)
    cube = shared_data / "mod13q1-sinop" / "evi.tif"
    with pytest.raises(ConfigError, match="must have one band, Greenup_1, got 392"):
        read_bands({"Greenup_1": cube})
    paths = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for path, pixel in zip(paths, (0.1, 0.2), strict=True):
        profile = {
            "driver": "GTiff",
            "width": 2,
            "height": 2,
            "count": 1,
            "dtype": "int16",
            "crs": "EPSG:4326",
        }
        with rasterio.open(
            path, "w", transform=rasterio.Affine(pixel, 0, 5, 0, -pixel, 6), **profile
        ) as file:
            file.write(np.full((1, 2, 2), 15000, np.int16))
    assert read_bands({"Peak_1": paths[0]})["Peak_1"]["x"].to_numpy() == pytest.approx([5.05, 5.15])
    with pytest.raises(ConfigError, match=r"b\.tif lies on another grid than .*a\.tif"):
        read_bands({"Peak_1": paths[0], "Peak_2": paths[1]})


# Sentinel-2


def images(value, size=4, dtype=float):
    return xr.DataArray(
        np.full((3, size, size), value, dtype), dims=("time", "y", "x"), coords={"time": TIMES}
    )


@pytest.mark.parametrize(
    ("scl", "weight"), [(4, 1), (5, 1), (7, 0.5), (11, 1), (3, 0), (6, 0), (8, 0), (9, 0)]
)
def test_evi2_weight_and_snow_by_class(scl, weight):
    for size in (2, 4):
        series = reflectance_series(images(0.05), images(0.4), images(scl, size, np.uint8))
        assert series["value"].dims == ("time", "y", "x")
        assert (series["weight"] == weight).all()
        assert (series["snow"] == (scl == 11)).all()
        expected = 2.5 * 0.35 / 1.52 if weight else np.nan
        np.testing.assert_allclose(series["value"], expected)


def test_a_20_m_class_stands_for_its_own_four_pixels():
    scl = images(4, 2, np.uint8)
    scl[0, 0, 1] = 9
    seen = np.isfinite(reflectance_series(images(0.05), images(0.4), scl)["value"])
    assert not seen[0, :2, 2:].any()
    assert int(seen.sum()) == 48 - 4


def test_pixels_without_reflectance_are_no_observation():
    red = images(0.05)
    red[0, 0, 0], red[1, 1, 1] = 0, np.nan
    series = reflectance_series(red, images(0.4), images(4, 4, np.uint8))
    assert int(np.isnan(series["value"]).sum()) == int((series["weight"] == 0).sum()) == 2
    lazy = reflectance_series(*(a.chunk(y=2) for a in (red, images(0.4), images(4, 4, np.uint8))))
    xr.testing.assert_identical(lazy.compute(), series)


def test_what_is_no_reflectance_is_refused():
    good = images(0.05), images(0.4), images(4, 4, np.uint8)
    with pytest.raises(ValueError, match=r"red must be reflectance .* got uint16: multiply by 0\.0001"):
        reflectance_series(images(500, dtype=np.uint16), *good[1:])
    with pytest.raises(ValueError, match="nir is typically 4000, no reflectance"):
        reflectance_series(good[0], images(4000), good[2])
    with pytest.raises(ValueError, match="scl must have the shape of red"):
        reflectance_series(*good[:2], images(4, 3, np.uint8))
    with pytest.raises(ValueError, match="scl must be classes 0 to 11"):
        reflectance_series(*good[:2], images(100, 4, np.uint8))
    with pytest.raises(ValueError, match="red and nir must have one shape"):
        reflectance_series(good[0], images(0.4, 6), good[2])
    later = [a.assign_coords(time=TIMES + np.timedelta64(1, "D")) for a in good]
    with pytest.raises(ValueError, match="scl and red must be of the same times"):
        reflectance_series(*good[:2], later[2])
    with pytest.raises(ValueError, match="nir and red must be of the same times"):
        reflectance_series(good[0], later[1], good[2])
    with pytest.raises(ValueError, match="red needs a dimension time with its dates"):
        reflectance_series(*(a.isel(time=0) for a in good))
    with pytest.raises(ValueError, match="increase and differ"):
        reflectance_series(*(a.isel(time=[0, 0, 1]) for a in good))
