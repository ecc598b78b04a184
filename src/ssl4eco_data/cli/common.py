"""What all commands share: the application, its arguments, and errors in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from ssl4eco_data.errors import PausedError, Ssl4ecoError
from ssl4eco_data.redaction import redacted

app = typer.Typer(
    name="ssl4eco",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
ConfigPath = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="configuration file, e.g. configs/demo.toml")
]
DatasetPath = Annotated[
    str, typer.Argument(metavar="DATASET", help="folder of a dataset, or its address, e.g. s3://bucket/key")
]
out = Console(highlight=False, soft_wrap=True)


@contextmanager
def readable() -> Iterator[None]:
    """Errors of ours, and a missing extra, become one message and exit code 1."""
    try:
        yield
    except PausedError as pause:
        print(f"paused: {pause}", file=sys.stderr)
        raise typer.Exit(3) from None
    except Ssl4ecoError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("ssl4eco_data"):
            raise
        print(
            f"error: this command needs {error.name}: pip install '.[build]' in the checkout", file=sys.stderr
        )
        raise typer.Exit(1) from None
    except OSError as error:
        print(f"error: {redacted(str(error))}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print("\ninterrupted; what is done is kept, the same command continues", file=sys.stderr)
        sys.stderr.flush()
        os._exit(130)  # running blocks are not waited for: a block counts when its mark is written, last


def wrong_usage(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(2) from None


def need_folder(to: Path, option: str = "--to") -> None:
    """Before anything is asked for, so that no work is lost."""
    if not to.absolute().parent.is_dir():
        wrong_usage(f"{option} {to} lies in no folder that is there")
