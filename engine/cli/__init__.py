"""`dozvon`: the command line. Exit codes: 0 all is well, 1 something that was checked is wrong, 2 the arguments cannot be used."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from engine import __version__
from engine.cli.common import UNUSABLE, State, complain
from engine.config import ConfigError, load
from engine.domain.errors import DozvonError

MODULES = {
    "serve": ("up", "run"),
    "beside": ("status", "demo-call", "backup"),
    "company": ("check", "simulate", "import"),
    "accounts": ("user", "token"),
    "recordings": ("recordings",),
}
"""Which module of this package (its `app`) has which commands."""
_MODULE_OF = {command: module for module, commands in MODULES.items() for command in commands}


class Commands(TyperGroup):
    """A command's module is imported when it is asked for: `dozvon check` needs no Asterisk, no database and no console.

    Contexts and commands are click's, of which typer keeps a copy to itself.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return [*_MODULE_OF, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if (module := _MODULE_OF.get(cmd_name)) is None:
            return super().get_command(ctx, cmd_name)
        return get_group(import_module(f"engine.cli.{module}").app).get_command(ctx, cmd_name)


app = typer.Typer(
    cls=Commands,
    name="dozvon",
    help="Дозвон: the telephony and escalation engine of an emergency dispatch service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def settings(
    context: typer.Context,
    config: str | None = typer.Option(
        None, "--config", envvar="DOZVON_CONFIG", help="The settings (default: dozvon.yaml, if it is there)."
    ),
) -> None:
    """Read the settings before any command."""
    if config:
        os.environ["DOZVON_CONFIG"] = config  # for the processes that `up` starts
    context.obj = State(load(Path(config) if config else None))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """The console script: every error of ours is a line on stderr, never a traceback."""
    try:
        app()
    except ConfigError as error:
        complain(str(error))
        sys.exit(UNUSABLE)
    except DozvonError as error:
        complain(str(error))
        sys.exit(1)
