"""Malformed bytes wherever a dataset is read: errors of ours, in bounded time and memory; nothing else."""

from __future__ import annotations

import contextlib
import io
import json
import resource
import struct
import threading
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomli_w
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.store.small_dataset import build_small

from ssl4eco_data import config as configuration
from ssl4eco_data.errors import ConfigError, StoreError
from ssl4eco_data.store import (
    Ledger,
    ObjectPath,
    check,
    leased,
    open_dataset,
    read_geo_table,
    read_table,
    table_metadata,
)
from ssl4eco_data.store.check_sample import check_sample
from ssl4eco_data.store.codec import ChunkCodec, decode_chunk, encode_shard, split_shard, with_crc
from ssl4eco_data.store.lease import LEASE
from ssl4eco_data.store.shard_array import read_shard_array
from ssl4eco_data.store.tables import MAX_CELLS, read_column

MEMORY_BYTES = 3 * 2**30
"""More than any example needs, and less than a single lie about a size asks for."""
quick = settings(
    max_examples=150, deadline=5000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([2**60, -1, 0, 10**400, "zstd", "r10", "../../etc/passwd", "\0"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.fixture(autouse=True, scope="module")
def bounded_memory() -> Iterator[None]:
    """An allocation beyond the bound is a MemoryError, which no test expects."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_small(tmp_path_factory.mktemp("fuzz") / "dataset").root


@contextlib.contextmanager
def replaced(path: Path, data: bytes) -> Iterator[None]:
    whole = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(whole)


@st.composite
def mangled(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes cut, flipped, overwritten, repeated, or others altogether."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["flip", "cut", "overwrite", "insert", "end"])):
            case "flip" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at : at + draw(st.integers(1, 64))]
            case "overwrite":
                new = draw(st.binary(min_size=1, max_size=16) | st.just(b"\xff" * 8))
                data[at : at + len(new)] = new
            case "insert":
                data[at:at] = draw(st.binary(max_size=16))
            case "end":
                end = max(0, len(data) - draw(st.integers(1, 400)))
                data[end : end + 4] = draw(st.binary(min_size=4, max_size=4))
    return bytes(data)


@st.composite
def altered(draw: st.DrawFn, document: Any) -> Any:
    """A JSON document with one of its values, however deep, replaced by anything, or left out."""
    if isinstance(document, dict) and document and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(document)))
        if not draw(st.integers(0, 5)):
            return {k: v for k, v in document.items() if k != key}
        return {**document, key: draw(altered(document[key]))}
    if isinstance(document, list) and document and draw(st.integers(0, 9)):
        at = draw(st.integers(0, len(document) - 1))
        return [*document[:at], draw(altered(document[at])), *document[at + 1 :]]
    return draw(junk)


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode("utf-8", "surrogatepass")


@quick
@given(
    entries=st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), min_size=4, max_size=4),
    body=st.binary(max_size=60),
    cut=st.integers(0, 5),
)
@example(entries=[(0, 2**60)] * 4, body=b"x", cut=0)
@example(entries=[(2**64 - 1, 1)] * 4, body=b"x", cut=0)
@example(entries=[(0, 30)] * 4, body=b"x" * 30, cut=0)
def test_indices_with_a_right_checksum_give_chunks_within_the_shard(
    entries: list[tuple[int, int]], body: bytes, cut: int
) -> None:
    shard = body + with_crc(np.array(entries, dtype="<u8").tobytes())
    try:
        chunks = split_shard(shard[cut:], 4)
    except StoreError:
        return
    assert sum(len(chunk) for chunk in chunks if chunk is not None) <= len(body)


@quick
@given(data=st.data())
def test_mangled_shards_never_give_other_pixels(data: st.DataObject) -> None:
    plain = [np.full((3, 5), n, dtype=np.uint16) for n in range(4)]
    encoded: list[bytes | None] = [ChunkCodec().encode(each) for each in plain]
    whole = encode_shard(encoded)
    found: list[bytes | None] = []
    with contextlib.suppress(StoreError):
        found = split_shard(data.draw(mangled(whole)), 4)
    for n, chunk in enumerate(found):
        with contextlib.suppress(StoreError):
            np.testing.assert_array_equal(decode_chunk(chunk or b"", (3, 5), np.dtype("uint16")), plain[n])


@settings(max_examples=600, deadline=5000)
@given(data=st.data())
def test_blosc_with_a_right_checksum_and_a_wrong_body_is_refused_or_has_its_size(data: st.DataObject) -> None:
    """Whoever writes the checksum writes the lie, too: nothing outside the chunk is read or written."""
    codec = ChunkCodec(compression=data.draw(st.sampled_from(["zstd", "lz4"])))
    rng = np.random.default_rng(data.draw(st.integers(0, 5)))
    side = data.draw(st.sampled_from([8, 64, 300]))
    body = codec.encode(rng.integers(0, 50, (side, side)).astype(np.uint16))[:-4]
    bad = bytearray(data.draw(mangled(body)))
    if data.draw(st.booleans()) and len(bad) >= 16:  # past the first look at the header
        bad[4:8], bad[12:16] = struct.pack("<I", side * side * 2), struct.pack("<I", len(bad))
    with contextlib.suppress(StoreError):
        assert decode_chunk(with_crc(bytes(bad)), (side, side), np.dtype("uint16")).shape == (side, side)


@pytest.mark.parametrize("says", [2**31 - 1, 2**32 - 1, 100])
def test_a_chunk_that_says_it_unpacks_to_more_is_refused_before_memory_is_taken(says: int) -> None:
    body = bytearray(ChunkCodec().encode(np.zeros((8, 8), dtype=np.uint16))[:-4])
    body[4:8] = struct.pack("<I", says)
    with pytest.raises(StoreError, match=f"unpacks to {says} bytes instead of 128"):
        decode_chunk(with_crc(bytes(body)), (8, 8), np.dtype("uint16"))


def metadata_files(root: Path) -> list[Path]:
    """Those that a reader starts from: a group's has the metadata of all that is in it."""
    return [root / "patches.zarr/sentinel2/zarr.json", root / "patches.zarr/zarr.json"]


@quick
@given(data=st.data())
def test_metadata_of_arrays_is_read_or_refused(root: Path, data: st.DataObject) -> None:
    path = root / "patches.zarr/sentinel2/r10/zarr.json"
    bad = as_json(data.draw(altered(json.loads(path.read_bytes()))))
    with replaced(path, data.draw(st.just(bad) | mangled(bad) | st.just(DEEP))):
        with contextlib.suppress(StoreError):
            assert read_shard_array(path.parent.parent, "r10").chunks_per_shard < 2**30
        assert all(p.what for p in check(root))
        with contextlib.suppress(StoreError):
            check_sample(root, 3, 0)


@quick
@given(data=st.data())
def test_a_dataset_with_any_damaged_metadata_opens_or_is_refused(root: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(metadata_files(root)))
    document = json.loads(path.read_bytes())
    bad = data.draw(altered(document).map(as_json) | mangled(path.read_bytes()) | st.just(DEEP))
    with replaced(path, bad), contextlib.suppress(StoreError):
        open_dataset(root)


@quick
@given(data=st.data())
def test_damaged_tables_are_refused(
    root: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = root / data.draw(st.sampled_from(["locations.parquet", "scenes/choices/00000.parquet"]))
    with replaced(path, data.draw(mangled(path.read_bytes()) | st.binary(max_size=40))):
        for read in (read_table, read_geo_table, table_metadata):
            with contextlib.suppress(StoreError):
                read(path)
        with contextlib.suppress(StoreError):
            read_column(path, "location_id")
        check(root)


def test_a_table_that_says_it_is_huge_is_refused_unread(tmp_path: Path) -> None:
    """A few megabytes that would unpack to more than a hundred million rows of long texts."""
    path, rows = tmp_path / "huge.parquet", MAX_CELLS // 2 + 1
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2**20, np.int8)), pa.array(["x" * 100]))
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, pa.schema([("a", column.type), ("b", column.type)])) as writer:
        for _ in range(0, rows, 2**20):
            writer.write_table(pa.table({"a": column, "b": column}))
    path.write_bytes(sink.getvalue())
    assert path.stat().st_size < 2**23
    for read in (read_table, read_geo_table, lambda p: read_column(p, "a")):
        with pytest.raises(StoreError, match="it says that it has"):
            read(path)


@quick
@given(data=st.data())
def test_a_damaged_mark_is_no_mark_or_one_of_the_dataset(root: Path, data: st.DataObject) -> None:
    path = root / "ledger/patches/00001.json"
    document = json.loads(path.read_bytes())
    bad = data.draw(altered(document).map(as_json) | mangled(path.read_bytes()) | st.just(DEEP))
    with replaced(path, bad):
        ledger = Ledger(root)
        mark = ledger.read("patches", 1)
        assert mark is None or all((root / f.path).resolve().is_relative_to(root) for f in mark.files)
        assert ledger.is_done("patches", 1, "f") in (True, False)
        if mark is None or mark.files != Ledger(root).read("patches", 0):
            check(root)


@settings(max_examples=40, deadline=5000)
@given(data=st.data())
@example(data=None)
def test_a_damaged_lease_is_taken_over_or_respected(data: st.DataObject | None) -> None:
    root = ObjectPath(f"memory://{uuid.uuid4().hex}", "set")
    good = {"token": "t", "holder": "h", "beat": 1}
    bad = DEEP if data is None else data.draw(altered(good).map(as_json) | mangled(as_json(good)))
    (root / LEASE).put(bad)
    before = threading.active_count()
    with leased(root, patience_s=0.01):
        pass
    assert threading.active_count() == before


TOML = """
[dataset]
root = "dataset"
[period]
imagery_start = 2020-07-01
imagery_end = 2022-07-01
[archive]
kind = "stac"
imagery = "archive.json"
[locations.source]
kind = "grid"
spacing_km = 1.0
[patches]
size_px = 64
bands = ["B04", "B08"]
[store]
shard_locations = 2
level = 3
"""


@quick
@given(data=st.data())
def test_a_damaged_configuration_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("toml") / "c.toml"
    path.write_bytes(data.draw(mangled(TOML.encode()) | st.binary(max_size=60)))
    with contextlib.suppress(ConfigError):
        configuration.load(path, with_files=False)


@quick
@given(data=st.data())
def test_any_value_anywhere_in_a_configuration_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("toml") / "c.toml"
    with contextlib.suppress(AttributeError, TypeError, ValueError):  # what TOML cannot say
        path.write_text(tomli_w.dumps(data.draw(altered(tomllib.loads(TOML)))))
    if path.exists():
        with contextlib.suppress(ConfigError):
            configuration.load(path, with_files=False)


def test_brackets_without_end_in_a_configuration_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("x = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(ConfigError):
        configuration.load(tmp_path / "c.toml", with_files=False)
