"""Server-Sent Events: one quiet, resumable stream for API and pages alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from engine.console.guard import DEPS
from engine.domain.events import Event
from engine.ports import Store

CLOSING = web.AppKey("closing", asyncio.Event)
"""Set when the console stops, so that no stream holds it up."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One server-sent event. `id` is what the browser gives back as Last-Event-ID."""

    data: str
    id: str | None = None
    event: str | None = None

    def encode(self) -> bytes:
        """As it goes over the wire."""
        lines = [f"id: {self.id}"] if self.id is not None else []
        lines += [f"event: {self.event}"] if self.event is not None else []
        lines += [f"data: {line}" for line in self.data.splitlines() or [""]]
        return ("\n".join(lines) + "\n\n").encode()


async def stream(request: web.Request, events: AsyncGenerator[Sent, None]) -> web.StreamResponse:
    """Send the events as they come, and a comment whenever it was quiet for a while, until either side has had enough."""
    response = web.StreamResponse(headers={"X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    response.charset = "utf-8"
    await response.prepare(request)
    await response.write(b"retry: 1000\n\n")
    heartbeat = request.app[DEPS].settings.heartbeat_seconds
    closing = request.app[CLOSING]
    over = asyncio.create_task(closing.wait(), name="console.stream.closing")
    upcoming: asyncio.Task[Sent | None] | None = None
    try:
        while True:
            upcoming = upcoming or asyncio.create_task(_next(events), name="console.stream.next")
            done, _ = await asyncio.wait(
                {upcoming, over}, timeout=heartbeat, return_when=asyncio.FIRST_COMPLETED
            )
            if over in done:
                break
            if upcoming not in done:
                await response.write(b": alive\n\n")
                continue
            sent, upcoming = upcoming.result(), None
            if sent is None:
                break
            await response.write(sent.encode())
    except ConnectionResetError:
        pass  # the browser has gone
    finally:
        await _abandon(over)
        await _abandon(upcoming)
        await events.aclose()
    return response


async def _next(events: AsyncGenerator[Sent, None]) -> Sent | None:
    return await anext(events, None)


async def timeline(store: Store, ticket: int, since: int) -> AsyncGenerator[tuple[int, Event], None]:
    """(seq, event) of one ticket from number `since` + 1 on: those that are there, then each new one. Never ends."""
    while True:
        for event in await store.history(ticket, since):
            since += 1
            yield since, event
        await store.changed(ticket, since, None)


@asynccontextmanager
async def bursts(feed: AsyncIterator[Any]) -> AsyncIterator[Callable[[float, float], Awaitable[None]]]:
    """Yields `burst(most, settle)`: wait until news came, and then until `settle` seconds after it, but `most` seconds in all.

    What is not news yet is waited for on: cancelling the wait for it would end the feed. Raises what the feed raises.
    """
    upcoming: asyncio.Task[Any] | None = None

    async def burst(most: float, settle: float) -> None:
        nonlocal upcoming
        loop = asyncio.get_running_loop()
        until = loop.time() + most
        while (left := until - loop.time()) > 0:
            upcoming = upcoming or asyncio.create_task(_one(feed), name="console.feed.next")
            await asyncio.wait({upcoming}, timeout=left)
            if not upcoming.done():
                return
            _, upcoming = upcoming.result(), None
            until = min(until, loop.time() + settle)
            settle = until - loop.time()

    try:
        yield burst
    finally:
        await _abandon(upcoming)


async def _abandon(task: asyncio.Task[Any] | None) -> None:
    """End a task whose result nobody wants any more, whatever it is."""
    if task is not None:
        task.cancel()
        await asyncio.wait({task})
        _ = task.cancelled() or task.exception()


async def _one(feed: AsyncIterator[Any]) -> Any:
    return await anext(feed)


def last_seen(request: web.Request) -> int:
    """From where to go on: Last-Event-ID, else `?after=`, else the beginning."""
    given = request.headers.get("Last-Event-ID") or request.query.get("after") or "0"
    return int(given) if given.isdecimal() else 0
