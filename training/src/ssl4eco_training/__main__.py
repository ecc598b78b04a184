"""``python -m ssl4eco_training RECIPE [--field value ...]``: a pretraining run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ssl4eco_data.errors import StoreError
from ssl4eco_training.errors import TrainingError, told
from ssl4eco_training.options import listing, overridden, recipe_named, shown
from ssl4eco_training.recipes import RECIPES
from ssl4eco_training.run import train
from ssl4eco_training.stopping import exit_status

USAGE = """python -m ssl4eco_training RECIPE [--field value ...] [--show]
torchrun --nproc-per-node 8 -m ssl4eco_training RECIPE ...   several processes
A run whose folder has a checkpoint goes on from it. SIGTERM saves and exits with 0, SIGUSR1 with 75.
Recipes: {recipes}. --show prints all values and ends. Fields:"""


def main(arguments: Sequence[str]) -> int:
    """Train as the arguments say; the exit status."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print(USAGE.format(recipes=", ".join(RECIPES)), listing(), sep="\n")
        return 0 if arguments else 2
    try:
        rest = [argument for argument in arguments[1:] if argument != "--show"]
        recipe = overridden(recipe_named(arguments[0]), rest)
        if len(rest) < len(arguments) - 1:
            print(shown(recipe))
            return 0
        outcome = train(recipe)
    except (TrainingError, StoreError, OSError) as error:
        rank = f"[process {os.environ['RANK']}] " if os.environ.get("RANK", "0") != "0" else ""
        print(f"{rank}{told(error)}", file=sys.stderr)
        return 2
    if outcome.weights is not None and os.environ.get("RANK", "0") == "0":
        print(outcome.weights)
    return exit_status(outcome.signal)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
