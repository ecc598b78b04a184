"""A progress bar that pooch can drive: it speaks the few words of tqdm that pooch uses."""

from __future__ import annotations

from types import TracebackType
from typing import Literal, Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

Unit = Literal["bytes", "features"]


class Progress(Protocol):
    """What a source tells while it brings a file; ``total`` is 0 when nobody knows it."""

    total: int

    def update(self, n: int) -> None:
        """``n`` more have come."""

    def reset(self) -> None:
        """Count from the start again."""

    def close(self) -> None:
        """Nothing more will come."""


class Bar:
    """A live line on a terminal while a ``with`` block lasts, nothing elsewhere."""

    def __init__(self, title: str, unit: Unit, console: Console) -> None:
        amount: ProgressColumn = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
        self._progress = RichProgress(
            TextColumn(title),
            BarColumn(bar_width=24),
            amount,
            TextColumn("" if unit == "bytes" else unit),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(title, total=None)
        self._total = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @property
    def total(self) -> int:
        """What will come in all, 0 when unknown."""
        return self._total

    @total.setter
    def total(self, total: int) -> None:
        self._total = total
        self._progress.update(self._task, total=total or None)

    def update(self, n: int) -> None:
        """Count what came in."""
        self._progress.advance(self._task, n)

    def reset(self) -> None:
        """Count from the start again."""
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        """Show the last state now."""
        self._progress.refresh()
