"""Which rule cuts a typical year into seasons: ours, the calendar's, or a function of the user's own."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Protocol

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.imports import is_import_path, load_named
from ssl4eco_data.phenology.windows import Windows
from ssl4eco_data.types import SEASONS, YEAR_DAYS

PHENOLOGICAL, CALENDAR = "phenological", "calendar"
ROUNDING_DAYS = 1e-6
"""Sums of days may be off by so much."""
_MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a rule that was not made for these dates raises."""
_KEY, _EXAMPLE = "phenology.date_rule", "my_rules:late_spring"


class DateRule(Protocol):
    """Start and end of each season of a location's typical year; a season left out has no window.

    ``days`` are the seven dates of the dominant cycle by metric (``greenup`` ... ``dormancy``), in days since
    1 January 00:00 of the peak's year (greenup may be negative, dormancy over 365); ``second`` those of the
    smaller cycle, None where there is one cycle a year. The answer counts likewise: seasons in the order of
    the year (spring, summer, autumn, winter), none beginning before the one before it ends, all of them
    within 365.2425 days. The same dates must give the same answer.
    """

    def __call__(
        self, days: Mapping[str, float], second: Mapping[str, float] | None, /
    ) -> Mapping[str, tuple[float, float]]: ...


def checked_name(value: str) -> str:
    """``value``, where it names a rule; ValueError with the way out where it does not."""
    if value in (PHENOLOGICAL, CALENDAR):
        return value
    if is_import_path(value):
        try:
            load_date_rule(value)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return value
    near = difflib.get_close_matches(value, (PHENOLOGICAL, CALENDAR), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"must be {PHENOLOGICAL!r}, {CALENDAR!r} or a function of your own such as {_EXAMPLE!r}, "
        f"got {value!r}{hint}"
    )


def load_date_rule(path: str) -> DateRule:
    """The function at an import path; :class:`~ssl4eco_data.errors.ConfigError` where there is none."""
    rule = load_named(path, _KEY, _EXAMPLE)
    if not callable(rule):
        raise ConfigError(f"{_KEY} = {path!r} must name a function, got {type(rule).__name__}")
    return rule  # type: ignore[no-any-return]


def windows_by(path: str, days: Mapping[str, float], second: Mapping[str, float] | None) -> Windows:
    """What the rule at an import path answers for a typical year, after a look at it.

    Raises :class:`~ssl4eco_data.errors.ConfigError` that names the rule, what is wrong and the dates.
    """
    rule = load_date_rule(path)
    try:
        windows = _read(rule(days, second))
        _check(windows)
    except _MISTAKES as error:
        words = str(error) if type(error) is _UnfitError else f"{type(error).__name__}: {error}"
        dates = ", ".join(f"{name} {day:.1f}" for name, day in days.items())
        raise ConfigError(
            f"{_KEY} = {path!r}: {words}; for {dates}, and {'a' if second else 'no'} second cycle"
        ) from error
    return windows


class _UnfitError(ValueError):
    """An answer that cannot be used; the message says why."""


def _read(answer: Any) -> Windows:
    """The answer as seasons in their order, start and end as floats."""
    if not isinstance(answer, Mapping):
        raise _UnfitError(
            f"the answer must be a mapping of season to (start, end), got {type(answer).__name__}"
        )
    if unknown := [name for name in answer if name not in SEASONS]:
        raise _UnfitError(f"seasons must be among {', '.join(SEASONS)}, got {unknown[0]!r}")
    windows: Windows = {}
    for season in (name for name in SEASONS if name in answer):
        try:
            start, end = map(float, answer[season])
        except (TypeError, ValueError):
            raise _UnfitError(f"{season} must be (start, end) in days, got {answer[season]!r}") from None
        windows[season] = (start, end)
    return windows


def _check(windows: Windows) -> None:
    """Every season has a day, they follow each other, and all lie within a year near that of the peak."""
    for season, (start, end) in windows.items():
        if not (math.isfinite(start) and math.isfinite(end)):
            raise _UnfitError(
                f"{season} must have finite days, got {start:g} to {end:g}; leave it out instead"
            )
        if end - start < 1 - ROUNDING_DAYS:
            raise _UnfitError(f"{season} must last a day at least, got {start:g} to {end:g}")
        if not (start > -YEAR_DAYS and end < 2 * YEAR_DAYS):
            raise _UnfitError(
                f"{season} must lie within a year before and after the peak's, got {start:g} to {end:g} "
                "(days since 1 January of that year)"
            )
    spans = list(windows.items())
    for (season, (_, end)), (after, (start, _)) in pairwise(spans):
        if start < end - ROUNDING_DAYS:
            raise _UnfitError(f"{after} must not begin before {season} ends, got {start:g} and {end:g}")
    if spans and spans[-1][1][1] - spans[0][1][0] > YEAR_DAYS + ROUNDING_DAYS:
        raise _UnfitError(
            f"all seasons must lie within {YEAR_DAYS} days, got {spans[0][1][0]:g} to {spans[-1][1][1]:g}"
        )
