"""What the README shows works: its configurations parse, its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ssl4eco_data import config as configuration
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
CONFIGURATIONS = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("text", CONFIGURATIONS, ids=range(len(CONFIGURATIONS)))
def test_configurations_parse(text: str, tmp_path: Path) -> None:
    (tmp_path / "layers").mkdir()
    for name in ("plots.csv", "layers/Ecoregions2017.zip", "region.gpkg", "tiles.parquet"):
        (tmp_path / name).touch()
    config = configuration.parse(text, tmp_path / "readme.toml")
    assert config.root.parent == tmp_path


def test_python_runs(built_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(built_config.parent)
    names: dict[str, object] = {}
    exec(code.replace("data/demo", "dataset"), names)
    assert names["cube"].dims == ("band", "y", "x")  # type: ignore[attr-defined]


def test_links_and_pictures_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).is_file(), target
