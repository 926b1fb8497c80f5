"""Events as rows: a type's name and its JSON, and back. Readers outlive writers, so nothing here ever fails on a newer event."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from engine.domain.events import EVENT_TYPES, EscalationStarted, Event
from engine.domain.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown(Event):
    """A fact of a type, or with a value, that only a newer engine knows: kept as it was read, so that nothing is lost."""

    type: str
    data: str
    """The event's JSON object."""


_encoder = msgspec.json.Encoder()
_decoders = {name: msgspec.json.Decoder(kind) for name, kind in EVENT_TYPES.items()}


def type_of(event: Event) -> str:
    """The event's type, as the store and the API name it."""
    return event.type if isinstance(event, Unknown) else type(event).__name__


def encode(event: Event) -> tuple[str, str]:
    """The event's type and JSON. Raises `TypeError` or `ValueError` for values that JSON cannot hold, `ValueError` without a time zone."""
    if isinstance(event, Unknown):
        return event.type, event.data
    if event.at.tzinfo is None:
        raise ValueError(f"{type(event).__name__}.at has no time zone; events happen in UTC")
    return type(event).__name__, _encoder.encode(event).decode()


def decode(kind: str, at: datetime, data: str) -> Event:
    """The event of a row. Fields that are not known are ignored; what cannot be understood comes back as `Unknown`."""
    decoder = _decoders.get(kind)
    if decoder is not None:
        try:
            return _sharing(decoder.decode(data))
        except msgspec.ValidationError:
            pass
    return Unknown(at=at, type=kind, data=data)


def _sharing(event: Event) -> Event:
    """Ten thousand escalations by one policy hold it once."""
    return replace(event, frozen=_shared(event.frozen)) if isinstance(event, EscalationStarted) else event


@lru_cache(maxsize=1_000)
def _shared(policy: Policy) -> Policy:
    """The first one of all that are equal."""
    return policy


def plain(event: Event) -> dict[str, Any]:
    """The event as JSON-ready builtins: `type`, `at` (ISO 8601, UTC) and its own fields."""
    if isinstance(event, Unknown):
        return {"type": event.type, **msgspec.json.decode(event.data, type=dict[str, Any])}
    return {"type": type_of(event), **msgspec.to_builtins(event)}
