"""The figure of a claim: scores of both arms, and their paired difference, on the images of each dataset."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ssl4eco_data.store import write_atomic
from ssl4eco_training.claim_pair import ARMS, CALENDAR, RANDOM
from ssl4eco_training.comparison import Line
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.judge import Score

FORMATS = (".pdf", ".png", ".svg")
_STYLES = {
    ARMS[0]: ("#0072B2", "o"),
    ARMS[1]: ("#D55E00", "s"),
    RANDOM: ("#999999", "D"),
}
"""Colours that the colour-blind tell apart (Okabe and Ito 2008), and shapes."""
_LOWEST = -0.25
"""Scores below stand at the edge: R2 has no lower bound."""
_SHIFT, _ROW_INCH = 0.24, 0.42


def figure_maker(path: Path) -> ModuleType:
    """The library that draws. Raises TrainingError where it is not installed, and for an unknown format."""
    if path.suffix.lower() not in FORMATS:
        raise TrainingError(f"--to {path}: the figure's name must end in {', '.join(FORMATS)}")
    try:
        from matplotlib import figure
    except ModuleNotFoundError as error:
        raise TrainingError("the figure needs matplotlib: pip install 'ssl4eco-training[figures]'") from error
    made: ModuleType = figure
    return made


def draw(lines: Mapping[str, Sequence[Line]], over: str, caption: str, path: Path) -> None:
    """Write the figure: a row of panels per judged dataset, a row in them per task and method.

    ``over`` says what is drawn again for the intervals.
    """
    most = max(len(mine) for mine in lines.values())
    figure = figure_maker(path).Figure(
        figsize=(10, len(lines) * (1.2 + _ROW_INCH * most) + 0.9), layout="constrained"
    )
    panels = figure.subplots(len(lines), 2, squeeze=False, sharex="col")
    for (name, mine), (left, right) in zip(lines.items(), panels, strict=True):
        _draw_scores(left, mine)
        _draw_differences(right, mine)
        left.set_title(f"judged on the {name} images", loc="left", fontsize=10)
        right.set_title(f"{ARMS[0]} less {ARMS[1]}", loc="left", fontsize=10)
    panels[-1][0].set_xlabel(f"score, percent; mean over seeds, 95 % interval over {over}", fontsize=9)
    panels[-1][1].set_xlabel("difference, points; small marks: each seed", fontsize=9)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, fontsize=9, frameon=False)
    figure.supxlabel(caption, fontsize=8, color="#555555")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower(), dpi=150)
    write_atomic(path, buffer.getvalue())


def _draw_scores(panel: Any, lines: Sequence[Line]) -> None:
    for number, arm in enumerate(lines[0].scores):
        rows = np.arange(len(lines)) + (number - 1) * _SHIFT
        colour, shape = _STYLES[arm]
        _bars(
            panel,
            [line.scores[arm] for line in lines],
            rows,
            colour,
            shape,
            label="random encoder" if arm == RANDOM else arm,
        )
    panel.set_yticks(np.arange(len(lines)), [f"{line.task}, {line.method}" for line in lines], fontsize=9)
    _lay_out(panel, len(lines))


def _draw_differences(panel: Any, lines: Sequence[Line]) -> None:
    rows = np.arange(len(lines))
    panel.axvline(0, color="#555555", linewidth=0.8)
    for row, line in zip(rows, lines, strict=True):
        values = 100 * np.array(line.differences[CALENDAR].by_run)
        panel.scatter(values, np.full(values.size, row + _SHIFT), s=10, color="#999999")
    _bars(panel, [line.differences[CALENDAR] for line in lines], rows, "#000000", "o", lowest=-np.inf)
    panel.set_yticks(rows, [""] * rows.size)
    _lay_out(panel, len(lines))


def _lay_out(panel: Any, rows: int) -> None:
    """The first row on top, and lines to read values by."""
    panel.set_ylim(rows - 0.5, -0.5)
    panel.grid(axis="x", color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)


def _bars(
    panel: Any,
    scores: Sequence[Score],
    rows: Any,
    colour: str,
    shape: str,
    *,
    label: str | None = None,
    lowest: float = _LOWEST,
) -> None:
    """Points with their intervals; one below ``lowest`` is an arrow at the edge, an undefined one nothing."""
    value, low, high = (
        np.array([getattr(part, name) for part in parts])
        for name, parts in (
            ("value", scores),
            ("low", [one.interval for one in scores]),
            ("high", [one.interval for one in scores]),
        )
    )
    panel.hlines(
        rows, 100 * np.maximum(low, lowest), 100 * np.maximum(high, lowest), color=colour, linewidth=1.4
    )
    inside = value >= lowest
    panel.plot(
        100 * value[inside], rows[inside], linestyle="", marker=shape, color=colour, markersize=5, label=label
    )
    below = value < lowest
    panel.plot(
        np.full(below.sum(), 100 * lowest), rows[below], linestyle="", marker="<", color=colour, markersize=6
    )
