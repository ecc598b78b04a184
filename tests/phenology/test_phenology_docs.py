"""Every block of code of docs/phenology.md runs, in order, on files such as people have."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from phenology_curves import crossings_of, yearly
from rasterio.transform import Affine

from ssl4eco_data.phenology.readers import composite_dates
from ssl4eco_data.types import METRICS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "phenology.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
BEGIN = composite_dates(date(2019, 1, 1), 69)
START = BEGIN[0].astype(int)
TRUE_DAY = BEGIN.astype(int) + 5.0
EVI = yearly(TRUE_DAY - START, 110, 280)
TRUTH = dict(zip(METRICS, crossings_of(110, 280), strict=True))


def write(name: str, layers: np.ndarray) -> None:
    count, height, width = layers.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": layers.dtype}
    with rasterio.open(
        name, "w", crs="EPSG:32631", transform=Affine(250, 0, 5e5, 0, -250, 5e6), **profile
    ) as file:
        file.write(layers)


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page takes for granted: files in the working folder, arrays by name."""
    monkeypatch.chdir(tmp_path)
    days = pd.to_datetime(TRUE_DAY, unit="D")
    bands = {
        "EVI": np.round(EVI * 1e4).astype("i2"),
        "DayOfYear": days.day_of_year.to_numpy("i2"),
        "SummaryQA": np.zeros(EVI.size, "i2"),
    }
    table = pd.DataFrame({"date": BEGIN.astype(str)} | bands)
    sites = pd.concat([table.assign(site=site) for site in ("north", "other")])
    sites.sample(frac=1, random_state=1).to_csv("sites.csv", index=False)
    for name, values in bands.items():
        write(f"{name}.tif", np.broadcast_to(values[:, None, None], (values.size, 2, 3)))
    for name, value in (("Greenup", 18000), ("MidGreenup", 18020), ("Dormancy", 32767), ("QA_Detailed", 4)):
        write(f"{name}_1.tif", np.full((1, 2, 3), value, "i2"))
    coords = {"time": days}
    nir = 0.25 + 0.2 * (EVI - EVI.min())
    red = (nir - EVI / 2.5 * (nir + 1)) / (1 + 2.4 * EVI / 2.5)
    counts = [np.round(1000 + 1e4 * band)[:, None, None] * np.ones((1, 2, 4)) for band in (red, nir)]
    b04, b08 = (xr.DataArray(band, dims=("time", "y", "x"), coords=coords) for band in counts)
    scl = xr.DataArray(np.full((EVI.size, 1, 2), 4), dims=("time", "y", "x"), coords=coords)
    evi = xr.DataArray(EVI[:, None, None] * np.ones((1, 2, 2)), dims=("time", "y", "x"), coords=coords)
    return {"evi": evi, "b04": b04, "b08": b08, "scl": scl}


def test_the_page_has_the_three_readers_and_an_own_series() -> None:
    text = "".join(BLOCKS)
    for name in (
        "derive_cycles",
        "composite_table",
        "composite_series",
        "reflectance_series",
        "product_dates",
    ):
        assert f"{name}(" in text
    assert len(BLOCKS) == 5


def test_every_block_runs_and_gives_the_dates(names: dict[str, Any]) -> None:
    results = []
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)
        results.append(names["cycles"])
    dims = [("y", "x"), ("site",), ("y", "x"), ("y", "x")]
    for cycles, wanted in zip(results, dims, strict=False):
        assert cycles["date"].dims == (*wanted, "cycle", "metric")
        greenup = cycles["date"].sel(metric="mid_greenup").to_numpy()
        found = greenup[..., :3] - START
        np.testing.assert_allclose(found - TRUTH["mid_greenup"] - 365.2425 * np.arange(3), 0, atol=6)
    days = xr.decode_cf(results[0][["date"]])["date"]
    assert np.issubdtype(days.dtype, np.datetime64)
    assert days.isel(y=0, x=0, cycle=0).sel(metric="mid_greenup").dt.year == 2019
    good = names["good"].isel(y=0, x=0, cycle=0)
    assert good.sel(metric="greenup") == 18000 and good.sel(metric="mid_greenup") == 18020
    assert np.isnan(good.sel(metric="dormancy"))
