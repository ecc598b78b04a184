"""What the starter writes loads as written and with every setting switched on, and agrees with the models."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ssl4eco_data import layers
from ssl4eco_data.config import Config, parse
from ssl4eco_data.starter import document
from ssl4eco_data.starter.notes import LEFT_OUT, SHOWN, examples, notes

PERIOD = {"imagery_start": date(2018, 3, 1), "imagery_end": date(2024, 1, 1)}
STAC = {"kind": "stac", "imagery": "https://example.org/v1"}
ENGINE = {"kind": "earth_engine", "project": "p"}
SOME = {"rule": "proportional", "n": 500}
CHOSEN: dict[str, dict[str, Any]] = {
    "all": {
        "archive": STAC,
        "locations": {"source": {"kind": "grid", "region": None}, "allocation": {"rule": "all"}},
    },
    "some": {"archive": STAC, "locations": {"source": {"kind": "grid"}, "allocation": SOME}},
    "points": {"archive": STAC, "locations": {"source": {"kind": "points", "points": "p.csv"}}},
    "engine": {"archive": ENGINE, "locations": {"source": {"kind": "grid"}, "allocation": SOME}},
}
NEVER_SHOWN = {"locations.allocation.n", "locations.allocation.cap", "scenes.images"}
"""Without a rule that shares n locations."""


def chosen(name: str) -> Config:
    return Config.model_validate({"dataset": {"root": "out"}, "period": PERIOD, **CHOSEN[name]})


def switched_on(text: str) -> str:
    return re.sub(r"^#(?! )", "", text, flags=re.MULTILINE)


def flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, tuple(value) if isinstance(value, list) else value


def settings(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """(key, description, value) of every setting of a configuration that is not left out."""
    for name, field in type(model).model_fields.items():
        key, value = prefix + name, getattr(model, name)
        if key in LEFT_OUT:
            continue
        if isinstance(value, BaseModel):
            yield from settings(value, f"{key}.")
        else:
            yield key, field.description or "", value


@pytest.mark.parametrize("name", CHOSEN)
def test_as_written_it_is_what_was_chosen(name: str, tmp_path: Path) -> None:
    config = chosen(name)
    assert parse(document(config), tmp_path / "a.toml", with_files=False).model_dump() == absolute(
        config, tmp_path
    )


def absolute(config: Config, folder: Path) -> dict[str, Any]:
    return Config.model_validate(
        config.model_dump(exclude_unset=True), context={"base": folder.resolve()}
    ).model_dump()


@pytest.mark.parametrize("name", CHOSEN)
def test_switched_on_it_loads_and_shows_the_defaults(name: str, tmp_path: Path) -> None:
    config = chosen(name)
    text = switched_on(document(config))
    parse(text, tmp_path / "a.toml", with_files=False)
    shown = dict(flat(tomllib.loads(text)))
    known = {key: value for key, _, value in settings(config)}
    assert {key: known[key] for key in shown if known[key] is not None} == {
        key: value for key, value in shown.items() if known[key] is not None
    }
    without_value = {key for key in shown if known[key] is None}
    assert {key: examples(config)[key] for key in without_value} == {key: shown[key] for key in without_value}


@pytest.mark.parametrize("name", CHOSEN)
def test_every_setting_is_shown_with_its_description(name: str) -> None:
    config = chosen(name)
    text = document(config)
    shown = dict(flat(tomllib.loads(switched_on(text))))
    words = " ".join(re.sub(r"^# ", "", text, flags=re.MULTILINE).split())
    for key, description, _ in settings(config):
        if key not in NEVER_SHOWN:
            assert key in shown
            assert description in words or key.endswith(".kind")
    for key in LEFT_OUT - {"simulate"}:
        assert key.split(".")[-1] in text


def test_a_rule_that_shares_shows_the_cap() -> None:
    shown = dict(flat(tomllib.loads(switched_on(document(chosen("some"))))))
    assert shown["locations.allocation.n"] == shown["locations.allocation.cap"] == 500


@pytest.mark.parametrize("name", CHOSEN)
def test_what_is_on_was_chosen_or_matters(name: str) -> None:
    config = chosen(name)
    on = dict(flat(tomllib.loads(document(config))))
    given = dict(flat(config.model_dump(exclude_unset=True, exclude_none=True)))
    assert set(on) == set(given) | {key for key, _, _ in settings(config) if key in SHOWN}


def test_keys_of_the_notes_exist() -> None:
    known = {key for name in CHOSEN for key, _, _ in settings(chosen(name))}
    assert known >= SHOWN
    for name in CHOSEN:
        assert set(examples(chosen(name))) <= known
    for key in LEFT_OUT:
        model: Any = chosen("all")
        for part in key.split("."):
            assert part in type(model).model_fields
            model = getattr(model, part)


@pytest.mark.parametrize("name", ["some", "engine"])
def test_the_example_of_strata_is_what_fetch_layer_makes(name: str) -> None:
    config = chosen(name)
    file_name = layers.source_for(config.archive, None).file_name
    assert examples(config)["locations.strata"] == f"layers/{file_name}"


def test_alternatives_are_named() -> None:
    text = document(chosen("all"))
    assert 'one of "phenological", "calendar"' in text
    assert 'one of "zstd", "lz4"' in text
    assert "--archive`: planetary-computer, earth-search, earth-engine" in text


@pytest.mark.parametrize("name", CHOSEN)
def test_notes_stand_in_the_file(name: str) -> None:
    config = chosen(name)
    words = " ".join(re.sub(r"^# ", "", document(config), flags=re.MULTILINE).split())
    for key in ("archive", "locations.strata", "locations.source", "locations.allocation", "locations.split"):
        assert notes(config)[key] in words


def test_comments_are_narrow_and_no_line_is_ragged() -> None:
    for name in CHOSEN:
        text = document(chosen(name))
        assert text.endswith("\n")
        assert not re.search(r"[ \t]$|\n\n\n", text, flags=re.MULTILINE)
        assert max(len(line) for line in text.splitlines() if line.startswith("#")) <= 110
