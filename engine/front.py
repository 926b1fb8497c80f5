"""The console and the HTTP API, listening; and the addresses that are left for whoever may read the data directory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from aiohttp import web

from engine.config import CannotStart, Settings
from engine.console import auth
from engine.console.app import make_app
from engine.console.deps import ConsoleDeps
from engine.console.deps import Settings as ConsoleSettings
from engine.flows.deps import Deps
from engine.health import Health
from engine.ports import Muting
from engine.recordings.folder import RecordingFolder
from engine.store.accounts import Access
from engine.store.store import Store

log = structlog.get_logger()

LINK_FILE = "console-link"
LINK_LIFETIME = timedelta(hours=24)
ADMINISTRATOR = "admin"


@asynccontextmanager
async def console(
    settings: Settings,
    deps: Deps,
    store: Store,
    recordings: RecordingFolder,
    muting: Muting,
    health: Health,
    attach: Callable[[web.Application], None],
) -> AsyncIterator[None]:
    """The console and the API, listening; an administrator's one-time link for whoever may read the data directory."""

    async def put_on_record(
        at: datetime, who: str, what: str, ticket: int | None = None, recording: str | None = None
    ) -> None:
        await store.accounts.record(Access(at, who, what, ticket, recording))

    console = ConsoleDeps(
        flows=deps,
        reader=store.read,
        accounts=store.accounts,
        audit=put_on_record,
        recordings=recordings,
        muting=muting,
        health=health,
        settings=ConsoleSettings(base_url=settings.console_url),
    )
    pages = make_app(console)
    attach(pages)
    runner = web.AppRunner(pages, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    await _leave_link(settings, store)  # before anybody can be told that we are ready
    try:
        try:
            await web.TCPSite(runner, settings.console.host, settings.console_port).start()
        except OSError as error:
            raise CannotStart(
                f"the console's port {settings.console_port} cannot be used ({error.strerror}): "
                f"another program has it; set DOZVON_BASE_PORT (now {settings.base_port}) to another block of ports"
            ) from error
        yield
    finally:
        await runner.cleanup()


async def _leave_link(settings: Settings, store: Store) -> None:
    now = datetime.now(UTC)
    await auth.add_user(store.accounts, ADMINISTRATOR, "admin", now)
    link = await auth.create_link(store.accounts, ADMINISTRATOR, now, settings.console_url, LINK_LIFETIME)
    leave(settings.inside(LINK_FILE), link + "\n")


def leave(file: Path, text: str) -> None:
    """A secret, in a file that only the owner can read."""
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(text)
