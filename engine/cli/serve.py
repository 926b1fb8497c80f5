"""The commands that run things: `up`, `run`."""

from __future__ import annotations

import asyncio
import gc
import sys
from functools import partial

import typer

from engine import app as composition
from engine import logs
from engine.cli.common import UNUSABLE, complain, settings_of, wait
from engine.domain.errors import DozvonError
from engine.up import up as run_installation

SWITCH_SECONDS = 0.001
app = typer.Typer()


@app.command()
def up(context: typer.Context) -> None:
    """Asterisk and the engine in the foreground, restarted when they die; Ctrl-C stops both."""
    settings = settings_of(context)
    say = partial(typer.echo)
    raise typer.Exit(wait(run_installation(settings, say=say)))


@app.command()
def run(context: typer.Context) -> None:
    """The engine alone, in the foreground; Asterisk is somebody else's business."""
    settings = settings_of(context)
    logs.set_up(settings.log.form, settings.log.level)
    # Whatever was imported stays: collecting garbage need not look through it again, a pause of 50 ms each time.
    gc.collect()
    gc.freeze()
    # A thread that computes (a company's files are read, a recording is sealed) gives way to the loop after this, not after 5 ms.
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        asyncio.run(composition.run(settings))
    except (DozvonError, ValueError, PermissionError) as error:
        complain(str(error))
        raise typer.Exit(UNUSABLE) from error
