"""Patches: what is written is what every Zarr reader sees, in the same bytes each time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window
from tests.store.small_dataset import PER_SHARD, random_pixels, small_layout

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import Layout, StoreParameters, create, write_block
from ssl4eco_data.store.codec import ABSENT, ChunkCodec, decode_chunk, encode_shard, split_shard, with_crc

BANDS = ("B01", "B02", "B04", "B05", "B08", "B09", "B11")


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    return Layout(
        n_locations=draw(st.integers(1, 5)),
        seasons=tuple(f"s{i}" for i in range(draw(st.integers(1, 4)))),
        size_m=20.0 * draw(st.integers(1, 5)),
        bands=tuple(draw(st.lists(st.sampled_from(BANDS), min_size=1, unique=True))),
        parameters=StoreParameters(
            shard_locations=draw(st.integers(1, 4)),
            compression=draw(st.sampled_from(["zstd", "lz4"])),
            level=draw(st.integers(1, 9)),
        ),
    )


def write_all(root: Path, layout: Layout, pixels: dict[str, np.ndarray], present: np.ndarray) -> list[Path]:
    files = create(root, layout)
    step = layout.parameters.shard_locations
    for first in range(0, layout.n_locations, step):
        rows = slice(first, first + step)
        files += write_block(root, layout, first, {k: v[rows] for k, v in pixels.items()}, present[rows])
    return files


def content(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@settings(max_examples=40, deadline=None)
@given(layout=layouts(), seed=st.integers(0, 99), share=st.sampled_from([0.0, 0.5, 1.0]))
def test_zarr_python_reads_the_same_pixels(
    tmp_path_factory: pytest.TempPathFactory, layout: Layout, seed: int, share: float
) -> None:
    root = tmp_path_factory.mktemp("z")
    pixels = random_pixels(layout, layout.n_locations, seed)
    present = np.random.default_rng(seed).random((layout.n_locations, len(layout.seasons))) < share
    files = write_all(root, layout, pixels, present)
    assert {p.relative_to(root).as_posix() for p in files} == content(root).keys() - {
        "zarr.json",
        "sentinel2/zarr.json",
    }
    group = zarr.open_group(root / "sentinel2", mode="r")
    assert sorted(group.array_keys()) == sorted(a.name for a in layout.arrays)
    for name, written in pixels.items():
        seen = group[name][...]
        mask = present.reshape(*present.shape, *[1] * (written.ndim - 2))
        assert seen.dtype == written.dtype
        np.testing.assert_array_equal(seen, np.where(mask, written, 0))


def test_chunks_shards_and_checksums_are_as_the_format_says(tmp_path: Path) -> None:
    layout = small_layout()
    create(tmp_path, layout)
    group = zarr.open_group(tmp_path / "sentinel2", mode="r")
    for array in layout.arrays:
        seen = group[array.name]
        assert seen.chunks == (1, 1, *array.shape[2:])
        assert seen.shards == (PER_SHARD, 4, *array.shape[2:])
        assert seen.metadata.dimension_names == array.dims
        (sharding,) = (codec.to_dict() for codec in seen.metadata.codecs)
        configuration = sharding["configuration"]
        assert [c["name"] for c in configuration["codecs"]] == ["bytes", "blosc", "crc32c"]
        assert [c["name"] for c in configuration["index_codecs"]] == ["bytes", "crc32c"]
        assert configuration["index_location"] == "end"
        blosc = configuration["codecs"][1]["configuration"]
        assert (blosc["cname"], blosc["clevel"], blosc["shuffle"]) == ("zstd", 3, "shuffle")
        assert blosc["typesize"] == np.dtype(array.dtype).itemsize


def test_modalities_without_bands_have_no_array() -> None:
    assert [a.name for a in small_layout(bands=("B08", "B04")).arrays] == ["r10", "scl"]
    r60 = {a.name: a for a in small_layout(size_m=2560.0).arrays}["r60"]
    assert r60.shape == (5, 4, 1, 44, 44)


def test_bytes_do_not_depend_on_threads_or_on_what_was_there(tmp_path: Path) -> None:
    layout = small_layout(size_m=1280.0)
    pixels, present = random_pixels(layout, 5), np.ones((5, 4), dtype=bool)
    write_all(tmp_path / "a", layout, random_pixels(layout, 5, seed=9), present)
    write_all(tmp_path / "a", layout, pixels, present)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(write_all, tmp_path / "b", layout, pixels, present).result()
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_a_shard_that_became_empty_goes(tmp_path: Path) -> None:
    layout = small_layout()
    pixels, present = random_pixels(layout, PER_SHARD), np.ones((PER_SHARD, 4), dtype=bool)
    create(tmp_path, layout)
    files = write_block(tmp_path, layout, 2, pixels, present)
    assert len(files) == 4
    assert write_block(tmp_path, layout, 2, pixels, ~present) == []
    assert not any(f.exists() for f in files)


def test_only_the_location_axis_may_change(tmp_path: Path) -> None:
    create(tmp_path, small_layout())
    before = content(tmp_path)
    for other, what in (
        (small_layout(size_m=320.0), "chunk_grid"),
        (small_layout(seasons=("a", "b", "c", "d")), "seasons"),
        (small_layout(bands=("B02",)), "r20"),
        (small_layout(parameters=StoreParameters(shard_locations=4)), "chunk_grid"),
        (small_layout(parameters=StoreParameters(shard_locations=2, compression="lz4")), "codecs"),
        (small_layout(n_locations=4), "shape"),
    ):
        with pytest.raises(StoreError, match=what):
            create(tmp_path, other)
    assert content(tmp_path) == before
    create(tmp_path, small_layout(n_locations=7))
    assert zarr.open_group(tmp_path / "sentinel2", mode="r")["r10"].shape[0] == 7


def test_damaged_metadata_is_written_anew(tmp_path: Path) -> None:
    create(tmp_path, small_layout())
    before = content(tmp_path)
    (tmp_path / "sentinel2/r10/zarr.json").write_text('{"zarr_format": 3, "sha')
    create(tmp_path, small_layout())
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("first_row", "n", "what"), [(1, 2, "first_row"), (0, 3, "whole shards"), (4, 2, "whole shards")]
)
def test_a_block_that_shares_a_shard_is_refused(tmp_path: Path, first_row: int, n: int, what: str) -> None:
    layout = small_layout()
    with pytest.raises(ValueError, match=what):
        write_block(tmp_path, layout, first_row, random_pixels(layout, n), np.ones((n, 4), dtype=bool))


def test_arrays_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    layout, present = small_layout(), np.ones((2, 4), dtype=bool)
    pixels = random_pixels(layout, 2)
    with pytest.raises(ValueError, match="r10 must be uint16"):
        write_block(tmp_path, layout, 0, pixels | {"r10": pixels["r10"].astype("int16")}, present)
    with pytest.raises(ValueError, match="scl must be uint8"):
        write_block(tmp_path, layout, 0, pixels | {"scl": pixels["scl"][:1]}, present)
    with pytest.raises(ValueError, match="present must be"):
        write_block(tmp_path, layout, 0, pixels, present[:, :3])
    with pytest.raises(ValueError, match="patches must be"):
        write_block(tmp_path, layout, 0, {"r10": pixels["r10"]}, present)


@given(
    chunks=st.lists(st.none() | st.binary(min_size=1, max_size=20), min_size=1, max_size=6),
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_a_flipped_bit_in_an_index_is_found(chunks: list[bytes | None], where: float, bit: int) -> None:
    whole = encode_shard(chunks)
    assert split_shard(whole, len(chunks)) == chunks
    index_bytes = 16 * len(chunks) + 4
    damaged = bytearray(whole)
    damaged[len(whole) - index_bytes + int(where * index_bytes)] ^= 1 << bit
    with pytest.raises(StoreError, match="index"):
        split_shard(bytes(damaged), len(chunks))


@given(seed=st.integers(0, 99), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_chunk_is_found(seed: int, where: float, bit: int) -> None:
    chunk = np.random.default_rng(seed).integers(0, 10_000, (2, 8, 8)).astype(np.uint16)
    whole = ChunkCodec().encode(chunk)
    assert whole[3] == chunk.itemsize, "byte 3 of a blosc header is the size that bytes are shuffled by"
    np.testing.assert_array_equal(decode_chunk(whole, chunk.shape, chunk.dtype), chunk)
    damaged = bytearray(whole)
    damaged[int(where * len(whole))] ^= 1 << bit
    with pytest.raises(StoreError, match="checksum"):
        decode_chunk(bytes(damaged), chunk.shape, chunk.dtype)


def test_real_patches_come_back(tmp_path: Path, shared_data: Path) -> None:
    (cell,) = (p for p in (shared_data / "majortom").iterdir() if p.is_dir())
    layout = Layout(n_locations=1, seasons=("winter",), size_m=2560.0, bands=BANDS)
    pixels = {}
    for array in layout.arrays[:-1]:
        side = array.shape[-1]
        native = [
            rasterio.open(cell / f"{b}.tif").read(1, window=Window(0, 0, side, side)) for b in array.bands
        ]
        pixels[array.name] = np.stack(native)[None, None].astype(np.uint16)
    pixels["scl"] = np.full((1, 1, 128, 128), 4, dtype=np.uint8)
    files = write_all(tmp_path, layout, pixels, np.ones((1, 1), dtype=bool))
    group = zarr.open_group(tmp_path / "sentinel2", mode="r")
    for name, written in pixels.items():
        np.testing.assert_array_equal(group[name][...], written)
    assert sum(f.stat().st_size for f in files) < sum(v.nbytes for v in pixels.values())


def test_an_index_that_points_beyond_its_shard_is_refused() -> None:
    for entry in ([0, 11], [11, 0], [2**63, 2**63], [ABSENT, 5]):
        shard = b"0123456789" + with_crc(np.array(entry, dtype="<u8").tobytes())
        with pytest.raises(StoreError, match="lie beyond"):
            split_shard(shard, 1)


def test_large_chunks_are_the_same_bytes_each_time() -> None:
    chunk = np.random.default_rng(0).integers(0, 3000, (4, 1024, 1024)).astype(np.uint16)
    assert len({ChunkCodec(level=1).encode(chunk) for _ in range(4)}) == 1


@given(data=st.binary(max_size=100), n=st.integers(1, 4))
def test_any_bytes_are_refused_readably(data: bytes, n: int) -> None:
    with pytest.raises(StoreError):
        split_shard(data, n)
    with pytest.raises(StoreError):
        decode_chunk(data, (4, 4), np.dtype("uint16"))
