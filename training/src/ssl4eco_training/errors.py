"""The errors of this package; each says the value, the place and the way out."""

from __future__ import annotations

import errno

_WAYS_OUT = {
    errno.ENOSPC: "free some space, or choose another place",
    errno.EDQUOT: "your quota is used up: free some space, or choose another place",
    errno.EROFS: "the file system is read-only: choose another place",
    errno.EACCES: "change the permissions, or choose another place",
    errno.EPERM: "change the permissions, or choose another place",
    errno.EEXIST: "something of this name is there: choose another place",
    errno.ENOTDIR: "a part of the path is a file: choose another place",
    errno.EISDIR: "it is a folder: name a file",
}


def told(error: Exception) -> str:
    """An error in one line; one of the file system with its path and the way out."""
    if not isinstance(error, OSError):
        return str(error)
    path = f"{error.filename}: " if error.filename is not None else ""
    way_out = _WAYS_OUT.get(error.errno or 0, "check the path and the disk, then run the command again")
    return f"{path}{error.strerror or error}; {way_out}"


class TrainingError(Exception):
    """A run cannot begin or go on: its message says why, and what to change."""


class RecipeError(TrainingError):
    """A recipe or an override on the command line that cannot be meant."""


class CheckpointError(TrainingError):
    """A checkpoint or exported weights that do not fit, or are damaged."""
