"""Urgency decides the channel: an emergency rings at any hour, an urgent request lets people sleep, an ordinary one rings nobody."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from engine.domain.events import Accepted, AlarmRaised, DialStarted, Digested, TextQueued
from engine.domain.model import Callee, Urgency
from engine.domain.policy import Policy, Step, Target, TargetKind
from engine.flows import verbs
from engine.flows.watch import digest
from tests.fakes.time import virtual
from tests.fakes.town import DIRECTOR, FIRST, SECOND, SUPERVISOR, Town, water_policy

MOSCOW = ZoneInfo("Europe/Moscow")  # the town's time begins at three in the morning there
MINUTE, HOUR = 60.0, 3600.0


def urgent() -> Policy:
    return replace(water_policy(), name="urgent", urgency=Urgency.URGENT)


def ordinary() -> Policy:
    step = Step("desk", (Target(TargetKind.CONTACT, "supervisor"),))
    return Policy(name="ordinary", title="Обычные", urgency=Urgency.NORMAL, steps=(step,))


async def request(town: Town, urgency: Urgency, title: str) -> int:
    return await verbs.open_ticket(
        town.d, town.company, channel="api", urgency=urgency, title=title, house="lenina15"
    )


async def gathers(town: Town, seconds: float) -> None:
    """What the engine's jobs do, every minute."""
    for _ in range(int(seconds // MINUTE)):
        await asyncio.sleep(MINUTE)
        await digest.gather(town.d)


# --- urgent ------------------------------------------------------------------------------------------------------------------------


@virtual
async def test_an_urgent_request_wakes_nobody_and_rings_in_the_morning() -> None:
    async with Town.at_work(urgent()) as town:
        for number in (FIRST, SECOND, SUPERVISOR, DIRECTOR):
            town.phone(number).rings_out()
        town.phone(SECOND).answers().presses_accept_key()
        ticket = await request(town, Urgency.URGENT, "Не закрывается дверь подъезда")
        await asyncio.sleep(3.9 * HOUR)
        assert not town.events(ticket, DialStarted), "it is not seven yet"
        assert not town.events(ticket, AlarmRaised), "people who sleep are no alarm"
        texts = [event.contact for event in town.events(ticket, TextQueued)]
        assert sorted(texts) == ["director", "plumber1", "plumber2", "supervisor"], "each is texted, once"
        accepted = await town.until(ticket, Accepted)
        first = town.events(ticket, DialStarted)[0]
        assert first.at.astimezone(MOSCOW).hour == 7
        assert first.at.astimezone(MOSCOW).minute == 0
        assert accepted.contact == "plumber2"


@virtual
async def test_an_emergency_rings_at_the_same_hour() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).answers().presses_accept_key()
        await town.until(await town.emergency(), Accepted, timeout=30)


def test_when_somebody_wakes() -> None:
    callee = Callee("a", "А", ("+79000000001",), "Asia/Vladivostok")
    night = datetime(2026, 3, 1, 16, 30, tzinfo=ZoneInfo("UTC"))  # half past two there
    assert callee.wakes_after(night) == datetime(2026, 3, 1, 21, tzinfo=ZoneInfo("UTC"))
    evening = datetime(2026, 3, 1, 12, tzinfo=ZoneInfo("UTC"))  # ten in the evening there
    assert callee.wakes_after(evening) == datetime(2026, 3, 1, 21, tzinfo=ZoneInfo("UTC"))
    assert not callee.awake(night)
    assert callee.awake(callee.wakes_after(night))


# --- normal ------------------------------------------------------------------------------------------------------------------------


@virtual
async def test_ordinary_requests_are_told_in_one_text_in_the_morning() -> None:
    async with Town.at_work(water_policy(), ordinary()) as town:
        first = await request(town, Urgency.NORMAL, "Скрипит дверь")
        await gathers(town, HOUR)
        second = await request(town, Urgency.NORMAL, "Не горит лампа")
        await gathers(town, 2.9 * HOUR)
        assert not town.outbox.sent, "nobody is woken for a door"
        await gathers(town, 30 * MINUTE)
        sent = [(message.number, message.body) for message in town.outbox.sent]
        assert len(sent) == 1
        assert sent[0][0] == SUPERVISOR
        assert f"Новые заявки (2): №{first} Скрипит дверь" in sent[0][1]
        assert f"№{second} Не горит лампа" in sent[0][1]
        assert not town.network.calls, "an ordinary request rings nobody"
        await gathers(town, 3 * HOUR)
        assert len(town.outbox.sent) == 1


@virtual
async def test_by_day_the_first_one_waits_a_quarter_of_an_hour_for_others() -> None:
    async with Town.at_work(water_policy(), ordinary()) as town:
        await asyncio.sleep(6 * HOUR)
        await request(town, Urgency.NORMAL, "Скрипит дверь")
        await gathers(town, 14 * MINUTE)
        assert not town.outbox.sent
        await gathers(town, 3 * MINUTE)
        assert [message.body.startswith("Заявка №1001: Скрипит дверь") for message in town.outbox.sent] == [
            True
        ]


@virtual
async def test_what_was_told_stays_told_after_a_restart_and_when_the_first_is_closed() -> None:
    async with Town.at_work(water_policy(), ordinary()) as town:
        await asyncio.sleep(6 * HOUR)
        tickets = [await request(town, Urgency.NORMAL, f"Лампа {n}") for n in range(8)]
        await gathers(town, 20 * MINUTE)
        assert len(town.outbox.sent) == 1
        assert "и ещё 3" in town.outbox.sent[0].body
        await verbs.close(town.d, tickets[0], "operator")
        await town.restart()
        await gathers(town, HOUR)
        assert len(town.outbox.sent) == 1
        assert all(town.events(ticket, Digested) for ticket in tickets)
        late = await request(town, Urgency.NORMAL, "Ещё одна")
        await gathers(town, 20 * MINUTE)
        assert [f"№{late}" in message.body for message in town.outbox.sent] == [False, True]


@virtual
async def test_without_a_policy_for_ordinary_requests_they_wait_in_the_console() -> None:
    async with Town.at_work() as town:
        await asyncio.sleep(6 * HOUR)
        await request(town, Urgency.NORMAL, "Скрипит дверь")
        await gathers(town, HOUR)
        assert not town.outbox.sent
        assert timedelta(0) < digest.GATHER_FOR
