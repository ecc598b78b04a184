"""What all commands share: the application, its arguments, and errors in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic_core import to_json
from rich.console import Console
from typer.core import TyperGroup

from ssl4eco_data.errors import PausedError, Ssl4ecoError
from ssl4eco_data.redaction import redacted

EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 paused (budget), 130 interrupted."
BEFORE, BUILD, LOOK, PASS_ON = "Before a build", "Build", "Look at it", "Pass it on"


class OneScreen(TyperGroup):
    """The help of the whole command on one screen: its commands under their panels, without boxes."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write usage, the commands by panel, and the exit codes."""
        formatter.write_usage(ctx.command_path, "[--version] [--help] COMMAND ...")
        formatter.write(f"\n{self.help}\n\n")
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.commands[name]
            shown = (name, command.get_short_help_str(limit=64))
            panels.setdefault(getattr(command, "rich_help_panel", None) or "Other", []).append(shown)
        for panel, commands in panels.items():
            formatter.write(f"{panel}\n")
            formatter.indent()
            formatter.write_dl([(f"{name:<11}", words) for name, words in commands])
            formatter.dedent()
        formatter.write(f"\nssl4eco COMMAND --help has an example of each.\n{EXIT_CODES}\n")


app = typer.Typer(
    name="ssl4eco",
    cls=OneScreen,
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
AsJson = Annotated[bool, typer.Option("--json", help="as JSON, for programs")]
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


def print_json(value: Any) -> None:
    """A value as JSON on standard output: dates as ISO 8601, NaN and infinities as null."""
    print(to_json(value, inf_nan_mode="null", indent=1).decode())


def wrong_usage(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(2) from None


def need_folder(to: Path, option: str = "--to") -> None:
    """Before anything is asked for, so that no work is lost."""
    if not to.absolute().parent.is_dir():
        wrong_usage(f"{option} {to} lies in no folder that is there")
