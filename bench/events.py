"""`events`: durable appends a second and the p99 of one append, against the same rows through the bare driver in batches.

Ours are 200 walkers, each appending one event at a time to its own ticket and waiting for it to be on disk; events, projections and
feed included. The baseline writes the same rows, and nothing else, 200 to a transaction. A second pair of figures is the p99 of a
lone append: one event, nobody else writing; its baseline is one bare INSERT and COMMIT.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiosqlite
import asyncpg
import msgspec

from engine.domain.events import Event, KeyPressed, TicketOpened
from engine.store import Store
from engine.store.codec import encode
from tests.fakes import postgres

APPENDERS = 200
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Result:
    """A line of `make bench`. `ratio` is ours to the baseline; `failed` counts lost or wrong events."""

    bench: str
    ours: float
    baseline: float
    ratio: float
    unit: str
    n: int
    failed: int


Row = tuple[int, int, int, str, str]
Write = Callable[[Sequence[Row]], Awaitable[object]]
"""Writes rows in one durable transaction."""

_TABLE = "CREATE TABLE {name} (ticket BIGINT, seq INTEGER, at BIGINT, type TEXT, data TEXT, PRIMARY KEY (ticket, seq))"


def event(n: int) -> Event:
    return KeyPressed(at=datetime.now(UTC), call=f"1001-{n}", key="1", question="emergency")


@asynccontextmanager
async def bare_sqlite(folder: Path) -> AsyncIterator[Write]:
    async with aiosqlite.connect(folder / "bare.sqlite") as connection:
        await connection.execute("PRAGMA journal_mode = WAL")
        await connection.execute("PRAGMA synchronous = FULL")
        await connection.execute(_TABLE.format(name="bare"))

        async def write(rows: Sequence[Row]) -> None:
            await connection.executemany("INSERT INTO bare VALUES (?, ?, ?, ?, ?)", rows)
            await connection.commit()

        yield write


@asynccontextmanager
async def bare_postgres(url: str) -> AsyncIterator[Write]:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_TABLE.format(name="bare"))
        yield lambda rows: connection.executemany("INSERT INTO bare VALUES ($1, $2, $3, $4, $5)", rows)
    finally:
        await connection.close()


class Baseline:
    """Numbers its rows as the store does: each round of 200 is the next event of 200 tickets."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._seq = 0

    async def rate(self, each: int) -> float:
        started = time.perf_counter()
        for _ in range(each):
            self._seq += 1
            await self._write([self._row(ticket) for ticket in range(APPENDERS)])
        return APPENDERS * each / (time.perf_counter() - started)

    async def lone(self, count: int) -> list[float]:
        taken = []
        for _ in range(count):
            self._seq += 1
            started = time.perf_counter()
            await self._write([self._row(0)])
            taken.append(time.perf_counter() - started)
        return taken

    def _row(self, ticket: int) -> Row:
        one = event(self._seq)
        return (ticket, self._seq, int(one.at.timestamp() * 1e6), *encode(one))


class Ours:
    """The store under 200 appenders; `lost` is how many acknowledged events are not where they should be."""

    def __init__(self, store: Store, tickets: list[int]) -> None:
        self._store = store
        self._tickets = tickets
        self._lengths = dict.fromkeys(tickets, 1)

    async def rate(self, each: int) -> tuple[float, list[float]]:
        taken: list[float] = []

        async def appender(ticket: int) -> None:
            for _ in range(each):
                started = time.perf_counter()
                await self._append(ticket)
                taken.append(time.perf_counter() - started)

        started = time.perf_counter()
        await asyncio.gather(*map(appender, self._tickets))
        return len(taken) / (time.perf_counter() - started), taken

    async def lone(self, count: int) -> list[float]:
        taken = []
        for _ in range(count):
            started = time.perf_counter()
            await self._append(self._tickets[0])
            taken.append(time.perf_counter() - started)
        return taken

    async def _append(self, ticket: int) -> None:
        length = self._lengths[ticket]
        if await self._store.append(ticket, [event(length)], expect=length):
            self._lengths[ticket] += 1

    def lost(self, histories: dict[int, int]) -> int:
        return sum(abs(length - histories[ticket]) for ticket, length in self._lengths.items())


async def measure(kind: str, url: str, bare: Write, quick: bool) -> list[Result]:
    """Both figures on one database, ours and the baseline in turn."""
    each, alone, rounds = (10, 40, 2) if quick else (50, 200, ROUNDS)
    rates: list[float] = []
    bare_rates: list[float] = []
    taken: list[float] = []
    lone: list[float] = []
    bare_lone: list[float] = []
    baseline = Baseline(bare)
    async with Store.open(url) as store:
        opening = [TicketOpened(at=datetime.now(UTC), company="bench", channel="api")]
        tickets = await asyncio.gather(*(store.open_ticket(opening) for _ in range(APPENDERS)))
        ours = Ours(store, tickets)
        for _ in range(rounds):
            rate, times = await ours.rate(each)
            rates.append(rate)
            taken += times
            bare_rates.append(await baseline.rate(each))
            lone += await ours.lone(alone)
            bare_lone += await baseline.lone(alone)
    async with Store.open(url) as store:  # from disk, not from memory
        failed = ours.lost({ticket: len(await store.history(ticket)) for ticket in tickets})
    rate, bare_rate = statistics.median(rates), statistics.median(bare_rates)
    print(f"events: {kind}, p99 of one of {APPENDERS} appends at once: {p99(taken):.1f} ms", file=sys.stderr)
    return [
        Result(f"events {kind} rate", round(rate), round(bare_rate), _ratio(rate, bare_rate), "appends/s", len(taken), failed),
        Result(f"events {kind} lone p99", p99(lone), p99(bare_lone), _ratio(p99(lone), p99(bare_lone)), "ms", len(lone), failed),
    ]  # fmt: skip


def p99(seconds: list[float]) -> float:
    """In milliseconds."""
    return round(sorted(seconds)[int(len(seconds) * 0.99)] * 1000, 2)


def _ratio(ours: float, baseline: float) -> float:
    return round(ours / baseline, 3)


async def run(quick: bool) -> list[dict[str, object]]:
    """Measure SQLite, and PostgreSQL if it is installed; one dictionary per line."""
    results: list[Result] = []
    gc.collect()
    gc.freeze()  # as `dozvon run` does
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dozvon-bench-")))
        bare = await stack.enter_async_context(bare_sqlite(folder))
        results += await measure("sqlite", f"sqlite:///{folder}/store.sqlite", bare, quick)
        if postgres.binaries() is None:
            print(f"events: {postgres.MISSING}; measured on SQLite only", file=sys.stderr)
        else:
            url = stack.enter_context(postgres.server())
            bare = await stack.enter_async_context(bare_postgres(url))
            results += await measure("postgresql", url, bare, quick)
    return [asdict(result) for result in results]


if __name__ == "__main__":
    for line in asyncio.run(run("--quick" in sys.argv)):
        print(msgspec.json.encode(line).decode())
