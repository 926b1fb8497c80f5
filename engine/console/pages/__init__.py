"""The pages that people look at: server-rendered, readable without JavaScript, made lively with it."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from engine.console.auth import Gate

STATIC = Path(__file__).parent.parent / "static"
GATE = web.AppKey("gate", Gate)


def pages(app: web.Application) -> None:
    """Put the pages into the application."""
