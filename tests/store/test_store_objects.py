"""Places on object stores: the same meaning as a folder's, conditional writes, one holder of a lease."""

from __future__ import annotations

import pickle
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from s3_server import s3_bucket

from ssl4eco_data.errors import ConfigError, StoreError
from ssl4eco_data.store import (
    HeldError,
    ObjectPath,
    Place,
    bytes_below,
    file_record,
    leased,
    parts_in,
    place_of,
    remove,
    sha256,
    write_atomic,
)
from ssl4eco_data.store.lease import LEASE, write_fenced
from ssl4eco_data.store.object_client import ConflictError

PATIENCE_S = 0.4


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An empty place of every kind."""
    if request.param == "s3":
        with s3_bucket(monkeypatch) as bucket:
            yield place_of(f"{bucket}/some/prefix")
    elif request.param == "memory":
        yield place_of(f"memory://{uuid.uuid4().hex}/some/prefix")
    else:
        yield tmp_path / "some" / "prefix"


@pytest.fixture(params=["memory", "s3"])
def root(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectPath]:
    """An empty prefix of an object store."""
    if request.param == "s3":
        with s3_bucket(monkeypatch) as bucket:
            yield ObjectPath(bucket, "data/set")
    else:
        yield ObjectPath(f"memory://{uuid.uuid4().hex}", "data/set")


def test_a_file_is_there_whole_after_it_is_written_and_gone_after_it_is_removed(place: Place) -> None:
    path = place / "a" / "b.json"
    assert not path.is_file() and not place.is_dir() and not place.exists()
    with pytest.raises(FileNotFoundError, match=r"b\.json"):
        path.read_bytes()
    with pytest.raises(FileNotFoundError):
        path.stat()
    for content in (b"one", b"the second, longer", b""):
        write_atomic(path, content)
        assert path.read_bytes() == content and path.stat().st_size == len(content)
    assert path.is_file() and place.is_dir() and (place / "a").exists()
    remove(path)
    remove(path)
    assert not path.exists()


def test_folders_list_what_is_directly_below_by_name(place: Place) -> None:
    for name in (
        "t/00002.parquet",
        "t/00000.parquet",
        "t/00001.json",
        "t/deeper/00003.parquet",
        "tt/x.parquet",
    ):
        write_atomic(place / name, name.encode())
    assert [part.name for part in parts_in(place / "t", ".parquet")] == ["00000.parquet", "00002.parquet"]
    assert parts_in(place / "nowhere", ".parquet") == []
    assert sorted(path.name for path in place.glob("*")) == ["t", "tt"]
    below = sorted(path.name for path in place.rglob("*.parquet"))
    assert below == ["00000.parquet", "00002.parquet", "00003.parquet", "x.parquet"]
    assert bytes_below(place) == sum(map(len, ("t/00002.parquet", "t/00000.parquet", "t/00001.json"))) + len(
        "t/deeper/00003.parquet"
    ) + len("tt/x.parquet")


def test_records_name_files_by_their_way_from_the_root(place: Place) -> None:
    write_atomic(place / "x" / "y.bin", b"content")
    record = file_record(place, place / "x" / "y.bin")
    assert (record.path, record.bytes) == ("x/y.bin", 7)
    assert record.sha256 == sha256(place / "x" / "y.bin")
    with pytest.raises(ValueError, match=r"y\.bin"):
        file_record(place / "z", place / "x" / "y.bin")


def test_names_are_those_of_a_path(place: Place) -> None:
    path = place / "a" / "b.tar.gz"
    assert (path.name, path.stem, path.suffix) == ("b.tar.gz", "b.tar", ".gz")
    assert path.parent == place / "a" and path.with_name("c") == place / "a" / "c"
    assert pickle.loads(pickle.dumps(path)) == path
    assert place_of(str(path)) == path


def test_an_address_without_a_bucket_or_with_a_password_is_refused_without_showing_it() -> None:
    for address in ("s3:///key", "s3://me:s3cret@bucket/key", "gs://bucket/key?token=s3cret"):
        with pytest.raises(ConfigError, match="BUCKET/KEY") as caught:
            place_of(address)
        assert "s3cret" not in str(caught.value)


def test_ranges_end_with_the_object(root: ObjectPath) -> None:
    (root / "x").put(bytes(range(100)))
    assert (root / "x").read_range(10, 5) == bytes(range(10, 15))
    assert (root / "x").read_range(95, 50) == bytes(range(95, 100))


def test_conditional_writes_have_one_winner(root: ObjectPath) -> None:
    path = root / "x"
    wins = []

    def create(number: int) -> None:
        try:
            path.put_if(str(number).encode(), None)
        except ConflictError:
            return
        wins.append(number)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == 1 and path.read_bytes() == str(wins[0]).encode()
    before = path.stat()
    path.put_if(b"next", before)
    with pytest.raises(ConflictError, match="written by somebody else"):
        path.put_if(b"late", before)
    assert path.read_bytes() == b"next"


def test_a_living_holder_is_named_and_a_lease_given_back_is_free_at_once(root: ObjectPath) -> None:
    said = r"another build .* \(process \d+ on"
    with (
        leased(root, patience_s=PATIENCE_S),
        pytest.raises(HeldError, match=said),
        leased(root, patience_s=PATIENCE_S),
    ):
        pass
    with leased(root, patience_s=1000):
        pass


def test_a_holder_that_sleeps_is_followed_and_cannot_write_when_it_wakes(
    root: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    with leased(root, patience_s=1000) as sleeper:  # renews every 200 s: as good as asleep
        write_atomic(sleeper / "shard", b"from the first")
        with leased(root, patience_s=PATIENCE_S) as awake:
            write_atomic(awake / "shard", b"from the second")
            for act in (lambda: write_atomic(sleeper / "shard", b"late"), lambda: remove(sleeper / "shard")):
                with pytest.raises(StoreError, match="has lost its lease"):
                    act()
            with pytest.raises(StoreError, match="has lost its lease"):
                write_atomic(sleeper / "new", b"late")
        with pytest.raises(StoreError, match="which nobody holds now"):
            write_atomic(sleeper / "shard", b"late")
    assert (root / "shard").read_bytes() == b"from the second"
    assert not (root / "new").exists()


def test_a_write_overtaken_between_its_look_at_the_lease_and_its_put_fails(
    root: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst moment: the lease changes hands, and the new holder writes, right before the PUT."""
    path, real, overtaken = root / "shard", ObjectPath.put_if, []

    def put_if(self: ObjectPath, data: bytes, there: object) -> object:
        if data == b"late" and not overtaken:
            overtaken.append(True)
            stolen = replace(self, key=f"{root.key}/{LEASE}", fence="")
            stolen.put(b'{"token": "other", "holder": "another", "beat": 0}')
            path.put(b"from the new holder")
        return real(self, data, there)  # type: ignore[arg-type]

    with leased(root, patience_s=1000) as mine:
        write_atomic(mine / "shard", b"first")
        monkeypatch.setattr(ObjectPath, "put_if", put_if)
        with pytest.raises(StoreError, match="another holds now"):
            write_fenced(mine / "shard", b"late")
    assert overtaken and path.read_bytes() == b"from the new holder"


def test_a_lease_that_cannot_be_read_is_taken_over(root: ObjectPath) -> None:
    (root / LEASE).put(b"torn")
    with leased(root, patience_s=PATIENCE_S) as mine:
        write_atomic(mine / "x", b"1")
    assert (root / "x").read_bytes() == b"1"
