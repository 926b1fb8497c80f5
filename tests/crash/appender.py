"""Appends to a store and prints each «ticket seq text» once it is acknowledged, until it is killed.

With `--limit BYTES`, no file may grow beyond that: appends until it fails, lifts the limit, and goes on.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from datetime import UTC, datetime

from engine.domain.errors import StoreFailed
from engine.domain.events import Noted, TicketOpened
from engine.logs import set_up
from engine.store import Store

APPENDERS = 8
set_up(level="error")  # to stderr: stdout is for what was acknowledged


def note(text: str) -> Noted:
    return Noted(at=datetime.now(UTC), by="appender", text=text)


async def open_ticket(store: Store) -> int:
    return await store.open_ticket([TicketOpened(at=datetime.now(UTC), company="demo", channel="api")])


async def append_for_ever(store: Store, who: int) -> None:
    ticket, length = await open_ticket(store), 1
    while True:
        notes = [note(f"{os.getpid()}-{who}-{length}-{n}") for n in range(1 + length % 3)]
        assert await store.append(ticket, notes, expect=length)
        for seq, one in enumerate(notes, length + 1):
            os.write(1, f"{ticket} {seq} {one.text}\n".encode())
        length += len(notes)


async def append_until_full(store: Store, limit: int) -> None:
    ticket, length = await open_ticket(store), 1
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        while True:
            await store.append(ticket, [note("x" * 20_000), note("y" * 20_000)], expect=length)
            length += 2
    except StoreFailed:
        assert len(await store.history(ticket)) == length
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert await store.append(ticket, [note("again")], expect=length)
    assert len(await store.history(ticket)) == length + 1
    print("failed whole, then healed")


async def main() -> None:
    url, *limit = sys.argv[1:]
    async with Store.open(url) as store:
        if limit:
            await append_until_full(store, int(limit[1]))
        else:
            await asyncio.gather(*(append_for_ever(store, who) for who in range(APPENDERS)))


if __name__ == "__main__":
    asyncio.run(main())
