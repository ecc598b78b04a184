"""What each stage took the last time it had work, and how fast it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl4eco_data.report.dataset import Dataset
from ssl4eco_data.store import Ledger

UNITS: Mapping[str, str] = {
    "locations": "locations",
    "phenology": "locations",
    "scenes": "candidates",
    "patches": "patches",
    "catalogue": "items",
}
"""What a stage gets through, a name in its counts; other stages are measured in blocks."""
REST = "report"
"""The page's own stage, which is not over when the page is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """One stage in one run. ``total_blocks`` is how many of its blocks are done by now, in any run."""

    name: str
    started: str
    blocks: int
    total_blocks: int
    seconds: float
    counts: Mapping[str, int]
    failures: int

    @property
    def throughput(self) -> str:
        """Units per second or per minute, e.g. ``64.2 candidates/s``; empty where nothing was done."""
        unit = UNITS.get(self.name, "blocks")
        done = self.counts.get(unit, self.blocks - self.failures if unit == "blocks" else 0)
        if not done or not self.seconds:
            return ""
        rate = done / self.seconds
        return f"{_three_digits(rate)} {unit}/s" if rate >= 1 else f"{_three_digits(60 * rate)} {unit}/min"


def stage_times(data: Dataset) -> list[StageTime]:
    """Each stage in the last run that gave it work, in the order of the first run."""
    ledger, last = Ledger(data.root), {}
    for run in data.runs:
        for stage in run_stages(run):
            last[str(stage["stage"])] = {**stage, "started": str(run.get("started", ""))}
    return [
        StageTime(
            name=name,
            started=stage["started"],
            blocks=int(stage["blocks"]),
            total_blocks=len(ledger.blocks(name)),
            seconds=float(stage["seconds"]),
            counts=stage.get("counts", {}),
            failures=len(stage.get("failures", ())),
        )
        for name, stage in last.items()
    ]


def run_stages(run: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The stages of a run that had work, without the page's own."""
    return [s for s in run.get("stages", ()) if s["blocks"] and s["stage"] != REST]


def _three_digits(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
