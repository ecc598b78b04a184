"""Tables: the same bytes for the same content, and the same content back."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import read_geo_table, read_table, write_geo_table, write_table


def example() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "location_id": ["a", None, "ü"],
            "day": [1.5, np.nan, -0.0],
            "n": np.array([1, 2, 3], dtype=np.int8),
            "flag": [True, False, True],
            "time": pd.to_datetime(["2020-01-01", None, "2021-02-03"], utc=True).astype(
                "datetime64[ms, UTC]"
            ),
        }
    )


def test_a_table_comes_back_with_its_types(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", example())
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), example())


def test_the_same_content_is_the_same_bytes_whatever_the_index(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", example())
    write_table(tmp_path / "b.parquet", example().set_axis([7, 8, 9]))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert b"pandas" not in (tmp_path / "a.parquet").read_bytes()


@given(values=st.lists(st.floats() | st.none(), max_size=20))
def test_any_floats_come_back(tmp_path_factory: pytest.TempPathFactory, values: list[float | None]) -> None:
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    frame = pd.DataFrame({"value": np.array(values, dtype=np.float64)})
    write_table(path, frame)
    pd.testing.assert_frame_equal(read_table(path), frame)


def test_an_empty_table_keeps_its_types(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", example().iloc[:0])
    pd.testing.assert_series_equal(read_table(tmp_path / "t.parquet").dtypes, example().dtypes)


def test_damage_and_absence_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(FileNotFoundError):
        read_table(path)
    write_table(path, example())
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(StoreError, match=r"t\.parquet.*build again"):
        read_table(path)


def test_a_column_of_two_types_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="single type"):
        write_table(tmp_path / "t.parquet", pd.DataFrame({"mixed": [1, "a"]}))


def test_geoparquet_comes_back_and_is_deterministic(tmp_path: Path) -> None:
    points = gpd.GeoSeries.from_xy([5.5, -60.0], [52.0, -34.0], crs=4326)
    frame = gpd.GeoDataFrame({"location_id": ["a", "b"]}, geometry=points)
    write_geo_table(tmp_path / "a.parquet", frame)
    write_geo_table(tmp_path / "b.parquet", frame.copy())
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    back = read_geo_table(tmp_path / "a.parquet")
    assert back.crs.to_epsg() == 4326
    assert back.geometry.geom_equals(points).all()
    assert back["location_id"].tolist() == ["a", "b"]
    assert b"creator" not in pq.read_schema(tmp_path / "a.parquet").metadata[b"geo"]
    with pytest.raises(ValueError, match="EPSG:4326"):
        write_geo_table(tmp_path / "c.parquet", frame.to_crs(3857))
