"""What all blocks of a dataset share and a check needs: read once, then only looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.check_shards import CHOICES
from ssl4eco_data.store.files import parts_in, relative_to
from ssl4eco_data.store.objects import ObjectPath, Place
from ssl4eco_data.store.schema import GROUP, PATCHES
from ssl4eco_data.store.shard_array import ShardArray, arrays_in, read_shard_array
from ssl4eco_data.store.tables import read_column


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Location ids, arrays of patches, locations of a block, and on an object store the sizes of all objects.

    ``unreadable`` says why patches cannot be compared with their choices; empty when they can.
    ``block_locations`` is 0 where no block's table tells.
    """

    root: Place
    ids: tuple[str, ...] = ()
    arrays: tuple[ShardArray, ...] = ()
    block_locations: int = 0
    sizes: Mapping[str, int] | None = None
    unreadable: str = ""

    @classmethod
    def read(cls, root: Place, *, listed: bool = True) -> Contents:
        """The contents of a dataset; on an object store the sizes of all objects come from one listing.

        Unless ``listed``: for one block of many, of which each would list them all.
        """
        sizes = None
        if listed and isinstance(root, ObjectPath):
            sizes = {relative_to(path, root): n for path, n in root.sizes()}
        try:
            ids = tuple(map(str, read_column(root / "locations.parquet", "location_id")))
            arrays = _arrays(root, len(ids))
        except (OSError, StoreError) as error:
            return cls(root=root, sizes=sizes, unreadable=str(error))
        return cls(
            root=root,
            ids=ids,
            arrays=arrays,
            block_locations=_block_locations(root, ids),
            sizes=sizes,
        )

    def size(self, name: str) -> int | None:
        """Bytes of a file, ``None`` where there is none."""
        if self.sizes is not None:
            return self.sizes.get(name)
        path = self.root / name
        try:
            return path.stat().st_size if path.is_file() else None
        except OSError:
            return None

    def rows(self, array: ShardArray, shard: int) -> tuple[str, ...]:
        """The ids of a shard's locations."""
        return self.ids[shard * array.per_shard : (shard + 1) * array.per_shard]

    def shards(self, block: int, located: Sequence[str]) -> list[tuple[ShardArray, int]]:
        """The shards of a block whose tables name the locations ``located``, by array.

        Raises :class:`StoreError` when these are not the locations of the block's rows.
        """
        if self.unreadable:
            raise StoreError(self.unreadable)
        first = block * self.block_locations
        if not located or set(located) != set(self.ids[first : first + self.block_locations]):
            raise StoreError(f"{CHOICES}/{block:05d}.parquet names other locations than the block's")
        last = first + len(located) - 1
        return [
            (array, shard)
            for array in self.arrays
            for shard in range(first // array.per_shard, last // array.per_shard + 1)
        ]


def _arrays(root: Place, n_locations: int) -> tuple[ShardArray, ...]:
    group = root / PATCHES / GROUP
    arrays = tuple(read_shard_array(group, name) for name in arrays_in(group))
    for array in arrays:
        if array.n_locations != n_locations:
            raise StoreError(
                f"{array.name} has {array.n_locations} locations and locations.parquet {n_locations}"
            )
    return arrays


def _tables(root: Place) -> Iterator[Place]:
    """The tables of choices, the first block's first: no others are listed where that one tells."""
    yield root / CHOICES / "00000.parquet"
    yield from parts_in(root / CHOICES, ".parquet")


def _block_locations(root: Place, ids: Sequence[str]) -> int:
    """Locations in a block, which all blocks but the last share: by the first table that can be read."""
    for path in _tables(root):
        try:
            located = set(read_column(path, "location_id"))
        except (OSError, StoreError):
            continue
        number = int(path.stem) if path.stem.isdecimal() else 0
        if number == 0:
            return len(located)
        first = next((row for row, name in enumerate(ids) if name in located), 0)
        if first and first % number == 0:
            return first // number
    return 0
