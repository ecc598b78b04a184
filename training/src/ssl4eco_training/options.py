"""The command line of a run: a recipe's name, then ``--field value`` for any of its fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from ssl4eco_training.errors import RecipeError
from ssl4eco_training.recipes import RECIPES, Entry, Recipe, entries, kind_name

_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


def recipe_named(name: str) -> Recipe:
    """The recipe of that name. Raises RecipeError that lists those there are."""
    if name not in RECIPES:
        raise RecipeError(f"no recipe {name!r}{_nearest(name, RECIPES)}; there are: {', '.join(RECIPES)}")
    return RECIPES[name]()


def overridden(recipe: Recipe, arguments: Sequence[str]) -> Recipe:
    """The recipe with ``--field value`` (or ``--field=value``) applied.

    Raises RecipeError for a wrong one.
    """
    changes: dict[str, Any] = {}
    for name, text in _pairs(arguments):
        if name in changes:
            raise RecipeError(f"--{name} is given twice")
        changes[name] = parsed(name, text)
    return replace(recipe, **changes)


def parsed(name: str, text: str) -> Any:
    """The value that ``text`` means for a field. Raises RecipeError that names both."""
    kind = entries()[name].kind
    try:
        if kind in (int, float):
            return kind(text.replace("_", ""))
        if kind is bool:
            return _boolean(text)
    except ValueError as error:
        raise RecipeError(f"--{name} must be {kind_name(kind)}, got {text!r}") from error
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def listing() -> str:
    """The fields with their types and lines, as ``--help`` shows them."""
    width = max(map(len, entries()))
    return "\n".join(f"  --{name:<{width}}  {_line(entry)}" for name, entry in entries().items())


def shown(recipe: Recipe) -> str:
    """Every field and its value, as ``--show`` prints them; the lines can be given back as options."""
    width = max(map(len, entries()))
    return "\n".join(f"--{name:<{width}} {_text(value)}" for name, value in recipe.as_dict().items())


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else "''"


def _line(entry: Entry) -> str:
    return f"{entry.about.text} [{kind_name(entry.kind)}]"


def _boolean(text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise ValueError(text)
    return text.lower() in _TRUE


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    rest = list(arguments)
    while rest:
        option = rest.pop(0)
        if not option.startswith("--"):
            raise RecipeError(f"{option!r} is no option: options are written --field value")
        written, equals, value = option[2:].partition("=")
        name = written.replace("-", "_")
        if name not in entries():
            raise RecipeError(f"no option --{written}{_nearest(name, entries(), '--')}; --help lists all")
        if not equals:
            if not rest:
                raise RecipeError(f"--{written} needs a value: {kind_name(entries()[name].kind)}")
            value = rest.pop(0)
        yield name, value


def _nearest(name: str, known: Any, prefix: str = "") -> str:
    near = get_close_matches(name, list(known), n=1)
    return f" (did you mean {prefix}{near[0]}?)" if near else ""
