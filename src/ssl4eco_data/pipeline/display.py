"""What a person sees while a build runs, and at its end."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

console = Console(highlight=False, soft_wrap=True)


class Bar:
    """One line per stage: a live bar on a terminal, one summary line elsewhere."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self._progress = Progress(
            TextColumn(f"{title:<12}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn(f"{unit} {{task.fields[rate]}}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
        )
        self._failed = 0
        self._task = self._progress.add_task(title, total=total, rate="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def advance(self, steps: int = 1, *, failed: bool = False) -> None:
        """Count what came in; what failed is counted apart."""
        self._failed += failed
        self._progress.advance(self._task, 0 if failed else steps)
        task = self._progress.tasks[0]
        if task.elapsed:
            rate = f"{task.completed / task.elapsed:.1f}/s"
            self._progress.update(self._task, rate=f"{rate}, {self._failed} failed" if self._failed else rate)

    def set(self, done: int, total: int) -> None:
        """Show an absolute count, for work that counts itself."""
        self._progress.update(self._task, total=total)
        self.advance(done - int(self._progress.tasks[0].completed))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def two_columns(title: str, rows: list[tuple[str, str]]) -> Table:
    """A small table of facts."""
    table = Table(title=title, show_header=False, title_justify="left", box=None, pad_edge=False)
    for name, value in rows:
        table.add_row(name, value)
    return table
