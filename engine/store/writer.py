"""The one writer. Whatever waits is committed in one transaction, and each caller is told when its own events are on disk."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.domain.errors import DozvonError, NotKnown, StoreFailed
from engine.domain.events import Event
from engine.store import codec, queries
from engine.store.batch import Batch, Encoded, Row
from engine.store.hub import Hub
from engine.store.timelines import Timeline, Timelines

log = structlog.get_logger(__name__)

T = TypeVar("T")

BATCH_REQUESTS = 1_000
"""More than that in one transaction makes the first of them wait for no gain."""


@dataclass(slots=True, eq=False)
class _Append:
    ticket: int
    events: Sequence[Event]
    encoded: list[Encoded]
    expect: int | None
    done: asyncio.Future[bool]


@dataclass(slots=True, eq=False)
class _Open:
    events: Sequence[Event]
    encoded: list[Encoded]
    key: str | None
    done: asyncio.Future[int]


@dataclass(slots=True, eq=False)
class _Job:
    """Any other work that writes, in a transaction of its own."""

    work: Callable[[AsyncConnection], Awaitable[Any]]
    done: asyncio.Future[Any]


@dataclass(slots=True, eq=False)
class _Elsewhere:
    """Another process made this timeline so long; None is any of them."""

    ticket: int | None
    length: int


_Fact = _Append | _Open


class _CommitFailed(Exception):
    """The commit itself failed; `__cause__` says how."""


class Writer:
    """Owns the writing connection and the hot timelines. `run` is its task; it ends after `close`, when all is written.

    `shared` says that other processes write to the same database: timelines are then locked and measured before each transaction.
    """

    def __init__(self, engine: AsyncEngine, timelines: Timelines, hub: Hub, *, shared: bool) -> None:
        self._engine = engine
        self._timelines = timelines
        self._hub = hub
        self._shared = shared
        self._queue: deque[_Append | _Open | _Job | _Elsewhere] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._upserts = queries.upserts(engine.dialect.name)

    async def append(self, ticket: int, events: Sequence[Event], expect: int | None) -> bool:
        """See `ports.Store.append`. A cancelled caller's events are written all the same."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._submit(_Append(ticket, events, [codec.encode(event) for event in events], expect, done))
        return await done

    async def open_ticket(self, events: Sequence[Event], key: str | None) -> int:
        """See `ports.Store.open_ticket`."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._submit(_Open(events, [codec.encode(event) for event in events], key, done))
        return await done

    async def do(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Carry out `work` in a transaction of its own, committed when this returns.

        Raises `StoreFailed`, or what `work` raises of our own errors.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._submit(_Job(work, done))
        return await done

    def grown_elsewhere(self, ticket: int, length: int) -> None:
        """Another process made the timeline longer: forget what we remember of it, and wake who waits for it."""
        if not self._closed:
            self._submit(_Elsewhere(ticket, length))

    def all_may_have_grown(self) -> None:
        """Other processes may have written unheard: forget everything we remember."""
        if not self._closed:
            self._submit(_Elsewhere(None, 0))

    def close(self) -> None:
        """Take nothing more; `run` ends when what waits is written."""
        self._closed = True
        self._wake.set()

    def _submit(self, request: _Append | _Open | _Job | _Elsewhere) -> None:
        if self._closed:
            raise StoreFailed("the store is closed")
        self._queue.append(request)
        self._wake.set()

    async def run(self) -> None:
        """Write until closed."""
        while self._queue or not self._closed:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            facts: list[_Fact] = []
            while self._queue and len(facts) < BATCH_REQUESTS:
                match self._queue.popleft():
                    case _Append() | _Open() as fact:
                        facts.append(fact)
                    case _Elsewhere(ticket, length):
                        self._forget(ticket, length)
                    case _Job() as job:
                        await self._commit(facts)
                        facts = []
                        await self._do(job)
            await self._commit(facts)

    def _forget(self, ticket: int | None, length: int) -> None:
        if ticket is None:
            self._timelines.clear()
            return
        timeline = self._timelines.get(ticket)
        if timeline is not None and len(timeline.events) < length:
            self._timelines.drop(ticket)
        self._hub.grown(ticket, length)

    async def _do(self, job: _Job) -> None:
        try:
            result = await self._transact(job.work)
        except DozvonError as error:
            _fail(job.done, error)
        except Exception as error:
            log.warning("store_job_failed", error=repr(error))
            _fail(job.done, _store_failed(error))
        else:
            _answer(job.done, result)

    async def _commit(self, facts: list[_Fact]) -> None:
        """Write the facts in one transaction. If a statement fails, each is tried by itself, so that only the guilty one fails."""
        if not facts:
            return

        async def work(connection: AsyncConnection) -> tuple[Batch, list[bool | int | NotKnown]]:
            try:
                batch, answers = await self._stage(connection, facts)
                await self._write(connection, batch)
            except Exception:
                self._disown(facts)
                raise
            return batch, answers

        try:
            batch, answers = await self._transact(work)
        except Exception as error:
            self._disown(facts)
            if len(facts) > 1 and not isinstance(error, _CommitFailed) and not _is_away(error):
                for fact in facts:
                    await self._commit([fact])
                return
            log.warning("store_write_failed", requests=len(facts), error=repr(error.__cause__ or error))
            for fact in facts:
                _fail(fact.done, _store_failed(error))
        else:
            self._tell(batch)
            for fact, answer in zip(facts, answers, strict=True):
                if isinstance(answer, Exception):
                    _fail(fact.done, answer)
                else:
                    _answer(fact.done, answer)

    async def _transact(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Do `work` and commit. A connection found dead before the commit is replaced, once: nothing has happened yet.

        Raises `_CommitFailed` when it is the commit that failed: it may yet have happened, so nothing may be written again.
        """
        try:
            return await self._transact_once(work)
        except Exception as error:
            if not _is_away(error):
                raise
        return await self._transact_once(work)

    async def _transact_once(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self._engine.connect() as connection:
            result = await work(connection)
            try:
                await connection.commit()
            except Exception as error:
                raise _CommitFailed from error
            return result

    def _disown(self, facts: Sequence[_Fact]) -> None:
        """What was folded into these timelines has not happened: forget them, so that they are read from disk again."""
        for fact in facts:
            if isinstance(fact, _Append):
                self._timelines.drop(fact.ticket)

    async def _stage(
        self, connection: AsyncConnection, facts: Sequence[_Fact]
    ) -> tuple[Batch, list[bool | int | NotKnown]]:
        wanted = {fact.ticket for fact in facts if isinstance(fact, _Append)}
        batch = Batch(await self._load(connection, wanted))
        opens = [fact for fact in facts if isinstance(fact, _Open)]
        last = await queries.last_number(connection) if opens else 0
        known = await queries.known_keys(connection, [fact.key for fact in opens if fact.key is not None])
        answers: list[bool | int | NotKnown] = []
        for fact in facts:
            if isinstance(fact, _Append):
                answers.append(batch.append(fact.ticket, fact.events, fact.encoded, fact.expect))
            elif fact.key is not None and (fact.key in known or fact.key in batch.keys):
                answers.append(known.get(fact.key) or batch.keys[fact.key])
            else:
                last += 1
                answers.append(batch.open(last, fact.events, fact.encoded, fact.key))
        if opens:
            await queries.set_last_number(connection, last)
        return batch, answers

    async def _load(self, connection: AsyncConnection, wanted: set[int]) -> dict[int, Timeline]:
        """The wanted timelines as they are on disk; those that do not exist are left out."""
        hot = {ticket: timeline for ticket in wanted if (timeline := self._timelines.get(ticket))}
        if self._shared:
            lengths = await queries.lengths(connection, wanted, lock=True)
            hot = {
                ticket: timeline
                for ticket, timeline in hot.items()
                if len(timeline.events) == lengths.get(ticket)
            }
        cold = wanted - hot.keys()
        if not cold:
            return hot
        histories = await queries.read_timelines(connection, cold)
        return hot | {ticket: Timeline(ticket, history) for ticket, history in histories.items()}

    async def _write(self, connection: AsyncConnection, batch: Batch) -> None:
        if not batch.events:
            return
        await connection.execute(queries.INSERT_EVENTS, batch.events)
        rows: defaultdict[str, list[Row]] = defaultdict(list)
        for table, row in batch.projections():
            rows[table].append(row)
        if batch.keys:
            await connection.execute(
                queries.INSERT_KEYS, [{"key": key, "ticket": ticket} for key, ticket in batch.keys.items()]
            )
        for table, changed in rows.items():
            await connection.execute(self._upserts[table], changed)
        if self._shared:
            grown = [
                (draft.timeline.ticket, len(draft.timeline.events) + 1, draft.length) for draft in batch.grown
            ]
            await queries.announce(connection, grown)

    def _tell(self, batch: Batch) -> None:
        """The transaction is on disk: let this process know. On a shared database the feed is told by the listener, in commit order."""
        for draft in batch.drafts.values():
            self._timelines.grow(draft.timeline, draft.added)
            if draft.added:
                self._hub.grown(draft.timeline.ticket, len(draft.timeline.events))
        if not self._shared:
            self._hub.publish(batch.news)


def _answer(done: asyncio.Future[Any], answer: object) -> None:
    if not done.done():  # cancelled: nobody waits any more
        done.set_result(answer)


def _fail(done: asyncio.Future[Any], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


def _is_away(error: Exception) -> bool:
    """Whether the connection was dead, rather than the statement wrong."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _store_failed(error: Exception) -> StoreFailed:
    cause = error.__cause__ if isinstance(error, _CommitFailed) else error
    reason = getattr(cause, "orig", None) or cause
    advice = (
        "make room on its disk"
        if "full" in str(reason)
        else "see that the database is up and its disk has room"
    )
    failed = StoreFailed(f"the database did not take it ({reason}); {advice}")
    failed.__cause__ = cause
    return failed
