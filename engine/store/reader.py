"""What the console asks. Every list is scoped by `company`: None is the whole installation, for its administrator only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.domain.errors import StoreFailed
from engine.store.queries import TICKETS
from engine.store.rows import CallRow, RecordingRow, TextRow, TicketRow
from engine.store.tables import calls, recordings, texts, tickets

R = TypeVar("R", TicketRow, CallRow, TextRow, RecordingRow)


class Reader:
    """Reads the projections, each question in a snapshot of its own. Everything raises `StoreFailed` if the database is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def rows(
        self, statement: sa.Executable, values: Mapping[str, object] | None = None
    ) -> Sequence[sa.Row[Any]]:
        """All rows of a statement. A connection found dead is replaced, once."""
        try:
            try:
                return await self._rows(statement, values)
            except sa.exc.DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            return await self._rows(statement, values)
        except (sa.exc.SQLAlchemyError, OSError) as error:
            raise StoreFailed(f"the database did not answer ({error}); see that it is up") from error

    async def _rows(
        self, statement: sa.Executable, values: Mapping[str, object] | None
    ) -> Sequence[sa.Row[Any]]:
        async with self._engine.connect() as connection:
            return (await connection.execute(statement, values)).all()

    async def ticket(self, number: int) -> TicketRow | None:
        """One ticket."""
        found = await self._typed(TicketRow, TICKETS.where(tickets.c.number == number))
        return found[0] if found else None

    async def tickets(
        self,
        company: str | None = None,
        *,
        status: str | None = None,
        statuses: Sequence[str] = (),
        urgency: str | None = None,
        house: str | None = None,
        phone: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        limit: int = 50,
        after: int | None = None,
    ) -> Sequence[TicketRow]:
        """Tickets, newest first, opened in [`since`, `before`), in any of `statuses` if there are some.

        `after` is the number of the last one on the page before.
        """
        query = _where(
            TICKETS,
            company=(tickets.c.company, company),
            status=(tickets.c.status, status),
            urgency=(tickets.c.urgency, urgency),
            house=(tickets.c.house, house),
            phone=(tickets.c.phone, phone),
        )
        query = _between(query, tickets.c.opened_at, since, before)
        if statuses:
            query = query.where(tickets.c.status.in_(statuses))
        if after is not None:
            query = query.where(tickets.c.number < after)
        return await self._typed(TicketRow, query.order_by(tickets.c.number.desc()).limit(limit))

    async def calls(
        self,
        company: str | None = None,
        *,
        number: str | None = None,
        kind: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        limit: int = 50,
    ) -> Sequence[CallRow]:
        """Calls, newest first, begun in [`since`, `before`)."""
        query = _where(
            sa.select(calls),
            company=(calls.c.company, company),
            number=(calls.c.number, number),
            kind=(calls.c.kind, kind),
        )
        query = _between(query, calls.c.started_at, since, before)
        return await self._typed(CallRow, query.order_by(calls.c.started_at.desc(), calls.c.id).limit(limit))

    async def call(self, id: str) -> CallRow | None:
        """One call, by its channel's id."""
        found = await self._typed(CallRow, sa.select(calls).where(calls.c.id == id))
        return found[0] if found else None

    async def calls_of(self, ticket: int) -> Sequence[CallRow]:
        """A ticket's calls and attempts to call, first to last."""
        query = sa.select(calls).where(calls.c.ticket == ticket).order_by(calls.c.started_at, calls.c.id)
        return await self._typed(CallRow, query)

    async def recording(self, id: str) -> RecordingRow | None:
        """One recording."""
        found = await self._typed(RecordingRow, sa.select(recordings).where(recordings.c.id == id))
        return found[0] if found else None

    async def recordings_of(self, ticket: int) -> Sequence[RecordingRow]:
        """A ticket's recordings, first to last."""
        query = sa.select(recordings).where(recordings.c.ticket == ticket)
        return await self._typed(RecordingRow, query.order_by(recordings.c.attached_at, recordings.c.id))

    async def texts(
        self,
        company: str | None = None,
        *,
        ticket: int | None = None,
        number: str | None = None,
        status: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        limit: int = 50,
    ) -> Sequence[TextRow]:
        """Messages, newest first, queued in [`since`, `before`)."""
        query = _where(
            sa.select(texts),
            company=(texts.c.company, company),
            ticket=(texts.c.ticket, ticket),
            number=(texts.c.number, number),
            status=(texts.c.status, status),
        )
        query = _between(query, texts.c.queued_at, since, before)
        return await self._typed(TextRow, query.order_by(texts.c.queued_at.desc(), texts.c.id).limit(limit))

    async def text(self, id: str) -> TextRow | None:
        """One message."""
        found = await self._typed(TextRow, sa.select(texts).where(texts.c.id == id))
        return found[0] if found else None

    async def _typed(self, kind: type[R], query: sa.Select[Any]) -> Sequence[R]:
        return [kind(**row._mapping) for row in await self.rows(query)]


def _where(query: sa.Select[Any], **wanted: tuple[sa.Column[Any], object]) -> sa.Select[Any]:
    return query.where(*(column == value for column, value in wanted.values() if value is not None))


def _between(
    query: sa.Select[Any], column: sa.Column[Any], since: datetime | None, before: datetime | None
) -> sa.Select[Any]:
    if since is not None:
        query = query.where(column >= since)
    return query if before is None else query.where(column < before)
