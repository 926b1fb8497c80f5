"""Keeps the projections true to the events when the engine starts, and reads in what is in use."""

from __future__ import annotations

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.store import queries
from engine.store.batch import TABLES, Row
from engine.store.projection import VERSION, Projection
from engine.store.rows import values
from engine.store.tables import calls, counters, events, recordings, texts, tickets
from engine.store.timelines import Timeline, Timelines

log = structlog.get_logger(__name__)

_PIECE = 500


async def bring_up_to_date(engine: AsyncEngine) -> None:
    """Build the projections anew if they were folded by another version of the folding."""
    async with engine.connect() as connection:
        version = (
            await connection.execute(
                sa.select(counters.c.value).where(counters.c.name == "projection").with_for_update()
            )
        ).scalar_one()
        if version != VERSION:
            await rebuild(connection)
            await connection.commit()


async def rebuild(connection: AsyncConnection) -> None:
    """Fold all timelines into rows again, in the caller's transaction."""
    log.info("projections_rebuilding", version=VERSION)
    for table in (tickets, calls, texts, recordings):
        await connection.execute(sa.delete(table))
    upserts = queries.upserts(connection.dialect.name)
    numbers = list(
        (await connection.scalars(sa.select(events.c.ticket).distinct().order_by(events.c.ticket))).all()
    )
    for start in range(0, len(numbers), _PIECE):
        rows: dict[str, list[Row]] = {}
        for number, history in (
            await queries.read_timelines(connection, numbers[start : start + _PIECE])
        ).items():
            projection = Projection.of(number, history)
            rows.setdefault("tickets", []).append(values(projection.row()))
            for row in projection.rows():
                rows.setdefault(TABLES[type(row)], []).append(values(row))
        for table_name, written in rows.items():
            await connection.execute(upserts[table_name], written)
    await connection.execute(sa.update(counters).where(counters.c.name == "projection").values(value=VERSION))


async def warm(engine: AsyncEngine, timelines: Timelines) -> None:
    """Read the timelines of all open walks, so that ten thousand walkers start without ten thousand reads."""
    walking = (
        sa.select(tickets.c.number)
        .where(~tickets.c.walk_over)
        .order_by(tickets.c.number.desc())
        .limit(20_000)
    )
    async with engine.connect() as connection:
        numbers = list((await connection.scalars(walking)).all())
        for ticket, history in (await queries.read_timelines(connection, numbers)).items():
            timelines.put(Timeline(ticket, history))
