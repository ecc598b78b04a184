"""Static checks of expression graphs against the function list of the official client's wheel."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import ee

TESTS = Path(ee.__file__).parent / "tests"
Node = Mapping[str, Any]

_SAME = {"ImageCollection": "FeatureCollection", "Image<unknown bands>": "Image"}
_NUMBERS = {"Integer", "Long", "Float", "Number"}
_WIDER = {
    "Element": {"Image", "Feature", "FeatureCollection"},
    "Image": {"Number"},
    "Date": {"Number", "String"},
    "Dictionary<Object>": {"Dictionary"},
    "Projection": {"String"},
}
"""What the service promotes by itself when an argument of the key's type is asked for."""


class GraphError(ValueError):
    """The service would refuse this graph."""


@cache
def algorithms() -> dict[str, dict[str, Any]]:
    listed = json.loads((TESTS / "algorithms.json").read_text())["algorithms"]
    return {each["name"].removeprefix("algorithms/"): each for each in listed}


class Checker:
    """Walks a graph; every node is asked for its type, every argument must have the one that is declared."""

    def __init__(self, expression: Node) -> None:
        self._values: Node = expression["values"]
        self.used: set[str] = set()
        self._type_of_node({"valueReference": expression["result"]}, frozenset())

    def _type_of_node(self, node: Node, scope: frozenset[str]) -> str:
        if len(node) != 1:
            raise GraphError(f"a value has one kind, got {sorted(node)}")
        ((kind, value),) = node.items()
        handler = getattr(self, f"_{kind}", None)
        if handler is None:
            raise GraphError(f"unknown kind of value {kind!r}")
        found: str = handler(value, scope)
        return found

    def _constantValue(self, value: Any, _: frozenset[str]) -> str:  # noqa: N802 (the names of the API)
        if isinstance(value, bool):
            return "Boolean"
        if isinstance(value, int | float):
            return "Integer" if float(value).is_integer() else "Float"
        if isinstance(value, str):
            return "String"
        if isinstance(value, list):
            kinds = {self._constantValue(each, _) for each in value}
            return f"List<{kinds.pop() if len(kinds) == 1 else 'Object'}>"
        return "Dictionary" if isinstance(value, dict) else "Null"

    def _integerValue(self, _value: str, _: frozenset[str]) -> str:  # noqa: N802
        return "Integer"

    def _valueReference(self, name: str, scope: frozenset[str]) -> str:  # noqa: N802
        if name not in self._values:
            raise GraphError(f"dangling reference {name}")
        return self._type_of_node(self._values[name], scope)

    def _argumentReference(self, name: str, scope: frozenset[str]) -> str:  # noqa: N802
        if name not in scope:
            raise GraphError(f"unbound argument {name}")
        return "Any"

    def _arrayValue(self, value: Node, scope: frozenset[str]) -> str:  # noqa: N802
        kinds = {self._type_of_node(each, scope) for each in value["values"]}
        return f"List<{kinds.pop() if len(kinds) == 1 else 'Object'}>"

    def _dictionaryValue(self, value: Node, scope: frozenset[str]) -> str:  # noqa: N802
        for each in value["values"].values():
            self._type_of_node(each, scope)
        return "Dictionary"

    def _functionDefinitionValue(self, value: Node, scope: frozenset[str]) -> str:  # noqa: N802
        inner = scope | frozenset(value["argumentNames"])
        self._type_of_node({"valueReference": value["body"]}, inner)
        return "Algorithm"

    def _functionInvocationValue(self, value: Node, scope: frozenset[str]) -> str:  # noqa: N802
        name = value["functionName"]
        if name not in algorithms():
            raise GraphError(f"unknown algorithm {name!r}")
        self.used.add(name)
        declared = {a["argumentName"]: a for a in algorithms()[name].get("arguments", [])}
        given = value.get("arguments", {})
        required = {n for n, a in declared.items() if not a.get("optional")}
        if extra := sorted(set(given) - set(declared)):
            raise GraphError(f"{name}: unexpected arguments {extra}")
        if missing := sorted(required - set(given)):
            raise GraphError(f"{name}: missing required arguments {missing}")
        for argument, node in given.items():
            found, wanted = self._type_of_node(node, scope), declared[argument]["type"]
            if not fits(found, wanted):
                raise GraphError(f"{name}: argument {argument!r} must be {wanted}, got {found}")
        return str(algorithms()[name]["returnType"])


def fits(found: str, wanted: str) -> bool:
    """Whether a value of type ``found`` may be given where ``wanted`` is declared."""
    found, wanted = _SAME.get(found, found), _SAME.get(wanted, wanted)
    if "Any" in (found, wanted) or wanted in ("Object", "<any>") or found == wanted:
        return True
    if inside := re.fullmatch(r"List<(.+)>", wanted):
        element = re.fullmatch(r"List<(.+)>", found)
        return element is not None and (element[1] == "Object" or fits(element[1], inside[1]))
    if found in _NUMBERS and wanted in _NUMBERS:
        return not (found == "Float" and wanted in ("Integer", "Long"))
    promoted = _WIDER.get(wanted, set())
    return found in promoted or (found in _NUMBERS and "Number" in promoted)
