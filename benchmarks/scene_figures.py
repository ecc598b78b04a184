"""The figures of ``docs/scenes.md``."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib import pyplot as plt

from ssl4eco_data.scenes import SceneRules

COLOURS = {"clear": "#2a7f3f", "partly": "#d1812c", "cloudy": "#b3202a"}


def draw_dates(dates: pd.DataFrame, rules: SceneRules, path: Path) -> None:
    """The Belgian dates that the mask calls clear, by what each adds to the usual levels, and the limits."""
    mpl.use("agg")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(7, 4.4), layout="constrained")
    shown = dates[dates["blue_excess"] < 0.3]
    for label, colour in COLOURS.items():
        for part, marker in (("odd", "o"), ("even", "^")):
            mine = shown[(shown["label"] == label) & (shown["part"] == part)]
            title = f"{label}, {part} dates"
            axes.scatter(mine["haze_excess"], mine["blue_excess"], s=28, c=colour, marker=marker, label=title)
    axes.axvline(rules.max_haze_excess, color="black", linewidth=0.8, linestyle="--")
    axes.axhline(rules.max_blue_excess, color="black", linewidth=0.8, linestyle="--")
    axes.set(
        xlabel="blue - red / 2, median over the patch, above the usual level",
        ylabel="blue, 95 % quantile, above the usual level",
    )
    axes.legend(fontsize=8, title="by eye", title_fontsize=8, loc="lower right")
    axes.set_title(
        "Dates that the scene mask calls clear; above or right of a line they are doubted", fontsize=9
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_policies(policies: pd.DataFrame, path: Path) -> None:
    """Share of the chosen patches that are truly touched by cloud or shadow, per policy."""
    mpl.use("agg")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
    names = policies["policy"].tolist()
    for column, colour in (("touched over 10 %", "#d1812c"), ("over half", "#b3202a")):
        share = 100 * policies[column] / policies["served"]
        bars = axes.barh(names, share, color=colour, label=column, height=0.6)
        if column == "touched over 10 %":
            axes.bar_label(bars, [f"{value:.1f} %" for value in share], fontsize=8, padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.tick_params(labelsize=8)
    axes.set_xlabel("chosen patches truly under cloud or shadow, %", fontsize=8)
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=110)
    plt.close(figure)
