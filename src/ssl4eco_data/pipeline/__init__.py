"""Plain functions that join the pure stages to IO; the only place that sees two stages."""

from ssl4eco_data.pipeline.display import Bar, console
from ssl4eco_data.pipeline.embedded import prepare_archive
from ssl4eco_data.pipeline.run import (
    BuildError,
    Result,
    RunRecord,
    build,
    describe,
    first_pending,
    forget_unreadable,
    is_transient,
    run_in_threads,
    status,
)
from ssl4eco_data.pipeline.stage import Outcome, Stage, Work, execute, pending, plan
from ssl4eco_data.pipeline.stages import STAGES, open_archive, stage_named, write_page
from ssl4eco_data.pipeline.summary import Summary, show_sample, summarise_dataset
from ssl4eco_data.store import Mark

__all__ = [
    "STAGES",
    "Bar",
    "BuildError",
    "Mark",
    "Outcome",
    "Result",
    "RunRecord",
    "Stage",
    "Summary",
    "Work",
    "build",
    "console",
    "describe",
    "execute",
    "first_pending",
    "forget_unreadable",
    "is_transient",
    "open_archive",
    "pending",
    "plan",
    "prepare_archive",
    "run_in_threads",
    "show_sample",
    "stage_named",
    "status",
    "summarise_dataset",
    "write_page",
]
