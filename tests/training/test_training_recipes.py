"""Recipes and their options: every field can be set, every wrong one is named with a way out."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.distributed.run import get_args_parser

from ssl4eco_training.__main__ import main
from ssl4eco_training.errors import RecipeError
from ssl4eco_training.options import listing, overridden, parsed, recipe_named, shown
from ssl4eco_training.recipes import RECIPES, Recipe, debug_cpu, entries, seco_eco
from ssl4eco_training.schedules import learning_rate


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_shown_can_be_given_back(name: str) -> None:
    recipe = recipe_named(name)
    pairs = [line.split(maxsplit=1) for line in shown(recipe).splitlines()]
    assert overridden(debug_cpu(), [part for pair in pairs for part in pair]) == recipe


def test_the_defaults_are_those_of_seco_eco() -> None:
    recipe = seco_eco()
    assert (recipe.temperature, recipe.queue, recipe.dim, recipe.twin_momentum) == (0.2, 65536, 128, 0.999)
    assert (recipe.learning_rate, recipe.sgd_momentum, recipe.weight_decay) == (0.03, 0.9, 1e-4)
    assert (recipe.batch, recipe.epochs, recipe.schedule, recipe.precision) == (256, 100, "constant", "fp32")
    assert recipe_named("moco_eco").schedule == "cosine"


def test_every_field_has_a_line_and_the_help_fits_two_screens() -> None:
    assert all(entry.about.text for entry in entries().values())
    assert len(listing().splitlines()) == len(fields(Recipe)) <= 50
    assert max(map(len, listing().splitlines())) < 160


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batsh", "4"], ("--batsh", "did you mean --batch?")),
        (["--batch"], ("--batch", "a value", "whole number")),
        (["--batch", "four"], ("--batch", "whole number", "'four'")),
        (["--batch", "0"], ("batch", "at least 1", "0")),
        (["--twin_momentum", "1.5"], ("twin_momentum", "between 0 and", "1.5")),
        (["--learning_rate", "nan"], ("learning_rate", "a number", "nan")),
        (["--schedule", "step"], ("schedule", "constant, cosine", "'step'")),
        (["--compile", "maybe"], ("--compile", "true or false", "'maybe'")),
        (["--batch", "4", "--batch", "8"], ("--batch", "twice")),
        (["batch", "4"], ("'batch'", "--field value")),
        (["--queue", "300"], ("queue = 300", "batch = 32", "--queue 288 or 320")),
        (["--accumulate", "5"], ("batch = 32", "accumulate = 5")),
        (["--bands", "B02,B03"], ("B04", "--ndvi false", "B02,B03")),
    ],
)
def test_a_wrong_option_is_named_with_the_way_out(arguments: list[str], words: tuple[str, ...]) -> None:
    with pytest.raises(RecipeError) as caught:
        overridden(debug_cpu(), arguments)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(
        RecipeError, match=r"'seco_eko' \(did you mean seco_eco\?\).*debug_cpu, seco_eco, moco_eco"
    ):
        recipe_named("seco_eko")


def test_torchrun_does_not_take_an_option_for_its_own() -> None:
    """It reads the options behind the program's name too, and completes those it could mean."""
    own = {option for action in get_args_parser()._actions for option in action.option_strings}
    assert not [name for name in entries() if any(option.startswith(f"--{name}") for option in own)]


def test_the_equals_sign_hyphens_and_lists_are_understood() -> None:
    recipe = overridden(debug_cpu(), ["--learning-rate=0.5", "--bands", "B04, B08", "--queue", "1_024"])
    assert (recipe.learning_rate, recipe.bands, recipe.queue) == (0.5, ("B04", "B08"), 1024)


def test_a_recipe_made_in_python_is_checked_too() -> None:
    with pytest.raises(RecipeError, match="batch must be a whole number, got True"):
        replace(debug_cpu(), batch=True)


@given(name=st.sampled_from(sorted(entries())), text=st.text(max_size=12))
def test_any_text_is_a_value_or_a_recipe_error(name: str, text: str) -> None:
    try:
        value = parsed(name, text)
        assert getattr(replace(debug_cpu(), **{name: value}), name) == value
    except RecipeError:
        pass


def test_the_command_line_helps_shows_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "--learning_rate" in capsys.readouterr().out
    assert main(["debug_cpu", "--batch", "8", "--show"]) == 0
    assert dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())["--batch"] == "8"
    assert main(["debug_cpu", "--batsh", "8"]) == 2
    assert "did you mean --batch?" in capsys.readouterr().err


def test_an_error_is_a_line_and_no_traceback() -> None:
    command = [sys.executable, "-m", "ssl4eco_training", "debug_gpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2
    assert "debug_cpu" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@given(
    steps=st.integers(1, 500), warmup=st.integers(0, 100), schedule=st.sampled_from(["constant", "cosine"])
)
def test_the_learning_rate_rises_then_stays_or_falls(steps: int, warmup: int, schedule: str) -> None:
    rates = [
        learning_rate(i, peak=0.3, schedule=schedule, steps=steps, warmup=warmup) for i in range(steps + 1)
    ]
    assert all(0 <= rate <= 0.3 for rate in rates)
    rising, rest = rates[:warmup], rates[warmup:]
    assert rising == sorted(rising)
    assert rest == sorted(rest, reverse=True)
    if warmup < steps:
        assert math.isclose(rest[0], 0.3)
        assert math.isclose(rates[-1], 0.3 if schedule == "constant" else 0.0, abs_tol=1e-12)
