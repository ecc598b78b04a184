"""Mistakes in a configuration in words: where they stand in the file, what is wrong, and the way out."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ssl4eco_data.archives.own import KIND, archive_class


def explained(error: ValidationError, text: str, data: Mapping[str, Any], root: type[BaseModel]) -> list[str]:
    """One line for each mistake in the file's ``text``, whose ``data`` the model ``root`` refused."""
    return [_explain(each, text, data, root) for each in _first_causes(error.errors())]


def _first_causes(errors: Sequence[Any]) -> list[Any]:
    """Without the errors of a list that follow from those of its items."""
    places = [tuple(e["loc"]) for e in errors]
    return [
        e
        for e in errors
        if e["type"] != "too_short"
        or not any(len(p) > len(e["loc"]) and p[: len(e["loc"])] == tuple(e["loc"]) for p in places)
    ]


def _explain(error: Mapping[str, Any], text: str, data: Mapping[str, Any], root: type[BaseModel]) -> str:
    """One line for one pydantic error: where, what, and the way out."""
    loc, tables = _followed(error["loc"], data, root)
    no_table = error["type"] == "union_tag_not_found" and not isinstance(error["input"], Mapping)
    if error["type"].startswith("union_tag") and not no_table:
        loc.append("kind")
    key = ".".join(loc) or "(the whole file)"
    line = _line_of(loc, text)
    where = f"  line {line}: {key}" if line else f"  {key}"
    if error["type"] == "extra_forbidden":
        known = sorted({name for table in tables for name in table.model_fields})
        near = difflib.get_close_matches(loc[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"{where}: unknown key {loc[-1]!r} = {_shown(error['input'])}; {hint}"
    if error["type"] == "model_type" or no_table:
        return f"{where}: must be a table [{key}], got {_shown(error['input'])}"
    if error["type"] in ("missing", "union_tag_not_found"):
        return f"{where}: missing; it is required"
    if error["type"] == "union_tag_invalid":
        return f"{where}: must be one of {error['ctx']['expected_tags']}, got {error['ctx']['tag']!r}"
    if error["type"] == "value_error":
        return f"{where}: {str(error['msg']).removeprefix('Value error, ')}"
    return f"{where}: {error['msg']}, got {_shown(error['input'])}"


def _shown(value: Any) -> str:
    """A value as a person wrote it: dates as in TOML."""
    return value.isoformat() if isinstance(value, date) else repr(value)


def _followed(
    loc: Sequence[int | str], data: Any, root: type[BaseModel]
) -> tuple[list[str], Sequence[type[BaseModel]]]:
    """(keys as in the file, models of the table that holds the last one) of a place that pydantic names.

    After the key of a table of several kinds pydantic puts the kind, which is no key.
    """
    keys: list[str] = []
    tables: Sequence[type[BaseModel]] = [root]
    inside: Sequence[type[BaseModel]] = [root]
    of_kinds = False
    for number, part in enumerate(loc, 1):
        if of_kinds:
            of_kinds = False
            if number < len(loc):  # else the class of that kind may be what is wrong
                inside = _of_kind(inside, str(part), data)
            continue
        tables, key = inside, str(part)
        keys.append(key)
        fields = [table.model_fields[key] for table in tables if key in table.model_fields]
        inside = [model for field in fields for model in _models(field.annotation)]
        of_kinds = any(field.discriminator is not None for field in fields)
        data = data.get(key) if isinstance(data, Mapping) else None
    return keys, tables


def _of_kind(models: Sequence[type[BaseModel]], kind: str, data: Mapping[str, Any]) -> list[type[BaseModel]]:
    """The models of a kind; an archive of the user's own brings its own."""
    if kind == KIND:
        return [archive_class(str(data["kind"])).Parameters]
    return [model for model in models if kind in typing.get_args(_kind(model).annotation)]


def _kind(model: type[BaseModel]) -> FieldInfo:
    return model.model_fields["kind"]


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models inside an annotation (optional and union members)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, Annotated):
        return [m for a in typing.get_args(annotation) for m in _models(a)]
    return []


def _line_of(loc: Sequence[str], text: str) -> int | None:
    """The line of the file that sets this key, or opens this table."""
    section: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if table := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
            section = [p.strip().strip("\"'") for p in table[1].split(".")]
            if section == list(loc):
                return number
        elif key := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            full = section + [p.strip("\"'") for p in key[1].split(".")]
            if full == list(loc[: len(full)]):
                return number
    return None
