"""The commands for whoever has an engine running: `status`, `demo-call`, `backup`."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import typer

from engine.cli.common import JSON, UNUSABLE, WRONG, complain, emit, settings_of, wait
from engine.config import Settings
from engine.console import auth
from engine.store.store import Store

SECONDS = 5.0
app = typer.Typer()


@app.command()
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


@app.command("demo-call")
def demo_call(context: typer.Context, as_json: bool = JSON) -> None:
    """With `make run` up: softphones play a resident and the staff, the walk is printed, the ticket's address at the end."""
    try:
        from engine.demo.story import DemoFailed, Story
    except ImportError as error:
        complain(f"the demo's softphones are not installed ({error.name}): pip install 'dozvon[demo]'")
        raise typer.Exit(UNUSABLE) from error
    settings = settings_of(context)
    if wait(_ready(settings))[0] != 200:
        complain(f"no engine is ready at {settings.console_url}; start it in another terminal: make run")
        raise typer.Exit(WRONG)
    address = f"http://{settings.console.host}:{settings.console_port}"

    async def tell() -> int:
        name = f"demo-{datetime.now(UTC):%Y%m%d%H%M%S%f}"
        async with Store.open(settings.database, guest=True) as store:
            token = await auth.add_token(store.accounts, name, datetime.now(UTC), ("read",))
            try:
                return await Story(
                    settings.base_port, address, token, partial(typer.echo, err=as_json)
                ).tell()
            finally:
                await store.accounts.revoke_token(name, datetime.now(UTC))

    try:
        ticket = wait(tell())
    except DemoFailed as error:
        complain(str(error))
        raise typer.Exit(WRONG) from error
    if as_json:
        typer.echo(json.dumps({"ticket": ticket, "url": f"{address}/tickets/{ticket}"}))


@app.command()
def backup(context: typer.Context, to: Path = typer.Argument(help="The copy; must not exist yet.")) -> None:
    """A consistent copy of the database, while the engine works."""
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
