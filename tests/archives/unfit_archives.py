"""Classes that are no archive, each for one reason; and one of several paths."""

from __future__ import annotations

from own_archive import FolderArchive

from ssl4eco_data.types import LocalPath

NOT_A_CLASS = 3


class WithoutParameters:
    pass


class WithoutRead(FolderArchive):
    read = None


class WithShortSearch(FolderArchive):
    def search(self, area):
        return []


class WithoutArguments(FolderArchive):
    def __init__(self):
        pass


class OfTiles(FolderArchive):
    class Parameters(FolderArchive.Parameters):
        tiles: tuple[LocalPath, ...] | None = None
