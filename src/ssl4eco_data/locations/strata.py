"""Labels of points from a polygon layer of ecoregions, biomes and realms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ssl4eco_data.locations.polygons import Layer, nearest, owners
from ssl4eco_data.types import FloatArray

LABELS = ("ecoregion", "biome", "realm")
NO_STRATUM = "none"


class Labels(NamedTuple):
    """``table`` with the labels; how many points took the ``nearest`` one's, and how many ``none``."""

    table: pd.DataFrame
    nearest: int
    none: int


def label_points(
    layer: Layer, fields: Sequence[str], lon_deg: FloatArray, lat_deg: FloatArray, max_km: float
) -> Labels:
    """Columns ``ecoregion``, ``biome``, ``realm`` (str), one row per point, and counts.

    ``fields`` are the layer's fields for them, in that order; an empty name gives empty labels. A point in no
    polygon takes the labels of the nearest one within ``max_km`` (geodesic), else ``none``, as does a label
    that the layer leaves out.
    """
    feature = owners(layer, lon_deg, lat_deg)
    outside = np.flatnonzero(feature < 0)
    feature[outside], _km = nearest(layer, lon_deg[outside], lat_deg[outside], max_km)
    lost = int((feature < 0).sum())
    columns = {}
    for label, field in zip(LABELS, fields, strict=True):
        if not field:
            columns[label] = np.full(len(feature), "", object)
            continue
        values = layer.labels[field]
        texts = values.astype(str).where(values.notna(), NO_STRATUM).to_numpy(object)
        columns[label] = np.where(feature < 0, NO_STRATUM, texts[feature])
    return Labels(pd.DataFrame(columns).astype("str"), len(outside) - lost, lost)


def empty_labels(count: int) -> pd.DataFrame:
    """Empty ``ecoregion``, ``biome``, ``realm`` for ``count`` points."""
    return pd.DataFrame({label: [""] * count for label in LABELS}).astype("str")
