"""Hears, on PostgreSQL, what any process committed (this one too), and tells the feed in the order of commit."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from uuid import uuid4

import asyncpg
import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.store import codec, queries
from engine.store.engines import CONNECT_SECONDS
from engine.store.hub import Hub
from engine.store.tables import events
from engine.store.writer import Writer

log = structlog.get_logger(__name__)

PING_SECONDS = 5.0
"""A connection that died without a word is noticed after this long."""
RECONNECT_SECONDS = 0.5

_MARK = "mark "

_places = msgspec.json.Decoder(list[queries.Place])


class Listener:
    """One connection of its own that LISTENs. `run` is its task: it reconnects for ever, until `close`."""

    def __init__(self, url: URL, engine: AsyncEngine, writer: Writer, hub: Hub) -> None:
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._engine = engine
        self._writer = writer
        self._hub = hub
        self._heard: asyncio.Queue[str | None] = asyncio.Queue()
        self._closed = asyncio.Event()
        self._listening = asyncio.Event()
        self._marks: dict[str, asyncio.Future[bool]] = {}

    async def ready(self) -> None:
        """Wait until it listens."""
        await self._listening.wait()

    async def caught_up(self) -> None:
        """Wait until all that was committed before now has been told. While the database is away, this waits for it."""
        while not self._closed.is_set():
            await self._listening.wait()
            mark = _MARK + uuid4().hex
            heard = self._marks[mark] = asyncio.get_running_loop().create_future()
            try:
                async with self._engine.connect() as connection:
                    await queries.notify(connection, mark)
                if await heard:
                    return
            except (OSError, sa.exc.SQLAlchemyError):
                await asyncio.sleep(RECONNECT_SECONDS)
            finally:
                self._marks.pop(mark, None)

    def close(self) -> None:
        self._closed.set()
        self._heard.put_nowait(None)

    async def run(self) -> None:
        """Listen until closed; whoever may have missed something meanwhile is told."""
        while not self._closed.is_set():
            try:
                await self._listen()
            except Exception as error:  # whatever it was, the feed must come back
                log.warning("store_listener_lost", error=repr(error))
            if self._closed.is_set():
                return
            self._hub.break_feeds("the connection to the database was lost")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), RECONNECT_SECONDS)

    async def _listen(self) -> None:
        self._heard = asyncio.Queue()
        connection = await asyncpg.connect(
            self._dsn, timeout=CONNECT_SECONDS, command_timeout=CONNECT_SECONDS
        )
        try:
            connection.add_termination_listener(lambda _: self._heard.put_nowait(None))
            await connection.add_listener(
                queries.CHANNEL, lambda _c, _p, _ch, payload: self._heard.put_nowait(payload)
            )
            await self._catch_up()
            self._listening.set()
            while not connection.is_closed() and not self._closed.is_set():
                try:
                    async with asyncio.timeout(PING_SECONDS):
                        payload = await self._heard.get()
                except TimeoutError:
                    await connection.fetchval("SELECT 1")
                    continue
                if payload is None:
                    continue
                if payload.startswith(_MARK):
                    heard = self._marks.pop(payload, None)  # another process's mark is nothing to us
                    if heard is not None and not heard.done():
                        heard.set_result(True)
                else:
                    await self._tell(_places.decode(payload))
        finally:
            self._listening.clear()
            self._break_marks()
            await connection.close(timeout=CONNECT_SECONDS)

    def _break_marks(self) -> None:
        marks, self._marks = self._marks, {}
        for heard in marks.values():
            if not heard.done():
                heard.set_result(False)

    async def _catch_up(self) -> None:
        """After a gap: what is awaited is measured anew, and what is remembered may be old."""
        self._writer.all_may_have_grown()
        async with self._engine.connect() as connection:
            for ticket, length in (await queries.lengths(connection, self._hub.awaited())).items():
                self._writer.grown_elsewhere(ticket, length)

    async def _tell(self, places: list[queries.Place]) -> None:
        for ticket, _, last in places:
            self._writer.grown_elsewhere(ticket, last)
        if not self._hub.has_feeds:
            return
        statement = sa.select(events).where(
            sa.or_(
                *(
                    sa.and_(events.c.ticket == t, events.c.seq.between(first, last))
                    for t, first, last in places
                )
            )
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(statement.order_by(events.c.ticket, events.c.seq))).all()
        told = {(row.ticket, row.seq): codec.decode(row.type, row.at, row.data) for row in rows}
        self._hub.publish(
            [(t, seq, told[t, seq]) for t, first, last in places for seq in range(first, last + 1)]
        )
