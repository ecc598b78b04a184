"""The code of docs/extending.md runs, and is that of the examples."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from own_offer import write_scenes

from ssl4eco_data.archives.own import archive_class
from ssl4eco_data.phenology.date_rules import windows_by

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
ARCHIVE, RULE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ARCHIVE_TABLE, RULE_TABLE = map(tomllib.loads, re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))


def module(monkeypatch: pytest.MonkeyPatch, name: str, code: str) -> None:
    made = ModuleType(name)
    exec(compile(code, name, "exec"), vars(made))
    monkeypatch.setitem(sys.modules, name, made)


def test_the_archive_is_the_one_that_passes_the_contract_in_forty_lines() -> None:
    source = (Path(__file__).parent / "own_archive.py").read_text()
    assert ARCHIVE.strip() in source
    code = [line for line in ARCHIVE.partition("class ")[2].splitlines() if line.strip()]
    assert len(code) <= 40


def test_the_archive_of_the_page_takes_the_table_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalogue: tuple[Path, object]
) -> None:
    module(monkeypatch, "own_archive", ARCHIVE)
    table = ARCHIVE_TABLE["archive"]
    own = archive_class(table["kind"])
    write_scenes(tmp_path / table["scenes"], catalogue[1])  # type: ignore[arg-type]
    archive = own(own.Parameters.model_validate(table, context={"base": tmp_path}))
    assert len(archive.get([scene.scene_id for scene in archive._scenes()])) == 6


def test_the_rule_of_the_page_dates_seasons(monkeypatch: pytest.MonkeyPatch) -> None:
    path = RULE_TABLE["phenology"]["date_rule"]
    module(monkeypatch, path.partition(":")[0], RULE)
    assert windows_by(path, {"peak": 200.0}, None)["summer"] == (185.0, 215.0)
