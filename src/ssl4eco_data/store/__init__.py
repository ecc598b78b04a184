"""The dataset on disk: sharded Zarr v3 patches, tables, the ledger of what is done, and their check."""

from __future__ import annotations

from ssl4eco_data.store.block_array import read_dataset_block, write_dataset_block
from ssl4eco_data.store.check import Problem, check, check_block, forget
from ssl4eco_data.store.coordinates import write_coordinates
from ssl4eco_data.store.files import (
    TEMPORARY_SUFFIX,
    FileRecord,
    clean_temporary,
    file_record,
    sha256,
    write_atomic,
)
from ssl4eco_data.store.fingerprint import fingerprint
from ssl4eco_data.store.ledger import Ledger, Mark
from ssl4eco_data.store.reader import describe_dataset, ndvi, open_dataset, patch
from ssl4eco_data.store.schema import Layout, PatchArray, StoreParameters
from ssl4eco_data.store.tables import (
    read_geo_table,
    read_table,
    read_tables,
    table_metadata,
    write_geo_table,
    write_table,
)
from ssl4eco_data.store.writer import create, stored_locations, unfinish, write_block

__all__ = [
    "TEMPORARY_SUFFIX",
    "FileRecord",
    "Layout",
    "Ledger",
    "Mark",
    "PatchArray",
    "Problem",
    "StoreParameters",
    "check",
    "check_block",
    "clean_temporary",
    "create",
    "describe_dataset",
    "file_record",
    "fingerprint",
    "forget",
    "ndvi",
    "open_dataset",
    "patch",
    "read_dataset_block",
    "read_geo_table",
    "read_table",
    "read_tables",
    "sha256",
    "stored_locations",
    "table_metadata",
    "unfinish",
    "write_atomic",
    "write_block",
    "write_coordinates",
    "write_dataset_block",
    "write_geo_table",
    "write_table",
]
