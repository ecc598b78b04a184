"""The error tree. A caller's mistake is a ``ValueError``; the outside world raises these.

*No clear scene* is an answer, recorded with its reason, and never an error.
"""

from __future__ import annotations

from ssl4eco_data.redaction import redacted

_THROTTLED = (429, 503)


class Ssl4ecoError(Exception):
    """Base of the project's own errors; the command line prints them without a traceback.

    Messages are kept without keys, passwords, tokens and signatures, whoever wrote them.
    """

    def __init__(self, message: str) -> None:
        super().__init__(redacted(message))


class ConfigError(Ssl4ecoError):
    """The configuration cannot be used; the message names the key, the value, the file and the way out."""


class ArchiveError(Ssl4ecoError):
    """An archive did not deliver. ``transient`` ones are retried, permanent ones are recorded.

    ``status`` is that of HTTP where there was one; ``retry_after_s`` is the pause that the server asked for.
    """

    def __init__(
        self, message: str, *, transient: bool, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.transient = transient
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def throttled(self) -> bool:
        """Whether the server said that it is asked too much."""
        return self.transient and (self.status in _THROTTLED or self.retry_after_s is not None)

    def __reduce__(self) -> tuple[object, ...]:
        return _archive_error, (str(self), self.transient, self.status, self.retry_after_s)


def _archive_error(
    message: str, transient: bool, status: int | None, retry_after_s: float | None
) -> ArchiveError:
    return ArchiveError(message, transient=transient, status=status, retry_after_s=retry_after_s)


class StoreError(Ssl4ecoError):
    """The dataset on disk is not what it should be; names the block, the file and the way out."""


class MissingPackageError(Ssl4ecoError, ImportError):
    """Something needs a package that a light installation leaves out; the message names the extra."""


class PausedError(Ssl4ecoError):
    """A run stopped where it was told to; nothing failed, and the same command goes on."""
