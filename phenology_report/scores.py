"""Which true cycles were found, how far their dates are off, and how often sigma covers that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssl4eco_data.types import METRICS, BoolArray, FloatArray

MIDS = [METRICS.index("mid_greenup"), METRICS.index("mid_greendown")]
PEAK = METRICS.index("peak")
REACH_DAYS = 60.0
"""A found cycle stands for a true one if the middles of both lie within this distance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """Cycles of some pixels beside their truth.

    ``error`` and ``sigma`` (cycle, 7) in days are those of the true cycles that are scored, NaN where one was
    not found; ``found`` (cycle,). Of the pixels: ``complete``, all their scored cycles were found;
    ``invented``, there is a cycle that stands for no true one.
    """

    error: FloatArray
    sigma: FloatArray
    found: BoolArray
    complete: BoolArray
    invented: BoolArray

    @classmethod
    def join(cls, parts: list[Matched]) -> Matched:
        """All cycles of several sets."""
        names = ("error", "sigma", "found", "complete", "invented")
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def match(truth: FloatArray, dates: FloatArray, sigmas: FloatArray, scored: tuple[float, float]) -> Matched:
    """``dates`` and ``sigmas`` (pixel, cycle, 7) beside ``truth`` (pixel, other cycle, 7), NaN for no cycle.

    Pairs are made from the nearest middle up (halfway from mid-greenup to mid-greendown), each cycle in one
    pair at most. True cycles that peak in ``scored`` (first day, day after the last) are scored; those
    outside still take their own, which so is not invented.
    """
    errors: list[FloatArray] = []
    spreads: list[FloatArray] = []
    complete, invented = np.ones(len(truth), np.bool_), np.zeros(len(truth), np.bool_)
    for pixel in range(len(truth)):
        true = truth[pixel][np.isfinite(truth[pixel, :, PEAK])]
        present = np.isfinite(dates[pixel, :, PEAK])
        own, sigma = dates[pixel][present], sigmas[pixel][present]
        partner = pair(true[:, MIDS].mean(axis=1), own[:, MIDS].mean(axis=1))
        invented[pixel] = len(own) > (partner >= 0).sum()
        for t in np.flatnonzero((true[:, PEAK] >= scored[0]) & (true[:, PEAK] < scored[1])):
            hit = partner[t] >= 0
            errors.append(own[partner[t]] - true[t] if hit else np.full(len(METRICS), np.nan))
            spreads.append(sigma[partner[t]] if hit else np.full(len(METRICS), np.nan))
            complete[pixel] &= hit
    error = np.array(errors).reshape(-1, len(METRICS))
    return Matched(
        error=error,
        sigma=np.array(spreads).reshape(-1, len(METRICS)),
        found=np.isfinite(error[:, PEAK]),
        complete=complete,
        invented=invented,
    )


def pair(true: FloatArray, own: FloatArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """For each of ``true`` the number of its partner in ``own``, -1 for none; ties go to the earlier."""
    partner = np.full(true.size, -1, dtype=np.int64)
    if own.size == 0 or true.size == 0:
        return partner
    distance = np.abs(true[:, None] - own[None, :])
    for flat in np.argsort(distance, axis=None, kind="stable"):
        t, o = divmod(int(flat), own.size)
        if distance[t, o] <= REACH_DAYS and partner[t] < 0 and o not in partner:
            partner[t] = o
    return partner


def rmse(error: FloatArray) -> FloatArray:
    """Root of the mean square over the first axis, without NaN; NaN where nothing is left."""
    return np.sqrt(_mean(error**2))


def bias(error: FloatArray) -> FloatArray:
    """Mean over the first axis, without NaN: positive is late."""
    return _mean(error)


def median_absolute(error: FloatArray) -> FloatArray:
    """Median of the absolute errors over the first axis, without NaN."""
    found = np.isfinite(error).any(axis=0)
    out = np.full(error.shape[1:], np.nan)
    out[found] = np.nanmedian(np.abs(error[:, found]), axis=0)
    return out


def covered(error: FloatArray, sigma: FloatArray, times: float) -> FloatArray:
    """Share of the errors within ``times`` sigma, over the first axis, of those that are not NaN.

    A sigma that is NaN or infinite where a date was found counts as one that covers nothing.
    """
    known = np.isfinite(error)
    inside = known & np.isfinite(sigma) & (np.abs(error) <= times * sigma)
    return np.asarray(
        np.where(known.any(axis=0), inside.sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.nan)
    )


def _mean(values: FloatArray) -> FloatArray:
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.asarray(np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan))
