"""What every store promises: the one in memory, SQLite, and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from engine.domain.errors import NotKnown
from engine.domain.events import (
    Accepted,
    CallEnded,
    CallStarted,
    Classified,
    DialEnded,
    DialStarted,
    EscalationStarted,
    Event,
    MeterRead,
    Noted,
    Reported,
    TextFailed,
    TextQueued,
    TextReceived,
    TextSent,
    TicketClosed,
    TicketOpened,
    TicketReopened,
)
from engine.domain.model import CallKind, Outcome, Premises, Urgency, Via
from engine.domain.policy import Policy, Step, Target, TargetKind
from engine.store import Store
from tests.fakes import postgres
from tests.fakes.store import MemoryStore

NOON = datetime(2026, 3, 14, 12, 0, 0, 123456, tzinfo=UTC)
POLICY = Policy(
    "water", "Вода", Urgency.EMERGENCY, (Step("brigade", (Target(TargetKind.ON_CALL, "plumbers"),)),)
)


@asynccontextmanager
async def memory(request: pytest.FixtureRequest) -> AsyncIterator[MemoryStore]:
    yield MemoryStore()


@asynccontextmanager
async def sqlite(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    folder: Path = request.getfixturevalue("tmp_path")
    async with Store.open(f"sqlite:///{folder}/dozvon.sqlite") as store:
        yield store


@asynccontextmanager
async def postgresql(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with postgres.database(request.getfixturevalue("postgres_url")) as url, Store.open(url) as store:
        yield store


@pytest.fixture(params=[memory, sqlite, postgresql], ids=lambda kind: kind.__name__)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    async with request.param(request) as opened:
        yield opened


def at(seconds: float = 0) -> datetime:
    return NOON + timedelta(seconds=seconds)


def opened(**fields: Any) -> TicketOpened:
    return TicketOpened(**({"at": NOON, "company": "demo", "channel": "phone"} | fields))


def note(text: object, seconds: float = 0) -> Noted:
    return Noted(at=at(seconds), by="test", text=str(text))


def dial(attempt: str, seconds: float = 0) -> DialStarted:
    return DialStarted(
        at=at(seconds),
        attempt=attempt,
        contact="ivan",
        number="+79000000001",
        step="brigade",
        round=1,
        index=0,
    )


def call(id: str, seconds: float = 0) -> CallStarted:
    return CallStarted(at=at(seconds), call=id, kind=CallKind.RESIDENT, number="+79160000042")


def started() -> EscalationStarted:
    return EscalationStarted(at=NOON, policy=POLICY.name, frozen=POLICY)


async def test_tickets_are_numbered_from_1001_without_gaps(store: Any) -> None:
    numbers = await asyncio.gather(*(store.open_ticket([opened()]) for _ in range(30)))
    assert sorted(numbers) == list(range(1001, 1031))


async def test_a_history_is_what_was_appended(store: Any) -> None:
    first = [opened(premises=Premises("lenina-15", "42", "улица Ленина, дом 15")), call("c1")]
    ticket = await store.open_ticket(first)
    assert await store.append(ticket, [started(), dial("a1")])
    assert list(await store.history(ticket)) == [*first, started(), dial("a1")]
    assert list(await store.history(ticket, since=3)) == [dial("a1")]
    assert list(await store.history(ticket, since=4)) == []


async def test_a_history_handed_out_does_not_change(store: Any) -> None:
    ticket = await store.open_ticket([opened()])
    before = await store.history(ticket)
    await store.append(ticket, [note("later")])
    assert len(before) == 1


async def test_a_timeline_starts_with_its_opening(store: Any) -> None:
    for events in ([], [note("no opening")]):
        with pytest.raises(ValueError, match="TicketOpened"):
            await store.open_ticket(events)


async def test_a_key_opens_one_ticket_only(store: Any) -> None:
    numbers = await asyncio.gather(*(store.open_ticket([opened(), note(n)], "key") for n in range(20)))
    assert set(numbers) == {1001}
    assert await store.open_ticket([opened()], "key") == 1001
    assert len(await store.history(1001)) == 2
    assert await store.open_ticket([opened()], "another") == 1002


async def test_an_unknown_ticket_is_not_known(store: Any) -> None:
    with pytest.raises(NotKnown):
        await store.append(7, [note("nobody")])
    with pytest.raises(NotKnown):
        await store.append(7, [note("nobody")], expect=0)
    with pytest.raises(NotKnown):
        await store.history(7)
    with pytest.raises(NotKnown):
        await store.changed(7, 0, 1.0)


async def test_expect_is_the_exact_length(store: Any) -> None:
    ticket = await store.open_ticket([opened(), note(1)])
    for wrong in (0, 1, 3, 99):
        assert not await store.append(ticket, [note("wrong")], expect=wrong)
    assert await store.append(ticket, [note(2), note(3)], expect=2)
    assert not await store.append(ticket, [note("again")], expect=2)
    assert len(await store.history(ticket)) == 4


async def test_appending_nothing_says_whether_the_length_is_right(store: Any) -> None:
    ticket = await store.open_ticket([opened()])
    assert await store.append(ticket, [], expect=1)
    assert not await store.append(ticket, [], expect=2)
    assert len(await store.history(ticket)) == 1


async def test_of_200_appenders_one_wins_each_place(store: Any) -> None:
    ticket = await store.open_ticket([opened()])
    wins: dict[int, list[int]] = {}

    async def append(who: int) -> None:
        for _ in range(3):
            length = len(await store.history(ticket))
            if await store.append(ticket, [note(who)], expect=length):
                wins.setdefault(length, []).append(who)

    await asyncio.gather(*(append(who) for who in range(200)))
    history = await store.history(ticket)
    assert all(len(winners) == 1 for winners in wins.values())
    assert sorted(wins) == list(range(1, len(history)))
    assert [int(event.text) for event in history[1:]] == [wins[place][0] for place in sorted(wins)]


async def test_of_10_000_acceptances_one_wins(store: Any) -> None:
    ticket = await store.open_ticket([opened(), started()])
    length = len(await store.history(ticket))

    async def accept(who: int) -> bool:
        accepted = Accepted(at=NOON, contact=f"contact-{who}", via=Via.SMS)
        return bool(await store.append(ticket, [accepted], expect=length))

    results = await asyncio.gather(*(accept(who) for who in range(10_000)))
    assert sum(results) == 1
    (winner,) = (await store.history(ticket))[length:]
    assert winner.contact == f"contact-{results.index(True)}"


async def test_events_appended_together_stay_together(store: Any) -> None:
    ticket = await store.open_ticket([opened()])
    await asyncio.gather(*(store.append(ticket, [note(f"{who} {n}") for n in range(5)]) for who in range(50)))
    texts = [event.text.split() for event in (await store.history(ticket))[1:]]
    assert len(texts) == 250
    for start in range(0, 250, 5):
        assert [n for _, n in texts[start : start + 5]] == list("01234")
        assert len({who for who, _ in texts[start : start + 5]}) == 1


async def test_changed_wakes_all_who_wait_for_that_length(store: Any) -> None:
    ticket, other = await store.open_ticket([opened()]), await store.open_ticket([opened()])
    waiting = [asyncio.create_task(store.changed(ticket, 1, None)) for _ in range(5)]
    for_two = asyncio.create_task(store.changed(ticket, 2, 10.0))
    elsewhere = asyncio.create_task(store.changed(other, 1, None))
    await store.append(ticket, [note("one more")])
    assert await asyncio.gather(*waiting) == [True] * 5
    assert not for_two.done()
    await store.append(ticket, [note("and another")])
    assert await for_two
    assert not elsewhere.done()
    elsewhere.cancel()
    with pytest.raises(asyncio.CancelledError):
        await elsewhere


async def test_changed_looks_before_it_waits(store: Any) -> None:
    ticket = await store.open_ticket([opened(), note(1)])
    assert await store.changed(ticket, 1, 0.0)
    assert not await store.changed(ticket, 2, 0.01)


async def test_the_feed_tells_everything_in_order(store: Any) -> None:
    before = await store.open_ticket([opened()])
    async with store.feed() as feed, store.feed() as second:
        tickets = [before, await store.open_ticket([opened()])]
        await asyncio.gather(*(store.append(tickets[n % 2], [note(n), note(n)]) for n in range(100)))
        for events in (feed, second):
            told: dict[int, list[Event]] = {}
            for _ in range(201):
                ticket, seq, event = await asyncio.wait_for(anext(events), 10)
                timeline = told.setdefault(
                    ticket, list(await store.history(ticket))[:1] if ticket == before else []
                )
                timeline.append(event)
                assert seq == len(timeline)
            for ticket in tickets:
                assert told[ticket] == list(await store.history(ticket))


async def test_what_the_feed_tells_can_be_read(store: Any) -> None:
    async with store.feed() as feed:
        ticket = await store.open_ticket([opened()])
        for n in range(50):
            appended = asyncio.create_task(store.append(ticket, [note(n)]))
            _, seq, event = await asyncio.wait_for(anext(feed), 10)
            assert (await store.history(ticket))[seq - 1] == event
            await appended


async def test_a_cancelled_caller_harms_nobody(store: Any) -> None:
    ticket = await store.open_ticket([opened()])
    tasks = [asyncio.create_task(store.append(ticket, [note(n)])) for n in range(60)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(result is True for n, result in enumerate(results) if n % 3)
    assert await store.append(ticket, [note("after")])
    texts = [event.text for event in (await store.history(ticket))[1:]]
    assert {str(n) for n in range(60) if n % 3} <= set(texts)
    assert len(texts) == len(set(texts))


async def test_a_cancelled_reader_harms_nobody(store: Any) -> None:
    ticket = await store.open_ticket([opened(), call("c1")])
    for delay in range(40):
        task = asyncio.create_task(store.ticket_of_call("c1"))
        for _ in range(delay % 8):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await store.ticket_of_call("c1") == ticket


async def test_a_channel_belongs_to_its_ticket(store: Any) -> None:
    one = await store.open_ticket([opened(), call("in-1")])
    two = await store.open_ticket([opened(), dial("1002-1")])
    assert await store.ticket_of_call("in-1") == one
    assert await store.ticket_of_call("1002-1") == two
    assert await store.ticket_of_call("nobody") is None


async def test_calls_without_end_are_what_a_crash_left_open(store: Any) -> None:
    one = await store.open_ticket([opened(), call("c2", 2), call("c3", 3), dial("d1", 4)])
    two = await store.open_ticket(
        [opened(), call("c1", 1), CallStarted(at=at(5), call="d2", kind=CallKind.ROBOCALL)]
    )
    await store.append(
        one, [CallEnded(at=at(6), call="c3"), DialEnded(at=at(6), attempt="d1", outcome=Outcome.BUSY)]
    )
    await store.append(two, [DialEnded(at=at(6), attempt="d2", outcome=Outcome.ACCEPTED)])
    assert list(await store.calls_without_end()) == [(two, "c1"), (one, "c2"), (two, "d2")]
    await store.append(two, [CallEnded(at=at(7), call="d2")])
    assert list(await store.calls_without_end()) == [(two, "c1"), (one, "c2")]


async def test_texts_are_found_by_number_and_by_what_became_of_them(store: Any) -> None:
    """Sent and not reported; by their id; the tickets of a number, the latest first; who wants no news."""
    number, now = "+79160000077", NOON

    def later(seconds: float) -> datetime:
        return NOON + timedelta(seconds=seconds)

    one = await store.open_ticket([TicketOpened(at=now, company="demo", channel="phone", phone=number)])
    two = await store.open_ticket([TicketOpened(at=now, company="demo", channel="api")])
    for n, at in ((1, 1), (2, 2), (3, 3)):
        queued = TextQueued(at=later(at), text=f"{two}-{n}", number=number, body="x")
        await store.append(
            two, [queued, TextSent(at=later(at), text=f"{two}-{n}", provider="p", references=("a",))]
        )
    await store.append(two, [TextFailed(at=later(4), text=f"{two}-3", reason="undelivered")])
    assert list(await store.unreported_texts(later(1))) == [(two, f"{two}-1"), (two, f"{two}-2")]
    assert list(await store.unreported_texts(later(2))) == [(two, f"{two}-2")]
    assert list(await store.tickets_with(number)) == [two, one]
    assert list(await store.tickets_with(number, 1)) == [two]
    assert await store.ticket_of_text(f"{two}-2") == two
    assert await store.ticket_of_text("9-9") is None
    for meaning, at in (("stop", 5), ("start", 6), ("stop", 7), ("accept", 8)):
        received = TextReceived(at=later(at), text=f"in-{at}", number=number, body=meaning, meaning=meaning)
        await store.append(one, [received])
        assert (number in await store.news_refused()) == (meaning in ("stop", "accept"))
    assert list(await store.tickets_with(number)) == [one, two]
    assert await store.ticket_of_text("in-5") == one


async def test_unsent_texts_are_those_that_nobody_took(store: Any) -> None:
    ticket = await store.open_ticket([opened()])
    for n in range(4):
        await store.append(ticket, [TextQueued(at=at(n), text=f"t{n}", number="+79000000001", body="Авария")])
    await store.append(ticket, [TextSent(at=at(9), text="t0", provider="kannel")])
    await store.append(ticket, [TextFailed(at=at(9), text="t2", reason="нет такого номера")])
    assert list(await store.unsent_texts()) == [(ticket, "t1"), (ticket, "t3")]


async def test_a_claim_has_one_owner_until_it_ends(store: Any) -> None:
    assert await store.claim("text 1-1", "one", 60)
    assert not await store.claim("text 1-1", "two", 60)
    assert await store.claim("text 1-2", "two", 60)
    assert await store.claim("text 1-1", "one", 0.05)  # its owner may have it longer, or shorter
    async with asyncio.timeout(10):
        while not await store.claim("text 1-1", "two", 60):
            await asyncio.sleep(0.02)
    assert not await store.claim("text 1-1", "one", 60)


async def test_of_many_who_claim_at_once_one_has_it(store: Any) -> None:
    for n in range(20):
        had = await asyncio.gather(*(store.claim(f"text {n}", f"engine {who}", 60) for who in range(5)))
        assert had.count(True) == 1


async def test_escalating_are_the_walks_that_are_not_over(store: Any) -> None:
    quiet = await store.open_ticket([opened()])
    walked = await store.open_ticket([opened(), Classified(at=NOON, urgency=Urgency.EMERGENCY), started()])
    closed = await store.open_ticket([opened(), started(), TicketClosed(at=NOON, by="operator")])
    assert list(await store.escalating()) == [walked]
    await store.append(walked, [dial("w-1"), Accepted(at=NOON, contact="ivan", via=Via.CALL, attempt="w-1")])
    assert list(await store.escalating()) == [walked], "its phone may still be ringing"
    await store.append(walked, [DialEnded(at=NOON, attempt="w-1", outcome=Outcome.ACCEPTED)])
    assert list(await store.escalating()) == []
    await store.append(closed, [TicketReopened(at=NOON, by="operator"), started()])
    await store.append(quiet, [note("still quiet")])
    assert list(await store.escalating()) == [closed]


async def test_a_wild_text_is_kept_as_it_is(store: Any) -> None:
    text = "«Авария»\0\n\U0001f6a8' ; DROP TABLE events; --\u2028" + str(uuid4())
    ticket = await store.open_ticket([opened(text=text, phone="+7\0")])
    assert (await store.history(ticket))[0].text == text


async def test_readings_are_found_by_company_and_by_flat(store: Any) -> None:
    for flat, value in (("41", 10), ("42", 130)):
        about = Classified(
            at=at(), urgency=Urgency.NORMAL, cause="service.reading", premises=Premises("lenina15", flat)
        )
        read = MeterRead(at=at(value), house="lenina15", flat=flat, meter=f"{flat}-cold", value=value)
        await store.open_ticket([opened(), about, read])
    found = await store.readings("demo")
    assert [event.value for _, event in found] == [10, 130]
    assert [event.value for _, event in await store.readings("demo", "lenina15", "42")] == [130]
    assert [event.value for _, event in await store.readings("demo", since=at(60))] == [130]
    assert await store.readings("other") == []


async def test_done_tickets_are_those_reported_done_and_not_closed(store: Any) -> None:
    done, closed, _ = [await store.open_ticket([opened()]) for _ in range(3)]
    for ticket in (done, closed):
        await store.append(ticket, [Reported(at=at(1), what="done", contact="plumber1", via=Via.CALL)])
    await store.append(closed, [TicketClosed(at=at(2), by="operator")])
    assert list(await store.done_tickets("demo")) == [done]
    assert list(await store.done_tickets("other")) == []
