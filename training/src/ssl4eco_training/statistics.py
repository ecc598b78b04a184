"""Mean and deviation of each channel, from a sample of a dataset: for the standardised scaling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl4eco_data.store import Place, ShardReader
from ssl4eco_training.errors import RecipeError
from ssl4eco_training.inputs import NDVI_SCALE, InputSpec
from ssl4eco_training.random import uniform

_STREAM = 3
_PATCHES = 512
"""Enough: patches differ more than their pixels, and means of a few hundred hold to a few hundredths."""


def standardised(spec: InputSpec, root: str | Place, rows: npt.NDArray[np.int64], seed: int) -> InputSpec:
    """``spec`` with the statistics of up to 512 patches of the locations ``rows``, one season of each.

    They are of pixels that have data, in DN (NDVI: x 10 000, negative as 0), and depend on ``rows`` and
    ``seed`` alone. Raises RecipeError when there is no patch.
    """
    totals = sum((_sums(values) for values in _patches(spec, root, rows, seed)), np.zeros(()))
    if not totals.ndim or not (totals[:, 0] > 1).all():
        raise RecipeError(
            f"{root} has no pixels in {rows.size} locations to take mean and deviation from: build the "
            "dataset, or choose another split"
        )
    count, total, squares = totals.T
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-6))
    return replace(spec, scaling="standardised", mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def _sums(channels: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """(channel, 3): count, sum and sum of squares."""
    return np.array([[values.size, values.sum(), np.square(values).sum()] for values in channels])


def _patches(
    spec: InputSpec, root: str | Place, rows: npt.NDArray[np.int64], seed: int
) -> Iterator[list[npt.NDArray[np.float64]]]:
    """For each patch the valid values of each channel."""
    reader = ShardReader(root, bands=spec.bands)
    seasons = reader.shape[1]
    draws = uniform(seed, 0, rows.astype(np.uint64), _STREAM, 1 + seasons)
    buffers = reader.empty()
    for place in np.sort(np.argsort(draws[:, 0], kind="stable")[:_PATCHES]).tolist():
        for season in np.argsort(draws[place, 1:], kind="stable").tolist():
            if reader.read_into(int(rows[place]), season, buffers):
                yield _channels(spec, reader, buffers)
                break


def _channels(
    spec: InputSpec, reader: ShardReader, buffers: dict[str, npt.NDArray[Any]]
) -> list[npt.NDArray[np.float64]]:
    bands = {
        band: buffers[name][i].astype(np.float64)
        for name in buffers
        for i, band in enumerate(reader.bands(name))
    }
    channels = [bands[band][bands[band] > 0] for band in spec.bands]
    if spec.ndvi:
        red, infrared = bands["B04"], bands["B08"]
        there = (red > 0) & (infrared > 0)
        ndvi = (infrared[there] - red[there]) / (infrared[there] + red[there])
        channels.append(np.maximum(ndvi, 0) * NDVI_SCALE)
    return channels
