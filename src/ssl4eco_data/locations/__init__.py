"""Where the dataset looks: the Major-TOM grid, land, strata, patch placement, samples, splits and weights."""

from ssl4eco_data.locations.allocation import all_cells, allocate, choose_cells
from ssl4eco_data.locations.cells import Area, area_of, cells_within, land_cells, largest_spacing_km
from ssl4eco_data.locations.curve import hilbert_index, hilbert_order
from ssl4eco_data.locations.grid import Cells, MajorTomGrid
from ssl4eco_data.locations.land import on_land
from ssl4eco_data.locations.parameters import (
    AllocationParameters,
    GridSource,
    LocationParameters,
    PointSource,
    SplitParameters,
    WeightParameters,
)
from ssl4eco_data.locations.points import coordinate_ids, read_points
from ssl4eco_data.locations.polygons import Layer, boxes_around, contains, nearest, owners, read_layer
from ssl4eco_data.locations.sample import COLUMNS, Sample, locations_of, sample_locations
from ssl4eco_data.locations.splits import block_splits, split_for_area
from ssl4eco_data.locations.strata import empty_labels, label_points
from ssl4eco_data.locations.utm import (
    epsg_with_tile,
    footprint_at,
    footprint_polygon,
    patch_corners,
    read_tiles,
    utm_epsg,
)
from ssl4eco_data.locations.weights import sampling_weights

__all__ = [
    "COLUMNS",
    "AllocationParameters",
    "Area",
    "Cells",
    "GridSource",
    "Layer",
    "LocationParameters",
    "MajorTomGrid",
    "PointSource",
    "Sample",
    "SplitParameters",
    "WeightParameters",
    "all_cells",
    "allocate",
    "area_of",
    "block_splits",
    "boxes_around",
    "cells_within",
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
    "land_cells",
    "largest_spacing_km",
    "locations_of",
    "nearest",
    "on_land",
    "owners",
    "patch_corners",
    "read_layer",
    "read_points",
    "read_tiles",
    "sample_locations",
    "sampling_weights",
    "split_for_area",
    "utm_epsg",
]
