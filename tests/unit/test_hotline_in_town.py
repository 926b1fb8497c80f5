"""The hotline from end to end, in virtual time: what a resident meets, by keys, by silence, by hanging up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest

from engine.domain import clocks
from engine.domain.events import (
    Accepted,
    CallAnswered,
    CallEnded,
    CallResumed,
    CallsBridged,
    CallStarted,
    Classified,
    DeadlineBroken,
    DeadlineNear,
    DialStarted,
    EscalationStarted,
    IncidentJoined,
    KeyPressed,
    MeterRead,
    NumberTold,
    RecordingAnnounced,
    ResidentAsked,
    TicketClosed,
    TicketReopened,
)
from engine.domain.incidents import Notice
from engine.domain.meters import Meter, MeterKind
from engine.domain.model import CallKind, Resident, Urgency, Via
from engine.domain.ticket import Status, Ticket
from engine.files.catalogue import shipped_catalogue
from engine.flows import hotline, verbs
from engine.flows.residents import ring_back
from engine.flows.residents.callers import Callers, CallLimits
from engine.ports import StoodInCall
from tests.fakes.network import FakeCall
from tests.fakes.time import virtual
from tests.fakes.town import DID, DIRECTOR, FIRST, RESIDENT, SECOND, SUPERVISOR, Town

NEIGHBOUR = "+79160000043"
STRANGER = "+79161234567"
GAS = "104"


@asynccontextmanager
async def town() -> AsyncIterator[Town]:
    """The town with the shipped causes, two meters, and a gas service; the staff lets it ring."""
    async with Town.at_work() as built:
        company = built.company
        built.company = replace(
            company,
            catalogue=shipped_catalogue(),
            services={"gas": (GAS, "112")},
            allowed_numbers=("+7", "104", "112"),
            residents={**company.residents, NEIGHBOUR: Resident(NEIGHBOUR, "lenina15", "41")},
            meters=(
                Meter("cold", "lenina15", "42", MeterKind.COLD, last=124),
                Meter("hot", "lenina15", "42", MeterKind.HOT, last=87),
            ),
        )
        for number in (FIRST, SECOND, SUPERVISOR, DIRECTOR):
            built.phone(number).rings_out()
        yield built


def calls(built: Town, number: str = RESIDENT) -> FakeCall:
    return built.network.resident(number).calls(DID)


async def ticket_of(built: Town, call: FakeCall) -> int:
    while (ticket := await built.store.ticket_of_call(call.id)) is None:
        await asyncio.sleep(0.01)
    return ticket


async def answers(built: Town, call: FakeCall, *questions: tuple[str, str]) -> None:
    """Wait for each question (some words of it) and press the keys that go with it."""
    heard = 0
    for words, keys in questions:
        while not any(words in built.voice.heard([sound])[0] for sound in call.heard[heard:]):
            await call.bell.until(partial(longer, call, len(call.heard)), 120)
        heard = len(call.heard)
        await call.presses(keys, after=0.3, gap=0.2)


def heard_by(built: Town, call: FakeCall) -> str:
    return " ".join(built.voice.heard(call.heard))


def longer(call: FakeCall, than: int) -> bool:
    return len(call.heard) > than


FIRST_QUESTION = "Если у вас авария"


def state(built: Town, ticket: int) -> Ticket:
    return Ticket.of(built.store.timelines[ticket])


@virtual
async def test_emergency_walks_at_once_and_the_cause_refines_it() -> None:
    async with town() as built:
        call = calls(built)
        ticket = await ticket_of(built, call)
        await call.hears(3)
        await call.presses("1")
        started = await built.until(ticket, EscalationStarted)
        dialled = await built.until(ticket, DialStarted)
        assert (dialled.at - started.at).total_seconds() < 0.1
        await answers(built, call, ("Течёт вода", "1"), ("Прорвало стояк", "1"), ("Ваш адрес", "1"))
        await call.holds(8)
        await call.hangs_up()
        await built.until(ticket, CallEnded)
        now = state(built, ticket)
        assert (now.urgency, now.cause, now.premises.flat) == (Urgency.EMERGENCY, "water.riser", "42")
        assert len(built.events(ticket, EscalationStarted)) == 1
        said = built.heard(0)
        assert said.index("Разговор записывается.") < said.index("Авария принята")
        assert "Номер вашей заявки: один ноль ноль один." in said
        assert [(e.question, e.key) for e in built.events(ticket, KeyPressed)] == [
            ("emergency", "1"),
            ("cause.emergency", "1"),
            ("cause.e.water", "1"),
            ("address", "1"),
        ]


@virtual
async def test_the_early_key_is_the_emergency() -> None:
    async with town() as built:
        call = calls(built)
        await call.answered()
        await call.presses("1")
        ticket = await ticket_of(built, call)
        await built.until(ticket, EscalationStarted)
        assert built.events(ticket, RecordingAnnounced)
        await call.hangs_up()


@virtual
async def test_silence_leaves_a_ticket_with_a_message() -> None:
    async with town() as built:
        call = calls(built)
        ticket = await ticket_of(built, call)
        ended = await built.until(ticket, CallEnded)
        await call.ended()
        assert ended.by == "us"
        assert state(built, ticket).urgency is Urgency.NORMAL
        assert "Назовите адрес" in built.heard(0)
        assert built.events(ticket, NumberTold)
        assert not built.network.live


@virtual
async def test_gas_is_bridged_to_the_service() -> None:
    async with town() as built:
        built.phone(GAS).answers().holds(20).hangs_up()
        call = calls(built)
        ticket = await ticket_of(built, call)
        await answers(built, call, (FIRST_QUESTION, "1"), ("Запах газа", "4"))
        while len([e for e in built.events(ticket, CallStarted) if e.kind is CallKind.UTILITY]) < 1:
            await asyncio.sleep(0.1)
        await call.holds(8)
        assert frozenset((call.id, f"{ticket}-u1")) in built.network.bridges
        said = built.heard(0)
        assert "откройте окна" in said.lower()
        briefed = next(one for one in built.network.calls if one.number == GAS)
        assert "Запах газа. улица Ленина, дом 15, квартира 42." in heard_by(built, briefed)
        ended = await built.until(ticket, CallEnded)
        assert ended.call == f"{ticket}-u1"
        assert ended.seconds > 15
        await call.hangs_up()


@virtual
async def test_the_gas_service_is_told_even_if_the_caller_has_run() -> None:
    async with town() as built:
        built.phone(GAS).rings(5).answers().holds(30)
        call = calls(built)
        ticket = await ticket_of(built, call)
        await answers(built, call, (FIRST_QUESTION, "1"), ("Запах газа", "4"))
        await call.holds(1)
        await call.hangs_up()
        await built.until(ticket, CallEnded, 2)
        briefed = next(one for one in built.network.calls if one.number == GAS)
        assert "Запах газа. улица Ленина, дом 15, квартира 42." in heard_by(built, briefed)


@virtual
async def test_gas_goes_to_the_next_number_if_the_first_is_busy() -> None:
    async with town() as built:
        built.phone(GAS).busy()
        built.phone("112").answers().holds(5).hangs_up()
        call = calls(built)
        ticket = await ticket_of(built, call)
        await answers(built, call, (FIRST_QUESTION, "1"), ("Запах газа", "4"))
        await built.until(ticket, CallEnded, 2)
        rung = [e.number for e in built.events(ticket, CallStarted) if e.kind is CallKind.UTILITY]
        assert rung == [GAS, "112"]
        await call.hangs_up()


@virtual
async def test_another_policy_is_walked_once_the_cause_is_known() -> None:
    """An electrician is wanted, not the plumber."""
    async with town() as built:
        water = built.company.policies[0]
        other = replace(water, name="electricity", causes=("electricity.*",), steps=water.steps[1:])
        built.company = replace(built.company, policies=(replace(water, causes=("water.*",)), other))
        call = calls(built)
        ticket = await ticket_of(built, call)
        await answers(
            built, call, (FIRST_QUESTION, "1"), ("Нет света или искрит", "2"), ("Нет света в доме", "1")
        )
        await built.until(ticket, EscalationStarted, 2)
        assert [e.policy for e in built.events(ticket, EscalationStarted)] == ["water", "electricity"]
        await call.hangs_up()


# --- incidents -----------------------------------------------------------------------------------------------------------------------


@virtual
async def test_a_neighbour_hears_of_the_incident_and_joins() -> None:
    async with town() as built:
        incident = await built.emergency()
        await verbs.accept(built.d, incident, "plumber1", Via.CONSOLE, "Пётр")
        call = calls(built, NEIGHBOUR)
        await call.holds(9)
        await call.presses("1")
        await built.until(incident, IncidentJoined)
        await call.holds(8)
        await call.hangs_up()
        voice = await ticket_of(built, call)
        await built.until(voice, CallEnded)
        assert "известна авария: Прорыв стояка холодной воды" in heard_by(built, call)
        assert "Ответственный: Пётр" in heard_by(built, call)
        joined = built.events(incident, IncidentJoined)[0]
        assert (joined.premises.flat, joined.voice, joined.phone) == ("41", voice, NEIGHBOUR)
        assert state(built, voice).status is Status.CLOSED
        assert not built.events(voice, EscalationStarted)


@virtual
async def test_an_incident_that_ends_while_it_is_told_leaves_a_request() -> None:
    async with town() as built:
        incident = await built.emergency()
        call = calls(built, NEIGHBOUR)
        await call.holds(7)
        await verbs.close(built.d, incident, "operator")
        await call.presses("1", after=2)
        await built.until(await ticket_of(built, call), NumberTold)
        now = state(built, await ticket_of(built, call))
        assert (now.urgency, now.status) == (Urgency.URGENT, Status.OPEN)
        assert str(incident) in (now.title or "")
        await call.hangs_up()


@virtual
async def test_an_early_key_is_an_emergency_even_in_a_house_with_an_incident() -> None:
    async with town() as built:
        await built.emergency()
        call = calls(built, NEIGHBOUR)
        await call.answered()
        await call.presses("1")
        ticket = await ticket_of(built, call)
        await built.until(ticket, EscalationStarted)
        await call.hangs_up()


@virtual
async def test_twenty_calls_at_once_from_one_number_are_one_ticket_with_twenty_voices() -> None:
    async with town() as built:
        many = [calls(built) for _ in range(20)]
        for call in many:
            await call.answered()
            await call.presses("1")
        await asyncio.sleep(30)
        (ticket,) = built.store.timelines
        assert len([e for e in built.events(ticket, CallStarted) if e.kind is CallKind.RESIDENT]) == 20
        assert len(built.events(ticket, EscalationStarted)) == 1
        for call in many:
            await call.hangs_up()
        await built.until(ticket, CallEnded, 20)


@virtual
async def test_news_is_heard_before_the_question() -> None:
    async with town() as built:
        news = Notice("Завтра отключат воду.", ("lenina15",))
        built.company = replace(built.company, notices=(news,))
        call = calls(built)
        await call.hears(4)
        assert "Завтра отключат воду." in built.heard(0)
        await call.hangs_up()


@virtual
async def test_the_number_and_the_planned_time_are_texted() -> None:
    async with town() as built:
        call = calls(built)
        ticket = await ticket_of(built, call)
        await answers(built, call, (FIRST_QUESTION, "2"), ("Сделать заявку", "1"), ("Вода и", "1"))
        await call.presses("1", after=3)
        await built.until(ticket, NumberTold)
        await call.hangs_up()
        await asyncio.sleep(5)
        (text,) = (sent.body for sent in built.outbox.sent if sent.number == RESIDENT)
        clock = built.company.catalogue.causes["water.none_hot"].clock
        due = clocks.planned(built.store.timelines[ticket][0].at, clock, "Europe/Moscow")
        due = due.astimezone(ZoneInfo("Europe/Moscow"))
        assert text == f"Ваша заявка №{ticket} зарегистрирована. Плановый срок: до {due:%H:%M %d.%m}."


@virtual
async def test_a_key_that_was_lost_is_asked_for_again() -> None:
    """Nothing arrives of the first press: the question is put again, and the second press counts as the first would have."""
    async with town() as built:
        call = calls(built)
        ticket = await ticket_of(built, call)
        await call.answered()
        while heard_by(built, call).count(FIRST_QUESTION) < 2:
            await call.holds(0.5)
        await call.presses("1")
        await built.until(ticket, EscalationStarted)
        await call.hangs_up()


# --- a call that breaks off ----------------------------------------------------------------------------------------------------------


@virtual
async def test_a_call_that_breaks_off_is_rung_back_and_goes_on_where_it_was() -> None:
    async with town() as built:
        built.phone(RESIDENT).answers().holds(5).presses("1").holds(40).presses("#").holds(60)
        call = calls(built)
        ticket = await ticket_of(built, call)
        await answers(built, call, (FIRST_QUESTION, "2"), ("Сделать заявку", "1"), ("Вода и", "1"))
        await call.hangs_up()
        first = await built.until(ticket, CallEnded)
        back = next(e for e in [await built.until(ticket, CallStarted, 2)] if e.call == f"{ticket}-b1")
        assert (back.at - first.at).total_seconds() < 10
        ended = await built.until(ticket, CallEnded, 2)
        said = built.heard(1)
        assert "Связь прервалась" in said
        assert "Если у вас авария" not in said  # answered before
        assert state(built, ticket).cause == "water.none_hot"
        assert ended.seconds > 10
        await asyncio.sleep(600)
        assert len(built.events(ticket, CallStarted)) == 2


@virtual
async def test_three_times_at_most() -> None:
    async with town() as built:
        built.phone(RESIDENT).busy()
        call = calls(built)
        ticket = await ticket_of(built, call)
        await call.answered()
        await call.holds(1)
        await call.hangs_up()
        await asyncio.sleep(3600)
        back = [e.call for e in built.events(ticket, CallStarted)][1:]
        assert back == [f"{ticket}-b1", f"{ticket}-b2", f"{ticket}-b3"]
        assert state(built, ticket).is_open


@virtual
async def test_who_knows_the_number_is_not_rung_back() -> None:
    async with town() as built:
        call = calls(built)
        ticket = await ticket_of(built, call)
        await call.hears(3)
        await call.presses("1")
        await built.until(ticket, NumberTold)
        await call.hangs_up()
        await asyncio.sleep(300)
        assert [e.call for e in built.events(ticket, CallStarted)] == [call.id]


@virtual
async def test_hang_ups_at_any_moment_are_rung_back_unless_the_number_was_told() -> None:
    """Through the whole of a call, mid-menu or not: the timeline says whose doing the end was, and the rule holds."""
    rung_back = []
    for tenths in range(0, 400, 13):
        async with town() as built:
            built.phone(RESIDENT).busy()
            call = calls(built)
            ticket = await ticket_of(built, call)
            await call.answered()
            asking = asyncio.create_task(
                answers(built, call, (FIRST_QUESTION, "1"), ("Течёт вода", "1"), ("Прорвало стояк", "1"))
            )
            await call.holds(tenths / 10)
            asking.cancel()
            await call.hangs_up()
            ended = await built.until(ticket, CallEnded)
            told = bool(built.events(ticket, NumberTold))
            await asyncio.sleep(600)
            back = [e for e in built.events(ticket, CallStarted) if e.kind is CallKind.CALLBACK]
            assert ended.by == "caller"
            assert len(back) == (0 if told else 3), tenths
            if back:
                assert (back[0].at - ended.at).total_seconds() < 10
            rung_back.append(not told)
    assert rung_back[0]
    assert not rung_back[-1]
    assert rung_back == sorted(rung_back, reverse=True)


@virtual
@pytest.mark.parametrize("seconds", [0.0, 0.5, 3.0, 6.0])
async def test_a_key_counts_of_who_hangs_up_before_it_is_asked_for(seconds: float) -> None:
    """Over the announcement, or because we are seconds late with the question itself."""
    async with town() as built:
        built.voice.seconds = 4.0  # so long takes the announcement, and then the question
        call = calls(built)
        ticket = await ticket_of(built, call)
        await call.answered()
        await call.holds(seconds)
        await call.presses("1")
        await call.hangs_up()
        pressed = await built.until(ticket, KeyPressed)
        dialled = await built.until(ticket, DialStarted)
        assert (pressed.key, pressed.question) == ("1", "emergency")
        assert (dialled.at - pressed.at).total_seconds() < 0.1
        assert bool(built.events(ticket, RecordingAnnounced)) == (seconds > 5)
        assert not built.events(ticket, NumberTold)


@virtual
async def test_who_pressed_over_the_announcement_is_rung_back_and_not_asked_again() -> None:
    async with town() as built:
        built.phone(RESIDENT).answers().holds(60).hangs_up()
        call = calls(built)
        ticket = await ticket_of(built, call)
        await call.hears(0.5)
        await call.presses("1")
        await call.hangs_up()
        await built.until(ticket, NumberTold)
        back = await built.until(ticket, CallStarted, 2)
        again = next(one for one in built.network.live.values() if one.id == back.call)
        heard = heard_by(built, again)
        assert "Авария принята" in heard
        assert FIRST_QUESTION not in heard
        assert len(built.events(ticket, EscalationStarted)) == 1
        assert [e.key for e in built.events(ticket, KeyPressed)] == ["1"]


@virtual
async def test_a_call_that_we_ended_is_not_rung_back() -> None:
    async with town() as built:
        call = calls(built)
        ticket = await ticket_of(built, call)
        await call.answered()
        await call.holds(3)
        await built.telephony.hang_up(call.id)  # by the channel, past its leg
        ended = await built.until(ticket, CallEnded)
        assert ended.by == "us"
        await asyncio.sleep(600)
        assert [e.call for e in built.events(ticket, CallStarted)] == [call.id]


@virtual
async def test_a_line_that_breaks_is_rung_back_though_the_number_was_told() -> None:
    async with town() as built:
        built.phone(RESIDENT).answers().holds(90).hangs_up()
        call = calls(built)
        ticket = await ticket_of(built, call)
        await call.hears(3)
        await call.presses("1")
        await built.until(ticket, NumberTold)
        call.breaks_off()
        ended = await built.until(ticket, CallEnded)
        assert ended.by == "network"
        back = await built.until(ticket, CallStarted, 2)
        assert (back.at - ended.at).total_seconds() < 10
        await asyncio.sleep(600)
        assert len(built.events(ticket, CallStarted)) == 2


@virtual
async def test_who_has_spoken_with_the_plumber_is_not_rung_back() -> None:
    async with town() as built:
        built.phone(FIRST).answers().presses("4", after=0.3).holds(60)
        call = calls(built)
        ticket = await ticket_of(built, call)
        await call.answered()
        await call.presses("1")
        await built.until(ticket, CallsBridged)
        await call.holds(2)
        await call.hangs_up()
        ended = await built.until(ticket, CallEnded)
        assert (ended.call, ended.by) == (call.id, "caller")
        await asyncio.sleep(600)
        assert not [e for e in built.events(ticket, CallStarted) if e.call.startswith(f"{ticket}-b")]


# --- after the work ------------------------------------------------------------------------------------------------------------------


async def done(built: Town) -> int:
    call = calls(built)
    ticket = await ticket_of(built, call)
    await call.hears(3)
    await call.presses("1")
    await built.until(ticket, NumberTold)
    await call.hangs_up()
    await verbs.accept(built.d, ticket, "plumber1", Via.CONSOLE, "Пётр")
    await verbs.report(built.d, ticket, "plumber1", Via.CONSOLE, "done")
    return ticket


@virtual
async def test_the_resident_confirms_and_marks() -> None:
    async with town() as built:
        built.phone(RESIDENT).answers().holds(5).presses("1").holds(4).presses("5")
        ticket = await done(built)
        asked = await built.until(ticket, ResidentAsked, timeout=86400)
        assert (asked.done, asked.mark) == (True, 5)
        await built.until(ticket, TicketClosed)
        assert asked.at.hour >= 6  # nine in Moscow: it was night there


@virtual
async def test_not_done_opens_the_ticket_again_and_walks() -> None:
    async with town() as built:
        built.phone(RESIDENT).answers().holds(5).presses("2")
        ticket = await done(built)
        await built.until(ticket, TicketReopened, timeout=86400)
        await built.until(ticket, EscalationStarted, 2)
        assert state(built, ticket).accepted is None


# --- services ------------------------------------------------------------------------------------------------------------------------


@virtual
async def test_readings_are_kept_and_the_next_call_knows_them() -> None:
    async with town() as built:
        call = calls(built)
        ticket = await ticket_of(built, call)
        readings = [("Холодная", "130#"), ("Вы набрали", "1"), ("Горячая", "90#"), ("Вы набрали", "1")]
        service = [(FIRST_QUESTION, "2"), ("Сделать заявку", "2"), ("Ваш адрес", "1")]
        await answers(built, call, *service, *readings)
        await built.until(ticket, TicketClosed)
        assert [(e.meter, e.value) for e in built.events(ticket, MeterRead)] == [("cold", 130), ("hot", 90)]
        await call.ended(60)
        call = calls(built)
        await answers(built, call, *service)
        await call.holds(3)
        assert "Прошлое показание: 130." in heard_by(built, call)
        await call.hangs_up()


@virtual
async def test_status_by_number_and_flat_for_a_stranger() -> None:
    async with town() as built:
        known = await built.emergency()
        call = calls(built, STRANGER)
        number, flat = "номер заявки", "номер квартиры"
        tries = [("9999#", "42#"), (f"{known}#", "41#"), (f"{known}#", "42#")]
        keyed = [pair for one, other in tries for pair in ((number, one), (flat, other))]
        await answers(built, call, (FIRST_QUESTION, "2"), ("Сделать заявку", "3"), *keyed)
        await call.ended(60)
        assert heard_by(built, call).count("Такой заявки нет.") == 2
        assert "Заявка один ноль ноль один: Прорыв стояка" in heard_by(built, call)
        assert state(built, await ticket_of(built, call)).status is Status.CLOSED


@virtual
async def test_a_flood_is_turned_away_but_never_an_emergency() -> None:
    async with town() as built:
        built.d = replace(built.d, callers=Callers(CallLimits(of_a_caller=2)))
        built.service._d = built.d
        for _ in range(2):
            call = calls(built, STRANGER)
            await call.answered()
            await call.hangs_up()
            await asyncio.sleep(1)
        call = calls(built, STRANGER)
        ticket = await ticket_of(built, call)
        await call.hears(3)
        assert "слишком много звонков" in heard_by(built, call)
        await call.presses("1")
        await built.until(ticket, EscalationStarted)
        await call.hangs_up()


# --- when something is wrong with us -------------------------------------------------------------------------------------------------


@virtual
async def test_an_exception_hands_the_caller_to_the_dialplan() -> None:
    async with town() as built:
        setting = hotline.Call._setting

        async def broken(self: hotline.Call) -> object:
            raise RuntimeError("nobody foresaw this")

        hotline.Call._setting = broken  # type: ignore[method-assign,assignment]
        try:
            call = calls(built)
            ticket = await ticket_of(built, call)
            await call.holds(5)
        finally:
            hotline.Call._setting = setting  # type: ignore[method-assign]
        assert call.handed_over
        assert call.up
        assert not built.events(ticket, CallEnded)
        await call.hangs_up()

        now = (
            built.clock.now()
        )  # the dialplan rang the first plumber, who pressed 1; its notes join the ticket that we had begun
        taken = StoodInCall(call.id, DID, RESIDENT, now, now, spoke=True, rang=(FIRST,), accepted_by=FIRST)
        built.notes.left.append(taken)
        await built.service.stood_in()
        assert list(built.store.timelines) == [ticket]
        assert built.events(ticket, Accepted)[0].contact == "plumber1"
        assert built.events(ticket, CallEnded)[0].call == call.id
        built.notes.left.append(taken)
        await built.service.stood_in()
        assert len(built.events(ticket, Accepted)) == 1


@virtual
async def test_a_full_disk_hands_the_caller_to_the_dialplan() -> None:
    async with town() as built:
        built.store.fail_next = 1
        call = calls(built)
        await call.holds(3)
        assert call.handed_over
        await call.hangs_up()


@virtual
async def test_killed_in_the_menu() -> None:
    """One sentence, and the last question again, with all that had been said kept."""
    async with town() as built:
        call = calls(built)
        ticket = await ticket_of(built, call)
        await answers(built, call, (FIRST_QUESTION, "1"), ("Течёт вода", "1"))
        await call.holds(2)
        await built.restart()
        await built.until(ticket, CallResumed)
        heard = len(call.heard)
        while not any("Прорвало стояк" in built.voice.says(sound) for sound in call.heard[heard:]):
            await call.holds(0.5)
        await call.presses("1")
        await call.holds(3)
        said = built.heard(0)
        assert "Простите, связь прерывалась." in said
        assert said.count("Если у вас авария") == 1
        assert said.count("Прорвало стояк") == 2
        assert state(built, ticket).cause == "water.riser"
        assert len(built.events(ticket, EscalationStarted)) == 1
        await call.hangs_up()


@virtual
async def test_killed_while_the_caller_talks_with_the_gas_service() -> None:
    """The two notice nothing: no sentence, no second brief, and the end of their talk is seen."""
    async with town() as built:
        built.phone(GAS).answers().holds(40).hangs_up()
        call = calls(built)
        ticket = await ticket_of(built, call)
        await answers(built, call, (FIRST_QUESTION, "1"), ("Запах газа", "4"))
        pair = frozenset((call.id, f"{ticket}-u1"))
        while pair not in built.network.bridges:
            await call.holds(0.5)
        service = next(one for one in built.network.calls if one.number == GAS)
        heard = len(call.heard), len(service.heard)
        await built.restart()
        await call.holds(5)
        assert pair in built.network.bridges
        assert (len(call.heard), len(service.heard)) == heard
        ended = await built.until(ticket, CallEnded)
        assert (ended.call, ended.by) == (f"{ticket}-u1", "caller")
        assert ended.seconds > 30
        await call.holds(5)
        assert "Ваш адрес" in heard_by(built, call)
        await call.hangs_up()


@virtual
async def test_killed_while_the_caller_is_rung_back() -> None:
    async with town() as built:
        built.phone(RESIDENT).answers().holds(60).presses("#").holds(60)
        call = calls(built)
        ticket = await ticket_of(built, call)
        await answers(built, call, (FIRST_QUESTION, "2"))
        await call.hangs_up()
        await built.until(ticket, RecordingAnnounced, 2)
        await built.restart()
        await built.until(ticket, CallResumed)
        ended = await built.until(ticket, CallEnded, 2)
        assert (ended.call, ended.by) == (f"{ticket}-b1", "us")
        assert built.events(ticket, NumberTold)
        await asyncio.sleep(600)
        assert len(built.events(ticket, CallStarted)) == 2


@virtual
async def test_killed_while_the_phone_of_the_caller_rings() -> None:
    """Whoever picks up after that is greeted, and not left in silence."""
    async with town() as built:
        built.phone(RESIDENT).rings(5).answers().holds(60).presses("#").holds(60)
        call = calls(built)
        ticket = await ticket_of(built, call)
        await answers(built, call, (FIRST_QUESTION, "2"))
        await call.hangs_up()
        home = await built.phone(RESIDENT).rang(60)
        await asyncio.sleep(1)
        await built.restart()
        await home.answered(10)
        await home.hears(1, timeout=2)
        ended = await built.until(ticket, CallEnded, 2)
        assert (ended.call, ended.by) == (f"{ticket}-b1", "us")
        assert built.events(ticket, CallAnswered)[-1].call == f"{ticket}-b1"
        assert "Связь прервалась, мы перезваниваем." in heard_by(built, home)
        assert built.events(ticket, NumberTold)
        await asyncio.sleep(600)
        assert len(built.events(ticket, CallStarted)) == 2


@virtual
async def test_a_talk_of_our_own_is_not_closed_when_events_are_read_again() -> None:
    async with town() as built:
        built.phone(RESIDENT).answers().holds(90)
        call = calls(built)
        ticket = await ticket_of(built, call)
        await answers(built, call, (FIRST_QUESTION, "2"))
        await call.hangs_up()
        home = await built.phone(RESIDENT).rang(60)
        await home.answered()
        before = len(built.events(ticket, CallEnded))
        await asyncio.wait_for(ring_back._take_up(ticket, built.d), 60)  # as after a gap in the events
        assert not home.over
        assert len(built.events(ticket, CallEnded)) == before


@virtual
async def test_killed_while_a_phone_rings_that_nobody_answers() -> None:
    """That try is over as soon as the phone is silent, and the next one comes in its time."""
    async with town() as built:
        built.phone(RESIDENT).rings_out().then.answers().holds(60).presses("#").holds(60)
        call = calls(built)
        ticket = await ticket_of(built, call)
        await answers(built, call, (FIRST_QUESTION, "2"))
        await call.hangs_up()
        home = await built.phone(RESIDENT).rang(60)
        await built.restart()
        await home.ended(60)
        await (await built.phone(RESIDENT).rang(32)).answered(2)
        await built.until(ticket, CallEnded, 3)
        assert built.events(ticket, NumberTold)
        assert not built.network.live


@virtual
async def test_killed_while_the_gas_service_is_rung() -> None:
    """The phone there goes on ringing, and whoever answers it is told and connected."""
    async with town() as built:
        built.phone(GAS).rings(6).answers().holds(30).hangs_up()
        call = calls(built)
        ticket = await ticket_of(built, call)
        await answers(built, call, (FIRST_QUESTION, "1"), ("Запах газа", "4"))
        service = await built.phone(GAS).rang(60)
        await asyncio.sleep(1)
        await built.restart()
        await service.answered(10)
        pair = frozenset((call.id, f"{ticket}-u1"))
        while pair not in built.network.bridges:
            await call.holds(0.5)
        assert "Запах газа. улица Ленина, дом 15, квартира 42." in heard_by(built, service)
        assert len(built.phone(GAS).history) == 1
        await service.ended(60)
        await call.hangs_up()


@virtual
async def test_killed_between_the_intent_and_the_ringing_of_the_gas_service() -> None:
    async with town() as built:
        built.phone(GAS).answers().holds(30).hangs_up()
        call = calls(built)
        ticket = await ticket_of(built, call)
        await answers(built, call, (FIRST_QUESTION, "1"), ("Запах газа", "4"))
        while not any(one.kind is CallKind.UTILITY for one in built.events(ticket, CallStarted)):
            await built.store.changed(ticket, len(built.store.timelines[ticket]), None)
        assert not built.phone(GAS).history
        await built.restart()
        service = await built.phone(GAS).rang(60)
        while frozenset((call.id, service.id)) not in built.network.bridges:
            await call.holds(0.5)
        await service.ended(60)
        await call.hangs_up()


@virtual
async def test_deadlines_are_near_and_broken_once_each() -> None:
    async with town() as built:
        call = calls(built)
        ticket = await ticket_of(built, call)
        await call.hears(3)
        await call.presses("1")
        await built.until(ticket, NumberTold)
        await call.hangs_up()
        for _ in range(120):
            await asyncio.sleep(30)
            await built.d.deadlines.watch(built.d)
        opened = built.store.timelines[ticket][0].at
        near, broken = built.events(ticket, DeadlineNear), built.events(ticket, DeadlineBroken)
        assert [(e.clock, e.due - opened) for e in near] == [("localise", timedelta(minutes=30))]
        assert [(e.clock, e.due - opened) for e in broken] == [("localise", timedelta(minutes=30))]


@virtual
async def test_staff_meets_the_caller_who_is_still_on_the_line() -> None:
    async with town() as built:
        built.phone(FIRST).answers().presses("4", after=1).holds(20).hangs_up()
        call = calls(built)
        ticket = await ticket_of(built, call)
        await call.hears(3)
        await call.presses("1")
        await built.until(ticket, DialStarted)
        await asyncio.sleep(6)
        assert any(call.id in pair for pair in built.network.bridges)
        await call.hangs_up()
        assert not built.events(ticket, Accepted)


@virtual
async def test_nobody_calls_the_caller_away_from_the_gas_service() -> None:
    async with town() as built:
        built.phone(GAS).answers().holds(60).hangs_up()
        built.phone(FIRST).rings(5).answers().presses("4", after=12).holds(20).hangs_up()
        call = calls(built)
        ticket = await ticket_of(built, call)
        await answers(built, call, (FIRST_QUESTION, "1"), ("Запах газа", "4"))
        pair = frozenset((call.id, f"{ticket}-u1"))
        while pair not in built.network.bridges:
            await call.holds(0.5)
        (staff,) = built.phone(FIRST).history
        while "Жилец сейчас говорит с другим" not in heard_by(built, staff):
            await staff.holds(0.5)
        assert pair in built.network.bridges
        await call.hangs_up()


@virtual
async def test_of_two_callers_the_one_who_is_still_there_is_met() -> None:
    async with town() as built:
        built.phone(FIRST).rings(4).answers().presses("4", after=1).holds(20).hangs_up()
        stays, leaves = calls(built), calls(built)
        ticket = await ticket_of(built, stays)
        assert await ticket_of(built, leaves) == ticket
        await stays.hears(3)
        await stays.presses("1")
        await leaves.hangs_up()
        bridged = await built.until(ticket, CallsBridged)
        assert stays.id in bridged.calls
        await stays.hangs_up()


@pytest.mark.parametrize("on_the_line", [True, False], ids=["still on the line", "rung"])
@virtual
async def test_the_plumber_and_the_resident_notice_no_restart(on_the_line: bool) -> None:
    async with town() as built:
        built.phone(RESIDENT).answers()
        built.phone(FIRST).rings(5).answers().presses("4", after=6).holds(25).presses_accept_key()
        call = calls(built)
        ticket = await ticket_of(built, call)
        await call.hears(3)
        await call.presses("1")
        if not on_the_line:
            await built.until(ticket, NumberTold)
            await call.hangs_up()
        pair = frozenset((await built.until(ticket, CallsBridged)).calls)
        await asyncio.sleep(3)
        talking = [one for one in built.network.calls if one.id in pair]
        heard = [len(one.heard) for one in talking]
        await built.restart()
        await asyncio.sleep(12)
        assert pair in built.network.bridges
        assert [len(one.heard) for one in talking] == heard
        await next(one for one in talking if one.id != f"{ticket}-1" and one.number != FIRST).hangs_up()
        accepted = await built.until(ticket, Accepted)
        assert accepted.contact == "plumber1"
        assert len(built.phone(FIRST).history) == 1


@virtual
async def test_a_classified_ticket_keeps_its_class_when_a_second_call_says_less() -> None:
    async with town() as built:
        first = calls(built)
        ticket = await ticket_of(built, first)
        await first.hears(3)
        await first.presses("1")
        await built.until(ticket, Classified)
        second = calls(built)
        await second.hears(3)
        await second.presses("2")
        await asyncio.sleep(5)
        assert state(built, ticket).urgency is Urgency.EMERGENCY
        await first.hangs_up()
        await second.hangs_up()
