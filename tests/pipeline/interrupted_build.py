"""A build that may be killed at any moment, for a process that has everything imported."""

from __future__ import annotations

import os
from pathlib import Path

from ssl4eco_data import config as configuration
from ssl4eco_data import pipeline


def build_on(path: Path) -> None:
    """Build or continue the dataset of a configuration but for its page, in threads, without a word."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(quiet, descriptor)
    pipeline.build(configuration.load(path), pipeline.run_in_threads, until="catalogue")
