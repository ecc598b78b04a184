"""The official archive over HTTPS, with pooch."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar

import pooch
import requests

from ssl4eco_data.archives.retry import is_transient_status
from ssl4eco_data.errors import ArchiveError, ConfigError
from ssl4eco_data.layers.progress import Progress, Unit
from ssl4eco_data.layers.resolve import NAME, WAYS_OUT

OFFICIAL_URL = f"https://storage.googleapis.com/teow2016/{NAME}.zip"
_CHUNK_BYTES = 2**18
_SILENCE_S = 60.0
"""A server that says nothing for so long is given up."""


@dataclass(frozen=True, slots=True)
class Download:
    """The zipped shapefile as its publisher keeps it, or a copy of it elsewhere."""

    url: str = OFFICIAL_URL

    file_name: ClassVar[str] = f"{NAME}.zip"
    unit: ClassVar[Unit] = "bytes"

    def __post_init__(self) -> None:
        if not self.url.startswith(("https://", "http://")):
            raise ConfigError(f"--url must start with https:// or http://, got {self.url}")

    def bring(self, path: Path, progress: Progress) -> None:
        """Write the archive to ``path``; raises ArchiveError with the cause and the ways out."""
        download = pooch.HTTPDownloader(progressbar=progress, chunk_size=_CHUNK_BYTES, timeout=_SILENCE_S)
        try:
            download(self.url, path, None)
        except requests.RequestException as error:
            status = None if error.response is None else error.response.status_code
            transient = status is None or is_transient_status(status)
            again = "try again later, or " if status is not None and transient else ""
            raise ArchiveError(
                f"cannot fetch {self.url}: {_cause(error)}; {again}{WAYS_OUT}", transient=transient
            ) from None


def _cause(error: requests.RequestException) -> str:
    """In a few words: the HTTP status, or what broke below requests and urllib3."""
    if error.response is not None:
        status = error.response.status_code
        known = status in HTTPStatus.__members__.values()
        return f"HTTP {status}" + (f" {HTTPStatus(status).phrase}" if known else "")
    if isinstance(error, requests.Timeout):
        return f"no answer within {_SILENCE_S:g} s"
    innermost: BaseException = error
    while (below := innermost.__cause__ or innermost.__context__) is not None:
        innermost = below
    return f"{type(error).__name__}: {innermost}"
