"""The statements that writing and reading timelines are made of, the same for SQLite and PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.domain.events import Event
from engine.store import codec
from engine.store.tables import calls, counters, events, keys, recordings, texts, tickets

CHANNEL = "dozvon_events"
"""What PostgreSQL's NOTIFY is sent on."""
_NOTIFY_PLACES = 200
"""As many places fit into one notification of 8,000 bytes."""
_MANY = 500
"""As many values in one IN."""

INSERT_EVENTS = sa.insert(events)
INSERT_KEYS = sa.insert(keys)
_LAST_NUMBER = sa.select(counters.c.value).where(counters.c.name == "ticket").with_for_update()
_SET_LAST_NUMBER = sa.update(counters).where(counters.c.name == "ticket").values(value=sa.bindparam("last"))
_KNOWN_KEYS = sa.select(keys.c.key, keys.c.ticket).where(keys.c.key.in_(sa.bindparam("keys", expanding=True)))
_LENGTH = sa.select(sa.func.max(events.c.seq)).where(events.c.ticket == tickets.c.number).scalar_subquery()
_CHANGED_AT = (
    sa.select(events.c.at)
    .where(events.c.ticket == tickets.c.number)
    .order_by(events.c.seq.desc())
    .limit(1)
    .scalar_subquery()
)
TICKETS = sa.select(tickets, _LENGTH.label("length"), _CHANGED_AT.label("changed_at"))
"""The rows of `TicketRow`."""
_SOME_TICKETS = tickets.c.number.in_(sa.bindparam("tickets", expanding=True))
_LENGTHS = sa.select(tickets.c.number, _LENGTH).where(_SOME_TICKETS)
_LOCK = sa.select(tickets.c.number).where(_SOME_TICKETS).order_by(tickets.c.number).with_for_update()
_TIMELINES = (
    sa.select(events.c.ticket, events.c.type, events.c.at, events.c.data)
    .where(events.c.ticket.in_(sa.bindparam("tickets", expanding=True)))
    .order_by(events.c.ticket, events.c.seq)
)
_NOTIFY = sa.select(sa.func.pg_notify(CHANNEL, sa.bindparam("payload")))

Place = tuple[int, int, int]
"""Ticket, first and last seq of events that belong together."""


def upserts(dialect: str) -> dict[str, sa.Executable]:
    """By projection table, the statement that writes a whole row whether it is there or not."""
    return {table.name: _upsert(dialect, table) for table in (tickets, calls, texts, recordings)}


def _upsert(dialect: str, table: sa.Table) -> sa.Executable:
    insert: Any = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    return insert.on_conflict_do_update(  # type: ignore[no-any-return]
        index_elements=list(table.primary_key.columns),
        set_={
            column.name: insert.excluded[column.name] for column in table.columns if not column.primary_key
        },
    )


async def last_number(connection: AsyncConnection) -> int:
    """The last ticket number that was given, locked until the transaction ends."""
    return int((await connection.execute(_LAST_NUMBER)).scalar_one())


async def set_last_number(connection: AsyncConnection, last: int) -> None:
    await connection.execute(_SET_LAST_NUMBER, {"last": last})


async def known_keys(connection: AsyncConnection, wanted: Sequence[str]) -> dict[str, int]:
    """Those idempotency keys that have been used, each with its ticket."""
    known: dict[str, int] = {}
    for some in _pieces(wanted):
        known.update((key, ticket) for key, ticket in await connection.execute(_KNOWN_KEYS, {"keys": some}))
    return known


async def lengths(
    connection: AsyncConnection, wanted: Collection[int], *, lock: bool = False
) -> dict[int, int]:
    """How many events the tickets have; `lock` keeps others from adding any until the transaction ends.

    Locked in the order of their numbers, so that two writers cannot wait for each other.
    """
    found: dict[int, int] = {}
    for some in _pieces(sorted(wanted)):
        if lock:
            await connection.execute(_LOCK, {"tickets": some})
        # Measured by a statement of its own: one that had to wait for the lock sees the events as they were before the wait.
        rows = await connection.execute(_LENGTHS, {"tickets": some})
        found.update((number, length) for number, length in rows)
    return found


async def read_timelines(connection: AsyncConnection, wanted: Collection[int]) -> dict[int, list[Event]]:
    """Whole timelines; a ticket that does not exist is left out."""
    found: defaultdict[int, list[Event]] = defaultdict(list)
    for some in _pieces(sorted(wanted)):
        for ticket, kind, at, data in await connection.execute(_TIMELINES, {"tickets": some}):
            found[ticket].append(codec.decode(kind, at, data))
    return found


async def announce(connection: AsyncConnection, places: Sequence[Place]) -> None:
    """Tell the other processes on this PostgreSQL, when the transaction commits, what it adds."""
    for start in range(0, len(places), _NOTIFY_PLACES):
        payload = msgspec.json.encode(places[start : start + _NOTIFY_PLACES]).decode()
        await notify(connection, payload)


async def notify(connection: AsyncConnection, payload: str) -> None:
    """Say something on our channel when the transaction commits."""
    await connection.execute(_NOTIFY, {"payload": payload})


def _pieces(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for start in range(0, len(values), _MANY):
        yield values[start : start + _MANY]
