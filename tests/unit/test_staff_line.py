"""A member of staff calls in: recognised by number, told what there is, and heard; in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from engine.domain.events import (
    Accepted,
    CallEnded,
    CallStarted,
    Declined,
    DialEnded,
    DialStarted,
    EscalationResumed,
    Reported,
    TicketOpened,
)
from engine.domain.model import CallKind, Urgency, Via
from engine.flows import verbs
from tests.fakes.network import FakeCall
from tests.fakes.time import virtual
from tests.fakes.town import DID, DIRECTOR, FIRST, RESIDENT, SECOND, SUPERVISOR, Town


def heard(town: Town, call: FakeCall) -> str:
    return " ".join(town.voice.says(sound) for sound in call.heard)


async def ringing(town: Town) -> int:
    """An emergency that nobody answers."""
    for number in (FIRST, SECOND, SUPERVISOR, DIRECTOR):
        town.phone(number).rings_out()
    ticket = await town.emergency()
    await town.until(ticket, DialStarted)
    return ticket


async def calls(town: Town, number: str) -> FakeCall:
    return await town.network.resident(number).calls(DID).answered(5)


@virtual
async def test_calling_back_while_it_rings_accepts_and_the_ringing_stops() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        await asyncio.sleep(1)
        call = await calls(town, FIRST)
        await call.presses("1", after=2)
        accepted = await town.until(ticket, Accepted)
        await call.ended(60)
        await asyncio.sleep(600)
        assert (accepted.contact, accepted.via) == ("plumber1", Via.CALLBACK)
        assert [outcome for _, outcome in town.dials(ticket)] == ["cancelled"]
        assert "Аварийная заявка" in heard(town, call)
        assert "Принято. Заявка за вами." in heard(town, call)
        started = town.events(ticket, CallStarted)
        assert [(one.kind, one.contact) for one in started] == [(CallKind.CALLBACK, "plumber1")]
        assert town.events(ticket, CallEnded)[0].by == "us"


@virtual
async def test_calling_back_an_hour_later_while_others_are_rung() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        await asyncio.sleep(3600)
        call = await calls(town, SECOND)
        await call.presses("1", after=0.1)  # before the question: the key is kept
        assert (await town.until(ticket, Accepted)).contact == "plumber2"


@virtual
async def test_declining_by_a_call_moves_the_walk_on() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        call = await calls(town, FIRST)
        await call.presses("2", after=2)
        await town.until(ticket, Declined)
        await town.until(ticket, DialStarted, 2)
        assert [number for number, _ in town.dials(ticket)] == [FIRST, SECOND]
        assert town.events(ticket, DialEnded)[0].outcome == "cancelled"


@virtual
async def test_who_comes_too_late_hears_who_took_it() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        call = await calls(town, FIRST)
        await asyncio.sleep(1.5)
        await verbs.accept(town.d, ticket, "director", Via.CONSOLE, "Иван Иванович")
        await call.presses("1")
        await call.ended(120)
        assert "Иван Иванович" in heard(town, call)
        assert len(town.events(ticket, Accepted)) == 1


@virtual
async def test_one_call_reports_on_every_ticket_of_a_person() -> None:
    async with Town.at_work() as town:
        tickets = [await ringing(town) for _ in range(3)]
        for ticket in tickets:
            await verbs.accept(town.d, ticket, "plumber1", Via.SMS, "Пётр")
        await asyncio.sleep(60)
        call = await calls(town, FIRST)
        for key in "132":
            await call.presses(key, after=3)
        await call.ended(120)
        reports = [event.what for ticket in tickets for event in town.events(ticket, Reported)]
        assert reports == ["arrived", "done", "localised"]
        assert {event.via for t in tickets for event in town.events(t, Reported)} == {Via.CALLBACK}
        assert [bool(town.events(ticket, CallStarted)) for ticket in tickets] == [True, False, False]


@virtual
async def test_giving_a_ticket_back_by_a_call_walks_on_at_once() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        await verbs.accept(town.d, ticket, "plumber1", Via.SMS, "Пётр")
        await asyncio.sleep(60)
        rung = len(town.dials(ticket))
        call = await calls(town, FIRST)
        await call.presses("5", after=3)
        resumed = await town.until(ticket, EscalationResumed)
        assert resumed.reason == "given_back"
        await town.until(ticket, DialStarted, rung + 1)
        assert town.dials(ticket)[-1][0] == SUPERVISOR


@virtual
async def test_connected_with_the_resident_and_then_asked_again() -> None:
    async with Town.at_work() as town:
        home = town.phone(RESIDENT)
        home.answers().holds(20).hangs_up()
        for number in (FIRST, SECOND, SUPERVISOR, DIRECTOR):
            town.phone(number).rings_out()
        ticket = await verbs.open_ticket(
            town.d,
            town.company,
            channel="api",
            urgency=Urgency.EMERGENCY,
            cause="water.riser",
            house="lenina15",
            phone=RESIDENT,
        )
        await town.until(ticket, DialStarted)
        call = await calls(town, FIRST)
        await call.presses("4", after=2)
        spoken = await home.rang(30)
        await spoken.ended(60)
        await asyncio.sleep(0.1)
        assert not town.network.bridges
        assert spoken.speech_seconds > 0
        await call.presses("1", after=3)
        assert (await town.until(ticket, Accepted)).contact == "plumber1"
        kinds = [one.kind for one in town.events(ticket, CallStarted)]
        assert kinds == [CallKind.CALLBACK, CallKind.CALLBACK]
        assert len(town.events(ticket, CallEnded)) >= 1


@pytest.mark.parametrize("after", [0.1, 1.0, 2.5, 4.0])
def test_hanging_up_at_any_moment_changes_nothing(after: float) -> None:
    @virtual
    async def story() -> None:
        async with Town.at_work() as town:
            ticket = await ringing(town)
            call = await calls(town, FIRST)
            await call.holds(after)
            await call.hangs_up()
            await asyncio.sleep(120)
            assert not town.events(ticket, Accepted)
            assert town.events(ticket, CallEnded)[0].by == "caller"
            assert len(town.events(ticket, DialStarted)) >= 3, "the walk went on"

    story()


@virtual
async def test_silence_leaves_everything_as_it_is() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        call = await calls(town, FIRST)
        await call.ended(120)
        assert not town.events(ticket, Accepted)
        assert not town.events(ticket, Declined)
        assert call.cause is not None


@virtual
async def test_staff_whom_nothing_concerns_are_residents() -> None:
    """Nothing waits for them: then they call about something of their own, and get a ticket like anybody."""
    async with Town.at_work() as town:
        call = await calls(town, DIRECTOR)
        await call.hangs_up()
        await asyncio.sleep(5)
        opened = [
            e for timeline in town.store.timelines.values() for e in timeline if isinstance(e, TicketOpened)
        ]
        assert [(one.channel, one.phone) for one in opened] == [("phone", DIRECTOR)]


@virtual
async def test_a_call_of_staff_goes_on_over_a_restart() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        call = await calls(town, SECOND)
        await call.holds(2)
        await town.restart()
        await call.holds(4)
        assert "Простите, связь прерывалась." in heard(town, call)
        await call.presses("1")
        accepted = await town.until(ticket, Accepted)
        await call.ended(60)
        await asyncio.sleep(1)
        assert accepted.contact == "plumber2"
        started = [event for event in town.events(ticket, CallStarted) if event.call == call.id]
        ended = [event for event in town.events(ticket, CallEnded) if event.call == call.id]
        assert (len(started), len(ended)) == (1, 1)
        assert ended[0].seconds > 6
