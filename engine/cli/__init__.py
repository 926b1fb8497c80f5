"""`dozvon`: the command line. Exit codes: 0 all is well, 1 something that was checked is wrong, 2 the arguments cannot be used."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from engine import __version__
from engine.cli import accounts, company, recordings, serve
from engine.cli.common import UNUSABLE, State, complain
from engine.config import ConfigError, load
from engine.domain.errors import DozvonError

app = typer.Typer(
    name="dozvon",
    help="Дозвон: the telephony and escalation engine of an emergency dispatch service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(accounts.users, name="user")
app.add_typer(accounts.tokens, name="token")
app.add_typer(recordings.app, name="recordings")
serve.register(app)
company.register(app)


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
