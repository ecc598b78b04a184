"""Decorators for compiled functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba
import numpy as np

from ssl4eco_data.types import FloatArray

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """``function`` compiled by numba on first call, cached on disk, run without the interpreter lock.

    ``fastmath`` stays off: it lets the compiler fold ``y == y`` and so turns NaN into data.
    """
    decorate = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
    return cast("Callable[P, R]", decorate(function))


def compiled_sums(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`compiled`, but sums may be taken in any order, so that loops over observations use SIMD.

    NaN and infinity stay what they are (neither ``nnan`` nor ``ninf``).
    """
    decorate = numba.njit(
        nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"}
    )
    return cast("Callable[P, R]", decorate(function))


@compiled
def quantile(values: FloatArray, share: float) -> float:
    """The ``share`` quantile of at least one value, linear between ranks."""
    ordered = values[np.argsort(values, kind="mergesort")]
    rank = share * (values.size - 1)
    low = int(rank)
    high = min(low + 1, values.size - 1)
    return float(ordered[low] + (rank - low) * (ordered[high] - ordered[low]))
