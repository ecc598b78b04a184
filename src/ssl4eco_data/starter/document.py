"""A configuration as a commented file; names, defaults and most comments come from the models themselves.

A comment has a space after its #. A setting that is switched off has none, so that removing the # of every
such line leaves a configuration that loads.
"""

from __future__ import annotations

import textwrap
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ssl4eco_data.config import Config
from ssl4eco_data.starter.notes import LEFT_OUT, OPENING, SHOWN, examples, notes

_WIDTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """What is said and shown besides the models' own words, by key."""

    notes: Mapping[str, str]
    examples: Mapping[str, Any]


def document(config: Config) -> str:
    """TOML of ``config``: settings it was given and those of ``SHOWN`` on, the others switched off.

    A setting without a value is shown with an example, or not at all where there is none; keys of
    ``LEFT_OUT`` are only named. Paths must be as they are to be written.
    """
    words = _Words(notes=notes(config), examples=examples(config))
    lines = [line for paragraph in OPENING for line in _comment(paragraph)]
    for key, table in _tables(config, ""):
        lines += ["", *_comment(_about(table)), *_comment(words.notes.get(key, "")), f"[{key}]"]
        lines += _settings(key, table, words)
    return "\n".join(lines) + "\n"


def _tables(model: BaseModel, prefix: str) -> Iterator[tuple[str, BaseModel]]:
    """(key, table) of every table of a configuration that is written, a table before those inside it."""
    for name in type(model).model_fields:
        key, value = prefix + name, getattr(model, name)
        if isinstance(value, BaseModel) and key not in LEFT_OUT:
            yield key, value
            yield from _tables(value, f"{key}.")


def _settings(table_key: str, table: BaseModel, words: _Words) -> Iterator[str]:
    """The lines of a table's own settings."""
    left_out = []
    for name, field in type(table).model_fields.items():
        key, value = f"{table_key}.{name}", getattr(table, name)
        shown = words.examples.get(key) if value is None else value
        if key in LEFT_OUT:
            left_out.append(name)
        elif shown is not None and not isinstance(shown, BaseModel):
            yield from _comment(_meaning(field))
            yield from _comment(words.notes.get(key, ""))
            on = value is not None and (name in table.model_fields_set or key in SHOWN)
            yield f"{'' if on else '#'}{name} = {_toml(shown)}"
    if left_out:
        yield from _comment(f"Also, for those who study the method: {', '.join(left_out)}.")


def _about(table: BaseModel) -> str:
    """The first paragraph of a model's docstring."""
    return (type(table).__doc__ or "").split("\n\n")[0].replace("``", "`")


def _meaning(field: FieldInfo) -> str:
    """A field's description and the values it may have; nothing where only one is possible."""
    values = _alternatives(field.annotation)
    if not values:
        return field.description or ""
    return f"{field.description}; one of {', '.join(map(_toml, values))}" if len(values) > 1 else ""


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """The values of a ``Literal``; none for other types."""
    return typing.get_args(annotation) if typing.get_origin(annotation) is Literal else ()


def _comment(text: str) -> list[str]:
    """Lines of comment; none for no text."""
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _toml(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")
