"""How values look in JSON: instants as UTC with microseconds and Z, events with `seq` and `type` in front."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from engine.domain.events import EVENT_TYPES, Event


def instant(at: datetime) -> str:
    """«2026-11-21T19:03:53.000001Z»."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """Frozen values as dicts, lists, strings and numbers. Durations become ISO 8601 («PT25S»)."""
    return _instants(msgspec.to_builtins(value, builtin_types=(datetime,)))


def _instants(value: Any) -> Any:
    match value:
        case datetime():
            return instant(value)
        case dict():
            return {name: _instants(item) for name, item in value.items()}
        case list() | tuple():
            return [_instants(item) for item in value]
        case _:
            return value


def event_json(seq: int, event: Event) -> dict[str, Any]:
    """One fact of a timeline, its own fields beside `seq`, `at` and `type`."""
    fields = plain(event)
    at, kind = fields.pop("at"), fields.pop("type", type(event).__name__)
    if type(event).__name__ not in EVENT_TYPES:  # of a newer engine: the store hands it over as it was read
        fields = msgspec.json.decode(fields["data"])
        fields.pop("at", None)
    return {"seq": seq, "at": at, "type": kind, **fields}


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(
        body=msgspec.json.encode(plain(value)),
        status=status,
        headers=headers,
        content_type="application/json",
        charset="utf-8",
    )
