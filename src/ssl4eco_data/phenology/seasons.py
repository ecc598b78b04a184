"""All cycles of a record: found on the spline, described by seasons, weighed against each other, compiled."""

from __future__ import annotations

import numpy as np

from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.phenology.crossings import IntArray, find_cycles
from ssl4eco_data.phenology.expected import doubt, expect_little, expect_of_others
from ssl4eco_data.phenology.record import Cycles, Record, levels_of, move, room_for
from ssl4eco_data.phenology.refine import guess, refine, refine_alone
from ssl4eco_data.phenology.rivals import middle_of, one_is_enough, split
from ssl4eco_data.phenology.season import ROW, SIZE
from ssl4eco_data.phenology.significance import seasons_only
from ssl4eco_data.phenology.spline_dates import date_by_spline, sigma_by_spline
from ssl4eco_data.types import FloatArray

CANDIDATE_SHARE = 0.7
"""Smoothing lowers short cycles: those on the curve may be smaller by this than those that are kept."""


@compiled
def cycles_of(
    record: Record, nodes: FloatArray, min_amplitude: float, min_relative: float, edge_share: float
) -> tuple[Cycles, int]:
    """The cycles of a record, dated each for itself, and their number; there is room for twice as many.

    A cycle that turns out to be none no longer bounds its neighbours, which are then dated anew.
    """
    extent = nodes[1].max() - nodes[1].min()
    smallest = max(min_amplitude, min_relative * extent)
    dropped = np.zeros(nodes.shape[1], dtype=np.bool_)
    before, known = np.empty((3, 0), dtype=np.int64), room_for(0)
    while True:
        found = find_cycles(nodes, CANDIDATE_SHARE * smallest, edge_share * extent, dropped)
        found = seasons_only(record.full, record.fitted, nodes, found, min_amplitude)
        count = found.shape[1]
        cycles = room_for(2 * count)
        for c in range(count):
            same = number_of(before, found[:, c])
            if same >= 0:
                move(known, same, cycles, c)
                continue
            date_by_spline(record, nodes, found[:, c], cycles, c)
            if not refine_alone(record, cycles, c):
                sigma_by_spline(record, cycles, c)
        worst = one_too_many(record, cycles, count, smallest)
        if worst < 0:
            return cycles, count
        dropped[found[1, worst]] = True
        before, known = found, cycles


@compiled
def number_of(cycles: IntArray, cycle: IntArray) -> int:
    """Which of ``cycles`` (3, c) has the same three nodes, -1 for none."""
    for c in range(cycles.shape[1]):
        if cycles[0, c] == cycle[0] and cycles[1, c] == cycle[1] and cycles[2, c] == cycle[2]:
            return c
    return -1


@compiled
def one_too_many(record: Record, cycles: Cycles, count: int, smallest: float) -> int:
    """A cycle that is none, -1 for none such: the lowest too small one, or one of a pair that is one."""
    worst = -1
    for c in range(count):
        low, top, high = levels_of(cycles, c)
        if top - max(low, high) < smallest and (worst < 0 or cycles.levels[c, 1] < cycles.levels[worst, 1]):
            worst = c
    for c in range(count - 1):
        if worst < 0 and one_is_enough(record, cycles, count, c):
            worst = c if cycles.levels[c, 1] < cycles.levels[c + 1, 1] else c + 1
    return worst


@compiled
def learn_from_other_years(record: Record, cycles: Cycles, count: int) -> int:
    """How many cycles there are when other years have their say: they split some, and refine all."""
    usable = np.zeros(cycles.described.size, dtype=np.bool_)
    usable[:count] = cycles.described[:count]
    alone, pair = room_for(usable.size), room_for(2)
    for c in range(count):
        move(cycles, c, alone, c)
    expected, start, total = np.empty((2, SIZE)), np.empty(ROW), 0
    for c in range(count):
        if split(record, alone, count, c, usable, pair):
            move(pair, 0, cycles, total)
            move(pair, 1, cycles, total + 1)
            total += 2
            continue
        move(alone, c, cycles, total)
        low, top, high = alone.levels[c, 0], alone.levels[c, 1], alone.levels[c, 2]
        expect_little(top - 0.5 * (low + high), expected)
        if expect_of_others(middle_of(alone, c), alone.season, alone.variance, usable, expected) > 0:
            if usable[c]:
                doubt(alone.season[c], alone.variance[c], expected)
                start[:] = alone.season[c]
            else:
                guess(alone.date[c], alone.levels[c], record.shares, start)
            refine(record, cycles, total, expected, start, usable[c])
        total += 1
    part(cycles.date[:total])
    return total


@compiled
def part(dates: FloatArray) -> None:
    """Let no row of ``dates`` (cycle, 7) end after the next one starts: both meet halfway."""
    for c in range(dates.shape[0] - 1):
        if dates[c, -1] > dates[c + 1, 0]:
            middle = 0.5 * (dates[c, -1] + dates[c + 1, 0])
            for m in range(dates.shape[1]):
                dates[c, m] = min(dates[c, m], middle)
                dates[c + 1, m] = max(dates[c + 1, m], middle)
