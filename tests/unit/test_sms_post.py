"""The sorting office in virtual time: order, fail-over, reports, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from engine.domain.events import (
    AlarmRaised,
    TextDelivered,
    TextFailed,
    TextQueued,
    TextSent,
    TicketClosed,
    TicketOpened,
)
from engine.domain.texts import USUAL_RULES
from engine.flows.deps import Deps
from engine.flows.texts.texting import CLAIM_SECONDS, Post
from engine.ports import Delivery, Handed, Message, Report
from tests.fakes.texts import Outbox
from tests.fakes.time import virtual
from tests.fakes.town import FIRST, Town


async def ticket_with(town: Town, *texts: TextQueued) -> int:
    opened = TicketOpened(at=town.clock.now(), company="demo", channel="api")
    return await town.store.open_ticket([opened, *texts])


def text(
    town: Town, id: str, number: str = FIRST, contact: str | None = "plumber1", template: str = "ticket"
) -> TextQueued:
    return TextQueued(
        at=town.clock.now(), text=id, number=number, body=f"текст {id}", contact=contact, template=template
    )


@virtual
async def test_an_emergency_overtakes_a_thousand() -> None:
    """1,000 texts to residents wait for a gateway that takes a second for each; the emergency goes with the next hand-over."""
    async with Town.at_work() as town:
        town.outbox.seconds = 1.0
        numbers = [f"+7916{n:07}" for n in range(1000)]
        texts = [text(town, f"r{n}", number, None, "number") for n, number in enumerate(numbers)]
        for start in range(0, 1000, 20):
            await ticket_with(town, *texts[start : start + 20])
        await asyncio.sleep(10.5)
        emergency = await town.emergency()
        began = asyncio.get_running_loop().time()
        await town.until(emergency, TextSent)
        assert asyncio.get_running_loop().time() - began < 2.1  # the hand-over that was on, and its own
        assert len(town.outbox.sent) < 60
        await asyncio.sleep(1000 / 4 + 20)
        assert {m.number for m in town.outbox.sent} >= set(numbers)
        assert len({m.id for m in town.outbox.sent}) == len(town.outbox.sent)


@virtual
async def test_news_are_throttled_and_stop_with_their_ticket() -> None:
    async with Town.at_work() as town:
        news = [text(town, f"n{n}", f"+7916{n:07}", None, "news") for n in range(200)]
        ticket = await ticket_with(town, *news)
        await asyncio.sleep(20.1)
        assert 95 <= len(town.outbox.sent) <= 105  # five a second
        await town.store.append(ticket, [TicketClosed(at=town.clock.now(), by="operator")])
        await asyncio.sleep(60)
        assert len(town.outbox.sent) <= 106
        assert len(town.events(ticket, TextSent)) + len(town.events(ticket, TextFailed)) == 200


@virtual
async def test_a_gateway_that_is_away_loses_nothing_and_is_alarmed_about() -> None:
    async with Town.at_work() as town:
        town.outbox.away = {"outbox"}
        town.phone(FIRST).rings_out()
        ticket = await town.emergency()
        while "sms_stuck" not in {event.reason for event in town.events(ticket, AlarmRaised)}:
            await asyncio.sleep(1)
        assert town.service.post.health.problem == "the gateway is away"
        assert 60 <= town.service.post.health.oldest_seconds < 70
        town.outbox.away = set()
        await town.until(ticket, TextSent)
        assert not town.events(ticket, TextFailed)
        await asyncio.sleep(60)
        assert town.service.post.health.waiting == 0


@virtual
async def test_a_refusal_is_final() -> None:
    async with Town.at_work() as town:
        town.outbox.refused = {FIRST}
        ticket = await ticket_with(town, text(town, "t1"))
        assert (await town.until(ticket, TextFailed)).reason == "the number is refused"
        assert not town.events(ticket, TextSent)


@virtual
async def test_no_report_in_time_and_the_next_provider_is_tried() -> None:
    async with Town.at_work() as town:
        town.outbox.providers, town.outbox.reports = ("one", "two"), True
        ticket = await ticket_with(town, text(town, "t1"))
        second = await town.until(ticket, TextSent, 2)
        first = town.events(ticket, TextSent)[0]
        assert (first.provider, second.provider) == ("one", "two")
        assert timedelta(seconds=60) <= second.at - first.at <= timedelta(seconds=66)
        await asyncio.sleep(600)
        assert town.outbox.sent_by == ["one", "two"]  # and nobody else is left
        await town.outbox.report(town.outbox.sent[0], by="one")  # late, by the first after all
        await town.until(ticket, TextDelivered)


@virtual
async def test_undelivered_goes_by_the_next_and_fails_with_the_last() -> None:
    async with Town.at_work() as town:
        town.outbox.providers, town.outbox.reports = ("one", "two"), True
        ticket = await ticket_with(town, text(town, "t1"))
        await town.until(ticket, TextSent)
        await town.outbox.report(town.outbox.sent[0], Delivery.FAILED, "one")
        await town.until(ticket, TextSent, 2)
        assert not town.events(ticket, TextFailed)
        await town.outbox.report(
            town.outbox.sent[0], Delivery.FAILED, "one"
        )  # repeated: of one that was replaced
        await asyncio.sleep(5)
        assert not town.events(ticket, TextFailed)
        await town.outbox.report(town.outbox.sent[1], Delivery.FAILED, "two")
        await town.until(ticket, TextFailed)
        await town.outbox.report(town.outbox.sent[1], Delivery.DELIVERED, "two")  # it came through after all
        await town.until(ticket, TextDelivered)


@virtual
async def test_reports_that_say_nothing_new() -> None:
    async with Town.at_work() as town:
        town.outbox.reports = True
        ticket = await ticket_with(town, text(town, "t1"))
        await town.until(ticket, TextSent)
        message = town.outbox.sent[0]
        await town.outbox.report(message, Delivery.WAITING)
        assert not town.events(ticket, TextDelivered)
        for _ in range(3):
            await town.outbox.report(message)
        await town.outbox.report(message, Delivery.FAILED)
        await town.outbox.report(Message("nobody's", FIRST, "", "demo"))
        await asyncio.sleep(1)
        assert len(town.events(ticket, TextDelivered)) == 1
        assert not town.events(ticket, TextFailed)
        assert (town.service.post.health.repeated_reports, town.service.post.health.unknown_reports) == (3, 1)


@virtual
async def test_a_report_by_our_own_id_survives_everything() -> None:
    async with Town.at_work() as town:
        town.outbox.reports = True
        ticket = await ticket_with(town, text(town, "t1"))
        await town.until(ticket, TextSent)
        await town.restart()
        await asyncio.sleep(1)
        for _ in range(2):
            await town.outbox.hears(Report("outbox", Delivery.DELIVERED, text="t1"))
        assert len(town.events(ticket, TextDelivered)) == 1
        assert town.service.post.health.repeated_reports == 1


@virtual
async def test_a_restart_remembers_what_reports_will_name_and_when_they_are_due() -> None:
    async with Town.at_work() as town:
        town.outbox.providers, town.outbox.reports = ("one", "two"), True
        ticket = await ticket_with(town, text(town, "t1"), text(town, "t2"))
        await town.until(ticket, TextSent, 2)
        await town.restart()
        await asyncio.sleep(1)
        await town.outbox.report(next(m for m in town.outbox.sent if m.id == "t1"))
        await town.until(ticket, TextDelivered)
        third = await town.until(ticket, TextSent, 3)
        assert (third.text, third.provider) == ("t2", "two")
        assert town.outbox.sent_by == ["one", "one", "two"]


@virtual
async def test_a_restart_sends_what_waits_once() -> None:
    async with Town.at_work() as town:
        town.outbox.away = {"outbox"}
        ticket = await ticket_with(town, *(text(town, f"t{n}") for n in range(50)))
        await asyncio.sleep(3)
        await town.restart()
        town.outbox.away = set()
        await town.until(ticket, TextSent, 50)
        await asyncio.sleep(60)
        assert sorted(m.id for m in town.outbox.sent) == sorted(f"t{n}" for n in range(50))


@virtual
async def test_parts_that_are_reported_one_by_one() -> None:
    """Delivered is what has come whole."""

    class InParts(Outbox):
        async def send(self, message: Message, avoid: Collection[str] = ()) -> Handed:
            handed = await super().send(message, avoid)
            return Handed(handed.provider, (f"{message.id}.1", f"{message.id}.2"), True)

    async with Town.at_work() as town:
        town.outbox.__class__ = InParts
        ticket = await ticket_with(town, text(town, "t1"))
        await town.until(ticket, TextSent)
        for part in ("t1.1", "t1.1"):
            await town.outbox.hears(Report("outbox", Delivery.DELIVERED, reference=part))
        assert not town.events(ticket, TextDelivered)
        await town.outbox.hears(Report("outbox", Delivery.DELIVERED, reference="t1.2"))
        assert len(town.events(ticket, TextDelivered)) == 1


@virtual
async def test_nobody_is_called_to_a_ticket_that_is_taken() -> None:
    async with Town.at_work() as town:
        town.outbox.away = {"outbox"}
        town.phone(FIRST).answers().presses_accept_key(after=30)
        ticket = await town.emergency()
        other = text(town, "other", "+79000000009", "plumber9")
        await town.store.append(ticket, [other])
        await asyncio.sleep(60)
        town.outbox.away = set()
        await asyncio.sleep(60)
        assert [failed.reason for failed in town.events(ticket, TextFailed)] == ["taken"]


@virtual
async def test_what_is_stuck_is_said_to_the_watchdog() -> None:
    async with Town.at_work() as town:
        await asyncio.sleep(1)
        assert town.service.post.stuck is None
        town.outbox.away = {"outbox"}
        await asyncio.sleep(70)
        assert town.service.post.stuck == "away"  # the probe noticed, though nothing was to be sent
        town.outbox.away = set()
        await asyncio.sleep(20)
        assert town.service.post.stuck is None


@virtual
async def test_the_next_provider_may_be_away_for_a_while() -> None:
    async with Town.at_work() as town:
        town.outbox.providers, town.outbox.reports = ("one", "two"), True
        ticket = await ticket_with(town, text(town, "t1"))
        await town.until(ticket, TextSent)
        town.outbox.away = {"two"}
        await town.outbox.report(town.outbox.sent[0], Delivery.FAILED, "one")
        await asyncio.sleep(120)
        town.outbox.away = set()
        assert (await town.until(ticket, TextSent, 2, timeout=60)).provider == "two"


@virtual
async def test_a_bad_report_outlives_the_engine() -> None:
    """It is on the timeline that the network gave the text back: the next engine goes on from there."""
    async with Town.at_work() as town:
        town.outbox.providers, town.outbox.reports = ("one", "two"), True
        ticket = await ticket_with(town, text(town, "t1"))
        await town.until(ticket, TextSent)
        town.outbox.away = {"two"}
        await town.outbox.report(town.outbox.sent[0], Delivery.FAILED, "one")
        await town.restart()
        town.outbox.away = set()
        assert (await town.until(ticket, TextSent, 2, timeout=10)).provider == "two"
        await town.outbox.report(town.outbox.sent[0], Delivery.FAILED, "one")  # told again
        await asyncio.sleep(30)
        assert town.outbox.sent_by == ["one", "two"]


@asynccontextmanager
async def second_engine(town: Town) -> AsyncIterator[Post]:
    """Another engine on the same database and the same gateway; its feed is not heard, it is told what there is to send."""
    post = Post(replace(town.d, engine="second", store=town.store))
    running = asyncio.create_task(post.run())
    yield post
    running.cancel()
    await asyncio.wait({running})


@virtual
async def test_of_two_engines_one_sends() -> None:
    async with Town.at_work() as town, second_engine(town) as second:
        town.outbox.seconds = 0.5
        ids = [f"t{n}" for n in range(60)]
        ticket = await ticket_with(town, *(text(town, id) for id in ids))
        for id in ids:
            second.take(ticket, id)
        await town.until(ticket, TextSent, 60)
        await asyncio.sleep(600)
        assert sorted(message.id for message in town.outbox.sent) == sorted(ids)
        assert len(town.events(ticket, TextSent)) == 60
        assert town.service.post.health.waiting == second.health.waiting == 0


@virtual
async def test_what_a_dead_engine_had_in_hand_is_sent_by_the_other() -> None:
    async with Town.at_work() as town:
        await town.store.claim("text t1", "dead", CLAIM_SECONDS)
        ticket = await ticket_with(town, text(town, "t1"))
        sent = await town.until(ticket, TextSent)
        waited = (sent.at - town.events(ticket, TextQueued)[0].at).total_seconds()
        assert CLAIM_SECONDS <= waited <= CLAIM_SECONDS + 6


@virtual
async def test_of_two_engines_one_sends_again() -> None:
    """Both know that no report came; the text goes by the next provider once."""
    async with Town.at_work() as town:
        town.outbox.providers, town.outbox.reports = ("one", "two", "three"), True
        ticket = await ticket_with(town, text(town, "t1"))
        await town.until(ticket, TextSent)
        async with second_engine(town):
            await town.until(ticket, TextSent, 2)
            await asyncio.sleep(30)
            assert town.outbox.sent_by == ["one", "two"]


# --- a gateway that takes texts and lets them vanish ---------------------------------------------------------------------------------


@virtual
async def test_a_gateway_of_which_no_report_comes_is_alarmed_about() -> None:
    async with Town.at_work() as town:
        town.outbox.reports = True
        ticket = await ticket_with(town, *(text(town, f"t{n}") for n in range(5)))
        await town.until(ticket, TextSent, 5)
        await asyncio.sleep(1700)
        assert town.service.post.stuck is None
        await asyncio.sleep(120)
        assert "ни одного отчёта о доставке" in (town.service.post.stuck or "")
        assert "ни одного отчёта" in (town.service.post.health.providers["outbox"] or "")
        await town.outbox.report(town.outbox.sent[-1])
        assert town.service.post.stuck is None


@virtual
async def test_a_phone_that_is_off_is_no_quiet_gateway() -> None:
    async with Town.at_work() as town:
        town.outbox.reports = True
        ticket = await ticket_with(town, *(text(town, f"t{n}") for n in range(6)))
        await town.until(ticket, TextSent, 6)
        await town.outbox.report(town.outbox.sent[0])
        await asyncio.sleep(4000)
        assert town.service.post.stuck is None


class Probing(Town):
    """A town that sends itself a text every hour."""

    def world(self, d: Deps) -> Deps:
        rules = replace(USUAL_RULES, probe_to="+79000000099", probe_every=timedelta(hours=1))
        return replace(d, texting=rules)


@virtual
async def test_a_probe_goes_by_each_provider_and_is_awaited() -> None:
    async with Probing.at_work() as town:
        town.outbox.providers, town.outbox.reports = ("one", "two"), True
        await asyncio.sleep(3610)
        probes = list(zip(town.outbox.sent_by, town.outbox.sent, strict=True))
        assert [(name, message.number) for name, message in probes] == [
            ("one", "+79000000099"),
            ("two", "+79000000099"),
        ]
        await town.outbox.report(probes[0][1], Delivery.DELIVERED, "one")
        await asyncio.sleep(1900)
        assert town.service.post.stuck == "two: проверочное SMS не дошло"
        await town.outbox.report(probes[1][1], Delivery.DELIVERED, "two")
        assert town.service.post.stuck is None
        assert town.service.post.health.unknown_reports == 0


@virtual
async def test_a_probe_that_is_not_taken() -> None:
    async with Probing.at_work() as town:
        town.outbox.refused = {"+79000000099"}
        await asyncio.sleep(3610)
        assert town.service.post.stuck == "outbox: проверочное SMS не ушло (the number is refused)"
