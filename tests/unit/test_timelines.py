"""The timelines in memory: bounded, the least recently used dropped first."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.domain.events import Noted, TicketOpened
from engine.store import Store
from engine.store.timelines import Timeline, Timelines

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
OPENED = TicketOpened(at=NOON, company="demo", channel="phone")
NOTE = Noted(at=NOON, by="test", text="…")


def timeline(ticket: int, length: int) -> Timeline:
    return Timeline(ticket, [OPENED, *[NOTE] * (length - 1)])


def test_the_least_recently_used_goes_first() -> None:
    hot = Timelines(limit=10)
    for ticket in (1, 2, 3):
        hot.put(timeline(ticket, 3))
    assert hot.get(1)
    hot.put(timeline(4, 3))
    assert [ticket for ticket in (1, 2, 3, 4) if hot.get(ticket)] == [1, 3, 4]


def test_growing_counts() -> None:
    hot = Timelines(limit=10)
    one, two = timeline(1, 3), timeline(2, 3)
    hot.put(one)
    hot.put(two)
    hot.grow(two, [NOTE] * 5)
    assert (hot.get(1), hot.get(2)) == (None, two)
    assert len(two.events) == 8


def test_what_was_dropped_while_it_grew_is_taken_back() -> None:
    hot = Timelines(limit=10)
    one = timeline(1, 3)
    hot.put(one)
    hot.drop(1)
    hot.grow(one, [NOTE])
    assert hot.get(1) is one
    hot.clear()
    assert hot.get(1) is None


def test_one_timeline_is_kept_however_long() -> None:
    hot = Timelines(limit=10)
    hot.put(timeline(1, 30))
    assert hot.get(1)
    hot.put(timeline(2, 1))
    assert hot.get(1) is None
    assert hot.get(2)


async def test_a_timeline_in_use_is_read_without_io(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Store.open(f"sqlite:///{tmp_path}/dozvon.sqlite") as store:
        ticket = await store.open_ticket([OPENED])
        await store.append(ticket, [NOTE])

        async def no_io(*_: object) -> None:
            raise AssertionError("it was read from disk")

        monkeypatch.setattr(store.read, "rows", no_io)
        assert await store.history(ticket) == [OPENED, NOTE]
        assert await store.changed(ticket, 1, 0.0)
