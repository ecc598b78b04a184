"""``ssl4eco transcode``: a copy of a dataset packed by another codec."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ssl4eco_data.cli.common import PASS_ON, DatasetPath, app, out, readable


class Compression(StrEnum):
    """What chunks can be packed by."""

    lz4 = "lz4"
    zstd = "zstd"


_LEVELS = {Compression.lz4: 5, Compression.zstd: 3}


@app.command(rich_help_panel=PASS_ON)
def transcode(
    dataset: DatasetPath,
    to: Annotated[
        str, typer.Argument(metavar="TO", help="folder or address of the copy; new, or unfinished")
    ],
    compression: Annotated[
        Compression, typer.Option(help="lz4 is read twice as fast, zstd is smaller")
    ] = Compression.lz4,
    level: Annotated[
        int | None,
        typer.Option(min=1, max=9, help="effort of the compression (default: 5 for lz4, 3 for zstd)"),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="chunks packed at a time")] = 2,
) -> None:
    """Copy a dataset with chunks packed by another codec.

    The pixels stay the same. For local disks while training, for instance. The same command continues a copy
    that was interrupted. A copy is for reading: build and repair the original.
    Example: ssl4eco transcode data/alps /scratch/alps-lz4
    """
    with readable():
        from ssl4eco_data.store import bytes_below, place_of
        from ssl4eco_data.store.codec import ChunkCodec
        from ssl4eco_data.store.transcode import transcode as copy

        source, target = place_of(dataset), place_of(to)
        codec = ChunkCodec(compression=compression.value, level=level or _LEVELS[compression])
        columns = (TextColumn("transcode"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, transient=True) as progress:
            task = progress.add_task("transcode", total=None)

            def advance(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            blocks = copy(source, target, codec, threads=threads, advance=advance)
        size = bytes_below(target) / max(1, bytes_below(source))
        done = f"{blocks} blocks copied" if blocks else "the copy was there already"
        out.print(f"{done}; {target} has {size:.2f} times the bytes of {source}", markup=False)
