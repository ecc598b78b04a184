"""A writer of small datasets that may be killed at any moment and goes on where it was."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tests.store.small_dataset import (
    PER_SHARD,
    SEASONS,
    Small,
    phenology,
    random_pixels,
    small_layout,
    tables,
    write_small_block,
)

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import (
    Ledger,
    Mark,
    clean_temporary,
    create,
    file_record,
    write_coordinates,
    write_table,
)
from ssl4eco_data.store.codec import ChunkCodec
from ssl4eco_data.store.transcode import transcode

LOCATIONS = 8
BLOCKS = LOCATIONS // PER_SHARD


def content(root: Path, seed: int) -> Small:
    """What a writer with this seed writes; every location and season of the first block is there."""
    layout = small_layout(LOCATIONS)
    present = np.random.default_rng(seed).random((LOCATIONS, len(SEASONS))) < 0.7
    present[:PER_SHARD] = True
    present[-1, 0] = False
    ids = tuple(f"L{i}" for i in range(LOCATIONS))
    return Small(
        root=root, layout=layout, ids=ids, pixels=random_pixels(layout, LOCATIONS, seed), present=present
    )


def write_on(root: Path, seed: int) -> None:
    """Do what is not done yet, as the pipeline does: the old mark goes first, the new one comes last."""
    small, ledger = content(root, seed), Ledger(root)
    clean_temporary(root)
    located, choices = tables(small, biomes=["Mangroves"] * LOCATIONS)
    if not ledger.is_done("layout", 0, "f"):
        write_table(root / "locations.parquet", located)
        _mark(root, "layout", "f", create(root / "patches.zarr", small.layout))
    for block in range(BLOCKS):
        if not ledger.is_done("patches", block, str(seed)):
            ledger.remove("patches", block)
            rows = slice(block * PER_SHARD, (block + 1) * PER_SHARD)
            write_small_block(small, block, rows, choices, fingerprint=str(seed))
    if not ledger.is_done("close", 0, str(seed)):
        ledger.remove("close", 0)
        files = write_coordinates(
            root / "patches.zarr",
            small.layout,
            locations=located,
            phenology=phenology(small),
            choices=choices,
        )
        _mark(root, "close", str(seed), files)


def _mark(root: Path, stage: str, fingerprint: str, files: Sequence[Path]) -> None:
    records = tuple(file_record(root, path) for path in files)
    Ledger(root).write(Mark(stage=stage, block=0, fingerprint=fingerprint, files=records))


def write_with_limit(root: Path, seed: int, file_bytes: int) -> None:
    """The same where no file may be larger; ends with 3 where the store says that it cannot write."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    try:
        write_on(root, seed)
    except StoreError as error:
        os._exit(3 if "cannot write" in str(error) else 4)


def copy_on(source: Path, target: Path) -> None:
    """Copy to another codec what is not copied yet."""
    transcode(source, target, ChunkCodec(compression="lz4", level=5))
