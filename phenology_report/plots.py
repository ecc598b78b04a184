"""The figures of the accuracy page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from phenology_report.gates import DATE_GATES_DAYS, named, percent
from phenology_report.page import PEERS_RMSE_DAYS, Findings, Scores, with_cycles
from phenology_report.phenocam import VEGETATION
from phenology_report.scores import covered, rmse
from phenology_report.shapes import SHAPES, WITHOUT_CYCLE, draw_curves, middle_year, observe, record_days
from phenology_report.synthetic import TRUE_CYCLES_AT_MOST, engine
from phenology_report.truth import true_dates
from ssl4eco_data.phenology import PhenologyParameters, smooth
from ssl4eco_data.types import METRICS, YEAR_DAYS

COLOURS = {46: "#1b6ca8", 23: "#d1812c"}
GATES_DAYS = {metric: most for metrics, most in DATE_GATES_DAYS for metric in metrics}
NAMES = [named(metric) for metric in METRICS]


def draw_all(findings: Findings, folder: Path) -> None:
    """Write all figures that ``findings`` has data for into ``folder``."""
    mpl.use("agg")
    folder.mkdir(parents=True, exist_ok=True)
    _shapes(findings.sizes.seeds[0], folder / "shapes.png")
    _rmse(findings.shapes, folder / "synthetic-rmse.png")
    _sigma(findings.shapes, folder / "sigma.png")
    if findings.yardstick is not None:
        _yardstick(findings.yardstick, folder / "yardstick.png")


def draw_phenocam(errors: pd.DataFrame, path: Path) -> None:
    """Published and own 25 % rising dates of deciduous broadleaf forest; errors of all types."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained", width_ratios=[1, 1.5])
    rising = errors[(errors["direction"] == "rising") & (errors["share"] == 0.25)]
    chosen = rising[(rising["veg_type"] == "DB") & rising["own"].notna()]
    days = [chosen[name].to_numpy() % YEAR_DAYS for name in ("published", "own")]
    left.scatter(*days, s=10, color=COLOURS[46])
    ends = [min(d.min() for d in days), max(d.max() for d in days)]
    left.plot(ends, ends, color="black", linewidth=0.8)
    left.set(xlabel="published, day of the year", ylabel="this engine, day of the year")
    total = int((rising["veg_type"] == "DB").sum())
    left.set_title(
        f"Deciduous broadleaf, 25 % of the rise:\n{len(chosen)} of {total} dates found", fontsize=9
    )
    kinds = [(d, s) for d in ("rising", "falling") for s in (0.10, 0.25)]
    for k, (direction, share) in enumerate(kinds):
        own = errors[(errors["direction"] == direction) & (errors["share"] == share)]
        samples = [own.loc[own["veg_type"] == code, "error"].dropna().to_numpy() for code in VEGETATION]
        places = np.arange(len(VEGETATION)) + 0.2 * (k - 1.5)
        drawn = right.boxplot(
            samples,
            positions=places,
            widths=0.16,
            sym="",
            whis=(5, 95),
            patch_artist=True,
            manage_ticks=False,
        )
        for box in drawn["boxes"]:
            box.set_facecolor(mpl.colormaps["Paired"]([1, 0, 7, 6])[k])
        right.plot(
            [], [], "s", color=mpl.colormaps["Paired"]([1, 0, 7, 6])[k], label=f"{percent(share)} {direction}"
        )
    right.axhline(0, color="black", linewidth=0.8)
    right.set_xticks(
        range(len(VEGETATION)), [text.replace(" ", "\n") for text in VEGETATION.values()], fontsize=7
    )
    right.set_ylabel("error, days (positive is late)")
    found = int(errors["error"].notna().sum())
    right.set_title(
        f"Errors of {found} dates found of {len(errors)}: median, quartiles, 5 and 95 %", fontsize=9
    )
    right.legend(fontsize=7, ncols=2)
    _save(figure, path)


def _shapes(seed: int, path: Path) -> None:
    """The first pixel of each shape: truth, what is seen, the smoothed curve, true and found dates."""
    figure, grid = plt.subplots(3, 3, figsize=(13, 7.5), layout="constrained", sharex=True, sharey=True)
    first, after = record_days()
    for axes, shape in zip(grid.flat, SHAPES, strict=True):
        curves = draw_curves(shape, 1, seed)
        series = observe(curves, 46, seed)
        truth = true_dates(curves.day, curves.clean, TRUE_CYCLES_AT_MOST)[0]
        dates, _ = engine(series)
        inside = (curves.day >= first) & (curves.day < after)
        day, clean = curves.day[inside], curves.clean[0, inside]
        seen = [series[name].to_numpy()[0] for name in ("day", "value", "snow")]
        curve = smooth(seen[0], seen[1], np.ones(seen[0].size), day, PhenologyParameters(), "evi2", seen[2])
        axes.plot(day - first, clean, color="0.6", linewidth=2.5, label="truth")
        axes.plot(day - first, curve, color="black", linewidth=0.8, label="smoothed")
        for snow, colour, label in ((False, "0.2", "observed"), (True, "tab:blue", "under snow")):
            at = seen[2] == snow
            axes.scatter(seen[0][at] - first, seen[1][at], s=5, color=colour, label=label)
        for own, low, colour, label in (
            (truth.ravel(), 0.05, "0.5", "true dates"),
            (dates[0].ravel(), 0.0, "#c0392b", "found dates"),
        ):
            own = own[np.isfinite(own) & (own >= first) & (own < after)]
            axes.vlines(own - first, low - 0.12, low - 0.08, color=colour, linewidth=1.2, label=label)
        axes.set_title(shape, fontsize=9, loc="left")
        axes.axvspan(*(d - first for d in middle_year()), color="0.95", zorder=0)
    grid[2, 2].legend(fontsize=7, ncols=3, loc="upper left")
    figure.supxlabel("days since the record began (grey: the middle year, which is scored)", fontsize=9)
    figure.supylabel("EVI2", fontsize=9)
    figure.suptitle("One pixel of each shape, 46 observations a year", fontsize=11)
    _save(figure, path)


def _rmse(scores: Scores, path: Path) -> None:
    shapes = [shape for shape in SHAPES if shape not in WITHOUT_CYCLE]
    figure, panels = plt.subplots(1, len(scores), figsize=(12, 4), layout="constrained", squeeze=False)
    for axes, (n, own) in zip(panels.flat, scores.items(), strict=True):
        rows = [rmse(own[shape].error) for shape in shapes] + [rmse(with_cycles(own).error)]
        values = np.array(rows)
        drawn = axes.imshow(values, cmap="viridis_r", vmin=0, vmax=20, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            over = value > GATES_DAYS.get(METRICS[column], np.inf)
            axes.text(
                column,
                row,
                f"{value:.1f}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if value > 10 else "black",
                weight="bold" if over else "normal",
            )
        axes.set_xticks(range(len(NAMES)), NAMES, rotation=30, ha="right", fontsize=8)
        axes.set_yticks(range(len(values)), [*shapes, "all"], fontsize=8)
        count = with_cycles(own).found.sum()
        axes.set_title(f"{n} observations a year, {count} cycles found (bold: over its gate)", fontsize=9)
    figure.colorbar(drawn, ax=list(panels.flat), label="RMSE, days", shrink=0.8)
    _save(figure, path)


def _sigma(scores: Scores, path: Path) -> None:
    figure, panels = plt.subplots(1, len(scores), figsize=(11, 4), layout="constrained", squeeze=False)
    times = np.linspace(0, 3, 31)
    normal = [_normal_share(k) for k in times]
    for axes, (n, own) in zip(panels.flat, scores.items(), strict=True):
        every = with_cycles(own)
        shares = np.array([covered(every.error, every.sigma, k) for k in times])
        for column, name in enumerate(NAMES):
            colour = mpl.colormaps["viridis"](column / 6)
            axes.plot(times, 100 * shares[:, column], color=colour, linewidth=1.2, label=name)
        axes.plot(times, 100 * np.array(normal), color="black", linestyle="--", linewidth=1, label="normal")
        axes.errorbar([1], [68], yerr=[5], color="#c0392b", capsize=4, label="gate")
        axes.set(xlabel="k", ylabel="errors within k sigma, %", ylim=(0, 100))
        axes.set_title(f"{n} observations a year, {every.found.sum()} cycles, all shapes", fontsize=9)
    panels[0, 0].legend(fontsize=7)
    _save(figure, path)


def _normal_share(times: float) -> float:
    """Share of a normal distribution within ``times`` standard deviations."""
    return math.erf(times / math.sqrt(2))


def _yardstick(scores: Scores, path: Path) -> None:
    bars: Mapping[str, Any] = {
        **{f"this engine, {n} a year": rmse(own["north"].error) for n, own in scores.items()},
        **PEERS_RMSE_DAYS,
    }
    figure, axes = plt.subplots(figsize=(10, 4), layout="constrained")
    colours = [COLOURS.get(n, "black") for n in scores] + ["0.35", "0.55", "0.75"]
    width = 0.8 / len(bars)
    for k, (name, values) in enumerate(bars.items()):
        places = np.arange(len(NAMES)) + (k - 0.5 * (len(bars) - 1)) * width
        axes.bar(places, values, width, color=colours[k], label=name)
    for column, metric in enumerate(METRICS):
        if metric in GATES_DAYS:
            axes.hlines(GATES_DAYS[metric], column - 0.42, column + 0.42, color="#c0392b", linewidth=1.2)
    axes.plot([], [], color="#c0392b", label="gate")
    axes.set_xticks(range(len(NAMES)), NAMES, fontsize=8)
    axes.set_ylabel("RMSE, days")
    counts = " and ".join(str(own["north"].found.sum()) for own in scores.values())
    axes.set_title(
        f"Yardstick, northern single season: {counts} cycles of this engine; others from one run", fontsize=9
    )
    axes.legend(fontsize=7)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    """Write a figure whose bytes depend on its content and the version of matplotlib alone."""
    figure.savefig(path, dpi=80, metadata={"Software": None})
    plt.close(figure)
