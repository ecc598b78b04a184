"""What a configuration names by an import path, and packages that a light installation leaves out."""

from __future__ import annotations

import difflib
import importlib
from importlib.util import find_spec
from typing import Any

from ssl4eco_data.errors import ConfigError, MissingPackageError


def need_for_analysis(package: str, purpose: str) -> None:
    """Nothing, where ``package`` of the extra ``analysis`` is installed; it is not imported.

    Raises :class:`~ssl4eco_data.errors.MissingPackageError`, which says how to get it for ``purpose``.
    """
    if find_spec(package) is None:
        raise MissingPackageError(f"{purpose} needs {package}: pip install '.[analysis]' in the checkout")


def is_import_path(text: str) -> bool:
    """Whether a text has the form ``package.module:name``; it need not lead anywhere."""
    module, colon, name = text.partition(":")
    return bool(colon) and name.isidentifier() and all(part.isidentifier() for part in module.split("."))


def load_named(path: str, key: str, example: str) -> Any:
    """What lies at an import path.

    ``key`` is the configuration's key and ``example`` a path that would do, both for messages. Raises
    :class:`~ssl4eco_data.errors.ConfigError` where the path leads nowhere, with the nearest name that the
    module has. A mistake inside the module itself comes out as it is, except one in its imports or syntax.
    """
    way_out = f'; it is written "package.module:name", such as "{example}"'
    if not is_import_path(path):
        raise ConfigError(f"{key} = {path!r} is no import path{way_out}")
    name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(name)
    except (ImportError, SyntaxError) as error:
        raise ConfigError(
            f"{key} = {path!r}: {name} cannot be imported ({error}); install it, or set PYTHONPATH to the "
            f"folder it lies in{way_out}"
        ) from error
    if not hasattr(module, attribute):
        near = difflib.get_close_matches(attribute, vars(module), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else way_out
        raise ConfigError(f"{key} = {path!r}: the module {name} has no {attribute!r}{hint}")
    return getattr(module, attribute)
