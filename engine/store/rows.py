"""The rows of the projections as typed values: what folding a timeline yields, and what the console reads."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import get_args


@dataclass(frozen=True, slots=True)
class TicketRow:
    """A ticket in a list. `status` is a `domain.ticket.Status`, `urgency` a `domain.model.Urgency`."""

    number: int
    company: str
    status: str
    channel: str
    urgency: str | None
    cause: str | None
    title: str | None
    house: str | None
    flat: str | None
    address: str | None
    phone: str | None
    did: str | None
    applicant: str | None
    text: str | None
    policy: str | None
    accepted_by: str | None
    accepted_name: str | None
    accepted_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None
    changed_at: datetime
    length: int
    """How many events its timeline has."""
    walk_over: bool


@dataclass(frozen=True, slots=True)
class CallRow:
    """A leg of a ticket. `kind` is a `domain.model.CallKind`, `outcome` (of a robocall) a `domain.model.Outcome`, `cause` Q.850."""

    id: str
    ticket: int
    company: str
    kind: str
    started: bool
    """A `CallStarted` told of it; False for an attempt that so far has its `DialStarted` only."""
    number: str | None
    did: str | None
    contact: str | None
    started_at: datetime
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    cause: int | None = None
    ended_by: str | None = None
    seconds: float | None = None
    recording: str | None = None
    recording_seconds: float | None = None
    flaw: str | None = None


@dataclass(frozen=True, slots=True)
class TextRow:
    """A text message and its delivery: `status` is queued, sent, delivered, failed, or received."""

    id: str
    ticket: int
    company: str
    number: str
    contact: str | None
    template: str
    body: str
    status: str
    queued_at: datetime
    changed_at: datetime
    provider: str | None = None
    parts: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RecordingRow:
    """A kept recording; `id` is its call's id."""

    id: str
    ticket: int
    company: str
    call: str
    seconds: float
    flaw: str | None
    attached_at: datetime


Row = TicketRow | CallRow | TextRow | RecordingRow

_names: dict[type[Row], tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind)) for kind in get_args(Row)
}
# Not kept but looked up in the events, so that an append which tells nothing new of the ticket is one INSERT.
_names[TicketRow] = tuple(name for name in _names[TicketRow] if name not in ("length", "changed_at"))
_values = {kind: attrgetter(*names) for kind, names in _names.items()}


def values(row: Row) -> dict[str, object]:
    """The row by column, as it is written. PostgreSQL holds no NUL in text; nobody misses one."""
    kind = type(row)
    return {
        name: value.replace("\0", "") if isinstance(value, str) and "\0" in value else value
        for name, value in zip(_names[kind], _values[kind](row), strict=True)
    }


def merely_grew(before: TicketRow, now: TicketRow) -> bool:
    """Whether what is kept of the ticket is as before. Asked for every append."""
    kept = _values[TicketRow]
    return bool(kept(before) == kept(now))
