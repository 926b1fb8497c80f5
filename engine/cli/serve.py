"""The commands that run things: `up`, `run`, `status`, `demo-call`, `backup`."""

from __future__ import annotations

import asyncio
import contextlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import typer

from engine import app as composition
from engine import logs
from engine.cli.common import JSON, UNUSABLE, WRONG, complain, emit, settings_of, wait
from engine.config import Settings
from engine.domain.errors import DozvonError
from engine.up import up as run_installation

SECONDS = 5.0


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(up)
    app.command()(run)
    app.command()(status)
    app.command()(backup)


def up(context: typer.Context) -> None:
    """Asterisk and the engine in the foreground, restarted when they die; Ctrl-C stops both."""
    settings = settings_of(context)
    say = partial(typer.echo)
    raise typer.Exit(wait(run_installation(settings, say=say)))


def run(context: typer.Context) -> None:
    """The engine alone, in the foreground; Asterisk is somebody else's business."""
    settings = settings_of(context)
    logs.set_up(settings.log.form, settings.log.level)
    try:
        asyncio.run(composition.run(settings))
    except (DozvonError, ValueError, PermissionError) as error:
        complain(str(error))
        raise typer.Exit(UNUSABLE) from error


def status(context: typer.Context, as_json: bool = JSON) -> None:
    """How the running installation is: each component with its state."""
    settings = settings_of(context)
    code, body = wait(_ready(settings))
    if code is None:
        complain(f"no engine answers at {settings.console_url}; start it: make run, or dozvon run")
        raise typer.Exit(WRONG)
    parts: dict[str, dict[str, Any]] = body.get("components", {})
    lines = [
        f"{name:<12} {part['state']}" + (f": {part['detail']}" if part.get("detail") else "")
        for name, part in parts.items()
    ]
    emit(body, as_json, "\n".join(lines))
    if code != 200:
        raise typer.Exit(WRONG)


async def _ready(settings: Settings) -> tuple[int | None, dict[str, Any]]:
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, json.JSONDecodeError):
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://{settings.console.host}:{settings.console_port}/readyz") as answer,
        ):
            return answer.status, await answer.json(content_type=None)
    return None, {}


def backup(context: typer.Context, to: Path = typer.Argument(help="The copy; must not exist yet.")) -> None:
    """A consistent copy of the database, while the engine works."""
    from engine.store.store import Store

    settings = settings_of(context)

    async def copy() -> None:
        async with Store.open(settings.database, guest=True) as store:
            await store.backup(to)

    try:
        wait(copy())
    except (FileExistsError, ValueError) as error:
        complain(str(error))
        raise typer.Exit(UNUSABLE) from error
    typer.echo(f"copied to {to}")
