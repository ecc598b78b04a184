"""What is known of the fetched files of a folder: one JSON file beside them, keyed by file name."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssl4eco_data.errors import StoreError
from ssl4eco_data.layers.resolve import NAME
from ssl4eco_data.store import write_atomic

RECORD_FILE = f"{NAME}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecord:
    """A file as it was at first use.

    ``url`` is where it came from, empty for a file that was found in the folder; ``date_utc`` is ISO 8601.
    """

    url: str
    sha256: str
    bytes: int
    date_utc: str
    features: int


def read_record(folder: Path, file_name: str) -> LayerRecord | None:
    """The record of a file of this folder, None when there is none.

    Raises :class:`~ssl4eco_data.errors.StoreError` when the file of records is damaged.
    """
    entry = _entries(folder).get(file_name)
    try:
        return None if entry is None else LayerRecord(**entry)
    except TypeError as error:
        raise _damaged(folder, error) from None


def write_record(folder: Path, file_name: str, record: LayerRecord) -> None:
    """Add or replace one file's record; those of other files stay."""
    entries = _entries(folder) | {file_name: asdict(record)}
    text = json.dumps(entries, indent=2, sort_keys=True) + "\n"
    write_atomic(folder / RECORD_FILE, text.encode())


def _entries(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise _damaged(folder, error) from None
    if not isinstance(found, dict):
        raise _damaged(folder, TypeError(f"got {type(found).__name__}, not an object"))
    return found


def _damaged(folder: Path, error: Exception) -> StoreError:
    return StoreError(
        f"cannot read the record {folder / RECORD_FILE}: {error}; remove it to record the files anew"
    )
