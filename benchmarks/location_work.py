"""What the benchmark of the locations times: ours, plain code, other libraries, limits."""

from __future__ import annotations

import hashlib
import struct
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from isal import isal_zlib

from benchmarks import plain
from benchmarks.measure import Work
from ssl4eco_data.locations import (
    Cells,
    GridSource,
    LocationParameters,
    MajorTomGrid,
    block_splits,
    choose_cells,
    label_points,
    land_cells,
    read_layer,
    sample_locations,
)
from ssl4eco_data.types import FloatArray

FIELDS = ("ECO_NAME", "BIOME_NAME", "REALM")
MAX_KM = 25.0
PATCH_M = 2640.0
SPLIT = {"block_km": 500.0, "val_fraction": 0.05, "test_fraction": 0.05}
_STRIP_BYTES = 240 * 43_200


def grid_ours(spacing_km: float) -> Work:
    """All corners and names by the package."""

    def run() -> tuple[FloatArray, FloatArray, list[str]]:
        grid = MajorTomGrid(spacing_km)
        cells = grid.cells_in_box(-180, -90, 180, 90)
        return *grid.corners(cells), grid.names(cells)

    return Work(run, lambda found: _hash(found[2]))


def grid_loop(spacing_km: float) -> Work:
    """All corners and names, cell by cell."""
    return Work(lambda: plain.Grid(spacing_km).cells(), lambda found: _hash(found[2]))


def grid_limit(spacing_km: float) -> Work:
    """Arrays and a list of short texts of the output's size."""
    count = len(MajorTomGrid(spacing_km))
    return Work(lambda: (np.arange(count, dtype=float), np.ones(count), list(map(str, range(count)))))


def look_up_ours(spacing_km: float, count: int) -> Work:
    """The cells of random points by the package."""
    lon, lat = _random_points(count)
    return Work(
        lambda: MajorTomGrid(spacing_km).cells_of(lon, lat),
        lambda cells: np.column_stack([cells.row, cells.column]),
    )


def look_up_loop(spacing_km: float, count: int) -> Work:
    """The cells of random points, one by one."""
    lon, lat = _random_points(count)
    return Work(lambda: plain.Grid(spacing_km).cells_of(lon, lat), np.array)


def look_up_limit(spacing_km: float, count: int) -> Work:
    """One search of the rows and two arrays of the output's size."""
    (lon, lat), rows = _random_points(count), MajorTomGrid(spacing_km).row_south_deg
    return Work(lambda: (np.searchsorted(rows, lat), np.ceil(lon), np.ceil(lat)))


def _random_points(count: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(0)
    return rng.uniform(-180, 180, count), np.degrees(np.arcsin(rng.uniform(-0.95, 0.99, count)))


def _hash(names: Sequence[str]) -> list[int]:
    return [int.from_bytes(hashlib.sha256("\n".join(names).encode()).digest()[:7], "big")]


def land_ours(spacing_km: float) -> Work:
    """Land cells north of 60 degrees south, from nothing."""

    def answer(found: tuple[MajorTomGrid, Cells]) -> npt.NDArray[np.bool_]:
        grid, land = found
        everything = _candidates(grid)
        stride = 4 * int(grid.columns.max())
        return np.isin(everything.row * stride + everything.column, land.row * stride + land.column)

    return Work(lambda: land_cells(GridSource(spacing_km=spacing_km)), answer)


def land_by_package(spacing_km: float) -> Work:
    """The packaged library asked about the cells' centres; importing it reads the mask."""
    grid = MajorTomGrid(spacing_km)
    lon, lat = grid.centres(_candidates(grid))

    def run() -> npt.NDArray[np.bool_]:
        from global_land_mask import globe

        land: npt.NDArray[np.bool_] = globe.is_land(lat, lon)
        return land

    return Work(run, lambda land: land)


def inflate(fast: bool) -> Work:
    """The mask's bytes decompressed and checked once, by zlib or by ISA-L."""
    spec = find_spec("global_land_mask")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("install global-land-mask")
    path = Path(spec.submodule_search_locations[0]) / "globe_combined_mask_compressed.npz"

    def by_zlib() -> None:
        with zipfile.ZipFile(path) as archive, archive.open("mask.npy") as stream:
            while stream.read(_STRIP_BYTES):
                pass

    def by_isal() -> None:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo("mask.npy")
        with path.open("rb") as file:
            file.seek(member.header_offset + 26)
            name_and_extra = struct.unpack("<HH", file.read(4))
            file.seek(member.header_offset + 30 + sum(name_and_extra))
            tail = file.read(member.compress_size)
        stream, check = isal_zlib.decompressobj(-15), 0
        while not stream.eof:
            check = isal_zlib.crc32(stream.decompress(tail, _STRIP_BYTES), check)
            tail = stream.unconsumed_tail

    return Work(by_isal if fast else by_zlib)


def _candidates(grid: MajorTomGrid) -> Cells:
    return grid.cells_in_box(-180, -60, 180, 90)


def choose_ours(cells: int, strata: int, chosen: int) -> Work:
    """Allocation by the root of area and a balanced choice."""
    stratum = _strata(cells, strata)
    return Work(
        lambda: choose_cells(stratum, chosen, "sqrt", seed=0)[0],
        lambda taken: np.unique(stratum[taken], return_counts=True)[1],
    )


def choose_loop(cells: int, strata: int, chosen: int) -> Work:
    """The same places one by one; random cells."""
    stratum = _strata(cells, strata)
    return Work(
        lambda: plain.choose_by_argmax(stratum, chosen, 0),
        lambda taken: np.unique(stratum[taken], return_counts=True)[1],
    )


def choose_limit(cells: int, strata: int, chosen: int) -> Work:
    """A simple random sample that knows no strata."""
    rng = np.random.default_rng(0)
    return Work(lambda: rng.choice(cells, chosen, replace=False))


def _strata(cells: int, strata: int) -> npt.NDArray[np.str_]:
    """A stratum's name for each cell; sizes as uneven as those of ecoregions (log-normal)."""
    rng = np.random.default_rng(0)
    share = rng.lognormal(sigma=1.6, size=strata)
    extra = rng.multinomial(cells - strata, share / share.sum())
    return rng.permutation(np.repeat([f"stratum {i}" for i in range(strata)], extra + 1))


def split_ours(count: int, buffer_km: float) -> Work:
    """The package's splits."""
    lon, lat = _random_points(count)
    return Work(
        lambda: block_splits(lon, lat, **SPLIT, buffer_km=buffer_km, seed=0),
        lambda split: split.to_numpy(str),
    )


def split_loop(count: int) -> Work:
    """Splits point by point, without a strip."""
    lon, lat = _random_points(count)
    return Work(lambda: plain.split_of_each(lon, lat, **SPLIT), np.array)


def split_tree(count: int, buffer_km: float) -> Work:
    """Splits with a strip around the points, not the blocks, of the other splits."""
    lon, lat = _random_points(count)

    def run() -> npt.NDArray[np.object_]:
        split = block_splits(lon, lat, **SPLIT, buffer_km=0.0, seed=0).to_numpy(object)
        return plain.buffer_by_points(lon, lat, split, buffer_km)

    return Work(run, lambda split: split.astype(str))


def join_ours(path: str, count: int, spacing_km: float) -> Work:
    """Labels by the package."""
    lon, lat = _land_points(count, spacing_km)
    return Work(
        lambda: label_points(read_layer(path, FIELDS), FIELDS, lon, lat, MAX_KM).table["ecoregion"],
        lambda label: label.to_numpy(str),
    )


def join_geopandas(path: str, count: int, spacing_km: float) -> Work:
    """Labels by two joins of GeoPandas."""
    lon, lat = _land_points(count, spacing_km)
    return Work(
        lambda: plain.join_by_geopandas(path, FIELDS[0], lon, lat, MAX_KM), lambda label: label.astype(str)
    )


def join_limit(path: str, count: int, spacing_km: float) -> Work:
    """Only which bounding boxes hold which points."""
    lon, lat = _land_points(count, spacing_km)
    parts = read_layer(path, FIELDS).parts
    return Work(lambda: shapely.STRtree(parts).query(shapely.points(lon, lat)))


def whole_table(path: str, spacing_km: float) -> Work:
    """Every location of the default source, labelled, placed and split."""
    parameters = LocationParameters(source=GridSource(spacing_km=spacing_km), strata=path)
    return Work(lambda: sample_locations(parameters, PATCH_M))


def _land_points(count: int, spacing_km: float) -> tuple[FloatArray, FloatArray]:
    """Centres of land cells, some of the grid's at random."""
    grid, cells = land_cells(GridSource(spacing_km=spacing_km))
    at = np.random.default_rng(0).choice(len(cells), count, replace=False)
    return grid.centres(cells.where(at))
