"""The reader for training against zarr-python and other readers, on layouts of every kind."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from s3_server import s3_bucket
from small_dataset import Small, build_small, random_pixels, small_layout

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import (
    Layout,
    Place,
    StoreParameters,
    create,
    place_of,
    shards,
    write_atomic,
    write_block,
)
from ssl4eco_data.store.codec import with_crc
from ssl4eco_data.store.metadata import DOCUMENT, group_document, to_bytes
from ssl4eco_data.store.shard_array import read_shard_array
from ssl4eco_data.store.shard_source import Bounded, OpenFile, read_at, read_at_once, read_by_reopening
from ssl4eco_data.store.shards import ShardReader

BANDS = ("B01", "B02", "B03", "B04", "B05", "B08", "B12")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return build_small(tmp_path_factory.mktemp("small") / "dataset")


@pytest.fixture
def own(small: Small, tmp_path: Path) -> Path:
    """A copy that the test may damage."""
    shutil.copytree(small.root, tmp_path / "own")
    return tmp_path / "own"


def all_places(reader: ShardReader) -> np.ndarray:
    return np.array(list(np.ndindex(reader.shape)))


def read_all(reader: ShardReader, threads: int = 1) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(pixels by array, presence), both ``(location, season, ...)``."""
    places = all_places(reader)
    out = reader.empty(len(places))
    present = reader.read_batch(places, out, threads)
    shape = reader.shape
    return {n: v.reshape(*shape, *v.shape[1:]) for n, v in out.items()}, present.reshape(shape)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Layout, np.ndarray]:
    """(a layout, which patches are there)."""
    n, seasons = draw(st.integers(1, 7)), draw(st.integers(1, 5))
    layout = Layout(
        n_locations=n,
        seasons=tuple(f"s{i}" for i in range(seasons)),
        size_m=20.0 * draw(st.sampled_from([1, 3, 4, 8, 40])),
        bands=tuple(draw(st.lists(st.sampled_from(BANDS), min_size=1, unique=True))),
        parameters=StoreParameters(
            shard_locations=draw(st.integers(1, 9)),
            compression=draw(st.sampled_from(["zstd", "lz4"])),
            level=draw(st.integers(1, 9)),
        ),
    )
    present = draw(st.lists(st.booleans(), min_size=n * seasons, max_size=n * seasons))
    return layout, np.array(present).reshape(n, seasons)


def write(root: Place, layout: Layout, pixels: dict[str, np.ndarray], present: np.ndarray) -> None:
    """The patches alone, marked as finished."""
    create(root / "patches.zarr", layout)
    write_block(root / "patches.zarr", layout, 0, pixels, present)
    document = root / "patches.zarr" / "sentinel2" / DOCUMENT
    write_atomic(document, to_bytes(group_document(layout.attributes())))


@settings(max_examples=60, deadline=None)
@given(layouts(), st.integers(0, 2**31), st.booleans())
def test_it_reads_what_zarr_reads(drawn: tuple[Layout, np.ndarray], seed: int, verify: bool) -> None:
    layout, present = drawn
    pixels = random_pixels(layout, layout.n_locations, seed)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), layout, pixels, present)
        reader = ShardReader(folder, verify=verify, max_files=2, max_indices=2)
        found, there = read_all(reader, threads=1 + seed % 3)
        assert (there == present).all() and reader.seasons == layout.seasons
        assert sorted(found) == sorted(pixels)
        for name, values in found.items():
            expected = zarr.open_array(f"{folder}/patches.zarr/sentinel2/{name}", mode="r")[...]
            np.testing.assert_array_equal(values, expected)
            np.testing.assert_array_equal(values[present], pixels[name][present])
            assert not values[~present].any()


@settings(max_examples=25, deadline=None)
@given(layouts(), st.integers(0, 2**31))
def test_it_reads_what_zarr_writes(drawn: tuple[Layout, np.ndarray], seed: int) -> None:
    layout, present = drawn
    pixels = random_pixels(layout, layout.n_locations, seed)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), layout, pixels, np.zeros_like(present))
        for name, values in pixels.items():
            array = zarr.open_array(f"{folder}/patches.zarr/sentinel2/{name}", mode="r+")
            for i, j in np.argwhere(present):
                array[i, j] = values[i, j] | 1  # zarr leaves out a chunk that is all fill value
        found, there = read_all(ShardReader(folder))
        assert (there == present).all()
        for name, values in found.items():
            np.testing.assert_array_equal(values[present], pixels[name][present] | 1)


@settings(max_examples=30, deadline=None)
@given(drawn=layouts(), data=st.data())
def test_bands_come_in_the_order_wanted(drawn: tuple[Layout, np.ndarray], data: st.DataObject) -> None:
    layout, present = drawn
    pixels = random_pixels(layout, layout.n_locations)
    wanted = data.draw(st.lists(st.sampled_from([*layout.bands, "SCL"]), min_size=1, unique=True))
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), layout, pixels, present)
        reader = ShardReader(folder, bands=wanted)
        found, there = read_all(reader)
    assert (there == present).all()
    assert [b for name in found for b in reader.bands(name) or ("SCL",)] == sorted(
        wanted, key=lambda b: (next(k for k, a in enumerate(layout.arrays) if b in a.bands), wanted.index(b))
    )
    for array in layout.arrays:
        if array.name not in found:
            assert not set(array.bands) & set(wanted)
        elif reader.bands(array.name):
            pick = [array.bands.index(b) for b in reader.bands(array.name)]
            expected = np.where(present[..., None, None, None], pixels[array.name][:, :, pick], 0)
            np.testing.assert_array_equal(found[array.name], expected)


def test_only_the_arrays_asked_for_are_read(small: Small, own: Path) -> None:
    shutil.rmtree(own / "patches.zarr/sentinel2/r20/c")
    reader = ShardReader(own, ["r10", "scl"])
    found, _ = read_all(reader)
    assert sorted(found) == ["r10", "scl"]
    with pytest.raises(StoreError, match=r"r20.*absent though"):
        read_all(ShardReader(own))
    with pytest.raises(StoreError, match="r30"):
        ShardReader(own, ["r30"])
    for bands in (["B99"], [], ["B02", "B02"]):
        with pytest.raises(ValueError, match="bands must be"):
            ShardReader(own, bands=bands)


def test_buffers_need_not_be_contiguous(small: Small) -> None:
    reader = ShardReader(small.root, ["r10"])
    row, season = np.argwhere(small.present)[0]
    wide = np.zeros((*small.pixels["r10"].shape[2:], 2), dtype="uint16")
    assert reader.read_into(int(row), int(season), {"r10": wide[..., 1]})
    np.testing.assert_array_equal(wide[..., 1], small.pixels["r10"][row, season])
    assert not wide[..., 0].any()


def test_all_bands_turned_round_come_turned_round(small: Small) -> None:
    reader = ShardReader(small.root, ["r10"], bands=["B08", "B04", "B03", "B02"])
    found, _ = read_all(reader)
    assert reader.bands("r10") == ("B08", "B04", "B03", "B02")
    np.testing.assert_array_equal(found["r10"][small.present], small.pixels["r10"][small.present][:, ::-1])


def test_mistakes_of_the_caller_are_told(small: Small) -> None:
    reader = ShardReader(small.root)
    out = reader.empty()
    for row, season in ((-1, 0), (5, 0), (0, 4), (0, -1)):
        with pytest.raises(ValueError, match=rf"got {row}, {season}"):
            reader.read_into(row, season, out)
    with pytest.raises(ValueError, match=r"out\['scl'\] must be uint8"):
        reader.read_into(0, 0, {**out, "scl": out["scl"].astype("uint16")})
    with pytest.raises(ValueError, match=r"out\['r10'\] must be uint16 \(4, 16, 16\), got uint16 \(3,"):
        reader.read_into(0, 0, {**out, "r10": out["r10"][:3]})
    with pytest.raises(ValueError, match=r"out\['r60'\].* got none"):
        reader.read_batch([[0, 0]], {name: v[None] for name, v in out.items() if name != "r60"})
    with pytest.raises(ValueError, match="integers"):
        reader.read_batch([[0.5, 0]], reader.empty(1))
    with pytest.raises(ValueError, match="threads"):
        reader.read_batch([[0, 0]], reader.empty(1), threads=0)
    with pytest.raises(ValueError, match="max_files"):
        ShardReader(small.root, max_files=0)
    assert reader.read_batch(np.empty((0, 2), int), reader.empty(0), threads=3).shape == (0,)


def test_unfinished_and_newer_datasets_are_refused(own: Path) -> None:
    document = own / "patches.zarr/sentinel2/zarr.json"
    whole = document.read_bytes()
    for content, message in (
        (whole.replace(b'_format_version": 1', b'_format_version": 99'), "99.*update"),
        (b'{"attributes": {}}', "not finished"),
        (b"[]", "no JSON object"),
        (b"{", "cannot read"),
    ):
        document.write_bytes(content)
        with pytest.raises(StoreError, match=message):
            ShardReader(own)
    document.unlink()
    with pytest.raises(StoreError, match=r"there is no .*sentinel2/zarr\.json"):
        ShardReader(own)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"cname": "zstd"', b'"cname": "zstd"'),
        (b'"end"', b'"start"'),
        (b'"name": "blosc"', b'"name": "gzip"'),
        (b'"data_type": "uint16"', b'"data_type": "float64"'),
        (b'"node_type": "array"', b'"node_type": "array", "codecs": 5'),
        (b'"separator": "/"', b'"separator": "."'),
        (b'"fill_value": 0', b'"fill_value": -1'),
    ],
)
def test_an_array_of_another_kind_is_refused(own: Path, old: bytes, new: bytes) -> None:
    document = own / "patches.zarr/sentinel2/r10/zarr.json"
    content = document.read_bytes()
    assert old in content
    document.write_bytes(content.replace(old, new) if b"codecs" not in new else b'{"codecs": 5}')
    if old == new:
        ShardReader(own)
        return
    with pytest.raises(StoreError, match=r"r10/zarr\.json: not an array of patches"):
        ShardReader(own)


def test_an_array_beyond_what_a_dataset_can_have_is_refused(own: Path) -> None:
    """Before memory is taken for it: a shard of too many locations, a season twice, a patch too large."""
    document = own / "patches.zarr/sentinel2/r10/zarr.json"
    whole = document.read_text()
    for what in ("shard of locations", "seasons", "chunk bytes"):
        bad = json.loads(whole)
        shard, sharding = bad["chunk_grid"]["configuration"], bad["codecs"][0]["configuration"]
        if what == "shard of locations":
            shard["chunk_shape"][0] = 4097
        elif what == "seasons":
            bad["attributes"]["seasons"][0] = bad["attributes"]["seasons"][1]
        else:
            for shape in (bad["shape"], shard["chunk_shape"], sharding["chunk_shape"]):
                shape[-1] = 2**28
        document.write_text(json.dumps(bad))
        with pytest.raises(StoreError, match=f"unexpected {what}"):
            read_shard_array(document.parent.parent, "r10")


def shard_of(own: Path, small: Small) -> tuple[Path, int, int]:
    """(file of the first shard of r10, row and season of its first patch)."""
    row, season = map(int, np.argwhere(small.present)[0])
    assert row == 0
    return own / "patches.zarr/sentinel2/r10/c/0/0/0/0/0", row, season


@pytest.mark.parametrize("verify", [True, False])
def test_every_flipped_byte_is_told_with_its_place_or_the_pixels_are_right(
    small: Small, own: Path, verify: bool
) -> None:
    path, row, season = shard_of(own, small)
    whole = path.read_bytes()
    expected, generator = small.pixels["r10"][row, season], np.random.default_rng(3)
    told = 0
    index = set(range(len(whole) - 2 * 4 * 16 - 4, len(whole)))
    places = [*range(40), *sorted(index), *generator.integers(0, len(whole), 60).tolist()]
    for at in places:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x21]) + whole[at + 1 :])
        reader, out = ShardReader(own, ["r10"], verify=verify), {"r10": np.zeros_like(expected)}
        try:
            reader.read_into(row, season, out)
        except StoreError as error:
            told += 1
            assert str(path) in str(error) and f"row {row}, season spring" in str(error)
            continue
        if verify:
            np.testing.assert_array_equal(out["r10"], expected)
    assert told >= len(index)


def test_a_torn_shard_is_told_wherever_it_ends(small: Small, own: Path) -> None:
    path, row, season = shard_of(own, small)
    whole = path.read_bytes()
    for end in [0, 1, 19, 20, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:end])
        with pytest.raises(StoreError, match=r"r10/c/0.*row 0, season spring"):
            reader = ShardReader(own, ["r10"], verify=False)
            reader.read_into(row, season, reader.empty())


def test_a_chunk_that_says_it_unpacks_to_a_great_size_is_refused(small: Small, own: Path) -> None:
    path, row, season = shard_of(own, small)
    whole = bytearray(path.read_bytes())
    whole[4:8] = (2**31 - 20).to_bytes(4, "little")
    path.write_bytes(whole)
    reader = ShardReader(own, ["r10"], verify=False)
    with pytest.raises(StoreError, match="2147483628"):
        reader.read_into(row, season, reader.empty())


ABSENT_ENTRY = (2**64 - 1, 2**64 - 1)
"""What the index says of a chunk that is not there."""


@settings(max_examples=60, deadline=None)
@given(
    entry=st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)).filter(lambda e: e != ABSENT_ENTRY),
    at=st.integers(0, 7),
)
def test_an_index_that_points_anywhere_is_refused_whatever_its_checksum(
    entry: tuple[int, int], at: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        small = build_one_shard(Path(folder))
        path = Path(folder) / "patches.zarr/sentinel2/r10/c/0/0/0/0/0"
        data = path.read_bytes()
        index = np.frombuffer(data[-(8 * 16 + 4) : -4], "<u8").reshape(8, 2).copy()
        index[at] = entry
        path.write_bytes(data[: -(8 * 16 + 4)] + with_crc(index.tobytes()))
        reader = ShardReader(folder, ["r10"])
        with pytest.raises(StoreError, match=r"r10/c/0.*row"):
            read_all(reader)
        assert small.shape[:2] == reader.shape


def build_one_shard(root: Path) -> np.ndarray:
    """Two locations of four seasons, all there; the pixels at 10 m."""
    layout = small_layout(2, bands=("B02",))
    pixels = random_pixels(layout, 2)
    write(root, layout, pixels, np.ones((2, 4), dtype=bool))
    return pixels["r10"]


def test_a_replaced_shard_is_read_anew_and_an_open_one_stays_whole(small: Small, own: Path) -> None:
    _, row, season = shard_of(own, small)
    reader = ShardReader(own, ["r10"], max_files=1)
    out = reader.empty()
    assert reader.read_into(row, season, out)
    changed = {name: v[:2] // 100 for name, v in small.pixels.items()}
    write_block(own / "patches.zarr", small.layout, 0, changed, small.present[:2])
    assert reader.read_into(row, season, out)
    np.testing.assert_array_equal(out["r10"], small.pixels["r10"][row, season])
    reader.read_into(4, 0, out)  # another shard: the first file is closed
    assert reader.read_into(row, season, out)
    np.testing.assert_array_equal(out["r10"], changed["r10"][row, season])


def test_a_missing_file_is_a_missing_season_but_a_missing_dataset_is_told(small: Small, own: Path) -> None:
    path, row, season = shard_of(own, small)
    reader = ShardReader(own, ["r10"])
    out = {"r10": np.ones((4, 16, 16), "uint16")}
    path.unlink()
    assert not reader.read_into(row, season, out) and not out["r10"].any()
    shutil.rmtree(own)
    with pytest.raises(StoreError, match="is gone"):
        reader.read_into(row, season, out)


def test_files_stay_open_up_to_the_bound_and_no_longer(small: Small) -> None:
    numbers = Path("/proc/self/fd")
    if not numbers.is_dir():
        pytest.skip("NO /proc/self/fd HERE: open files cannot be counted; this test did not run")
    before = len(list(numbers.iterdir()))
    reader = ShardReader(small.root, max_files=2)
    read_all(reader, threads=3)
    assert len(list(numbers.iterdir())) == before + 2
    del reader
    assert len(list(numbers.iterdir())) == before


def test_a_file_that_somebody_reads_is_closed_by_its_last_user(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() * 10)
    kept: Bounded[OpenFile] = Bounded(1)
    in_use = OpenFile(tmp_path / "a")
    kept.keep("a", in_use)
    kept.keep("b", OpenFile(tmp_path / "b"))
    assert len(kept) == 1 and kept.get("a") is None
    into = np.zeros(10, dtype=np.uint8)
    assert read_at(in_use, into, 0) == 10 and into.tobytes() == b"a" * 10
    number = in_use.fd
    del in_use
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(number)


def test_many_threads_read_right_while_files_are_closed_under_them(small: Small) -> None:
    reader = ShardReader(small.root, max_files=1, max_indices=1, verify=False)

    def right(seed: int) -> bool:
        out = reader.empty()
        for row, season in np.random.default_rng(seed).permutation(all_places(reader)).tolist():
            there = reader.read_into(row, season, out)
            expected = {n: v[row, season] * there for n, v in small.pixels.items()}
            if there != small.present[row, season] or any((out[n] != v).any() for n, v in expected.items()):
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(right, range(40)))


def _checksum(reader: ShardReader, threads: int) -> int:
    return sum(int(v.astype("u8").sum()) for v in read_all(reader, threads)[0].values())


def _send(reader: ShardReader, threads: int, answers: Any) -> None:
    answers.put(_checksum(reader, threads))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_read_right(small: Small, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"NO {method} HERE: this test did not run")
    context, reader = multiprocessing.get_context(method), ShardReader(small.root)
    expected = _checksum(reader, 2)  # files are open and threads run before the fork
    answers = context.Queue()
    workers = [context.Process(target=_send, args=(reader, n, answers)) for n in (1, 2)]
    for worker in workers:
        worker.start()
    assert [answers.get(timeout=300) for _ in workers] == [expected, expected]
    for worker in workers:
        worker.join(60)
    assert _checksum(pickle.loads(pickle.dumps(reader)), 2) == expected == _checksum(reader, 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="NO FORK HERE: this test did not run")
def test_a_child_forked_while_a_thread_holds_the_locks_reads_right(small: Small) -> None:
    reader = ShardReader(small.root)
    expected = _checksum(reader, 2)
    with reader._open.chunks._files._lock, reader._open.chunks._indices._lock:  # type: ignore[attr-defined]
        child = os.fork()
        if child == 0:
            os._exit(0 if _checksum(reader, 2) == expected else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("read", [read_at_once, read_by_reopening])
def test_both_ways_to_read_a_part_of_a_file_agree(tmp_path: Path, read: Any) -> None:
    if read is read_at_once and not hasattr(os, "preadv"):
        pytest.skip("NO preadv HERE: this test did not run")
    path = tmp_path / "x"
    path.write_bytes(bytes(range(100)))
    file, into = OpenFile(path), np.zeros(10, dtype=np.uint8)
    for offset, count in ((0, 10), (50, 10), (95, 5), (100, 0)):
        assert read(file, into, offset) == count
        assert into[:count].tobytes() == bytes(range(offset, offset + count))


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "s3":
        with s3_bucket(monkeypatch) as address:
            yield address
    else:
        yield f"memory://{uuid.uuid4().hex}"


def _copy(root: Path, to: Place) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            write_atomic(to / str(path.relative_to(root)), path.read_bytes())


def test_object_stores_give_the_same(small: Small, bucket: str) -> None:
    root = place_of(f"{bucket}/a/dataset")
    _copy(small.root, root)
    reader = ShardReader(str(root), verify=False)
    assert reader.verify
    expected, present = read_all(ShardReader(small.root))
    for each in (reader, pickle.loads(pickle.dumps(reader))):
        found, there = read_all(each, threads=3)
        assert (there == present).all()
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values)
    shard = root / "patches.zarr/sentinel2/r10/c/0/0/0/0/0"
    data = shard.read_bytes()
    row, season = map(int, np.argwhere(small.present)[0])
    for damaged in (data[:40], data[: len(data) // 2], b"\xff" + data[1:20] + b"\x00" + data[21:]):
        write_atomic(shard, damaged)
        with pytest.raises(StoreError, match=r"r10/c/0.*row 0, season spring"):
            ShardReader(str(root)).read_into(row, season, reader.empty())
    shard.unlink()
    assert not ShardReader(str(root), ["r10"]).read_into(row, season, reader.empty())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="NO FORK HERE: this test did not run")
def test_an_object_store_is_refused_after_a_fork_instead_of_waiting_for_ever(
    small: Small, bucket: str
) -> None:
    root = place_of(f"{bucket}/a/dataset")
    _copy(small.root, root)
    reader = ShardReader(root, ["scl"])
    child = os.fork()
    if child == 0:
        try:
            reader.read_into(0, 0, reader.empty())
        except StoreError as error:
            os._exit(7 if "'spawn'" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert reader.read_into(0, 0, reader.empty()) == small.present[0, 0]


def _importable(name: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} IS NOT INSTALLED: this reader was not compared")


def test_tensorstore_sees_the_same_pixels(small: Small) -> None:
    tensorstore = _importable("tensorstore")
    for name, values in read_all(ShardReader(small.root))[0].items():
        path = str(small.root / "patches.zarr/sentinel2" / name)
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}
        np.testing.assert_array_equal(tensorstore.open(spec, open=True).result().read().result(), values)


def test_zarrs_sees_the_same_pixels(small: Small) -> None:
    _importable("zarrs")
    for name, values in read_all(ShardReader(small.root))[0].items():
        with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
            array = zarr.open_array(str(small.root / "patches.zarr/sentinel2" / name), mode="r")
            np.testing.assert_array_equal(array[...], values)
            assert type(array._async_array.codec_pipeline).__name__ == "ZarrsCodecPipeline"


def test_the_reader_imports_neither_zarr_nor_torch_nor_xarray() -> None:
    source = Path(shards.__file__).parent
    for name in ("shards.py", "shard_array.py", "shard_source.py"):
        text = (source / name).read_text()
        assert not any(f"import {other}" in text for other in ("zarr", "torch", "xarray", "pandas"))
