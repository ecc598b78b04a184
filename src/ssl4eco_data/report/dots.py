"""Many locations on a map: all of them, as small squares on a lattice, one path for each category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from ssl4eco_data.report.svg import element
from ssl4eco_data.types import FloatArray

IntArray = npt.NDArray[np.int64]
MAX_SIDE = 3
MAX_STRETCH = 3
OVERLAP = 0.2
"""Share of a square by which rows overlap, so that a scaled drawing shows no seams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Neighbouring squares of one code in one row: the first column, the row, their number, the code."""

    column: IntArray
    row: IntArray
    length: IntArray
    code: IntArray


def square_side(x: FloatArray, y: FloatArray) -> int:
    """Side of a square in units of the drawing, 1 to 3: about the distance between neighbours.

    Neighbours in the table are neighbours on the ground, since it runs along a space-filling curve.
    """
    step = np.median(np.hypot(np.diff(x), np.diff(y)))
    return int(np.clip(np.ceil(step), 1, MAX_SIDE))


def runs_of(column: FloatArray, row: FloatArray, stretch: FloatArray, codes: IntArray) -> Runs:
    """The squares that points fall into, in order of row and column, with neighbours merged.

    ``column`` and ``row`` are places in units of a square, at least 0. A point takes ``stretch`` squares of
    its row (rounded, 1 to 3), half of them on each side. A square has the code of most of its points, the
    lowest one of equals.
    """
    span = np.clip(np.round(stretch), 1, MAX_STRETCH).astype(np.int64)
    within = np.arange(span.sum()) - np.repeat(np.cumsum(span) - span, span)
    columns = np.maximum(np.repeat(np.floor(column - (span - 1) / 2).astype(np.int64), span) + within, 0)
    width = int(columns.max(initial=0)) + 2
    squares = np.repeat(np.floor(row).astype(np.int64), span) * width + columns
    square, code = _commonest(squares, np.repeat(codes, span))
    goes_on = (np.diff(square) == 1) & (np.diff(code) == 0)
    first = np.flatnonzero(np.concatenate([[True], ~goes_on]))
    return Runs(
        column=square[first] % width,
        row=square[first] // width,
        length=np.diff(first, append=len(square)),
        code=code[first],
    )


def layer(runs: Runs, side: int, categories: Sequence[tuple[str, str]], class_: str) -> Markup:
    """The drawing of ``runs``: a path for each code that occurs; ``categories`` are (classes, tooltip)."""
    paths = []
    for code in np.unique(runs.code).tolist():
        here = runs.code == code
        places = zip(
            runs.column[here].tolist(), runs.row[here].tolist(), runs.length[here].tolist(), strict=True
        )
        path = "".join(f"M{column} {row}h{length}" for column, row, length in places)
        classes, tooltip = categories[code]
        also = {"data_biome": code} if class_ == "by-biome" else {}
        paths.append(element("path", element("title", tooltip), d=path, class_=f"squares {classes}", **also))
    place = f"scale({side}) translate(0 0.5)"
    return element("g", *paths, transform=place, stroke_width=1 + OVERLAP, class_=class_)


def _commonest(squares: IntArray, codes: IntArray) -> tuple[IntArray, IntArray]:
    """(square, code): each square once, ascending, with the code of most of its points."""
    kinds = int(codes.max(initial=0)) + 1
    pairs, count = np.unique(squares * kinds + codes, return_counts=True)
    square, code = pairs // kinds, pairs % kinds
    ranked = np.lexsort((code, -count, square))
    found, first = np.unique(square[ranked], return_index=True)
    return found, code[ranked][first]
