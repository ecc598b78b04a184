"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.small_disk import small_disk

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import clean_temporary, file_record, sha256, write_atomic
from ssl4eco_data.store.files import TEMPORARY_SUFFIX

KILLED = """
import os, signal, sys
from pathlib import Path
from ssl4eco_data.store import files
{patch} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
files.write_atomic(Path(sys.argv[1]), b"new" * 1000)
"""
TOO_BIG = """
import resource, signal, sys
from pathlib import Path
from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import write_atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomic(Path(sys.argv[1]), b"new" * 1000)
except StoreError as error:
    print(error)
"""


def run(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)


def left_over(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.name.endswith(TEMPORARY_SUFFIX)]


def test_writes_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("patch", ["os.fsync", "Path.replace"])
def test_a_kill_leaves_the_old_file_and_a_name_that_is_swept(tmp_path: Path, patch: str) -> None:
    path = tmp_path / "deep" / "file"
    write_atomic(path, b"old")
    assert run(KILLED.format(patch=patch), path).returncode == -9
    assert path.read_bytes() == b"old"
    assert len(left_over(tmp_path)) == 1
    assert clean_temporary(tmp_path) == 1
    assert left_over(tmp_path) == []
    assert path.read_bytes() == b"old"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    done = run(TOO_BIG, path)
    assert "cannot write" in done.stdout, done.stderr
    assert str(path) in done.stdout
    assert path.read_bytes() == b"old"
    assert left_over(tmp_path) == []


def test_disk_full_names_the_file_and_the_way_out(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=64k") as disk:
        write_atomic(disk / "file", b"old")
        with pytest.raises(StoreError, match=r"file .*200000 bytes.*free some space"):
            write_atomic(disk / "file", b"x" * 200_000)
        assert (disk / "file").read_bytes() == b"old"
        assert left_over(disk) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"file/below.*choose another dataset root"):
        write_atomic(tmp_path / "file" / "below", b"x")


def test_a_record_is_relative_and_exact(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    write_atomic(path, b"abc")
    record = file_record(tmp_path, path)
    assert (record.path, record.bytes, record.sha256) == ("a/b", 3, sha256(path))
    assert record.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
