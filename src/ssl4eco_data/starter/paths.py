"""How a path is written into a configuration, so that the configuration can be moved with its files."""

from __future__ import annotations

import os
from pathlib import Path


def as_written(path: str, configuration: Path) -> str:
    """``path`` as ``configuration`` should name it: relative where it lies below or beside it, else absolute.

    Beside is in the folder above, unless that is the root of the disk. An address (``https://...``) stays.
    """
    if "://" in path:
        return path
    relative = _below(Path(path), configuration) or _beside(Path(path), configuration)
    if relative is None or relative.startswith("~"):  # a leading ~ would be read as a home folder
        return str(Path(path).resolve())
    return relative


def _below(path: Path, configuration: Path) -> str | None:
    """By name: links below the folder are kept as the user wrote them."""
    target, folder = (Path(os.path.normpath(p.absolute())) for p in (path, configuration.parent))
    return target.relative_to(folder).as_posix() if target.is_relative_to(folder) else None


def _beside(path: Path, configuration: Path) -> str | None:
    """By place: above a linked folder a name would lead elsewhere, so links are followed."""
    target, folder = path.resolve(), configuration.parent.resolve()
    above = folder.parent
    if above == above.parent or not target.is_relative_to(above):
        return None
    return Path(os.path.relpath(target, folder)).as_posix()
