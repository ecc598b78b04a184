"""The page of the accuracy: tables in Markdown, from scores alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenology_report.gates import Gate, named, percent, phenocam_gates, synthetic_gates
from phenology_report.phenocam import VEGETATION
from phenology_report.scores import Matched, bias, covered, median_absolute, rmse
from phenology_report.shapes import WITHOUT_CYCLE
from ssl4eco_data.types import METRICS, FloatArray

Scores = Mapping[int, Mapping[str, Matched]]
"""Observations a year -> shape or class -> cycles."""
PEERS_RMSE_DAYS = {
    "MCD12Q2's own code": (12.9, 12.0, 22.0, 18.4, 25.5, 15.1, 17.3),
    "MSLSP": (13.0, 4.4, 18.4, 13.6, 16.6, 4.8, 11.0),
    "phenofit, Beck": (20.9, 8.7, 13.4, 11.6, 9.4, 8.6, 16.3),
}
"""Measured for this project on the yardstick, northern single season, one run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is computed."""

    seeds: range
    pixels: int
    yardstick_pixels: int
    densities: tuple[int, ...] = (46, 23)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that the page tells; None where the shared data are not there."""

    sizes: Sizes
    shapes: Scores
    yardstick: Scores | None
    phenocam: pd.DataFrame | None


def with_cycles(scores: Mapping[str, Matched]) -> Matched:
    """The cycles of all shapes that have any."""
    return Matched.join([own for shape, own in scores.items() if shape not in WITHOUT_CYCLE])


def write_page(findings: Findings, images: str) -> str:
    """The whole page; ``images`` is the folder of its figures as seen from it, without a slash at the end."""
    parts = [
        _head(findings),
        _gates(findings),
        f"![One example of each shape]({images}/shapes.png)",
        _shapes(findings.shapes),
        f"![RMSE by metric and shape]({images}/synthetic-rmse.png)",
        _sigma(findings.shapes),
        f"![Share of errors within k sigma]({images}/sigma.png)",
        _yardstick(findings, images),
        _phenocam(findings.phenocam, images),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _head(findings: Findings) -> str:
    sizes = findings.sizes
    total = len(sizes.seeds) * sizes.pixels
    return f"""
# Accuracy of the phenology

Written by `make phenology-report`; do not edit. All parameters are the defaults; the report measures and
chooses nothing. Parameters are never chosen on these seeds, nor on PhenoCam.

**Synthetic series.** Nine shapes with known dates, three years, {total} pixels of each ({sizes.pixels} for
each seed from {sizes.seeds[0]} to {sizes.seeds[-1]}), seen 46 and 23 times a year on known days. Noise of
standard deviation 0.02; 8 % of the observations are clouds that nothing flags, 0.05 to 0.25 too low; 20 % are
missing; 30 % of the pixels have one more gap of 40 to 80 days. Truth is the definition of MCD12Q2 on the
noise-free curve. Scored are the cycles that peak in the middle year. An error is found minus true, so a
positive bias is late. A found cycle stands for the nearest true one if their middles are at most 60 days
apart; RMSE, bias and median are those of the cycles found."""


def _gates(findings: Findings) -> str:
    columns: dict[str, list[Gate]] = {}
    for n, own in findings.shapes.items():
        without = {shape: own[shape] for shape in WITHOUT_CYCLE}
        columns[f"own set, {n} a year"] = synthetic_gates(with_cycles(own), own["double crop"], without)
    text = "## Gates\n\nThe dates are those of all seven shapes that have cycles.\n\n" + _gate_table(columns)
    if findings.yardstick is not None:
        columns = {
            f"yardstick, {n} a year": synthetic_gates(
                own["north"], own["double"], {"evergreen": own["evergreen"]}
            )
            for n, own in findings.yardstick.items()
        }
        text += "\n\nOn the yardstick (below), northern single season for the dates:\n\n" + _gate_table(
            columns
        )
    if findings.phenocam is not None:
        text += "\n\nPhenoCam (below):\n\n" + _gate_table({"PhenoCam": phenocam_gates(findings.phenocam)})
    return text


def _gate_table(columns: Mapping[str, Sequence[Gate]]) -> str:
    asked = [gate.asked for gate in next(iter(columns.values()))]
    rows = [[text, *(gates[i].words() for gates in columns.values())] for i, text in enumerate(asked)]
    return markdown(["asked", *columns], rows)


def _shapes(scores: Scores) -> str:
    parts = ["## By shape\n\nDays, over the cycles found, in each cell 46 / 23 observations a year."]
    measures: tuple[tuple[str, Callable[[FloatArray], FloatArray]], ...] = (
        ("RMSE", rmse),
        ("Bias", bias),
        ("Median absolute error", median_absolute),
    )
    for title, measure in measures:
        rows = [
            [shape, *_cells([measure(own.error) for own in of_shape], "+.1f" if title == "Bias" else ".1f")]
            for shape, of_shape in _by_shape(scores)
        ]
        parts.append(f"### {title}\n\n" + markdown(["shape", *map(named, METRICS)], rows))
    rows = [[shape, *_counts(scores, shape)] for shape in next(iter(scores.values()))]
    heads = ["shape", "true cycles", "found", "all of the year found", "pixels with an invented cycle"]
    parts.append(
        "### Found and invented\n\nAn invented cycle lies anywhere in the record and stands for no true one."
        "\n\n" + markdown(heads, rows)
    )
    return "\n\n".join(parts)


def _by_shape(scores: Scores) -> Iterable[tuple[str, list[Matched]]]:
    shapes = [shape for shape in next(iter(scores.values())) if shape not in WITHOUT_CYCLE]
    for shape in shapes:
        yield shape, [own[shape] for own in scores.values()]
    yield "all", [with_cycles(own) for own in scores.values()]


def _counts(scores: Scores, shape: str) -> list[str]:
    of_shape = [own[shape] for own in scores.values()]
    true = str(of_shape[0].found.size)
    invented = " / ".join(percent(m.invented.mean(), 2) for m in of_shape)
    if shape in WITHOUT_CYCLE:
        return [true, "-", "-", invented]
    found = " / ".join(percent(m.found.mean(), 1) for m in of_shape)
    return [true, found, " / ".join(percent(m.complete.mean(), 1) for m in of_shape), invented]


def _sigma(scores: Scores) -> str:
    rows = []
    for shape, of_shape in _by_shape(scores):
        for times in (1, 2):
            shares = [100 * covered(own.error, own.sigma, times) for own in of_shape]
            rows.append([shape, str(times), *_cells(shares, ".0f")])
    return (
        "## Sigma\n\nPercent of the errors within 1 and 2 sigma, 46 / 23 observations a year; normal "
        "errors with a right sigma give 68 and 95.\n\n"
        + markdown(["shape", "sigma", *map(named, METRICS)], rows)
    )


def _yardstick(findings: Findings, images: str) -> str:
    head = "## Beside others\n\n"
    if findings.yardstick is None:
        return head + "*Not measured: the yardstick's generator was not there.*"
    sizes = findings.sizes
    north = {n: own["north"] for n, own in findings.yardstick.items()}
    rows = [
        [f"this engine, {n} a year ({own.found.size} cycles)", *_plain(rmse(own.error))]
        for n, own in north.items()
    ]
    rows += [[name, *(f"{days:.1f}" for days in values)] for name, values in PEERS_RMSE_DAYS.items()]
    return (
        f"{head}The yardstick is another generator, with logistic seasons only, on which others' tools were "
        "measured before: northern single season, RMSE in days. Theirs are from one run of it and another "
        f"scorer, not from these {len(sizes.seeds)} seeds of {sizes.yardstick_pixels} pixels: small "
        "differences mean nothing.\n\n"
        + markdown(["", *map(named, METRICS)], rows)
        + f"\n\n![RMSE beside other tools]({images}/yardstick.png)"
    )


def _phenocam(table: pd.DataFrame | None, images: str) -> str:
    head = "## PhenoCam\n\n"
    if table is None:
        return head + "*Not measured: the data were not there.*"
    rows = [
        [
            VEGETATION.get(row["veg_type"], row["veg_type"]),
            f"{percent(row['share'])} {row['direction']}",
            str(row["published"]),
            str(row["found"]),
            *_plain(np.array([row["rmse"], row["bias"], row["median"]])),
        ]
        for _, row in table.iterrows()
    ]
    return (
        f"{head}Published transition dates of gcc_90 (3-day series) beside the engine's, on the same "
        "cameras, which is asked for 10 % and 25 % by `amplitude_shares`. The error is the engine's date "
        "minus the published one; a published date without one of the engine's within 60 days is not found. "
        "Published dates are estimates from the same pictures, not observations in the field.\n\n"
        + markdown(["vegetation", "date", "published", "found", "RMSE, d", "bias, d", "median abs., d"], rows)
        + f"\n\n![Published and own dates]({images}/phenocam.png)"
    )


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the first column is text, the others are set to the right."""
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(values: Sequence[FloatArray], form: str) -> list[str]:
    """One cell per metric with the number of each density."""
    return [" / ".join(_number(v, form) for v in column) for column in zip(*values, strict=True)]


def _plain(values: FloatArray) -> list[str]:
    return [_number(v, ".1f") for v in values]


def _number(value: float, form: str) -> str:
    text = format(value, form)
    return "-" if np.isnan(value) else text.replace("-0.0", "0.0").replace("+0.0", "0.0")
