"""A ticket's timeline, as JSON or as Server-Sent Events."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec
from aiohttp import web

from engine.console.api.common import number, ticket_asked
from engine.console.guard import DEPS
from engine.console.live import Sent, last_seen, stream, timeline
from engine.console.wire import event_json, reply


async def events(request: web.Request) -> web.StreamResponse:
    """The events after `?after=` (or Last-Event-ID). With `Accept: text/event-stream` it goes on with each new one."""
    _, ticket, history = await ticket_asked(request, "read")
    if "text/event-stream" in request.headers.get("Accept", ""):
        return await stream(request, _sent(request, ticket, min(last_seen(request), len(history))))
    after = number(request, "after", 0) or 0
    return reply({"events": [event_json(seq, event) for seq, event in enumerate(history, 1) if seq > after]})


async def _sent(request: web.Request, ticket: int, since: int) -> AsyncGenerator[Sent, None]:
    async for seq, event in timeline(request.app[DEPS].store, ticket, since):
        data = msgspec.json.encode(event_json(seq, event)).decode()
        yield Sent(data, str(seq), type(event).__name__)


ROUTES = [web.get("/api/v1/tickets/{number}/events", events)]
