"""The error tree. A caller's mistake is a ``ValueError``; the outside world raises these.

*No clear scene* is an answer, recorded with its reason, and never an error.
"""

from __future__ import annotations


class Ssl4ecoError(Exception):
    """Base of the project's own errors; the command line prints them without a traceback."""


class ConfigError(Ssl4ecoError):
    """The configuration cannot be used; the message names the key, the value, the file and the way out."""


class ArchiveError(Ssl4ecoError):
    """An archive did not deliver. ``transient`` ones are retried, permanent ones are recorded."""

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient

    def __reduce__(self) -> tuple[object, ...]:
        return _archive_error, (str(self), self.transient)


def _archive_error(message: str, transient: bool) -> ArchiveError:
    return ArchiveError(message, transient=transient)


class StoreError(Ssl4ecoError):
    """The dataset on disk is not what it should be; names the block, the file and the way out."""
