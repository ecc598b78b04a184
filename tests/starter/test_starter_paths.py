"""Paths are written so that the configuration finds the files, whatever their names."""

from __future__ import annotations

import tempfile
import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ssl4eco_data.config import Config
from ssl4eco_data.starter import document
from ssl4eco_data.starter.paths import as_written

NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12
).filter(lambda name: name not in (".", ".."))
ROOT = Path(tempfile.gettempdir()).resolve() / "a" / "b"


@given(st.lists(NAMES, min_size=1, max_size=3), st.sampled_from([ROOT, ROOT.parent, ROOT / "c", Path("/x")]))
@example(["~home"], ROOT)
@example(['"quoted"\\', "Grüße.gpkg"], ROOT)
@example(["line\nbreak"], ROOT.parent)
def test_any_path_comes_back(parts: list[str], folder: Path) -> None:
    target = folder.joinpath(*parts)
    config = Config.model_validate(
        {
            "dataset": {"root": "out"},
            "period": {"imagery_start": date(2020, 1, 1), "imagery_end": date(2021, 1, 1)},
            "archive": {"kind": "stac", "imagery": "https://example.org"},
            "locations": {"source": {"kind": "grid", "region": as_written(str(target), ROOT / "my.toml")}},
        }
    )
    read = Config.model_validate(tomllib.loads(document(config)) | {"patches": {}}, context={"base": ROOT})
    assert Path(str(read.locations.source.region)) == target  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("one/two/area.gpkg", "area.gpkg"),
        ("one/two/three/area.gpkg", "three/area.gpkg"),
        ("one/area.gpkg", "../area.gpkg"),
        ("one/other/area.gpkg", "../other/area.gpkg"),
        ("area.gpkg", None),
        ("zero/area.gpkg", None),
    ],
)
def test_below_and_beside_is_relative(path: str, written: str | None, tmp_path: Path) -> None:
    expected = written or str(tmp_path.resolve() / path)
    assert as_written(str(tmp_path / path), tmp_path / "one" / "two" / "my.toml") == expected


def test_relative_paths_start_at_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert as_written("area.gpkg", Path("configs/my.toml")) == "../area.gpkg"
    assert as_written("area.gpkg", Path("my.toml")) == "area.gpkg"


def test_below_the_root_of_the_disk_nothing_is_beside() -> None:
    assert as_written("/elsewhere/area.gpkg", Path("/folder/my.toml")) == "/elsewhere/area.gpkg"


def test_addresses_stay() -> None:
    assert as_written("https://example.org/v1", Path("my.toml")) == "https://example.org/v1"


def test_a_linked_folder_beside_leads_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "far" / "configs").mkdir(parents=True)
    (tmp_path / "far" / "area.gpkg").touch()
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "area.gpkg").write_text("another")
    (tmp_path / "near" / "configs").symlink_to(tmp_path / "far" / "configs")
    configuration = tmp_path / "near" / "configs" / "my.toml"
    for target in (tmp_path / "far" / "area.gpkg", tmp_path / "near" / "area.gpkg"):
        written = as_written(str(target), configuration)
        assert (configuration.parent.resolve() / written).samefile(target)
