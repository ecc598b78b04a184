"""The Major-TOM grid against the reference's own output, and as geometry."""

import hashlib
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ssl4eco_data.locations import Cells, MajorTomGrid, utm_epsg

SHARED = Path(os.environ.get("SSL4ECO_SHARED", Path(__file__).parents[2].parent / "shared"))
VECTORS = SHARED / "data" / "majortom" / "grid_vectors.json"
GRIDS = {km: MajorTomGrid(km) for km in (1000.0, 100.0, 23.0, 10.0)}

spacings = st.sampled_from(sorted(GRIDS))
longitudes = st.floats(-180, 180)
latitudes = st.floats(-76, 85)
USED = {
    *("n_points", "names_sha256", "cols_sha256", "lat_first", "lat_last", "lookups", "antimeridian_R_rows"),
    *("footprints", "n_lat_divisions", "n_rows", "row_first", "row_last", "cols_equator"),
    *("rows_with_odd_cols", "cells_in_odd_rows", "sample_rows"),
}


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


def test_rows_are_those_of_the_reference(reference):
    grid, expected = reference
    row_names = [f"{k}U" if k >= 0 else f"{-k}D" for k in grid.rows.tolist()]
    assert len(grid.rows) == expected["n_rows"]
    assert (row_names[0], row_names[-1]) == (expected["row_first"], expected["row_last"])
    assert grid.columns[row_names.index("0U")] == expected["cols_equator"]
    odd = grid.columns[grid.columns % 2 == 1]
    assert (len(odd), odd.sum()) == (expected["rows_with_odd_cols"], expected["cells_in_odd_rows"])
    height = grid.row_north_deg - grid.row_south_deg
    assert 180 / height == pytest.approx(np.full(len(height), expected["n_lat_divisions"]), rel=1e-9)
    for row, (count, lat, first, last) in expected["sample_rows"].items():
        i = row_names.index(row)
        assert (grid.columns[i], repr(float(grid.row_south_deg[i]))) == (count, lat)
        ends = grid.first_column[i] + [0, grid.columns[i] - 1]
        assert grid.names(Cells(grid.rows[[i, i]], ends)) == [first, last]


def test_no_kind_of_vector_is_left_out(reference):
    _grid, expected = reference
    assert set(expected) == USED


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


@pytest.mark.parametrize("spacing_km", [1000.0, 100.0, 23.0])
def test_a_point_just_past_a_node_belongs_to_its_cell(spacing_km):
    grid = MajorTomGrid(spacing_km)
    cells = grid.cells_in_box(-180, -90, 180, 90)
    lon, lat = grid.corners(cells)
    lon, lat = np.nextafter(lon, 999), np.nextafter(lat, 999)
    cells, lon, lat = cells.where(lon <= 180), lon[lon <= 180], lat[lon <= 180]
    found = grid.cells_of(lon, lat)
    assert (found.row == cells.row).all()
    assert (found.column == cells.column).all()


@pytest.mark.parametrize("spacing_km", [2000.0, 1000.0, 100.0, 23.0])
def test_cells_share_their_edges_bit_for_bit(spacing_km):
    grid = MajorTomGrid(spacing_km)
    cells = grid.cells_in_box(-180, -90, 180, 90)
    assert len(cells) == len(grid)
    west, south, east, north = grid.bounds(cells)
    row_ends = np.append(cells.row[1:] != cells.row[:-1], True)
    assert (west[1:] == east[:-1])[~row_ends[:-1]].all()
    assert (east[row_ends] == west[np.roll(row_ends, 1)] + 360).all()
    assert (grid.row_north_deg[:-1] == grid.row_south_deg[1:]).all()
    assert (west < east).all()
    assert (south < north).all()


@pytest.mark.parametrize("spacing_km", [2000.0, 1000.0, 100.0, 23.0])
def test_areas_of_cells_sum_to_the_area_of_the_band(spacing_km):
    grid = MajorTomGrid(spacing_km)
    west, south, east, north = np.radians(grid.bounds(grid.cells_in_box(-180, -90, 180, 90)))
    bottom, top = np.sin(np.radians([grid.row_south_deg[0], grid.row_north_deg[-1]]))
    areas = (east - west) * (np.sin(north) - np.sin(south))
    assert areas.sum() == pytest.approx(2 * math.pi * (top - bottom), rel=1e-12)


@settings(max_examples=60)
@example(100.0, -180.0, 79.0)
@given(st.sampled_from([1000.0, 100.0]), longitudes | st.sampled_from([-180.0, 0.0, 180.0]), latitudes)
def test_every_point_lies_in_one_cell_only(spacing_km, lon, lat):
    grid = GRIDS[spacing_km]
    cells = grid.cells_in_box(-180, -90, 180, 90)
    west, south, east, north = grid.bounds(cells)
    in_row = (south < lat) & (lat <= north)
    around = (west < lon + 360) & (lon + 360 <= east)
    holds = np.flatnonzero(in_row & (((west < lon) & (lon <= east)) | around))
    assert len(holds) == 1
    if lon > -180:  # there the reference takes the last cell, also where that starts at +180
        assert grid.names(cells.where(holds)) == grid.names(grid.cells_of(lon, lat))


@pytest.mark.parametrize("spacing_km", [1000.0, 100.0])
@given(west=st.floats(1, 180), east=st.floats(-180, -1), lats=st.tuples(latitudes, latitudes))
@settings(max_examples=40)
def test_a_box_over_the_antimeridian_is_its_two_sides(spacing_km, west, east, lats):
    grid, (south, north) = GRIDS[spacing_km], sorted(lats)
    over = grid.cells_in_box(west, south, east, north)
    # A centre on the antimeridian is in both sides, and comes once.
    sides = grid.cells_in_boxes([(west, south, 180, north), (-180, south, east, north)])
    assert grid.names(over) == grid.names(sides)
    assert len(over) == len(set(grid.names(over)))


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((0, 10, 1, 5), "south_deg must not exceed north_deg, got 10 and 5"),
        ((-181, 0, 1, 5), "lon_deg must be in .* got -181"),
        ((0, 0, 1, 90.5), "lat_deg must be in .* got 90.5"),
    ],
)
def test_impossible_boxes_are_refused(box, message):
    with pytest.raises(ValueError, match=message):
        GRIDS[100.0].cells_in_box(*box)


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
