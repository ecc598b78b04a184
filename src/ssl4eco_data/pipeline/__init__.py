"""Plain functions that join the pure stages to IO; the only place that sees two stages."""

from ssl4eco_data.pipeline.archive import open_archive
from ssl4eco_data.pipeline.attempts import BuildError, describe, is_transient, run_in_threads
from ssl4eco_data.pipeline.closing import write_page
from ssl4eco_data.pipeline.display import Bar, console
from ssl4eco_data.pipeline.embedded import prepare_archive, require_archive
from ssl4eco_data.pipeline.field_dates import parse_names, read_field_dates
from ssl4eco_data.pipeline.point import PointPhenology, describe_point, parse_lonlat, point_phenology
from ssl4eco_data.pipeline.record import Result, RunRecord
from ssl4eco_data.pipeline.repair import Repair, repair, repair_versions
from ssl4eco_data.pipeline.run import build, first_pending, forget_unreadable, status
from ssl4eco_data.pipeline.stage import Outcome, Stage, Work, execute, pending, plan
from ssl4eco_data.pipeline.stages import STAGES, stage_named
from ssl4eco_data.pipeline.summary import Summary, show_sample, summarise_dataset
from ssl4eco_data.pipeline.validation import (
    Validation,
    describe_validation,
    pairs_table,
    read_cycles,
    validate,
)
from ssl4eco_data.pipeline.versions import (
    Built,
    UnservedError,
    at_version,
    being_built,
    build_version,
    drop_version,
    is_current,
    prune_versions,
    serve_version,
)
from ssl4eco_data.store import Mark

__all__ = [
    "STAGES",
    "Bar",
    "BuildError",
    "Built",
    "Mark",
    "Outcome",
    "PointPhenology",
    "Repair",
    "Result",
    "RunRecord",
    "Stage",
    "Summary",
    "UnservedError",
    "Validation",
    "Work",
    "at_version",
    "being_built",
    "build",
    "build_version",
    "console",
    "describe",
    "describe_point",
    "describe_validation",
    "drop_version",
    "execute",
    "first_pending",
    "forget_unreadable",
    "is_current",
    "is_transient",
    "open_archive",
    "pairs_table",
    "parse_lonlat",
    "parse_names",
    "pending",
    "plan",
    "point_phenology",
    "prepare_archive",
    "prune_versions",
    "read_cycles",
    "read_field_dates",
    "repair",
    "repair_versions",
    "require_archive",
    "run_in_threads",
    "serve_version",
    "show_sample",
    "stage_named",
    "status",
    "summarise_dataset",
    "validate",
    "write_page",
]
