"""What became of each observation of a series: used, or dropped before the curve was fitted."""

from __future__ import annotations

import numpy as np

from ssl4eco_data.phenology.cleaning import despike, gather
from ssl4eco_data.phenology.parameters import IndexName, PhenologyParameters
from ssl4eco_data.types import BoolArray, FloatArray


def dropped(
    day: FloatArray,
    value: FloatArray,
    weight: FloatArray,
    snow: BoolArray,
    parameters: PhenologyParameters,
    index: IndexName = "evi",
) -> BoolArray:
    """Which observations of one series :func:`~ssl4eco_data.phenology.derive_cycles` leaves out.

    These are sudden drops, as clouds leave them that no mask saw, values that the index cannot have, and
    those without weight or date. ``day`` counts from 1970-01-01; observations of one day go together.
    """
    profile = parameters.profile(index)
    days, values, weights = (np.ascontiguousarray(a, dtype=np.float64) for a in (day, value, weight))
    under_snow = np.ascontiguousarray(snow, dtype=np.bool_)
    seen = gather(days, values, weights, under_snow, profile.valid_min, profile.valid_max)
    spikes = np.setdiff1d(seen[0], despike(seen, profile.despike_depth)[0])
    valid = np.isfinite(days) & (values >= profile.valid_min) & (values <= profile.valid_max)
    weighs = (weights > 0) & np.isfinite(weights)
    return np.asarray(np.isin(days, spikes) | ~valid | ~(weighs | under_snow))
