"""Times of series: checked, counted, and those of MODIS composites."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

Days = npt.NDArray[np.datetime64]
COMPOSITE_DAYS = 16


def composite_dates(first: date, count: int, step_days: int = COMPOSITE_DAYS) -> Days:
    """First days of ``count`` composites from ``first`` on, datetime64[D]; each year starts on 1 January.

    Source: the production calendar of MOD13 (MOD13 User's Guide, collection 6.1). Raises ``ValueError``
    when ``first`` is no first day of a composite.
    """
    if (first.timetuple().tm_yday - 1) % step_days:
        raise ValueError(
            f"composites of {step_days} days start on 1 January and every {step_days} days; "
            f"none starts on {first}"
        )
    days = [first]
    while len(days) < count:
        following = days[-1] + timedelta(days=step_days)
        new_year = date(days[-1].year + 1, 1, 1)
        days.append(min(following, new_year))
    return np.array(days[:count], "datetime64[D]")


def checked_times(times: npt.ArrayLike, what: str) -> Days:
    """``times`` as datetime64[ns], each later than the one before it.

    Raises ``ValueError`` for what is no date, for a missing one, for order and for repetition: a file's
    bands and its times belong together by their order alone, so nothing is sorted here.
    """
    array = np.asarray(times)
    if not np.issubdtype(array.dtype, np.datetime64):
        raise ValueError(f"the times of {what} must be dates (datetime64), got {array.dtype}")
    if np.isnat(array).any():
        raise ValueError(
            f"the times of {what} must be known, number {int(np.argmax(np.isnat(array)))} is not"
        )
    nanoseconds = array.astype("datetime64[ns]")
    steps = np.diff(nanoseconds).astype(np.int64)
    if (steps <= 0).any():
        i = int(np.argmax(steps <= 0))
        fault = "is there twice" if steps[i] == 0 else f"follows {array[i]}"
        raise ValueError(
            f"the times of {what} must increase and differ: {array[i + 1]} (number {i + 1}) {fault}; "
            "sort them together with the images, and keep one image of each time"
        )
    return nanoseconds
