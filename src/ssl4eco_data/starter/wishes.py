"""What a user asks of a first configuration."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ssl4eco_data.locations import AllocationParameters
from ssl4eco_data.starter.archives import EARTH_ENGINE, named
from ssl4eco_data.starter.paths import as_written


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The options of ``ssl4eco init``; paths are as the user wrote them, from the working folder.

    ``end`` is exclusive. Raises ``ValueError``, naming the option, when the wishes contradict each other.
    """

    to: Path
    start: date
    end: date
    archive: str
    project: str | None = None
    region: str | None = None
    n: int | None = None
    points: str | None = None
    strata: str | None = None
    strata_field: str | None = None

    def __post_init__(self) -> None:
        if self.to.suffix != ".toml":
            raise ValueError(f"--to must name a file that ends in .toml, got {str(self.to)!r}")
        if not self.start < self.end:
            raise ValueError(f"--start must be before --end, got {self.start} and {self.end}")
        if self.points is not None:
            self._check_points()
        if self.strata_field is not None and (self.strata is None or not self.strata_field):
            raise ValueError("--strata-field names a field of the layer --strata FILE: give both")
        self._check_n()
        self._check_archive()

    def _check_points(self) -> None:
        if self.region is not None:
            raise ValueError("--region is for a grid and --points takes all points: give one of the two")
        if self.n is not None:
            raise ValueError("--n is for a grid and --points takes all points: leave --n out")

    def _check_n(self) -> None:
        try:
            AllocationParameters(rule="proportional" if self.n is not None else "all", n=self.n)
        except ValidationError as error:
            raise ValueError(f"--n = {self.n}: {error.errors()[0]['msg']}") from None

    def _check_archive(self) -> None:
        named(self.archive)
        if self.archive == EARTH_ENGINE and not self.project:
            raise ValueError(
                f"--archive {EARTH_ENGINE} needs --project, the Cloud project that its requests are billed to"
            )
        if self.archive != EARTH_ENGINE and self.project is not None:
            raise ValueError(f"--project is for --archive {EARTH_ENGINE}, not for {self.archive!r}")

    @property
    def archive_values(self) -> dict[str, Any]:
        """The table ``[archive]``."""
        known = named(self.archive)
        if known is None:
            return {"kind": "stac", "imagery": as_written(self.archive, self.to)}
        return dict(known) | ({"project": self.project} if self.project else {})
