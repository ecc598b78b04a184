"""Land by the packaged mask: how much there is, and what a damaged mask does."""

import io
import struct
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations import MajorTomGrid, on_land, read_layer

MASK = "globe_combined_mask_compressed.npz"


@pytest.fixture(scope="module")
def centres_23_km():
    grid = MajorTomGrid(23.0)
    return grid.centres(grid.cells_in_box(-180, -90, 180, 90))


def packaged() -> bytes:
    spec = find_spec("global_land_mask")
    return (Path(spec.submodule_search_locations[0]) / MASK).read_bytes()


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def archived(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def in_directory(content: bytes) -> int:
    """Where the archive's directory keeps the checksum of its first member; its compressed size follows."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist()[0] == "mask.npy"
        return archive.start_dir + 16


def shortened(content: bytes) -> bytes:
    """The mask said to end after 1000 compressed bytes."""
    at = in_directory(content) + 4
    return content[:at] + struct.pack("<L", 1000) + content[at + 4 :]


def written(text: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mask.npy", text)
    return file.getvalue()


def test_land_cells_at_23_km_by_the_packaged_mask(centres_23_km):
    lon, lat = centres_23_km
    land = on_land(lon, lat)
    assert land.sum() == pytest.approx(275_622, rel=0.01)
    assert (land & (lat >= -60)).sum() == pytest.approx(254_767, rel=0.01)


def test_land_cells_at_23_km_by_the_polygons_of_natural_earth(centres_23_km, shared_data):
    lon, lat = centres_23_km
    land = on_land(lon, lat, read_layer(str(shared_data / "land" / "ne_land_10m.gpkg")))
    # The layer is cut at 180 degrees. Ten centres lie on the cut, on land; they count as edges do here, while
    # the published numbers leave edges out.
    assert (land & (lon == -180)).sum() == 10
    land &= lon != -180
    assert (land.sum(), (land & (lat >= -60)).sum()) == (275_622, 254_767)


def test_the_mask_read_in_strips_is_the_mask():
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 20_000), rng.uniform(60, 90, 20_000)
    with zipfile.ZipFile(io.BytesIO(packaged())) as archive:
        lats, lons = (np.lib.format.read_array(archive.open(f"{name}.npy")) for name in ("lat", "lon"))
        with archive.open("mask.npy") as stream:
            np.lib.format.read_magic(stream)
            (_, width), _, _ = np.lib.format.read_array_header_1_0(stream)
            rows = int((lats >= 60).sum()) + 1
            ocean = np.frombuffer(stream.read(rows * width), bool).reshape(rows, width)
    row, column = np.searchsorted(-lats, -lat, "right") - 1, np.searchsorted(lons, lon, "right") - 1
    assert (on_land(lon, lat) == ~ocean[row, column]).all()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: flipped(content, len(content) // 2), id="one byte of the mask"),
        pytest.param(lambda content: flipped(content, in_directory(content)), id="its checksum"),
        pytest.param(lambda content: flipped(content, 100), id="one byte of its codes"),
        pytest.param(shortened, id="its length"),
        pytest.param(lambda content: content[: len(content) // 2], id="half of the file"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: archived(other=np.ones(3)), id="no mask inside"),
        pytest.param(lambda _: written(b"not an array"), id="no array inside"),
        pytest.param(lambda _: archived(mask=np.ones((3, 3), bool)), id="another shape"),
    ],
)
def test_a_damaged_mask_is_refused(damage, tmp_path, monkeypatch):
    folder = tmp_path / "global_land_mask"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / MASK).write_bytes(damage(packaged()))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"packaged land mask.*name a polygon layer"):
        on_land(np.array([0.0]), np.array([50.0]))


def test_an_absent_mask_is_refused(tmp_path, monkeypatch):
    (tmp_path / "global_land_mask").mkdir()
    (tmp_path / "global_land_mask" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="cannot read the packaged land mask"):
        on_land(np.array([0.0]), np.array([50.0]))
