"""The Major-TOM grid against the reference's own output, and as geometry."""

import hashlib
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4eco_data.locations import Cells, MajorTomGrid, utm_epsg

SHARED = Path(os.environ.get("SSL4ECO_SHARED", Path(__file__).parents[2].parent / "shared"))
VECTORS = SHARED / "data" / "majortom" / "grid_vectors.json"
GRIDS = {km: MajorTomGrid(km) for km in (1000.0, 100.0, 23.0, 10.0)}

spacings = st.sampled_from(sorted(GRIDS))
longitudes = st.floats(-180, 180)
latitudes = st.floats(-76, 85)


@pytest.fixture(scope="module", params=["1000", "100", "25", "20"])
def reference(request):
    if not VECTORS.exists():
        pytest.skip(f"{VECTORS} is absent: set SSL4ECO_SHARED to the shared data")
    return MajorTomGrid(float(request.param)), json.loads(VECTORS.read_text())["grids"][request.param]


def test_all_names_are_those_of_the_reference(reference):
    grid, expected = reference
    cells = grid.cells_in_box(-180, -90, 180, 90)
    assert len(cells) == len(grid) == expected["n_points"]
    # The reference lists each row from west to east, which is from the first column to the last.
    assert hashlib.sha256("\n".join(grid.names(cells)).encode()).hexdigest() == expected["names_sha256"]
    columns = hashlib.sha256(",".join(map(str, grid.columns.tolist())).encode()).hexdigest()
    assert columns == expected["cols_sha256"]
    assert [repr(float(grid.row_south_deg[i])) for i in (0, -1)] == [
        expected["lat_first"],
        expected["lat_last"],
    ]


def test_looked_up_cells_are_those_of_the_reference(reference):
    grid, expected = reference
    for lat, lon, name, cell_lat, cell_lon, epsg in expected["lookups"]:
        if lat <= grid.row_south_deg[0]:
            # There the reference wraps to its top row.
            with pytest.raises(ValueError, match="lat_deg must be in"):
                grid.cells_of(lon, lat)
            continue
        cells = grid.cells_of(lon, lat)
        west, south = grid.corners(cells)
        assert grid.names(cells) == [name]
        assert (repr(float(south[0])), repr(float(west[0]))) == (cell_lat, cell_lon)
        assert f"EPSG:{utm_epsg(west, south)[0]}" == epsg


def test_rows_where_rounding_moves_the_antimeridian_node(reference):
    grid, expected = reference
    for row, count, column, lon in expected["antimeridian_R_rows"]:
        cell = grid.parse(f"{row}_{column}")
        assert repr(float(grid.corners(cell)[0][0])) == lon
        assert grid.columns[cell.row[0] - grid.rows[0]] == count
        with pytest.raises(ValueError, match="no cell"):
            grid.parse(f"{row}_{column[:-1]}L")


def test_footprints_are_those_of_the_reference(reference):
    grid, expected = reference
    for name, bounds in expected["footprints"].items():
        assert [float(b[0]) for b in grid.bounds(grid.parse(name))] == pytest.approx(bounds, abs=1e-9)


@pytest.mark.parametrize(("spacing_km", "count"), [(23.0, 963_919), (10.0, 5_094_350)])
def test_number_of_cells(spacing_km, count):
    assert len(MajorTomGrid(spacing_km)) == count


def test_rows_with_a_moved_node_at_23_km():
    grid = GRIDS[23.0]
    even = grid.columns % 2 == 0
    assert int((grid.first_column[even] != -(grid.columns[even] // 2)).sum()) == 18


def in_longitudes(west, lon, east):
    """In (west, east], or at -180 in the last cell of a row whose west edge was moved to +180."""
    return any(west < lon + turn <= east for turn in (0, 360)) or (lon == -180 and west == 180)


@pytest.mark.parametrize("spacing_km", sorted(GRIDS))
def test_the_antimeridian_belongs_to_last_cells(spacing_km):
    grid = GRIDS[spacing_km]
    lat = (grid.row_south_deg + grid.row_north_deg) / 2
    cells = grid.cells_of(np.full(len(lat), -180.0), lat)
    assert (cells.column == grid.first_column + grid.columns - 1).all()


@given(spacings, longitudes, latitudes)
def test_every_point_lies_in_its_cell(spacing_km, lon, lat):
    grid = GRIDS[spacing_km]
    west, south, east, north = (float(b[0]) for b in grid.bounds(grid.cells_of(lon, lat)))
    assert south < lat <= north
    assert in_longitudes(west, lon, east)


@given(spacings, st.data())
def test_a_point_on_a_node_belongs_to_the_cell_to_the_south_west(spacing_km, data):
    grid = GRIDS[spacing_km]
    i = data.draw(st.integers(1, len(grid.rows) - 1))
    j = data.draw(st.integers(0, int(grid.columns[i]) - 1)) + grid.first_column[i]
    lon, lat = grid.corners(Cells(grid.rows[[i]], np.array([j])))
    west, _south, east, north = grid.bounds(grid.cells_of(lon, lat))
    assert north[0] == lat[0]
    assert in_longitudes(west[0], lon[0], east[0])


@given(spacings, st.data())
def test_cells_of_a_row_tile_it(spacing_km, data):
    grid = GRIDS[spacing_km]
    lat = data.draw(st.sampled_from(list((grid.row_south_deg + grid.row_north_deg) / 2)))
    cells = grid.cells_in_box(-180, lat, 180, lat)
    west, _south, east, _north = grid.bounds(cells)
    assert (west[1:] == east[:-1]).all()
    assert (np.diff(west) > 0).all()
    assert east[-1] - west[0] == pytest.approx(360, abs=1e-9)


@settings(max_examples=60)
@given(longitudes, longitudes, st.floats(-90, 90), st.floats(-90, 90))
def test_cells_in_a_box_are_those_with_their_centre_inside(west, east, lat_1, lat_2):
    grid, (south, north) = GRIDS[1000.0], sorted((lat_1, lat_2))
    everything = grid.cells_in_box(-180, -90, 180, 90)
    lon, lat = grid.centres(everything)
    inside = (lon >= west) & (lon <= east) if west <= east else (lon >= west) | (lon <= east)
    inside |= (lon == -180) & (east == 180)
    expected = everything.where(inside & (lat >= south) & (lat <= north))
    assert grid.names(grid.cells_in_box(west, south, east, north)) == grid.names(expected)


def test_cells_in_boxes_come_once():
    grid, boxes = GRIDS[100.0], [(-180, -90, 10, 20), (0, -90, 180, 20), (-180, 20, 180, 90)]
    cells, whole = grid.cells_in_boxes(boxes), grid.cells_in_box(-180, -90, 180, 90)
    assert (cells.row.tolist(), cells.column.tolist()) == (whole.row.tolist(), whole.column.tolist())
    assert len(grid.cells_in_boxes([])) == 0


def test_centres_are_found_in_their_own_cell():
    grid = GRIDS[100.0]
    cells = grid.cells_in_box(-180, -90, 180, 90)
    found = grid.cells_of(*grid.centres(cells))
    assert (found.row == cells.row).all()
    assert (found.column == cells.column).all()


@pytest.mark.parametrize(
    ("lon", "lat", "message"),
    [
        (0, -89, r"lat_deg must be in \(-84.* got -89"),
        (0, 86, r"lat_deg must be in \(.* got 86"),
        (181, 0, r"lon_deg must be in \[-180, 180\], got 181"),
        (0, 91, r"lat_deg must be in \[-90, 90\], got 91"),
        (math.nan, 0, "lon_deg must be in .* got nan"),
    ],
)
def test_points_outside_are_refused(lon, lat, message):
    with pytest.raises(ValueError, match=message):
        GRIDS[100.0].cells_of(lon, lat)


@pytest.mark.parametrize("name", ["", "1X_1R", "9999U_0R", "0U_9999R", "0U0R"])
def test_names_of_no_cell_are_refused(name):
    with pytest.raises(ValueError, match=r"cell|row"):
        GRIDS[100.0].parse(name)


@pytest.mark.parametrize("spacing_km", [0, -1, 5000, math.nan])
def test_impossible_spacings_are_refused(spacing_km):
    with pytest.raises(ValueError, match="spacing_km must be in"):
        MajorTomGrid(spacing_km)
