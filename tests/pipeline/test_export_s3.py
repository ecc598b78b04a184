"""``ssl4eco export`` from and to an object store: the files that an export between folders gives."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from ssl4eco_data.cli import app
from ssl4eco_data.store import Place, place_of, write_atomic
from tests.store.s3_server import s3_bucket
from tests.store.small_dataset import build_small

EXPORTS = {
    "cog": ["--season", "summer", "--limit", "3"],
    "major-tom": ["--format", "major-tom", "--limit", "2"],
}
TABLES = {"cog": "patches.csv", "major-tom": "metadata.parquet"}


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["export", *words], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def contents(root: Place) -> dict[str, bytes]:
    """Every file below a place by its way from there."""
    start = len(str(root)) + 1
    return {str(p)[start:]: p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_exports_from_and_to_s3_have_the_bytes_of_exports_in_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = build_small(tmp_path / "data")
    with s3_bucket(monkeypatch) as bucket:
        for name, data in contents(small.root).items():
            write_atomic(place_of(f"{bucket}/data/{name}"), data)
        before = contents(place_of(f"{bucket}/data"))
        for form, words in EXPORTS.items():
            run(str(small.root), str(tmp_path / form), *words)
            wanted = contents(tmp_path / form)
            assert TABLES[form] in wanted and len(wanted) > 2
            run(f"{bucket}/data", str(tmp_path / f"{form}-of-s3"), *words)
            assert contents(tmp_path / f"{form}-of-s3") == wanted
            told = run(f"{bucket}/data", f"{bucket}/{form}", *words)
            assert f"{bucket}/{form}/{TABLES[form]}" in told
            assert contents(place_of(f"{bucket}/{form}")) == wanted
            again = run(f"{bucket}/data", f"{bucket}/{form}", *words)
            assert "0 files written" in again
        table = pd.read_csv(tmp_path / "cog-of-s3" / "patches.csv", keep_default_na=False)
        assert set(table["season"]) == {"summer"} and table["date"].str.fullmatch(r"(2020-\d\d-\d\d)?").all()
        refused = run(str(small.root), f"{bucket}/data", code=1)
        assert "no export" in refused
        assert contents(place_of(f"{bucket}/data")) == before
