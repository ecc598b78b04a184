"""A broken file is recorded and passed over; an archive that delivers nothing is not."""

from __future__ import annotations

from collections.abc import Sequence

from ssl4eco_data.errors import ArchiveError

FEWEST = 4


def refuse_outage(failures: Sequence[str], what: str) -> None:
    """Raise ArchiveError when nothing at all could be read: that is an outage, not so many broken files.

    ``failures`` has a cause, or nothing, for everything that was tried; fewer than four tell nothing.
    """
    if len(failures) >= FEWEST and all(failures):
        raise ArchiveError(
            f"none of the {len(failures)} {what} could be read; the first: {failures[0]}; "
            "when the archive delivers again, run the same command",
            transient=False,
        )
