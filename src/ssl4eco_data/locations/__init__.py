"""Where the dataset looks: the Major-TOM grid, land, strata, patch placement, samples and splits."""

from ssl4eco_data.locations.allocation import allocate, choose_cells
from ssl4eco_data.locations.curve import hilbert_index, hilbert_order
from ssl4eco_data.locations.grid import Cells, MajorTomGrid
from ssl4eco_data.locations.land import on_land
from ssl4eco_data.locations.points import coordinate_ids, read_points
from ssl4eco_data.locations.polygons import Layer, boxes_around, contains, nearest, owners, read_layer
from ssl4eco_data.locations.sample import (
    AllocationParameters,
    GridSource,
    LocationParameters,
    PointSource,
    SplitParameters,
    locations_of,
    sample_locations,
)
from ssl4eco_data.locations.splits import block_splits
from ssl4eco_data.locations.strata import empty_labels, label_points
from ssl4eco_data.locations.utm import (
    epsg_with_tile,
    footprint_at,
    footprint_polygon,
    patch_corners,
    read_tiles,
    utm_epsg,
)

__all__ = [
    "AllocationParameters",
    "Cells",
    "GridSource",
    "Layer",
    "LocationParameters",
    "MajorTomGrid",
    "PointSource",
    "SplitParameters",
    "allocate",
    "block_splits",
    "boxes_around",
    "choose_cells",
    "contains",
    "coordinate_ids",
    "empty_labels",
    "epsg_with_tile",
    "footprint_at",
    "footprint_polygon",
    "hilbert_index",
    "hilbert_order",
    "label_points",
    "locations_of",
    "nearest",
    "on_land",
    "owners",
    "patch_corners",
    "read_layer",
    "read_points",
    "read_tiles",
    "sample_locations",
    "utm_epsg",
]
