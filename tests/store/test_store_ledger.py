"""The ledger and the fingerprints that decide what is done again."""

from __future__ import annotations

import enum
import math
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl4eco_data.store import Ledger, Mark, StoreParameters, file_record, fingerprint, write_atomic

names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8)
simple = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates()
nested = st.recursive(
    simple, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
)


def mark_of(root: Path) -> Mark:
    write_atomic(root / "data" / "file", b"content")
    record = file_record(root, root / "data" / "file")
    return Mark(stage="patches", block=7, fingerprint="f", files=(record,), counts={"patches": 3})


def test_a_mark_comes_back(tmp_path: Path) -> None:
    mark = mark_of(tmp_path)
    ledger = Ledger(tmp_path)
    assert ledger.read("patches", 7) is None
    ledger.write(mark)
    assert (tmp_path / "ledger/patches/00007.json").is_file()
    assert ledger.read("patches", 7) == mark
    assert (ledger.stages(), ledger.blocks("patches")) == (["patches"], [7])
    assert ledger.is_done("patches", 7, "f")
    assert not ledger.is_done("patches", 7, "g")
    assert not ledger.is_done("patches", 8, "f")
    ledger.remove("patches", 7)
    ledger.remove("patches", 7)
    assert not ledger.is_done("patches", 7, "f")


@pytest.mark.parametrize("content", [b"contents", b"conten", None])
def test_a_file_of_another_size_is_not_done(tmp_path: Path, content: bytes | None) -> None:
    Ledger(tmp_path).write(mark_of(tmp_path))
    if content is None:
        (tmp_path / "data/file").unlink()
    else:
        (tmp_path / "data/file").write_bytes(content)
    assert not Ledger(tmp_path).is_done("patches", 7, "f")


@given(cut=st.integers(0, 200), junk=st.binary(max_size=20))
def test_a_malformed_mark_is_not_done(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    root = tmp_path_factory.mktemp("root")
    Ledger(root).write(mark_of(root))
    path = root / "ledger/patches/00007.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole) - 3)] + junk)
    assert not Ledger(root).is_done("patches", 7, "f")
    assert Ledger(root).blocks("patches") == [7]


def test_a_mark_of_another_block_is_not_taken(tmp_path: Path) -> None:
    Ledger(tmp_path).write(replace(mark_of(tmp_path), block=8))
    (tmp_path / "ledger/patches/00008.json").rename(tmp_path / "ledger/patches/00007.json")
    assert Ledger(tmp_path).read("patches", 7) is None


@given(value=nested)
def test_a_fingerprint_is_stable_and_tells_from_none(value: object) -> None:
    assert fingerprint(value) == fingerprint(value)
    assert len(fingerprint(value)) == 64
    assert fingerprint(value, None) != fingerprint(value)
    assert fingerprint([value]) != fingerprint(value)


@given(a=st.floats(), b=st.floats())
def test_floats_are_exact(a: float, b: float) -> None:
    same = (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    assert (fingerprint(a) == fingerprint(b)) == same
    column = [pd.DataFrame({"x": [v]}) for v in (a, b)]
    assert (fingerprint(column[0]) == fingerprint(column[1])) == same


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, 1.0),
        (1, True),
        (0, None),
        ("1", 1),
        (["ab", "c"], ["a", "bc"]),
        (date(2020, 1, 1), datetime(2020, 1, 1)),
        (date(2020, 1, 1), "2020-01-01"),
        ({"a": 1}, {"a": 2}),
        (np.zeros(4), np.zeros((2, 2))),
        (np.zeros(4, np.int32), np.zeros(4, np.int64)),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1.0]})),
        (pd.DataFrame({"a": ["x", None]}), pd.DataFrame({"a": ["x", "None"]})),
        (pd.DataFrame({"a": ["x", None]}), pd.DataFrame({"a": ["x", ""]})),
        (StoreParameters(), StoreParameters(level=4)),
    ],
)
def test_different_values_differ(a: object, b: object) -> None:
    assert fingerprint(a) != fingerprint(b)


def test_what_does_not_matter_does_not_count() -> None:
    frame = pd.DataFrame({"id": ["a", None], "x": [1.0, np.nan]})
    assert fingerprint(frame) == fingerprint(frame.set_axis([5, 6]))
    assert fingerprint(frame) == fingerprint(frame.astype({"id": object}))
    assert fingerprint(frame) == fingerprint(frame.astype({"id": "string"}))
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint(np.float64(0.5)) == fingerprint(0.5)
    times = pd.DataFrame({"t": pd.to_datetime(["2020-01-01"], utc=True)})
    assert fingerprint(times) == fingerprint(times.astype("datetime64[ms, UTC]"))


PINNED = "58c156d55117de80c2bfe7cb89fb30752331355f38243a0ef63fcd5c39117ec1"


def test_the_fingerprint_is_the_same_in_every_version() -> None:
    """A changed value here makes every existing dataset stale."""
    frame = pd.DataFrame({"id": ["a"], "x": [0.1], "n": np.array([2], dtype=np.int16)})
    assert fingerprint("stage", 1, {"k": 0.1}, frame, date(2020, 2, 29)) == PINNED


class Kind(enum.Enum):
    ONE = 1


def test_what_has_no_stable_form_is_refused() -> None:
    for value in (object(), b"bytes", Kind.ONE, lambda: None):
        with pytest.raises(TypeError, match="fingerprint"):
            fingerprint(value)
