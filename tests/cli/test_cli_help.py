"""The help of the command: one screen for all of it, and examples that can be typed for each part."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ssl4eco_data.cli import app

WHOLE = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).output


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(its words, the command) of everything that does something."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(leaves(typer.main.get_command(app)))


def test_all_of_it_fits_a_screen() -> None:
    lines = WHOLE.splitlines()
    assert len(lines) <= 30
    assert all(len(line) <= 80 for line in lines)
    assert "..." not in WHOLE.split("\n", 1)[1]
    for name in {words[0] for words in COMMANDS}:
        assert re.search(rf"^  {name} +\S", WHOLE, re.MULTILINE), name


def test_exit_codes_are_told() -> None:
    assert "0 done, 1 failed, 2 wrong usage, 3 paused (budget), 130 interrupted" in WHOLE


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_examples_can_be_typed(words: tuple[str, ...]) -> None:
    """Each example parses: its arguments are there, its options known."""
    text = "ssl4eco " + " ".join(words)
    examples = re.findall(rf"^(?:Examples?: )?({text}\b.*)$", COMMANDS[words].help, re.MULTILINE)
    assert examples
    for example in examples:
        typed = shlex.split(example.split(" > ")[0])[1 + len(words) :]
        COMMANDS[words].make_context(text, typed)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_one_line_says_what_it_does(words: tuple[str, ...]) -> None:
    first, _, _ = COMMANDS[words].help.partition("\n")
    assert first.endswith(".")
