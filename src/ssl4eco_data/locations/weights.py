"""How often each location is drawn in training, once its patches are known.

The rules and their defaults are those of SSL4Eco's pretraining: a quarter where no season is green, twice in
mountains. Source: Plekhanova et al., SSL4Eco (EarthVision 2025).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ssl4eco_data.locations.parameters import WeightParameters
from ssl4eco_data.locations.polygons import contains, read_layer


def sampling_weights(
    locations: pd.DataFrame, patches: pd.DataFrame, parameters: WeightParameters
) -> pd.DataFrame:
    """The table ``weights.parquet``, one row per location in their order.

    ``location_id`` str; ``weight`` float64, relative, 0 for a location without any patch; ``max_ndvi``
    float64, the highest mean NDVI of its seasons, NaN where none is known; ``non_vegetated`` (that is below
    ``non_vegetated_ndvi``) and ``mountain`` (centre in a polygon of ``mountains``) bool.

    ``locations`` has ``location_id``, ``lon``, ``lat``; ``patches`` one row per patch that could be read,
    with ``location_id`` and ``mean_ndvi``. Raises :class:`~ssl4eco_data.errors.ConfigError` when the layer of
    mountains cannot be used.
    """
    ids = locations["location_id"]
    highest = patches.groupby("location_id")["mean_ndvi"].max()
    max_ndvi = ids.map(highest).to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        non_vegetated = max_ndvi < parameters.non_vegetated_ndvi
    mountain = np.zeros(len(ids), bool)
    if parameters.mountains is not None:
        layer = read_layer(parameters.mountains)
        mountain = contains(layer, locations["lon"].to_numpy(), locations["lat"].to_numpy())
    weight = ids.isin(patches["location_id"]).to_numpy(np.float64)
    weight *= np.where(non_vegetated, parameters.non_vegetated_factor, 1.0)
    weight *= np.where(mountain, parameters.mountain_factor, 1.0)
    return pd.DataFrame(
        {
            "location_id": ids.astype("str").to_numpy(),
            "weight": weight,
            "max_ndvi": max_ndvi,
            "non_vegetated": non_vegetated,
            "mountain": mountain,
        }
    ).astype({"location_id": "str"})
