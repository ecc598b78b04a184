"""Real series, dated and drawn: flux sites, double cropping in Mato Grosso, Belgian fields at 10 m.

    python -m phenology_report.real [OUT, default docs/images/phenology]

The data are found at ``../shared/data`` beside the checkout or at ``$SSL4ECO_SHARED``; without them it says
so and draws nothing.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import rasterio
import xarray as xr
from matplotlib import pyplot as plt

from ssl4eco_data.phenology import PhenologyParameters, derive_cycles, smooth
from ssl4eco_data.phenology.climatology import climatology
from ssl4eco_data.phenology.readers import composite_table
from ssl4eco_data.types import METRICS, YEAR_DAYS, FloatArray

EPOCH = pd.Timestamp("1970-01-01")
COLOURS = dict(zip(METRICS, mpl.colormaps["viridis"](np.linspace(0.1, 0.9, 7)), strict=True))
"""Weight by SummaryQA: good, marginal, snow, cloudy."""
PARAMETERS = PhenologyParameters()


def shared() -> Path:
    """The folder of real data."""
    root = Path(os.environ.get("SSL4ECO_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    return root / "data"


def days_of(times: Any) -> FloatArray:
    """Days since 1970-01-01."""
    return np.asarray((pd.DatetimeIndex(times) - EPOCH) / pd.Timedelta(days=1), dtype=np.float64)


def dates_at(days: FloatArray) -> pd.DatetimeIndex:
    """Times on a plot's axis."""
    return pd.DatetimeIndex(EPOCH + pd.to_timedelta(days, unit="D"))


def flux_series(folder: Path) -> dict[str, xr.Dataset]:
    """Site -> series of MOD13A1 EVI at true days."""
    table = pd.read_csv(folder / "mod13a1.csv.gz", parse_dates=["date"])
    series = composite_table(table, place="site")
    return {str(site): series.sel(site=site) for site in series["site"].to_numpy()}


def draw_curve(axes: Any, series: xr.Dataset, result: xr.Dataset, years: tuple[str, str]) -> None:
    """One pixel: observations by weight, snow in blue, the curve, the seven dates of each cycle."""
    day, value = series["day"].to_numpy(), series["value"].to_numpy()
    weight, snow = series["weight"].to_numpy(), series["snow"].to_numpy()
    low, high = days_of(years)
    kinds = ((~snow & (weight > 0), "0.35", "seen (small: marginal)"), (snow, "tab:blue", "snow"))
    for chosen, colour, label in kinds:
        at = chosen & (day >= low) & (day < high) & np.isfinite(value)
        axes.scatter(
            dates_at(day[at]), value[at], 3 + 9 * weight[at], color=colour, linewidths=0, label=label
        )
    fine = np.arange(low, high, 2.0)
    curve = smooth(day, value, weight, fine, PARAMETERS, series.attrs["index"], snow)
    axes.plot(dates_at(fine), curve, color="black", linewidth=0.8, label="curve")
    for number, metric in enumerate(METRICS):
        dates = result["date"].to_numpy()[:, number]
        at = (dates >= low) & (dates < high)
        values = result["value"].to_numpy()[at, number]
        axes.scatter(dates_at(dates[at]), values, 22, color=COLOURS[metric], zorder=3, label=metric)
    axes.set_xlim(*dates_at(np.array([low, high])))


def flux_figure(folder: Path, out: Path) -> None:
    """Curves of all sites over five years."""
    sites = pd.read_csv(folder / "sites.csv").set_index("site")
    series = flux_series(folder)
    figure, all_axes = plt.subplots(len(series), 1, figsize=(11, 2.1 * len(series)), layout="constrained")
    for axes, (site, own) in zip(all_axes, series.items(), strict=True):
        result = derive_cycles(own, PARAMETERS)
        draw_curve(axes, own, result, ("2010-01-01", "2015-01-01"))
        found = int(np.isfinite(result["date"].to_numpy()[:, 3]).sum())
        years = (float(own["day"].max()) - float(own["day"].min())) / YEAR_DAYS
        place = sites.loc[site]
        axes.set_title(
            f"{site}: {place['IGBPname']}, {place['lat']:.1f}°, {place['lon']:.1f}°; "
            f"{found} cycles in {years:.1f} years",
            fontsize=9,
            loc="left",
        )
        axes.set_ylabel("EVI")
    legend_below(figure, all_axes[0])
    save(figure, out / "flux-sites.png")


def sinop_series(folder: Path) -> xr.Dataset:
    """MOD13Q1 EVI of 40 x 40 pixels; the middle of each composite stands for the unknown true day."""
    with rasterio.open(folder / "evi.tif") as source:
        cube = source.read().astype(np.float64)
    composites = [
        pd.Timestamp(year, 1, 1) + pd.Timedelta(days=d)
        for year in range(2000, 2019)
        for d in range(0, 365, 16)
    ]
    first = composites.index(pd.Timestamp(2000, 2, 18))
    day = days_of(composites[first : first + len(cube)]) + 8
    value = np.where(cube > -2000, cube * 1e-4, np.nan)
    weight = np.isfinite(value).astype(float)
    return xr.Dataset(
        {
            "value": (("time", "y", "x"), value),
            "weight": (("time", "y", "x"), weight),
            "snow": (("time", "y", "x"), np.zeros(value.shape, bool)),
            "day": ("time", day),
        },
        attrs={"index": "evi"},
    )


def sinop_figure(folder: Path, out: Path) -> None:
    """Cycles a year of each pixel over the last ten years, and a pixel of two crops."""
    series = sinop_series(folder).isel(time=slice(-230, None))
    result = derive_cycles(series, PARAMETERS)
    years = float(series["day"].max() - series["day"].min()) / YEAR_DAYS
    cycles = np.isfinite(result["date"].isel(metric=3)).sum("cycle") / years
    shape = cycles.shape
    flat = result["date"].to_numpy().reshape(-1, *result["date"].shape[2:])
    seasons = climatology(flat, result["area"].to_numpy().reshape(len(flat), -1), 60).seasons.reshape(shape)
    figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained", width_ratios=[1, 1, 2])
    drawn = axes[0].imshow(cycles, cmap="viridis", vmin=0, vmax=2)
    figure.colorbar(drawn, ax=axes[0], shrink=0.8)
    axes[0].set_title(f"Cycles a year, {years:.0f} years", fontsize=9)
    axes[1].imshow(seasons, cmap="cividis", vmin=0, vmax=2)
    axes[1].set_title(
        f"Two seasons a year: {np.mean(seasons == 2):.0%} of {seasons.size} pixels (bright)", fontsize=9
    )
    row, column = np.unravel_index(int(np.argmax(cycles.to_numpy() * (seasons == 2))), shape)
    own, dated = series.isel(y=row, x=column), result.isel(y=row, x=column)
    draw_curve(axes[2], own, dated, ("2012-07-01", "2016-07-01"))
    axes[2].set_title(f"Pixel row {row}, column {column}: soy and maize", fontsize=9)
    axes[2].set_ylabel("EVI")
    axes[2].legend(fontsize=6, ncols=4)
    save(figure, out / "sinop.png")


def belgium_series(folder: Path) -> xr.Dataset:
    """EVI2 of 64 x 64 pixels of 10 m from every acquisition of 16 months."""
    items = json.loads((folder / "items.json").read_text())["features"]
    items.sort(key=lambda item: item["properties"]["datetime"])
    roles = {"B04": "red", "B08": "nir", "SCL": "scl"}

    def read(item: dict[str, Any], band: str) -> FloatArray:
        asset = item["assets"].get(band) or item["assets"][roles[band]]
        with rasterio.open(folder / asset["href"]) as source:
            return np.asarray(source.read(1), dtype=np.float64)

    times = [pd.Timestamp(item["properties"]["datetime"]).tz_convert(None) for item in items]
    red, nir = (np.stack([read(item, band) * 1e-4 for item in items]) for band in ("B04", "B08"))
    scl = np.stack([read(item, "SCL") for item in items]).repeat(2, axis=1).repeat(2, axis=2)
    value = np.where((red > 0) & (nir > 0), 2.5 * (nir - red) / (nir + 2.4 * red + 1), np.nan)
    dims = ("time", "y", "x")
    return xr.Dataset(
        {
            "value": (dims, value),
            "weight": (dims, np.select([np.isin(scl, (4, 5, 11)), scl == 7], [1.0, 0.5], 0.0)),
            "snow": (dims, scl == 11),
            "day": ("time", days_of(times)),
        },
        attrs={"index": "evi2"},
    )


def belgium_figure(folder: Path, out: Path) -> None:
    """Peak of the largest cycle of each 10 m pixel, the number of cycles, and four fields."""
    series = belgium_series(folder)
    result = derive_cycles(series, PARAMETERS)
    number = np.isfinite(result["date"].isel(metric=3)).sum("cycle").to_numpy()
    area = result["area"].fillna(-1).to_numpy()
    peak = result["date"].isel(metric=3).to_numpy()
    largest = np.take_along_axis(peak, area.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    month = (largest - days_of(["2017-01-01"])[0]) / YEAR_DAYS * 12
    figure = plt.figure(figsize=(13, 7), layout="constrained")
    grid = figure.add_gridspec(4, 2, width_ratios=[1, 2])
    top = figure.add_subplot(grid[:2, 0])
    drawn = top.imshow(month, cmap="twilight_shifted")
    figure.colorbar(drawn, ax=top, label="months since January 2017")
    top.set_title(f"Peak of the largest cycle, {np.isfinite(month).mean():.0%} of pixels dated", fontsize=9)
    below = figure.add_subplot(grid[2:, 0])
    figure.colorbar(below.imshow(number, cmap="viridis", vmin=0, vmax=4), ax=below, ticks=range(5))
    below.set_title("Cycles from August 2017 to November 2018", fontsize=9)
    for place, (row, column) in enumerate(((10, 10), (12, 50), (40, 20), (50, 52))):
        axes = figure.add_subplot(grid[place, 1])
        draw_curve(
            axes,
            series.isel(y=row, x=column),
            result.isel(y=row, x=column),
            ("2017-08-01", "2018-12-01"),
        )
        axes.set_title(f"Row {row}, column {column}", fontsize=9, loc="left")
        axes.set_ylabel("EVI2")
        for panel in (top, below):
            panel.plot(column, row, "o", mfc="none", mec="white")
            box = {"facecolor": "black", "edgecolor": "none", "pad": 1.0, "alpha": 0.7}
            panel.text(column + 2, row, f"{row}, {column}", color="white", fontsize=7, bbox=box)
    legend_below(figure, figure.axes[-1])
    save(figure, out / "belgium.png")


def legend_below(figure: Any, axes: Any) -> None:
    """One legend for a whole figure, under it, of what ``axes`` shows."""
    figure.legend(*axes.get_legend_handles_labels(), ncols=5, fontsize=8, loc="outside lower center")


def save(figure: Any, path: Path) -> None:
    """Write a figure whose bytes depend on its content and the version of matplotlib alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80, metadata={"Software": None})
    plt.close(figure)
    print(path)


def main(arguments: list[str]) -> int:
    """Draw all figures; exit code 1 without the data."""
    mpl.use("agg")
    data = shared()
    if not data.is_dir():
        print(f"REAL DATA ABSENT: {data} is not there (set SSL4ECO_SHARED); nothing drawn", file=sys.stderr)
        return 1
    out = Path(arguments[0] if arguments else "docs/images/phenology")
    flux_figure(data / "mod13a1-flux-sites", out)
    sinop_figure(data / "mod13q1-sinop", out)
    belgium_figure(data / "s2-belgium-31UDS", out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
