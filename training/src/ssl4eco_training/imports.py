"""Things chosen by import path, ``package.module:name``."""

from __future__ import annotations

import importlib
from typing import Any

from ssl4eco_training.errors import RecipeError


def load_object(path: str) -> Any:
    """What ``package.module:name`` names. Raises :class:`RecipeError` where there is nothing of that name.

    Errors inside the module pass through: they are the module's own.
    """
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise RecipeError(f"{path!r} is no import path: write package.module:name")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise RecipeError(
            f"{path!r}: there is no module {error.name}; it must be installed or lie on PYTHONPATH"
        ) from error
    if not hasattr(module, name):
        raise RecipeError(f"{path!r}: the module {module_name} has no {name}")
    return getattr(module, name)
