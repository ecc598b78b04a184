"""MkDocs hook: pages of reference that the program itself says, of configuration and command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from ssl4eco_data.cli import app
from ssl4eco_data.cli.common import EXIT_CODES
from ssl4eco_data.config import Config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for name, text in (("configuration", configuration()), ("command-line", command_line())):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def command_line() -> str:
    """Every command with its arguments and options, as Typer writes it."""
    command = typer.main.get_command(app)
    page = get_docs_for_click(obj=command, ctx=typer.Context(command), name="ssl4eco", title="Command line")
    return f"{page}\n## Exit codes\n\n{EXIT_CODES}\n"


def configuration() -> str:
    """Every key of a configuration: its type, default and meaning, by section."""
    schema = Config.model_json_schema()
    lines = ["# Configuration", "", "A file in TOML. Keys without a default must be given.", ""]
    for name, section in schema["properties"].items():
        lines += _section(name, section, schema["$defs"])
    return "\n".join(lines)


def _section(path: str, node: Mapping[str, Any], models: Mapping[str, Any]) -> Iterator[str]:
    """Heading and table of each model that a key can hold, then those inside it."""
    found = list(_models(node))
    for name in found:
        model = models[name]
        yield from (f"## `[{path}]`" + (f" as {name}" if len(found) > 1 else ""), "")
        yield from (model.get("description", "").split("\n\n")[0], "")
        fields = model.get("properties", {})
        plain = {key: field for key, field in fields.items() if not list(_models(field))}
        if plain:
            yield from ("| key | type | default | meaning |", "|---|---|---|---|")
            yield from (_row(key, field, key in model.get("required", ())) for key, field in plain.items())
            yield ""
        for key, field in fields.items():
            if key not in plain:
                yield from _section(f"{path}.{key}", field, models)


def _models(node: Mapping[str, Any]) -> Iterator[str]:
    """Names of the models that a value of this schema can be."""
    if "$ref" in node:
        yield node["$ref"].rpartition("/")[2]
    for way in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from _models(way)


def _row(key: str, field: Mapping[str, Any], required: bool) -> str:
    default = "" if required or field.get("default") is None else f"`{field['default']}`"
    cells = (f"`{key}`", _type(field), default, str(field.get("description", "")))
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _type(field: Mapping[str, Any]) -> str:
    """The type in a word, or the values that are allowed."""
    if ways := field.get("anyOf"):
        return " or ".join(_type(way) for way in ways if way.get("type") != "null")
    if values := field.get("enum") or ([field["const"]] if "const" in field else []):
        return ", ".join(f"`{value}`" for value in values)
    return str(field.get("format") or field.get("type", "any"))
