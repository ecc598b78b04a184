"""How good the choice of scenes is: the second opinion on clouds, and the policies, against the truth.

Run ``python -m benchmarks.scenes`` in the root of the checkout; it prints the tables of ``docs/scenes.md``.
The truth is that of the embedded archive, written for the run (minutes) or given by ``--archive``, and the
labels by eye of the Belgian dates where the shared data lie beside the checkout.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.measure import ROOT
from benchmarks.scene_figures import draw_dates, draw_policies
from benchmarks.scene_work import (
    OPINIONS,
    POLICIES,
    Site,
    belgian_dates,
    embedded_sites,
    opinions,
    policy_row,
)
from ssl4eco_data.scenes import SceneRules
from ssl4eco_data.simulate import SimulationParameters, is_written, write_archive

TINY = SimulationParameters(regions=("temperate_forest", "pampas"), locations_per_site=1)
IMAGES = ROOT / "docs" / "images" / "scenes"


def shared() -> Path:
    """The folder of real data beside the checkout, or ``SSL4ECO_SHARED``."""
    return Path(os.environ.get("SSL4ECO_SHARED", ROOT.parent / "shared"))


def opinion_table(dates: pd.DataFrame, parts: Sequence[str]) -> pd.DataFrame:
    """How many clear-masked dates are truly touched, and how many of them and of the clear each test doubts.

    ``dates`` has columns ``part``, ``bad`` and ``untouched`` (bool), and one of doubts per set of rules.
    """
    rows = []
    for part in parts:
        mine = dates[dates["part"] == part]
        for name in OPINIONS:
            doubted = mine[name]
            rows.append(
                {
                    "dates": part,
                    "opinion": name,
                    "touched": int(mine["bad"].sum()),
                    "of them doubted": int((doubted & mine["bad"]).sum()),
                    "clear": int((~mine["bad"]).sum()),
                    "clear ones doubted": int((doubted & ~mine["bad"]).sum()),
                    "of them untouched": int((doubted & mine["untouched"]).sum()),
                }
            )
    return pd.DataFrame(rows)


def threshold_table(dates: pd.DataFrame, parts: Sequence[str]) -> pd.DataFrame:
    """Touched dates doubted, and clear ones, over a range of thresholds of the haze alone."""
    rows = []
    for excess in (0.01, 0.0125, 0.015, 0.0175, 0.02, 0.025):
        row: dict[str, object] = {"haze excess": excess}
        for part in parts:
            mine = dates[dates["part"] == part]
            doubted = mine["haze_excess"] > excess
            caught, lost = int((doubted & mine["bad"]).sum()), int((doubted & mine["untouched"]).sum())
            row[part] = f"{caught} + {lost}"
        rows.append(row)
    return pd.DataFrame(rows)


def markdown(frame: pd.DataFrame) -> str:
    """The frame as a Markdown table, numbers to the right."""
    heads = [str(column) for column in frame.columns]
    ruler = ["--:" if pd.api.types.is_numeric_dtype(dtype) else "---" for dtype in frame.dtypes]
    rows = [
        [f"{value:g}" if isinstance(value, float) else str(value) for value in row]
        for row in frame.to_numpy(dtype=object)
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, ruler, *rows))


def report(archive: Path, parameters: SimulationParameters, images: Path | None) -> str:
    """All tables as Markdown; the figures go into ``images``."""
    sites = embedded_sites(archive, parameters)
    parts = []
    belgium = shared() / "data" / "s2-belgium-31UDS"
    if belgium.is_dir():
        labels = ROOT / "tests" / "scenes" / "belgium_labels.csv"
        dates = belgian_dates(belgium, labels, quarters=False)
        both = pd.concat([dates, belgian_dates(belgium, labels, quarters=True)], ignore_index=True)
        halves = ("odd", "even", "odd, quarters", "even, quarters")
        parts += [markdown(opinion_table(both, halves)), markdown(threshold_table(both, halves))]
        if images:
            draw_dates(dates, SceneRules(), images / "belgium.png")
    else:
        print(f"SHARED DATA ABSENT: {belgium} is not there (set SSL4ECO_SHARED)", file=sys.stderr)
    parts.append(markdown(opinion_table(_every_patch(sites), ("embedded",))))
    policies = pd.DataFrame([policy_row(name, rules, sites) for name, rules in POLICIES.items()])
    parts.append(markdown(policies))
    if images:
        draw_policies(policies, images / "policies.png")
    return "\n\n".join(parts)


def _every_patch(sites: Sequence[Site]) -> pd.DataFrame:
    return pd.concat([opinions(site) for site in sites], ignore_index=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--archive", type=Path, metavar="FOLDER", help="where the embedded archive is kept")
    parser.add_argument("--tiny", action="store_true", help="a small archive, to see that everything runs")
    parser.add_argument(
        "--draw", action="store_true", help=f"write the figures to {IMAGES.relative_to(ROOT)}"
    )
    options = parser.parse_args()
    parameters = TINY if options.tiny else SimulationParameters()
    with tempfile.TemporaryDirectory() as folder:
        archive = options.archive or Path(folder) / "archive"
        if not is_written(archive, parameters):
            print("writing the embedded archive ...", file=sys.stderr, flush=True)
            write_archive(archive, parameters, workers=os.cpu_count() or 1)
        print(report(archive, parameters, IMAGES if options.draw else None))


if __name__ == "__main__":
    main()
