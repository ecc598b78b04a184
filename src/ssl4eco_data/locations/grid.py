"""The Major-TOM grid, cell for cell that of the reference, computed for arrays of cells.

Rows are ``k`` (named ``kU``, ``|k|D``), columns ``j`` (named ``jR``, ``|j|L``), counted from the equator and
the Greenwich meridian. A cell's name is that of its lower-left corner. Source: Francis and Czerkawski, Major
TOM (2024), https://github.com/ESA-PhiLab/Major-TOM. The reference computes corners by ``linspace`` and
``mod``; the same floating-point steps are taken here, because in some rows rounding puts the node at -180
degrees at +180 and so changes its name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ssl4eco_data.types import BoolArray, FloatArray

IntArray = npt.NDArray[np.int64]

RADIUS_KM = 6378.137
MAX_LAT_DEG = 85.0
_NAME = re.compile(r"(\d+)([UD])_(\d+)([LR])")


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells of one grid: int64 arrays ``row`` (k) and ``column`` (j), each ``(cell,)``."""

    row: IntArray
    column: IntArray

    def __len__(self) -> int:
        return len(self.row)

    def where(self, keep: BoolArray | IntArray) -> Cells:
        """The cells of a mask, or of positions, in that order."""
        return Cells(self.row[keep], self.column[keep])


@dataclass(frozen=True)
class MajorTomGrid:
    """The grid of one spacing, latitudes within 85 degrees. Raises ``ValueError`` outside (0, 2000] km."""

    spacing_km: float

    def __post_init__(self) -> None:
        if not 0 < self.spacing_km <= 2000:
            raise ValueError(f"spacing_km must be in (0, 2000], got {self.spacing_km}")

    @cached_property
    def rows(self) -> IntArray:
        """Row numbers k from south to north, int64."""
        return self._all_rows[0]

    @cached_property
    def row_south_deg(self) -> FloatArray:
        """Latitude of each row's lower edge."""
        return self._all_rows[1]

    @cached_property
    def row_north_deg(self) -> FloatArray:
        """Latitude of each row's upper edge; the top row is as high as the one below it."""
        south = self.row_south_deg
        return np.append(south[1:], south[-1] + (south[-1] - south[-2]))

    @cached_property
    def columns(self) -> IntArray:
        """Number of cells in each row, int64."""
        circumference_km = 2 * math.pi * (RADIUS_KM * np.cos(self.row_south_deg * math.pi / 180))
        return np.ceil(circumference_km / self.spacing_km).astype(np.int64)

    @cached_property
    def first_column(self) -> IntArray:
        """Number j of each row's westernmost cell, int64."""
        n = self.columns
        half = n // 2
        lost = (n % 2 == 0) & (half * (360.0 / n) - 180.0 < 0)
        return np.asarray(lost - half, np.int64)

    @cached_property
    def _row_centre_deg(self) -> FloatArray:
        return (self.row_south_deg + self.row_north_deg) / 2

    @cached_property
    def _all_rows(self) -> tuple[IntArray, FloatArray]:
        count = math.ceil(math.pi * RADIUS_KM / self.spacing_km)
        lat = np.sort(np.mod(np.linspace(-90, 90, count + 1)[:-1], 180) - 90)
        row = np.arange(count) - np.searchsorted(lat, 0)
        keep = np.abs(lat) <= MAX_LAT_DEG
        return row[keep].astype(np.int64), lat[keep]

    def __len__(self) -> int:
        return int(self.columns.sum())

    def cells_of(self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> Cells:
        """The cell of each point; a point on a node or an edge belongs to the cell to the south or west.

        As in the reference, longitude -180 belongs to the last cell of its row, also where that starts there.
        Raises ``ValueError`` for a longitude outside [-180, 180] and for a latitude outside the rows.
        """
        lon, lat = _as_points(lon_deg, lat_deg)
        index = np.searchsorted(self.row_south_deg, lat) - 1
        outside = (index < 0) | (lat > self.row_north_deg[-1])
        if outside.any():
            raise ValueError(
                f"lat_deg must be in ({self.row_south_deg[0]}, {self.row_north_deg[-1]}], the rows of the "
                f"{self.spacing_km:g} km grid, got {lat[outside][0]}"
            )
        n, first = self.columns[index], self.first_column[index]
        column = np.clip(np.ceil(lon * n / 360).astype(np.int64) - 1, first, first + n - 1)
        column -= _node_lon(column, n) >= lon
        follows = (column < first + n - 1) & (_node_lon(column + 1, n) < lon)
        column += follows
        return Cells(self.rows[index], np.where(column < first, first + n - 1, column))

    def cells_in_box(self, west_deg: float, south_deg: float, east_deg: float, north_deg: float) -> Cells:
        """All cells with their centre in a box, edges included, by row, then column.

        A box with ``west_deg > east_deg`` crosses the antimeridian. Only the rows and columns near the box
        are computed. Raises ``ValueError`` for coordinates out of range or ``south_deg > north_deg``.
        """
        _as_points([west_deg, east_deg], [south_deg, north_deg])
        if south_deg > north_deg:
            raise ValueError(f"south_deg must not exceed north_deg, got {south_deg} and {north_deg}")
        centre_lat = self._row_centre_deg
        index = np.arange(*np.searchsorted(centre_lat, [south_deg, np.nextafter(north_deg, 91)]))
        n, first = self.columns[index], self.first_column[index]
        span = (east_deg - west_deg) % 360 if west_deg > east_deg else east_deg - west_deg
        start = np.floor(west_deg * n / 360).astype(np.int64) - 2
        count = np.minimum(np.ceil(span * n / 360).astype(np.int64) + 5, n)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        column = np.repeat(start - first, count) + within
        column = column % np.repeat(n, count) + np.repeat(first, count)
        cells = Cells(np.repeat(self.rows[index], count), column)
        lon, _lat = self.centres(cells)
        inside = (lon >= west_deg) | (lon <= east_deg)
        if west_deg <= east_deg:
            # A centre on the antimeridian is stored as -180 and is also at +180.
            inside = ((lon >= west_deg) & (lon <= east_deg)) | ((lon == -180) & (east_deg == 180))
        kept = cells.where(inside)
        return kept.where(np.lexsort((kept.column, kept.row)))

    def cells_in_boxes(self, boxes_deg: Sequence[tuple[float, float, float, float]]) -> Cells:
        """All cells with their centre in any (west, south, east, north) box, once, by row, then column."""
        found = [self.cells_in_box(*box) for box in boxes_deg]
        if len(found) == 1:
            return found[0]
        row = np.concatenate([np.empty(0, np.int64), *(cells.row for cells in found)])
        column = np.concatenate([np.empty(0, np.int64), *(cells.column for cells in found)])
        stride = 2 * int(self.columns.max())
        key = np.unique(row * stride + column + stride // 2)
        return Cells(key // stride, key % stride - stride // 2)

    def corners(self, cells: Cells) -> tuple[FloatArray, FloatArray]:
        """(longitude, latitude) in degrees of the lower-left corners, the named points of the reference."""
        index = self._index(cells)
        return _node_lon(cells.column, self.columns[index]), self.row_south_deg[index]

    def bounds(self, cells: Cells) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """(west, south, east, north) in degrees; the east of a row's last cell may exceed 180."""
        index = self._index(cells)
        n, first = self.columns[index], self.first_column[index]
        west, next_ = _node_lon(cells.column, n), _node_lon(cells.column + 1, n)
        east = np.where(cells.column == first + n - 1, _node_lon(first, n) + 360, next_)
        return west, self.row_south_deg[index], east, self.row_north_deg[index]

    def centres(self, cells: Cells) -> tuple[FloatArray, FloatArray]:
        """(longitude in [-180, 180), latitude) in degrees of the middles of the cells."""
        west, south, east, north = self.bounds(cells)
        lon = (west + east) / 2
        return np.where(lon >= 180, lon - 360, lon), (south + north) / 2

    def names(self, cells: Cells) -> list[str]:
        """Names as the reference writes them, such as ``199U_1099R``."""
        rows, columns = _labels(cells.row, "U_", "D_"), _labels(cells.column, "R", "L")
        names: list[str] = (rows + columns).tolist()
        return names

    def parse(self, name: str) -> Cells:
        """The one cell with this name. Raises ``ValueError`` when the grid has none."""
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"a cell name looks like 199U_1099R, got {name!r}")
        row = int(match[1]) * (1 if match[2] == "U" else -1)
        column = int(match[3]) * (1 if match[4] == "R" else -1)
        cells = Cells(np.array([row]), np.array([column]))
        index = int(self._index(cells)[0])
        if not 0 <= column - self.first_column[index] < self.columns[index]:
            raise ValueError(f"the {self.spacing_km:g} km grid has no cell {name!r}: its row is shorter")
        return cells

    def _index(self, cells: Cells) -> IntArray:
        index: IntArray = cells.row - self.rows[0]
        missing = (index < 0) | (index >= len(self.rows))
        if missing.any():
            raise ValueError(
                f"row must be in [{self.rows[0]}, {self.rows[-1]}], the rows of the {self.spacing_km:g} km "
                f"grid, got {cells.row[missing][0]}"
            )
        return index


def _labels(number: IntArray, from_zero: str, below: str) -> npt.NDArray[np.object_]:
    """``5U_`` or ``5D_`` for 5 or -5: each different text is made once."""
    low = int(number.min(initial=0))
    numbers = range(low, int(number.max(initial=0)) + 1)
    texts = [f"{n}{from_zero}" if n >= 0 else f"{-n}{below}" for n in numbers]
    return np.array(texts, object)[number - low]


def _node_lon(column: IntArray, count: IntArray) -> FloatArray:
    """Longitude of node j of a row of ``count`` cells, by the reference's own sequence of roundings."""
    lon = np.mod(column, count) * (360.0 / count) - 180.0
    # mod(lon, 360) of the reference, which is slow: lon is in [-180, 180).
    return np.where(lon < 0, lon + 360.0, lon) - 180.0


def _as_points(lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    lon, lat = np.broadcast_arrays(
        np.atleast_1d(np.asarray(lon_deg, np.float64)), np.atleast_1d(np.asarray(lat_deg, np.float64))
    )
    for name, values, limit in (("lon_deg", lon, 180), ("lat_deg", lat, 90)):
        wrong = ~(np.abs(values) <= limit)
        if wrong.any():
            raise ValueError(f"{name} must be in [-{limit}, {limit}], got {values[wrong][0]}")
    return lon, lat
