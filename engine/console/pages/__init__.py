"""The pages that people look at: server-rendered, readable without JavaScript, made lively with it."""

from __future__ import annotations

from pathlib import Path

import aiohttp_jinja2
import jinja2
from aiohttp import web

from engine.console import words
from engine.console.auth import Gate
from engine.console.pages import desk, frame, login, ticket, tickets

CONSOLE = Path(__file__).parent.parent


def pages(app: web.Application) -> None:
    """Put the pages and what they are made of into the application."""
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(CONSOLE / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"duration": words.duration, "phone": words.phone, "masked": words.masked}
    app[login.GATE] = Gate()
    app.router.add_static("/static/", CONSOLE / "static")
    for module in (frame, login, tickets, ticket, desk):
        app.add_routes(module.ROUTES)
