"""The embedded archive: a small, physically plausible Earth as STAC, COG and vector files, with its truth."""

from ssl4eco_data.simulate.archive import ArchiveSummary, is_written, write_archive
from ssl4eco_data.simulate.parameters import SimulationParameters
from ssl4eco_data.simulate.truth import (
    read_truth_climatology,
    read_truth_cycles,
    read_truth_scenes,
    true_cloud_fraction,
    true_mask,
)

__all__ = [
    "ArchiveSummary",
    "SimulationParameters",
    "is_written",
    "read_truth_climatology",
    "read_truth_cycles",
    "read_truth_scenes",
    "true_cloud_fraction",
    "true_mask",
    "write_archive",
]
