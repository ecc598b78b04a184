"""Vector layers fetched from outside: RESOLVE Ecoregions 2017, checked and recorded at first use."""

from ssl4eco_data.layers.download import Download
from ssl4eco_data.layers.earth_engine import EarthEngineAsset
from ssl4eco_data.layers.fetch import Fetched, Source, describe, fetch, source_for
from ssl4eco_data.layers.progress import Progress
from ssl4eco_data.layers.record import LayerRecord, read_record, write_record
from ssl4eco_data.layers.resolve import check_content, check_whole

__all__ = [
    "Download",
    "EarthEngineAsset",
    "Fetched",
    "LayerRecord",
    "Progress",
    "Source",
    "check_content",
    "check_whole",
    "describe",
    "fetch",
    "read_record",
    "source_for",
    "write_record",
]
