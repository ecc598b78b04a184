"""Sampling weights by rule."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from ssl4eco_data.locations import WeightParameters, sampling_weights


@pytest.fixture
def mountains(tmp_path):
    path = tmp_path / "mountains.gpkg"
    gpd.GeoDataFrame(geometry=[shapely.box(6, 45, 8, 47)], crs=4326).to_file(path)
    return str(path)


LOCATIONS = pd.DataFrame(
    {"location_id": list("abcde"), "lon": [1.0, 7.0, 7.5, 20.0, 7.2], "lat": [46.0, 46.0, 46.5, 10.0, 46.1]}
)
PATCHES = pd.DataFrame(
    {
        "location_id": list("aabbccee"),
        "mean_ndvi": [0.05, 0.4, 0.02, 0.09, 0.2, np.nan, np.nan, np.nan],
    }
)


def test_rules_multiply_and_are_keyed_by_id(mountains):
    table = sampling_weights(LOCATIONS, PATCHES, WeightParameters(mountains=mountains)).set_index(
        "location_id"
    )
    assert table["weight"].to_dict() == {"a": 1.0, "b": 0.5, "c": 2.0, "d": 0.0, "e": 2.0}
    assert table["non_vegetated"].to_dict() == {"a": False, "b": True, "c": False, "d": False, "e": False}
    assert table["mountain"].tolist() == [False, True, True, False, True]
    assert table["max_ndvi"].to_numpy()[:3].tolist() == [0.4, 0.09, 0.2]
    assert table["max_ndvi"].isna().tolist() == [False, False, False, True, True]


def test_order_of_rows_does_not_matter(mountains):
    parameters = WeightParameters(mountains=mountains)
    straight = sampling_weights(LOCATIONS, PATCHES, parameters).set_index("location_id")
    turned = sampling_weights(LOCATIONS[::-1], PATCHES[::-1], parameters).set_index("location_id")
    pd.testing.assert_frame_equal(turned[::-1], straight)


def test_factors_and_limit_are_parameters():
    parameters = WeightParameters(non_vegetated_ndvi=0.3, non_vegetated_factor=0.0)
    table = sampling_weights(LOCATIONS, PATCHES, parameters).set_index("location_id")
    assert table["weight"].to_dict() == {"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0, "e": 1.0}
    assert not table["mountain"].any()
    assert {name: str(kind) for name, kind in table.reset_index().dtypes.items()} == {
        "location_id": "str",
        "weight": "float64",
        "max_ndvi": "float64",
        "non_vegetated": "bool",
        "mountain": "bool",
    }


def test_without_any_patch_all_weights_are_zero():
    table = sampling_weights(LOCATIONS, PATCHES.iloc[:0], WeightParameters())
    assert (table["weight"] == 0).all()
