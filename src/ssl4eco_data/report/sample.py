"""The sample in numbers: locations by split, what each stratum got, sampling weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ssl4eco_data.report.dataset import Dataset
from ssl4eco_data.report.maps import SPLITS
from ssl4eco_data.report.origin import PLURALS

FIRST_STRATA = 20
MAX_STRATA = 2000
UNNAMED = {"": "not labelled", "none": "outside every polygon"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """Cells (or points) of one stratum: how many there are, were asked for, and were taken."""

    name: str
    available: int
    asked: int
    got: int
    total: int

    @property
    def lacking(self) -> int:
        """Cells that were asked for and not there."""
        return max(self.asked - self.got, 0)

    @property
    def taken(self) -> str:
        """Got of available."""
        return _share(self.got, self.available)

    @property
    def share(self) -> str:
        """Got of the whole sample, ``total``."""
        return _share(self.got, self.total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strata:
    """The table: the largest strata, those behind a fold, the number left out, and all together."""

    kind: str
    first: tuple[Stratum, ...]
    more: tuple[Stratum, ...]
    unlisted: int
    everything: Stratum
    says: tuple[str, ...]


def split_counts(splits: pd.Series[str]) -> list[tuple[str, int]]:
    """(split, locations), the usual splits first; nothing where the table has no splits."""
    counts = splits.value_counts()
    names = [s for s in SPLITS if s in counts] + sorted(s for s in counts.index if s not in (*SPLITS, ""))
    return [(name, int(counts[name])) for name in names]


def strata(data: Dataset) -> Strata | None:
    """The table of strata, the largest first, equal ones by name; ``None`` when there is none."""
    if not len(data.strata):
        return None
    by = data.config.get("locations", {}).get("allocation", {}).get("by")
    ranked = data.strata.sort_values(["available", "stratum"], ascending=[False, True], kind="stable")
    total = int(ranked["got"].sum())
    rows = [
        Stratum(
            name=UNNAMED.get(str(name), str(name)), available=available, asked=asked, got=got, total=total
        )
        for name, available, asked, got in zip(
            *(ranked[c].tolist() for c in ("stratum", "available", "asked", "got")), strict=True
        )
    ]
    return Strata(
        kind=PLURALS.get(str(by), "strata"),
        first=tuple(rows[:FIRST_STRATA]),
        more=tuple(rows[FIRST_STRATA:MAX_STRATA]),
        unlisted=max(len(rows) - MAX_STRATA, 0),
        everything=_together(rows),
        says=_says(rows),
    )


def weights(data: Dataset) -> str:
    """What the sampling weights are, in a few sentences; empty when there are none."""
    if not len(data.weights):
        return ""
    weight, rules = data.weights["weight"], data.config.get("weights", {})
    ends = sorted({f"{end:.3g}" for end in weight[weight > 0].agg(["min", "max"]).dropna()}, key=float)
    kinds = [
        (int(data.weights["non_vegetated"].sum()), "non-vegetated", rules.get("non_vegetated_factor")),
        (int(data.weights["mountain"].sum()), "in mountains", rules.get("mountain_factor")),
    ]
    said = [
        f"{count:,} {what}{'' if factor is None else f' (weight times {factor:g})'}"
        for count, what, factor in kinds
    ]
    if zero := int((weight == 0).sum()):
        said.append(f"{zero:,} of weight 0, as a rule for want of any patch")
    span = f" ({' to '.join(ends)})" if ends else ""
    return (
        f"weights.parquet holds a sampling weight for each of {len(weight):,} locations{span}; training "
        f"draws them in proportion to it. Locations: {', '.join(said)}."
    )


def _together(rows: Sequence[Stratum]) -> Stratum:
    available, asked, got = (sum(getattr(r, name) for r in rows) for name in ("available", "asked", "got"))
    return Stratum(name=f"all {len(rows):,}", available=available, asked=asked, got=got, total=got)


def _says(rows: Sequence[Stratum]) -> tuple[str, ...]:
    """What the reader should not have to look for in the table."""
    short = [r for r in rows if r.lacking]
    left_out = sum(r.got == 0 for r in rows)
    said = []
    if short:
        got, asked = sum(r.got for r in short), sum(r.asked for r in short)
        have = "stratum has" if len(short) == 1 else "strata have"
        said.append(f"{len(short):,} {have} fewer cells than asked: {got:,} instead of {asked:,}.")
    if left_out:
        said.append(f"{left_out:,} {'stratum' if left_out == 1 else 'strata'} got no location.")
    return tuple(said)


def _share(part: int, whole: int) -> str:
    """A percentage that is 0 or 100 only when exactly so."""
    if not whole:
        return "\N{EN DASH}"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    shown = f"{percent:.1f}" if percent < 10 else f"{percent:.0f}"
    return f"{'> 99' if shown == '100' and part < whole else shown.removesuffix('.0')} %"
