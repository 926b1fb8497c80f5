"""The store: timelines that are on disk when an append returns, and everything that is read from them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.domain.errors import NotKnown, StoreInUse
from engine.domain.events import Event, MeterRead, TicketOpened
from engine.store import claims, codec, engines, projecting
from engine.store.accounts import Accounts
from engine.store.hub import Hub
from engine.store.listener import Listener
from engine.store.reader import Reader
from engine.store.tables import Instant, calls, events, texts, tickets
from engine.store.timelines import Timelines
from engine.store.writer import Writer

T = TypeVar("T")


class Store:
    """Fulfils `ports.Store` on SQLite (one process) or PostgreSQL (several). Made by `Store.open` only.

    `read` answers the console's questions, `accounts` keeps its users, sessions and tokens.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        writer: Writer,
        timelines: Timelines,
        hub: Hub,
        listener: Listener | None = None,
        *,
        guest: bool = False,
    ) -> None:
        self._engine = engine
        self._writer = writer
        self._timelines = timelines
        self._hub = hub
        self._listener = listener
        self._guest = guest
        self._own_claims = claims.OwnClaims()
        self.read = Reader(engine)
        self.accounts = Accounts(engine, self.do)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, guest: bool = False) -> AsyncIterator[Store]:
        """Open, and bring the schema up to date. `url` is `sqlite:////file` or `postgresql://…`.

        A `guest` (a command beside a running engine) reads and keeps accounts, but may not append. Raises `StoreInUse` if another
        engine has the SQLite file, `StoreFailed` if the database cannot be reached, `ValueError` for a URL we have no driver for.
        """
        parsed = engines.parse(url)
        shared = parsed.get_backend_name() == "postgresql"
        async with AsyncExitStack() as stack:
            write_engine = await stack.enter_async_context(engines.pool(parsed, 1))
            read_engine = await stack.enter_async_context(
                engines.pool(parsed, engines.READ_CONNECTIONS, autocommit=True)
            )
            timelines, hub = Timelines(), Hub()
            if guest:
                with suppress(StoreInUse), engines.sole_user(parsed):  # whoever has the file has migrated it
                    await engines.migrate(write_engine)
            else:
                stack.enter_context(engines.sole_user(parsed))
                await engines.migrate(write_engine)
                await projecting.bring_up_to_date(write_engine)
                await projecting.warm(write_engine, timelines)
            writer = Writer(write_engine, timelines, hub, shared=shared)
            listener = None
            if shared and not guest:
                listener = Listener(parsed, read_engine, writer, hub)
                await stack.enter_async_context(_running(listener.run(), "store-listener", listener.close))
                await listener.ready()
            await stack.enter_async_context(_running(writer.run(), "store-writer", writer.close))
            if listener is not None:
                await writer.do(claims.sweep)
            yield cls(read_engine, writer, timelines, hub, listener, guest=guest)

    async def open_ticket(self, events: Sequence[Event], key: str | None = None) -> int:
        """See `ports.Store.open_ticket`. Raises `ValueError` if the first event is not a `TicketOpened`, `StoreFailed`."""
        self._may_append()
        if not events or not isinstance(events[0], TicketOpened):
            raise ValueError("a timeline starts with a TicketOpened")
        return await self._writer.open_ticket(tuple(events), key)

    async def append(self, ticket: int, events: Sequence[Event], expect: int | None = None) -> bool:
        """See `ports.Store.append`. The events of a caller that is cancelled meanwhile are written all the same."""
        self._may_append()
        return await self._writer.append(ticket, tuple(events), expect)

    async def history(self, ticket: int, since: int = 0) -> Sequence[Event]:
        """See `ports.Store.history`. No I/O for a timeline in use."""
        timeline = self._timelines.get(ticket)
        if timeline is not None:
            return timeline.events[since:]
        rows = await self.read.rows(_HISTORY, {"ticket": ticket, "since": since})
        if not rows:
            await self._length(ticket)  # raises NotKnown
        return [codec.decode(row.type, row.at, row.data) for row in rows]

    async def changed(self, ticket: int, since: int, timeout: float | None) -> bool:
        """See `ports.Store.changed`. Raises `NotKnown`."""
        with self._hub.waiting(ticket, since) as longer:
            if await self._length(ticket) > since:
                return True
            try:
                async with asyncio.timeout(timeout):
                    await longer
            except TimeoutError:
                return False
            return True

    async def ticket_of_call(self, call: str) -> int | None:
        """See `ports.Store.ticket_of_call`."""
        rows = await self.read.rows(_TICKET_OF_CALL, {"call": call})
        return rows[0].ticket if rows else None

    async def escalating(self) -> Sequence[int]:
        """See `ports.Store.escalating`; ordered by number."""
        return [row.number for row in await self.read.rows(_ESCALATING)]

    async def open_tickets(self, company: str) -> Sequence[int]:
        """See `ports.Store.open_tickets`."""
        return [row.number for row in await self.read.rows(_OPEN_TICKETS, {"company": company})]

    async def done_tickets(self, company: str) -> Sequence[int]:
        """See `ports.Store.done_tickets`."""
        return [row.number for row in await self.read.rows(_DONE_TICKETS, {"company": company})]

    async def calls_without_end(self) -> Sequence[tuple[int, str]]:
        """See `ports.Store.calls_without_end`; in the order in which they began."""
        return [(row.ticket, row.id) for row in await self.read.rows(_CALLS_WITHOUT_END)]

    async def unsent_texts(self) -> Sequence[tuple[int, str]]:
        """See `ports.Store.unsent_texts`; in the order in which they were queued."""
        return [(row.ticket, row.id) for row in await self.read.rows(_UNSENT_TEXTS)]

    async def unreported_texts(self, since: datetime) -> Sequence[tuple[int, str]]:
        """See `ports.Store.unreported_texts`; in the order in which they were queued."""
        return [(row.ticket, row.id) for row in await self.read.rows(_UNREPORTED_TEXTS, {"since": since})]

    async def ticket_of_text(self, text: str) -> int | None:
        """See `ports.Store.ticket_of_text`."""
        found = await self.read.text(text)
        return found.ticket if found else None

    async def tickets_with(self, number: str, limit: int = 20) -> Sequence[int]:
        """See `ports.Store.tickets_with`."""
        rows = await self.read.rows(_TICKETS_WITH, {"number": number, "limit": limit})
        return [row.ticket for row in rows]

    async def news_refused(self) -> frozenset[str]:
        """See `ports.Store.news_refused`."""
        last = {row.number: row.template for row in await self.read.rows(_WORDS_ON_NEWS)}
        return frozenset(number for number, template in last.items() if template == "reply.stop")

    async def readings(
        self, company: str, house: str | None = None, flat: str | None = None, since: datetime | None = None
    ) -> Sequence[tuple[int, MeterRead]]:
        """See `ports.Store.readings`."""
        query = _READINGS.where(tickets.c.company == company)
        if house is not None:
            query = query.where(tickets.c.house == house, tickets.c.flat == flat)
        if since is not None:
            query = query.where(events.c.at >= since)
        rows = await self.read.rows(query)
        found = [(row.ticket, codec.decode(row.type, row.at, row.data)) for row in rows]
        return [(ticket, event) for ticket, event in found if isinstance(event, MeterRead)]

    @asynccontextmanager
    async def feed(self) -> AsyncIterator[AsyncIterator[tuple[int, int, Event]]]:
        """See `ports.Store.feed`. The iterator raises `FeedLost` if its consumer falls far behind or the database was away."""
        if self._listener is not None:
            await self._listener.caught_up()  # or what was committed just before would be told as new
        async with self._hub.feed() as events:
            yield events

    async def claim(self, what: str, owner: str, seconds: float) -> bool:
        """See `ports.Store.claim`."""
        self._may_append()
        if self._listener is None:
            return self._own_claims.claim(what, owner, seconds)
        return await self._writer.do(lambda connection: claims.claim(connection, what, owner, seconds))

    async def do(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Carry out any other writing in a transaction of its own; committed when this returns. Raises `StoreFailed`."""
        return await self._writer.do(work)

    async def backup(self, path: Path) -> None:
        """Write a consistent copy of an SQLite database to `path`, which must not exist yet, while work goes on.

        Raises `FileExistsError`, `StoreFailed`, and `ValueError` on PostgreSQL, whose own `pg_dump` is the way.
        """
        await engines.backup(self._engine, path)

    async def _length(self, ticket: int) -> int:
        timeline = self._timelines.get(ticket)
        if timeline is not None:
            return len(timeline.events)
        rows = await self.read.rows(_LENGTH, {"ticket": ticket})
        if rows[0].length is None:
            raise NotKnown(f"there is no ticket {ticket}")
        return int(rows[0].length)

    def _may_append(self) -> None:
        if self._guest:
            raise StoreInUse(
                "a guest of the store reads and keeps accounts; tickets are changed through the engine's API"
            )


@asynccontextmanager
async def _running(
    work: Coroutine[None, None, None], name: str, stop: Callable[[], None]
) -> AsyncIterator[None]:
    """Own a task for the length of the block; on leaving it is told to stop, and awaited."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        stop()
        await task


_READINGS = (
    sa.select(events.c.ticket, events.c.type, events.c.at, events.c.data)
    .join_from(tickets, events, tickets.c.number == events.c.ticket)
    .where(events.c.type == MeterRead.__name__, tickets.c.cause == "service.reading")
    .order_by(events.c.at)
)
_HISTORY = (
    sa.select(events.c.type, events.c.at, events.c.data)
    .where(events.c.ticket == sa.bindparam("ticket"), events.c.seq > sa.bindparam("since"))
    .order_by(events.c.seq)
)
_LENGTH = sa.select(sa.func.max(events.c.seq).label("length")).where(
    events.c.ticket == sa.bindparam("ticket")
)
_TICKET_OF_CALL = sa.select(calls.c.ticket).where(calls.c.id == sa.bindparam("call"))
_ESCALATING = sa.select(tickets.c.number).where(~tickets.c.walk_over).order_by(tickets.c.number)
_OPEN_TICKETS = (
    sa.select(tickets.c.number)
    .where(tickets.c.company == sa.bindparam("company"), tickets.c.status.not_in(["done", "closed"]))
    .order_by(tickets.c.number)
)
_DONE_TICKETS = (
    sa.select(tickets.c.number)
    .where(tickets.c.company == sa.bindparam("company"), tickets.c.status == "done")
    .order_by(tickets.c.number)
)
_CALLS_WITHOUT_END = (
    sa.select(calls.c.ticket, calls.c.id)
    .where(calls.c.started, calls.c.ended_at.is_(None))
    .order_by(calls.c.started_at)
)
_UNREPORTED_TEXTS = (
    sa.select(texts.c.ticket, texts.c.id)
    .where(texts.c.status == "sent", texts.c.changed_at >= sa.bindparam("since", type_=Instant))
    .order_by(texts.c.queued_at)
)
_WITH_NUMBER = sa.union_all(
    sa.select(texts.c.ticket.label("ticket"), texts.c.queued_at.label("at")).where(
        texts.c.number == sa.bindparam("number")
    ),
    sa.select(tickets.c.number.label("ticket"), tickets.c.opened_at.label("at")).where(
        tickets.c.phone == sa.bindparam("number")
    ),
).subquery()
_TICKETS_WITH = (
    sa.select(_WITH_NUMBER.c.ticket)
    .group_by(_WITH_NUMBER.c.ticket)
    .order_by(sa.func.max(_WITH_NUMBER.c.at).desc(), _WITH_NUMBER.c.ticket.desc())
    .limit(sa.bindparam("limit"))
)
_WORDS_ON_NEWS = (
    sa.select(texts.c.number, texts.c.template)
    .where(texts.c.status == "received", texts.c.template.in_(("reply.stop", "reply.start")))
    .order_by(texts.c.queued_at, texts.c.id)
)
_UNSENT_TEXTS = (
    sa.select(texts.c.ticket, texts.c.id).where(texts.c.status == "queued").order_by(texts.c.queued_at)
)
