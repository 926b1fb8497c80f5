"""Ten thousand people want one ticket at the same moment, by every way there is: one has it, and everybody is told who."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from engine.domain.events import Accepted, Event, TicketOpened
from engine.domain.model import Via
from engine.flows import verbs
from engine.flows.deps import Deps
from engine.store.store import Store
from tests.fakes.store import MemoryStore

START = datetime(2026, 11, 21, tzinfo=UTC)
WAYS = (Via.CALL, Via.CALLBACK, Via.SMS, Via.API)


def deps(store: object) -> Deps:
    return cast(Deps, SimpleNamespace(store=store, clock=SimpleNamespace(now=lambda: START)))


async def rush(store: object, many: int) -> tuple[list[Accepted], list[Event]]:
    d = deps(store)
    ticket = await d.store.open_ticket([TicketOpened(at=START, company="demo", channel="api")])
    tries = [
        verbs.accept(d, ticket, f"c{n}", WAYS[n % len(WAYS)], f"№{n}", f"{ticket}-{n}") for n in range(many)
    ]
    told = await asyncio.gather(*tries)
    return told, list(await d.store.history(ticket))


@pytest.mark.parametrize("many", [10_000])
async def test_one_winner_on_disk(tmp_path: Path, many: int) -> None:
    async with Store.open(f"sqlite+aiosqlite:///{tmp_path}/dozvon.sqlite") as store:
        told, history = await rush(store, many)
        won = [event for event in history if isinstance(event, Accepted)]
        assert len(won) == 1
        assert Counter(told) == {won[0]: many}, "every loser is told who won"


async def test_one_winner_in_memory() -> None:
    told, history = await rush(MemoryStore(), 2_000)
    assert len(history) == 2
    assert set(told) == {history[1]}


async def test_whoever_comes_after_the_restart_is_told_the_same(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/dozvon.sqlite"
    async with Store.open(url) as store:
        told, history = await rush(store, 100)
    async with Store.open(url) as store:
        late = await verbs.accept(deps(store), 1001, "late", Via.CONSOLE)
        assert late == told[0] == history[1]
