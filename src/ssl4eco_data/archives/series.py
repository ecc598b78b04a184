"""The data set that ``vegetation_series`` returns, from each location's observations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr

from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.phenology.readers.mod13 import Observations
from ssl4eco_data.types import BoolArray, Location

Answer = TypeVar("Answer")
EPOCH = np.datetime64("1970-01-01")


@dataclass(slots=True, eq=False)
class Cube:
    """Observations around one location, ``(time, y, x)``; filled in by the reader that made it empty.

    ``value`` is NaN and ``weight`` 0 where there is no observation; ``inside`` is ``(y, x)``.
    """

    value: npt.NDArray[np.float32]
    day: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float32]
    snow: BoolArray
    inside: BoolArray

    @classmethod
    def empty(cls, times: int, inside: BoolArray) -> Cube:
        """A cube without any observation."""
        shape = (times, *inside.shape)
        return cls(
            value=np.full(shape, np.nan, np.float32),
            day=np.full(shape, np.nan),
            weight=np.zeros(shape, np.float32),
            snow=np.zeros(shape, np.bool_),
            inside=inside,
        )

    def put(self, number: int, seen: Observations) -> None:
        """Take one time's observations of one file, ``(y, x)``; what it does not see may be in another's."""
        at = seen.weight > 0
        self.value[number][at], self.day[number][at] = seen.value[at], seen.day[at]
        self.weight[number][at], self.snow[number][at] = seen.weight[at], seen.snow[at]


def first_day(begin: datetime) -> np.datetime64:
    """The day of a composite's first moment, which is in UTC."""
    return np.datetime64(begin.date(), "D")


def or_failure(read: Callable[[], Answer]) -> Answer | ArchiveError:
    """What ``read`` returns, or its permanent failure; a transient one is raised."""
    try:
        return read()
    except ArchiveError as error:
        if error.transient:
            raise
        return error


def dataset_of(
    locations: Sequence[Location],
    times: Sequence[datetime],
    cubes: Sequence[Cube],
    index: str,
    failures: Sequence[str] = (),
) -> xr.Dataset:
    """The cubes padded to the largest window, as the protocol describes ``vegetation_series``."""
    height = max((cube.inside.shape[0] for cube in cubes), default=0)
    width = max((cube.inside.shape[1] for cube in cubes), default=0)
    dims = ("location", "time", "y", "x")

    def padded(name: str, fill: float) -> npt.NDArray[Any]:
        arrays = [getattr(cube, name) for cube in cubes]
        dtype = getattr(Cube.empty(0, np.zeros((0, 0), np.bool_)), name).dtype
        lead = () if name == "inside" else (len(times),)
        stack = np.full((len(cubes), *lead, height, width), fill, dtype)
        for i, array in enumerate(arrays):
            stack[i, ..., : array.shape[-2], : array.shape[-1]] = array
        return stack

    return xr.Dataset(
        {
            "value": (dims, padded("value", np.nan)),
            "day": (dims, padded("day", np.nan)),
            "weight": (dims, padded("weight", 0)),
            "snow": (dims, padded("snow", 0)),
            "inside": (("location", "y", "x"), padded("inside", 0)),
        },
        coords={
            "location": [location.location_id for location in locations],
            "time": np.array([t.replace(tzinfo=None) for t in times], "datetime64[ns]"),
        },
        attrs={"index": index, "unreadable": sorted(set(failures))},
    )
