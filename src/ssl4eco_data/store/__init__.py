"""The dataset on disk: sharded Zarr v3 patches, tables, the ledger of what is done, and their check."""

from __future__ import annotations

from ssl4eco_data.store.block_array import read_dataset_block, write_dataset_block
from ssl4eco_data.store.changes import Change, diff, exceeded
from ssl4eco_data.store.check import Problem, check, check_block, forget
from ssl4eco_data.store.coordinates import write_coordinates
from ssl4eco_data.store.cube import cube, native, scene_classes, stored_bands
from ssl4eco_data.store.files import (
    TEMPORARY_SUFFIX,
    FileRecord,
    bytes_below,
    clean_temporary,
    file_record,
    parts_in,
    remove,
    sha256,
    write_atomic,
)
from ssl4eco_data.store.fingerprint import fingerprint
from ssl4eco_data.store.indices import evi2, masks, ndvi, reflectance
from ssl4eco_data.store.lease import HeldError, leased
from ssl4eco_data.store.ledger import Ledger, Mark
from ssl4eco_data.store.objects import ObjectPath, Place, place_of
from ssl4eco_data.store.progress import Progress, progress, under_way
from ssl4eco_data.store.reader import describe_dataset, open_dataset
from ssl4eco_data.store.schema import Layout, PatchArray, StoreParameters
from ssl4eco_data.store.selection import Box, Labels, select
from ssl4eco_data.store.shards import ShardReader
from ssl4eco_data.store.small_arrays import read_small_arrays
from ssl4eco_data.store.tables import (
    read_geo_table,
    read_table,
    table_metadata,
    write_geo_table,
    write_table,
)
from ssl4eco_data.store.version_rules import ChangeLimits, PruneRule, VersionParameters
from ssl4eco_data.store.versions import dataset_place, prune, version_place
from ssl4eco_data.store.writer import create, stored_locations, unfinish, write_block

__all__ = [
    "TEMPORARY_SUFFIX",
    "Box",
    "Change",
    "ChangeLimits",
    "FileRecord",
    "HeldError",
    "Labels",
    "Layout",
    "Ledger",
    "Mark",
    "ObjectPath",
    "PatchArray",
    "Place",
    "Problem",
    "Progress",
    "PruneRule",
    "ShardReader",
    "StoreParameters",
    "VersionParameters",
    "bytes_below",
    "check",
    "check_block",
    "clean_temporary",
    "create",
    "cube",
    "dataset_place",
    "describe_dataset",
    "diff",
    "evi2",
    "exceeded",
    "file_record",
    "fingerprint",
    "forget",
    "leased",
    "masks",
    "native",
    "ndvi",
    "open_dataset",
    "parts_in",
    "place_of",
    "progress",
    "prune",
    "read_dataset_block",
    "read_geo_table",
    "read_small_arrays",
    "read_table",
    "reflectance",
    "remove",
    "scene_classes",
    "select",
    "sha256",
    "stored_bands",
    "stored_locations",
    "table_metadata",
    "under_way",
    "unfinish",
    "version_place",
    "write_atomic",
    "write_block",
    "write_coordinates",
    "write_dataset_block",
    "write_geo_table",
    "write_table",
]
