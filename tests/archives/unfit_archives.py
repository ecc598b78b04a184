"""Classes that are no archive, each for one reason."""

from __future__ import annotations

from own_archive import FolderArchive

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
