"""The console's web application: routes, guards and templates put together. Binds no port: `engine.app` does."""

from __future__ import annotations

import asyncio

from aiohttp import web

from engine.console import guard
from engine.console.api import actions, calls, desk, events, health, hotline, on_call, openapi, texts, tickets
from engine.console.deps import ConsoleDeps
from engine.console.live import CLOSING
from engine.console.pages import pages

MAX_BODY = 256 * 1024


def make_app(deps: ConsoleDeps) -> web.Application:
    """The whole console: API under `/api/v1`, pages under `/`, health beside them. Start it with an `AppRunner`."""
    app = web.Application(middlewares=[guard.headers, guard.problems], client_max_size=MAX_BODY)
    app[guard.DEPS] = deps
    app[CLOSING] = asyncio.Event()
    app.on_response_prepare.append(guard.harden)
    app.on_shutdown.append(_close_streams)
    for module in (health, openapi, tickets, events, actions, calls, texts, on_call, desk, hotline):
        app.add_routes(module.ROUTES)
    pages(app)
    return app


async def _close_streams(app: web.Application) -> None:
    app[CLOSING].set()
