"""One engine of a database is on duty: on one PostgreSQL with two engines, on an SQLite file which is one engine's anyway."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from engine.flows.watch.duty import Duty, DutyLost
from engine.store.store import Store
from tests.fakes import postgres

LEASE = 0.6
SOON = 10.0


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[str]:
    async with postgres.database(postgres_url) as url:
        yield url


def duty(store: Store, engine: str, alive: Callable[[], None] = lambda: None) -> Duty:
    return Duty(store, engine, alive, lease=LEASE, renewed_every=0.1, asked_every=0.1)


async def test_the_second_stands_by_until_the_first_is_gone(database: str) -> None:
    async with Store.open(database) as one, Store.open(database) as other, asyncio.timeout(SOON):
        beats = itertools.count()
        first, second, never = duty(one, "first"), duty(other, "second", lambda: next(beats)), asyncio.Event()
        assert await first.taken(never)
        keeping = asyncio.create_task(first.kept())
        waiting = asyncio.create_task(second.taken(never))
        done, _ = await asyncio.wait({keeping, waiting}, timeout=3 * LEASE)
        assert not done, "one renews, the other waits"
        assert next(beats) > 5, "whoever watches it must see that it has not frozen"
        assert await duty(one, "first").taken(never), "who comes back under the same name need not wait"
        keeping.cancel()  # killed
        assert await waiting


async def test_who_was_frozen_finds_another_on_duty(database: str) -> None:
    async with Store.open(database) as one, Store.open(database) as other, asyncio.timeout(SOON):
        assert await duty(one, "frozen").taken(asyncio.Event())
        assert await duty(other, "awake").taken(asyncio.Event())
        with pytest.raises(DutyLost):
            await duty(one, "frozen").kept()


async def test_who_stands_by_can_be_stopped(database: str) -> None:
    async with Store.open(database) as one, Store.open(database) as other, asyncio.timeout(SOON):
        assert await duty(one, "first").taken(asyncio.Event())
        stopping = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, stopping.set)
        assert not await Duty(other, "second").taken(stopping)


async def test_an_engine_with_a_file_of_its_own_waits_for_nobody(tmp_path: Path) -> None:
    for _ in range(2):  # and again after a restart
        async with Store.open(f"sqlite+aiosqlite:///{tmp_path / 'dozvon.sqlite'}") as store:
            assert await Duty(store, "me").taken(asyncio.Event())
