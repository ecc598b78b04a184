"""Which block of which stage is done: one JSON file per block, written last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath

from pydantic import TypeAdapter, ValidationError

from ssl4eco_data.store.files import FileRecord, remove, write_atomic
from ssl4eco_data.store.objects import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One block of one stage is done: what it depended on, the files it left, and counts for people."""

    stage: str
    block: int
    fingerprint: str
    files: tuple[FileRecord, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


_MARK = TypeAdapter(Mark)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The marks of the dataset in folder ``root``, at ``ledger/STAGE/NNNNN.json``.

    A mark that cannot be read counts as absent, silently: its block is done again, which is always safe.
    """

    root: Place

    def write(self, mark: Mark) -> None:
        """Mark a block as done; all its files must be on the disk before."""
        text = json.dumps(asdict(mark), indent=1, sort_keys=True, ensure_ascii=False)
        write_atomic(self._path(mark.stage, mark.block), text.encode() + b"\n")

    def read(self, stage: str, block: int) -> Mark | None:
        """The mark of a block, ``None`` when there is none that can be read."""
        try:
            mark = _MARK.validate_json(self._path(stage, block).read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            return None
        whole = (mark.stage, mark.block) == (stage, block) and all(_is_below(f.path) for f in mark.files)
        return mark if whole else None

    def is_done(self, stage: str, block: int, fingerprint: str) -> bool:
        """Whether the block is marked with this fingerprint and its files have the recorded sizes."""
        mark = self.read(stage, block)
        return mark is not None and mark.fingerprint == fingerprint and all(map(self._has_size, mark.files))

    def remove(self, stage: str, block: int) -> None:
        """Forget a block, so that it is done again; its files stay until then."""
        remove(self._path(stage, block))

    def stages(self) -> list[str]:
        """The names of the stages with a mark, sorted."""
        return sorted(p.name for p in (self.root / "ledger").glob("*") if p.is_dir())

    def blocks(self, stage: str) -> list[int]:
        """The numbers of a stage's blocks that have a mark, also one that cannot be read."""
        return sorted(
            int(p.stem) for p in (self.root / "ledger" / stage).glob("*.json") if p.stem.isdecimal()
        )

    def _path(self, stage: str, block: int) -> Place:
        return self.root / "ledger" / stage / f"{block:05d}.json"

    def _has_size(self, record: FileRecord) -> bool:
        try:
            return (self.root / record.path).stat().st_size == record.bytes
        except OSError:
            return False


def _is_below(path: str) -> bool:
    """Whether a path stays inside the dataset: a damaged mark must not name the files of others."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path
