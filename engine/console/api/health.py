"""Alive, ready, measured."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from engine.console.deps import ESSENTIAL, Component
from engine.console.guard import DEPS
from engine.console.wire import reply
from engine.domain.ticket import Status

HEALTH_SECONDS = 5.0


async def healthz(request: web.Request) -> web.Response:
    """The engine's loop turns."""
    return reply({"status": "alive"})


async def readyz(request: web.Request) -> web.Response:
    """Each component with its state; 200 only if calls can be taken and kept."""
    components = await _components(request)
    ready = all(name in components and components[name].ready for name in ESSENTIAL)
    body = {"status": "ready" if ready else "not ready", "components": components}
    return reply(body, status=200 if ready else 503)


async def _components(request: web.Request) -> Mapping[str, Component]:
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            return await request.app[DEPS].health()
    except TimeoutError:
        return {name: Component(False, "unknown", "did not answer in time") for name in ESSENTIAL}


async def metrics(request: web.Request) -> web.Response:
    """Prometheus text: components, tickets by status, the process. Nothing personal."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    up = Gauge("dozvon_component_ready", "1 if the component does its work", ["component"], registry=registry)
    for name, component in (await _components(request)).items():
        up.labels(name).set(component.ready)
    waiting = Gauge(
        "dozvon_recordings_waiting", "Recordings that are being joined, or wait for it", registry=registry
    )
    waiting.set(request.app[DEPS].recordings.backlog)
    tickets = Gauge("dozvon_tickets", "Tickets that are not closed, by status", ["status"], registry=registry)
    counts = {status.value: 0 for status in Status if status is not Status.CLOSED}
    for row in await request.app[DEPS].reader.tickets(statuses=tuple(counts), limit=10_000):
        counts[row.status] += 1
    for status, count in counts.items():
        tickets.labels(status).set(count)
    return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


ROUTES = [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)]
