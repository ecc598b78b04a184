"""How the blocks of a run ended, and the record of it beside the data."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import Any

from ssl4eco_data.archives.flow_control import add_traffic
from ssl4eco_data.archives.window import Traffic
from ssl4eco_data.pipeline.stage import Stage, Work
from ssl4eco_data.store import Mark, write_atomic
from ssl4eco_data.store.objects import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one block ended: its mark, or the error that is left after all retries.

    ``traffic`` is what another process counted, by server; this process's own is taken by :func:`build`.
    """

    work: Work
    mark: Mark | None = None
    error: str = ""
    traffic: Mapping[str, Traffic] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """What happened in one run, written to ``runs/``.

    ``working`` is the stage at work: its name, since when, and how many blocks it had to do.
    """

    started: datetime
    stages: list[dict[str, Any]] = field(default_factory=list)
    working: dict[str, Any] | None = None

    def begin(self, stage: Stage, blocks: int, since: datetime) -> None:
        """Note that so many blocks of a stage are to be done from now on."""
        self.working = {"stage": stage.name, "since": since.isoformat(), "blocks": blocks}

    def add(
        self, stage: Stage, results: Sequence[Result], seconds: float, here: Mapping[str, Traffic]
    ) -> None:
        """Note one stage's results; ``here`` is the traffic of this process."""
        self.working = None
        traffic = add_traffic([here, *(r.traffic for r in results)])
        self.stages.append(
            {
                "stage": stage.name,
                "blocks": len(results),
                "seconds": round(seconds, 3),
                "counts": add_counts([r.mark for r in results if r.mark]),
                "traffic": {server: asdict(counted) for server, counted in traffic.items()},
                "failures": [{"block": r.work.block, "error": r.error} for r in results if r.error],
            }
        )

    def write(self, root: Place, finished: datetime) -> Place:
        """Write the record beside the data and return its path."""
        path = root / "runs" / f"{self.started:%Y%m%dT%H%M%S%fZ}.json"
        record = {
            "started": self.started.isoformat(),
            "finished": finished.isoformat(),
            "seconds": round((finished - self.started).total_seconds(), 3),
            "ssl4eco_data": version("ssl4eco-data"),
            "python": platform.python_version(),
            "stages": self.stages,
            "working": self.working,
        }
        write_atomic(path, json.dumps(record, indent=1).encode())
        return path


def add_counts(marks: Sequence[Mark]) -> dict[str, int]:
    """Counts of several blocks added up."""
    total: dict[str, int] = {}
    for mark in marks:
        for name, count in mark.counts.items():
            total[name] = total.get(name, 0) + count
    return total
