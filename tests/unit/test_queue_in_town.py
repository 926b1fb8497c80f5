"""Operators, the queue and promised call backs, from end to end in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from engine.domain.events import (
    Accepted,
    CallBackEnded,
    CallBackPromised,
    CallBackTried,
    CallEnded,
    CallStarted,
    DeadlineBroken,
    DeadlineNear,
    OperatorAnswered,
    OperatorMissed,
    OperatorRang,
    PartiesConnected,
    QueueJoined,
    QueueLeft,
    RecordingAttached,
)
from engine.domain.model import CallKind, Line, Urgency
from engine.domain.queueing import Desk, Rules
from engine.flows import verbs
from engine.flows.deps import Deps
from engine.flows.operators.desk import Operators
from engine.flows.operators.party import Party
from tests.fakes.network import FakeCall, Hung
from tests.fakes.time import virtual
from tests.fakes.town import DID, DIRECTOR, FIRST, RESIDENT, Town, demo_company

OLGA, VERA = "operator1", "operator2"
NEIGHBOUR = "+79160000043"
OTHER_DID = "+74950000113"
QUIET_SECONDS = 1800
RULES = Rules(wrap_up=timedelta(seconds=20))


class Kept:
    """`SignIns` in memory."""

    def __init__(self) -> None:
        self.desks: Sequence[Desk] = ()

    def load(self) -> Sequence[Desk]:
        return self.desks

    def save(self, desks: Sequence[Desk]) -> None:
        self.desks = tuple(desks)


class Office(Town):
    """The town with an operators' room of two desks."""

    kept: Kept
    operators: Operators

    @classmethod
    @asynccontextmanager
    async def open(cls, *signed_in: str, rules: Rules = RULES) -> AsyncIterator[Office]:
        office = cls(demo_company())
        office.kept, office.rules = Kept(), rules
        async with office.network:
            office.start()
            await asyncio.sleep(0)
            for phone in signed_in:
                office.operators.sign_in(phone, phone.title())
                await asyncio.sleep(0.001)
            try:
                yield office
            finally:
                await office.stop()

    def world(self, d: Deps) -> Deps:
        self.operators = Operators(d, (OLGA, VERA), self.kept, self.rules)
        return replace(d, operators=self.operators)

    def calls_for_operator(self, number: str = RESIDENT, did: str = DID) -> FakeCall:
        """A resident who asks for an operator."""
        call = self.network.resident(number).calls(did)
        call.errand = asyncio.create_task(self._ask(call))
        return call

    async def _ask(self, call: FakeCall) -> None:
        with suppress(Hung):
            await call.answered()
            await call.presses("20", after=1)

    async def until(self, ticket: int, kind: type[Any], count: int = 1, timeout: float = 3600) -> Any:
        while ticket not in self.store.timelines:
            await asyncio.sleep(0.05)
        return await super().until(ticket, kind, count, timeout)

    def hears(self, call: FakeCall) -> str:
        return " ".join(self.voice.heard(call.heard))

    async def connected(self, ticket: int, *calls: FakeCall, times: int = 1) -> None:
        await self.until(ticket, PartiesConnected, times)
        await asyncio.sleep(0.5)
        if calls:
            assert frozenset(call.id for call in calls) in self.network.bridges


async def quiet(office: Office) -> None:
    """Time passes; nothing rings that nobody expects, nothing is left."""
    await asyncio.sleep(QUIET_SECONDS)
    assert not office.network.live
    assert not office.network.bridges
    assert not office.network.unexpected
    assert not office.operators._room.busy
    assert not office.operators._hall.tables


@virtual
async def test_a_caller_is_answered_and_both_are_recorded() -> None:
    async with Office.open(OLGA) as office:
        office.phone(OLGA).rings(3).answers()
        caller = office.calls_for_operator()
        answered = await office.until(1001, OperatorAnswered)
        desk = await office.phone(OLGA).rang()
        await office.connected(1001, caller, desk)
        assert (answered.call, answered.operator, answered.desk) == (caller.id, OLGA.title(), OLGA)
        assert desk.caller_name == "Демо"
        assert desk.caller == RESIDENT
        assert office.hears(desk).startswith("Демо. Заявка")
        assert "Ваше место в очереди: 1." in office.hears(caller)
        await asyncio.sleep(30)
        await desk.hangs_up()
        await caller.ended()
        await quiet(office)
        ends = {event.call: event for event in office.events(1001, CallEnded)}
        assert ends[desk.id].by == "caller"
        assert ends[caller.id].by == "us"
        assert {event.call for event in office.events(1001, RecordingAttached)} == {desk.id, caller.id}
        assert not office.events(1001, DeadlineBroken)


@virtual
async def test_without_an_operator_the_caller_is_not_offered_one() -> None:
    async with Office.open() as office:
        caller = office.calls_for_operator()
        await caller.ended()
        assert "Оператор: ноль" not in office.hears(caller)
        assert not office.events(1001, QueueJoined)
        await quiet(office)


@virtual
async def test_the_longest_idle_rings_first_and_a_wrap_up_is_respected() -> None:
    async with Office.open(OLGA, VERA) as office:
        office.phone(OLGA).answers().holds(10).hangs_up()
        office.phone(VERA).answers().holds(60).hangs_up()
        first = office.calls_for_operator()
        await first.ended()
        second = office.calls_for_operator(NEIGHBOUR)
        third = office.calls_for_operator("+79160000044")
        await asyncio.gather(second.ended(), third.ended())
        await quiet(office)
        rang = sorted((e.at, e.desk) for t in (1001, 1002, 1003) for e in office.events(t, OperatorRang))
        assert [desk for _, desk in rang] == [OLGA, VERA, OLGA]
        freed = office.events(1001, CallEnded)[0].at
        assert (rang[2][0] - freed).total_seconds() >= 20


@virtual
async def test_who_does_not_answer_is_passed_over_and_at_last_signed_out() -> None:
    async with Office.open(OLGA, VERA) as office:
        office.phone(OLGA).rings_out()
        office.phone(VERA).answers().holds(5).hangs_up()
        for number in range(3):
            caller = office.calls_for_operator(f"+7916000005{number}")
            await caller.ended()
            await asyncio.sleep(60)
        await quiet(office)
        missed = [e for t in (1001, 1002, 1003) for e in office.events(t, OperatorMissed)]
        assert missed
        assert all(event.desk == OLGA for event in missed)
        if len(missed) >= RULES.misses_allowed:
            assert set(office.operators._room.desks) == {VERA}


@virtual
async def test_nobody_answers_any_more_then_a_message_is_taken() -> None:
    async with Office.open(OLGA) as office:
        office.phone(OLGA).rings_out()
        caller = office.calls_for_operator()
        left = await office.until(1001, QueueLeft)
        assert left.reason == "no_operator"
        assert len(office.events(1001, OperatorMissed)) == RULES.misses_allowed
        await asyncio.sleep(5)
        assert "Операторов сейчас нет." in office.hears(caller)
        await caller.presses("#", after=20)
        await quiet(office)


@virtual
async def test_position_and_choices_are_told_each_minute_and_a_message_can_be_left() -> None:
    async with Office.open(OLGA) as office:
        office.phone(OLGA).answers().holds(400).hangs_up()
        first = office.calls_for_operator()
        await office.until(1001, OperatorAnswered)
        second, third = office.calls_for_operator(NEIGHBOUR), office.calls_for_operator("+79160000044")
        await asyncio.sleep(150)
        assert office.hears(second).count("Ваше место в очереди: 1.") == 3
        assert office.hears(third).count("Ваше место в очереди: 2.") == 3
        assert "Чтобы мы вам перезвонили, нажмите два." in office.hears(third)
        await second.presses("1")
        left = await office.until(1002, QueueLeft)
        assert left.reason == "message"
        await asyncio.sleep(5)
        assert "скажите, что случилось" in office.hears(second)
        await asyncio.sleep(60)
        assert office.hears(third).endswith("tone:ring") or "очереди: 1." in office.hears(third)
        await third.hangs_up()
        await second.hangs_up()
        await first.hangs_up()
        office.network.unexpected.clear()  # who hangs up in the queue is rung back, and has no script here
        await asyncio.sleep(QUIET_SECONDS)
        assert office.events(1003, QueueLeft)[0].reason == "hung_up"


@virtual
async def test_not_answered_in_five_minutes_from_the_first_ring() -> None:
    async with Office.open(OLGA) as office:
        office.phone(OLGA).answers().holds(700).hangs_up()
        office.calls_for_operator()
        await office.until(1001, OperatorAnswered)
        second = office.calls_for_operator(NEIGHBOUR)
        began = (await office.until(1002, CallStarted)).at
        broken = await office.until(1002, DeadlineBroken)
        assert (broken.clock, broken.at - began) == ("answer", timedelta(minutes=5))
        answered = await office.until(1002, OperatorAnswered)
        assert answered.waited > 300
        await second.hangs_up()
        await quiet(office)
        assert len(office.events(1002, DeadlineBroken)) == 1


@virtual
async def test_a_shared_pool_serves_each_company_under_its_name_as_skills_allow() -> None:
    other = replace(demo_company(), id="other", title="Другая", lines=(Line(OTHER_DID, "en"),))
    async with Office.open() as office:
        companies = (office.company, other)
        for world in (office.operators._d, office.d):
            object.__setattr__(world, "companies", lambda: companies)
        office.operators.sign_in(OLGA, "Ольга", {"demo": frozenset({"ru"})})
        office.operators.sign_in(VERA, "Вера", {"other": frozenset({"en"}), "demo": frozenset({"ru"})})
        office.phone(OLGA).answers().holds(20).hangs_up()
        office.phone(VERA).answers().holds(20).hangs_up()
        foreigner = office.calls_for_operator(NEIGHBOUR, OTHER_DID)
        rang = await office.until(1001, OperatorRang)
        await foreigner.ended()
        assert rang.desk == VERA
        spoken = {
            office.voice.languages[one]: office.voice.says(one) for one in foreigner.heard if "fake" in one
        }
        assert spoken["en"].isascii()
        assert spoken["ru"].startswith(
            ("Ваше место", "Чтобы")
        )  # what has no translation, by a voice that can say it
        assert office.phone(VERA).history[0].caller_name == "Другая"
        assert office.hears(office.phone(VERA).history[0]).startswith("Другая.")
        await quiet(office)


@virtual
async def test_hang_ups_at_every_moment_leave_nothing() -> None:
    """The caller leaves after any number of seconds: while it rings, during the whisper, in the talk."""
    for tenths in range(0, 120, 3):
        async with Office.open(OLGA) as office:
            office.phone(OLGA).rings(2).answers().holds(3).hangs_up()
            office.phone(RESIDENT).busy()
            caller = office.calls_for_operator()
            await caller.answered()
            await asyncio.sleep(tenths / 10)
            if not caller.over:
                await caller.hangs_up()
            await quiet(office)


@virtual
async def test_an_operator_who_hangs_up_in_the_whisper_has_missed_it() -> None:
    async with Office.open(OLGA, VERA) as office:
        office.phone(OLGA).answers().holds(0.5).hangs_up()
        office.phone(VERA).answers().holds(5).hangs_up()
        caller = office.calls_for_operator()
        await caller.ended()
        await quiet(office)
        assert [event.desk for event in office.events(1001, OperatorRang)] == [OLGA, VERA]
        assert [event.desk for event in office.events(1001, OperatorAnswered)] == [VERA]


# --- the promise -------------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def promised(rules: Rules = RULES, talk: float = 120) -> AsyncIterator[Office]:
    """Olga talks with somebody for a while; the resident has chosen to be called back (ticket 1002)."""
    async with Office.open(OLGA, rules=rules) as office:
        office.phone(OLGA).answers().holds(talk).hangs_up().then.answers()
        office.calls_for_operator(NEIGHBOUR)
        await office.until(1001, OperatorAnswered)
        caller = office.calls_for_operator()
        await office.until(1002, QueueJoined)
        await caller.presses("2", after=2)
        await caller.ended()
        yield office


@virtual
async def test_a_call_back_keeps_its_place_and_connects_an_operator() -> None:
    async with promised() as office:
        promise = office.events(1002, CallBackPromised)[0]
        first_ring = office.events(1002, CallStarted)[0].at
        assert (promise.number, promise.due - first_ring) == (RESIDENT, timedelta(minutes=10))
        assert "Мы перезвоним вам" in office.hears(office.network.calls[2])
        office.phone(RESIDENT).rings(2).answers()
        late = office.calls_for_operator("+79160000044")
        await office.until(1002, CallBackEnded)
        resident, desk = office.phone(RESIDENT).history[0], office.phone(OLGA).history[1]
        await office.connected(1002, resident, desk)
        assert office.hears(desk).startswith("Обратный звонок. Демо.")
        assert "Вы просили перезвонить." in office.hears(resident)
        assert not late.over  # who came later waits on
        await asyncio.sleep(20)
        await resident.hangs_up()
        await desk.ended()
        await asyncio.sleep(40)
        assert office.events(1003, OperatorAnswered)
        await late.hangs_up()
        await quiet(office)
        assert office.events(1002, CallBackEnded)[0].kept
        assert not office.events(1002, DeadlineBroken)
        assert {e.call for e in office.events(1002, RecordingAttached)} >= {resident.id, desk.id}


@virtual
async def test_a_promise_at_risk_is_reported_by_the_engine_that_comes_back() -> None:
    async with promised(talk=5) as office:
        office.operators.sign_out(OLGA)
        office.mortal.dead = True
        office.telephony.dies()
        await office.stop()
        await asyncio.sleep(495)
        office.phone(RESIDENT).answers().holds(20).hangs_up()
        office.start()
        await office.d.deadlines.watch(office.d)
        await office.d.deadlines.watch(office.d)
        (near,) = (e for e in office.events(1002, DeadlineNear) if e.clock == "call_back")
        assert near.due == office.events(1002, CallBackPromised)[0].due
        await office.until(1002, CallBackEnded)
        await quiet(office)
        assert not office.events(1002, DeadlineBroken)


@virtual
async def test_three_tries_then_the_promise_is_given_up() -> None:
    async with promised() as office:
        office.phone(RESIDENT).busy()
        ended = await office.until(1002, CallBackEnded)
        await quiet(office)
        assert not ended.kept
        assert len(office.phone(RESIDENT).history) == 3
        assert len(office.events(1002, CallBackTried)) == 3
        times = [e.at for e in office.events(1002, CallStarted) if e.kind is CallKind.CALLBACK]
        assert times[0] <= office.events(1002, CallBackPromised)[0].due
        assert "Абонент не отвечает." in office.hears(office.phone(OLGA).history[1])


@virtual
async def test_no_operator_in_time_then_the_caller_is_rung_all_the_same() -> None:
    async with promised(talk=3000) as office:
        office.phone(RESIDENT).answers()
        ended = await office.until(1002, CallBackEnded)
        promise = office.events(1002, CallBackPromised)[0]
        assert ended.kept
        assert ended.at < promise.due
        resident = office.phone(RESIDENT).history[0]
        await asyncio.sleep(8)
        assert "Операторы ещё заняты." in office.hears(resident)
        assert "Ваше место в очереди: 1." in office.hears(resident)
        await resident.presses("1")
        await asyncio.sleep(3)
        assert "скажите, что случилось" in office.hears(resident)
        await resident.presses("#", after=10)
        await resident.ended()
        await asyncio.sleep(3000)
        await quiet(office)


@virtual
async def test_everybody_signs_out_and_the_promise_is_kept_without_an_operator() -> None:
    async with promised() as office:
        office.phone(RESIDENT).answers()
        office.operators.sign_out(OLGA)
        ended = await office.until(1002, CallBackEnded)
        assert ended.kept
        await office.phone(RESIDENT).history[0].presses("#", after=20)
        await quiet(office)


@virtual
async def test_a_promise_survives_the_engine() -> None:
    async with promised() as office:
        office.phone(RESIDENT).answers().holds(5).hangs_up()
        await office.restart()
        await office.until(1002, CallBackEnded)
        await quiet(office)
        assert office.events(1002, CallBackEnded)[0].kept
        assert len(office.phone(RESIDENT).history) == 1


@virtual
async def test_an_engine_that_is_away_too_long_owns_up() -> None:
    async with promised(talk=5) as office:
        office.operators.sign_out(OLGA)
        office.mortal.dead = True
        office.telephony.dies()
        await office.stop()
        await asyncio.sleep(700)
        office.phone(RESIDENT).answers().holds(20).hangs_up()
        office.start()
        broken = await office.until(1002, DeadlineBroken)
        assert broken.clock == "call_back"
        await office.until(1002, CallBackEnded)
        await quiet(office)


@virtual
async def test_a_dead_trunk_uses_up_no_try() -> None:
    async with promised() as office:
        script = office.phone(RESIDENT).rejects(503)
        for _ in range(4):
            script = script.then.rejects(503)
        script.then.answers().holds(10).hangs_up()
        ended = await office.until(1002, CallBackEnded)
        await quiet(office)
        assert ended.kept
        assert len(office.phone(RESIDENT).history) == 6


@virtual
async def test_a_store_that_fails_for_a_while_costs_nobody_the_operator() -> None:
    async with Office.open(OLGA) as office:
        office.phone(OLGA).answers().holds(10).hangs_up()
        caller = office.calls_for_operator()
        await office.until(1001, QueueJoined)
        office.store.fail_next = 3
        await office.until(1001, OperatorAnswered)
        await caller.ended()
        await quiet(office)


@virtual
async def test_a_closed_ticket_promises_nothing_any_more() -> None:
    async with promised() as office:
        await verbs.close(office.d, 1002, "operator", "перезвонил сам")
        await quiet(office)
        assert not office.events(1002, CallBackEnded)
        assert not office.phone(RESIDENT).history


@virtual
async def test_the_codes_of_a_desk_phone() -> None:
    async with Office.open() as office:
        comes = office.network.resident(OLGA).calls("*1")
        await comes.ended()
        await asyncio.sleep(0)
        assert office.hears(comes) == "Вы на смене."
        assert office.operators.desks()[0].desk is not None
        office.operators.sign_in(OLGA, "Ольга", {"demo": frozenset({"ru"})})
        await office.network.resident(OLGA).calls("*0").ended()
        await asyncio.sleep(0)
        assert office.operators.desks()[0].desk is None
        await office.network.resident(OLGA).calls("*1").ended()
        await asyncio.sleep(0)
        again = office.operators.desks()[0].desk
        assert again is not None
        assert (again.operator, again.skills) == ("Ольга", {"demo": frozenset({"ru"})})
        assert not office.store.timelines  # no conversation, no ticket
        await quiet(office)


# --- restarts ----------------------------------------------------------------------------------------------------------------------


@virtual
async def test_a_talk_goes_on_over_a_restart() -> None:
    async with Office.open(OLGA) as office:
        office.phone(OLGA).answers()
        caller = office.calls_for_operator()
        desk = await office.phone(OLGA).rang()
        await office.connected(1001, caller, desk)
        spoken = (len(caller.heard), len(desk.heard))
        await office.restart()
        await asyncio.sleep(10)
        assert frozenset((caller.id, desk.id)) in office.network.bridges
        assert (len(caller.heard), len(desk.heard)) == spoken  # they notice nothing
        assert OLGA in office.operators._room.busy
        await desk.hangs_up()
        await caller.ended()
        await quiet(office)
        assert {e.call for e in office.events(1001, CallEnded)} == {caller.id, desk.id}
        assert all(event.seconds > 9 for event in office.events(1001, CallEnded))


@virtual
async def test_who_was_rung_back_and_talks_with_an_operator_notices_nothing_either() -> None:
    async with Office.open(OLGA) as office:
        office.phone(OLGA).answers()
        first = office.network.resident(RESIDENT).calls(DID)
        await first.answered()
        office.phone(RESIDENT).answers().presses("20", after=3)
        await first.holds(2)
        await first.hangs_up()  # before the number was told: rung back
        answered = await office.until(1001, OperatorAnswered)
        resident, desk = office.phone(RESIDENT).history[0], office.phone(OLGA).history[0]
        assert answered.call == resident.id
        await office.connected(1001, resident, desk)
        spoken = (len(resident.heard), len(desk.heard))
        await office.restart()
        await asyncio.sleep(10)
        assert frozenset((resident.id, desk.id)) in office.network.bridges
        assert (len(resident.heard), len(desk.heard)) == spoken
        await resident.hangs_up()
        await desk.ended()
        await quiet(office)


@virtual
async def test_a_caller_in_the_queue_keeps_the_place_over_a_restart() -> None:
    async with Office.open(OLGA) as office:
        office.phone(OLGA).rings(30).answers().then.answers().holds(10).hangs_up()
        caller = office.calls_for_operator()
        rang = await office.until(1001, OperatorRang)
        await asyncio.sleep(1)
        await office.restart()
        answered = await office.until(1001, OperatorAnswered)
        await caller.ended()
        await quiet(office)
        assert answered.attempt != rang.attempt  # what rang fell silent, and it was rung again
        assert len(office.events(1001, QueueJoined)) == 1
        assert {e.call for e in office.events(1001, CallEnded)} >= {rang.attempt, answered.attempt}


# --- calls from a ticket -----------------------------------------------------------------------------------------------------------


def resident_party() -> Party:
    return Party("t", CallKind.CALLBACK, RESIDENT, caller_id=DID, company="demo")


def plumber() -> Party:
    return Party("t", CallKind.OPERATOR, FIRST, contact="plumber1", caller_id=DID, company="demo")


@asynccontextmanager
async def desk_call() -> AsyncIterator[tuple[Office, int, str]]:
    """Olga talks with the resident, from the ticket's page."""
    async with Office.open(OLGA) as office:
        for number in (FIRST, DIRECTOR):
            office.phone(number).answers().presses_accept_key()
        ticket = await office.emergency()
        await asyncio.sleep(60)
        office.phone(OLGA).answers()
        office.phone(RESIDENT).rings(2).answers()
        call = await office.operators.call(ticket, OLGA, resident_party(), office.company, "Ольга")
        await office.until(ticket, PartiesConnected)
        await asyncio.sleep(1)
        yield office, ticket, call


def live(office: Office, *numbers: str) -> frozenset[str]:
    return frozenset(office.phone(number).history[-1].id for number in numbers)


@virtual
async def test_the_desk_phone_rings_first_and_then_the_other_side() -> None:
    async with desk_call() as (office, _, call):
        desk, resident = office.phone(OLGA).history[0], office.phone(RESIDENT).history[0]
        assert desk.id == call
        assert desk.answered_at is not None
        assert desk.answered_at < resident.began_at
        assert live(office, OLGA, RESIDENT) in office.network.bridges
        assert office.operators.desks()[0].call == call
        await resident.hangs_up()
        await desk.ended()
        await quiet(office)


@virtual
async def test_hold_and_back() -> None:
    async with desk_call() as (office, ticket, call):
        table = office.operators.table(ticket, call)
        resident, desk = office.phone(RESIDENT).history[0], office.phone(OLGA).history[0]
        so_far = len(desk.heard)
        table.hold()
        await asyncio.sleep(5)
        assert not office.network.bridges
        assert "tone:ring" in resident.heard
        assert len(desk.heard) == so_far
        table.resume()
        await asyncio.sleep(1)
        assert live(office, OLGA, RESIDENT) in office.network.bridges
        await desk.hangs_up()
        await resident.ended()
        await quiet(office)


@virtual
async def test_three_talk_and_two_go_on() -> None:
    async with desk_call() as (office, ticket, call):
        office.operators.table(ticket, call).bring(plumber())
        await office.until(ticket, PartiesConnected, 2)
        await asyncio.sleep(1)
        assert live(office, OLGA, RESIDENT, FIRST) in office.network.bridges
        await office.phone(OLGA).history[0].hangs_up()
        await asyncio.sleep(1)
        assert live(office, RESIDENT, FIRST) in office.network.bridges
        assert OLGA not in office.operators._room.busy
        await office.phone(FIRST).history[-1].hangs_up()
        await quiet(office)


@virtual
async def test_an_operator_who_hangs_up_during_a_hold_leaves_the_others_together() -> None:
    async with desk_call() as (office, ticket, call):
        table = office.operators.table(ticket, call)
        table.bring(plumber())
        await office.until(ticket, PartiesConnected, 2)
        await asyncio.sleep(1)
        table.hold()
        await asyncio.sleep(3)
        assert not office.network.bridges
        await office.phone(OLGA).history[0].hangs_up()
        await asyncio.sleep(1)
        assert live(office, RESIDENT, FIRST) in office.network.bridges
        await office.phone(RESIDENT).history[0].hangs_up()
        await quiet(office)


@virtual
async def test_everybody_hangs_up_while_a_third_is_rung() -> None:
    async with desk_call() as (office, ticket, call):
        office.phone(FIRST).rings_out()
        office.operators.table(ticket, call).bring(plumber())
        await asyncio.sleep(3)
        await office.phone(RESIDENT).history[0].hangs_up()
        await asyncio.sleep(3)
        assert office.phone(FIRST).history[-1].ended_at is None  # the operator waits for them
        await office.phone(OLGA).history[0].hangs_up()
        await asyncio.sleep(1)
        assert office.phone(FIRST).history[-1].ended_at is not None  # nobody is left to come to
        await quiet(office)


@virtual
async def test_transfer() -> None:
    async with desk_call() as (office, ticket, call):
        office.operators.table(ticket, call).bring(plumber(), transfer=True)
        await office.phone(OLGA).history[0].ended()
        await asyncio.sleep(1)
        assert live(office, RESIDENT, FIRST) in office.network.bridges
        await office.phone(RESIDENT).history[0].hangs_up()
        await quiet(office)


@virtual
async def test_a_transfer_that_nobody_answers_changes_nothing() -> None:
    async with desk_call() as (office, ticket, call):
        office.phone(FIRST).busy()
        office.operators.table(ticket, call).bring(plumber(), transfer=True)
        await asyncio.sleep(10)
        assert live(office, OLGA, RESIDENT) in office.network.bridges
        await office.phone(OLGA).history[0].hangs_up()
        await quiet(office)


@virtual
async def test_the_other_side_does_not_answer() -> None:
    async with Office.open(OLGA) as office:
        for number in (FIRST, DIRECTOR):
            office.phone(number).answers().presses_accept_key()
        ticket = await office.emergency()
        await asyncio.sleep(60)
        office.phone(OLGA).answers()
        office.phone(RESIDENT).busy()
        await office.operators.call(ticket, OLGA, resident_party(), office.company, "Ольга")
        desk = await office.phone(OLGA).rang()
        await desk.ended()
        assert "Абонент не отвечает." in office.hears(desk)
        await quiet(office)


@virtual
async def test_zero_in_a_robocall_reaches_the_operator_and_comes_back_to_the_question() -> None:
    async with Office.open(OLGA) as office:
        office.phone(OLGA).answers().holds(20).hangs_up()
        office.phone(FIRST).answers().presses("0", after=1).holds(35).presses_accept_key()
        ticket = await office.emergency()
        await office.until(ticket, OperatorAnswered)
        await office.until(ticket, PartiesConnected)
        await asyncio.sleep(1)
        assert live(office, OLGA, FIRST) in office.network.bridges
        assert office.hears(office.phone(OLGA).history[0]).startswith("Звонит сотрудник. Демо.")
        accepted = await office.until(ticket, Accepted)
        assert accepted.contact == "plumber1"
        assert "Оператор: ноль." in office.hears(office.phone(FIRST).history[0])
        await quiet(office)
        assert not office.events(ticket, DeadlineBroken)


@virtual
async def test_zero_without_an_operator_says_so() -> None:
    async with Office.open() as office:
        office.phone(FIRST).answers().presses("0", after=1).presses_accept_key(after=8)
        ticket = await office.emergency()
        await office.until(ticket, Accepted)
        heard = office.hears(office.phone(FIRST).history[0])
        assert "Оператора сейчас нет." in heard
        assert "Оператор: ноль." not in heard
        await quiet(office)


@virtual
async def test_a_colleague_may_turn_back_from_the_queue() -> None:
    async with Office.open(OLGA) as office:
        office.phone(OLGA).rings_out()
        office.phone(FIRST).answers().presses("0", after=1).presses("#", after=6).presses_accept_key(after=3)
        ticket = await office.emergency()
        await office.until(ticket, Accepted)
        assert office.events(ticket, QueueLeft)[0].reason == "back"
        await quiet(office)


@virtual
async def test_a_colleague_who_talks_with_the_operator_notices_no_restart() -> None:
    async with Office.open(OLGA) as office:
        office.phone(OLGA).answers().holds(60).hangs_up()
        office.phone(FIRST).answers().presses("0", after=1).holds(75).presses_accept_key()
        ticket = await office.emergency()
        await office.until(ticket, PartiesConnected)
        await asyncio.sleep(5)
        desk, staff = office.phone(OLGA).history[0], office.phone(FIRST).history[0]
        spoken = (len(desk.heard), len(staff.heard))
        await office.restart()
        await asyncio.sleep(20)
        assert live(office, OLGA, FIRST) in office.network.bridges
        assert (len(desk.heard), len(staff.heard)) == spoken
        assert OLGA in office.operators._room.busy
        accepted = await office.until(ticket, Accepted)
        assert accepted.contact == "plumber1"
        assert "Простите, связь прерывалась." not in office.hears(staff)  # nothing broke off for them
        await quiet(office)
        assert len(office.phone(FIRST).history) == 1
        assert {e.call for e in office.events(ticket, CallEnded)} >= {desk.id, staff.id}


@asynccontextmanager
async def three_at_the_table() -> AsyncIterator[tuple[Office, int, FakeCall, FakeCall, FakeCall]]:
    """The resident talks with Olga; the plumber, who is rung meanwhile, asks to be connected with the resident."""
    async with Office.open(OLGA) as office:
        office.phone(OLGA).answers()
        caller = office.calls_for_operator()
        desk = await office.phone(OLGA).rang()
        await office.connected(1001, caller, desk)
        office.phone(FIRST).answers().presses("4", after=1).holds(30).presses_accept_key()
        company = office.company
        await verbs.classify(office.d, company, 1001, caller.id, Urgency.EMERGENCY, "water.riser", "Прорыв")
        staff = await office.phone(FIRST).rang()
        await office.connected(1001, caller, desk, staff, times=2)
        yield office, 1001, caller, desk, staff


@virtual
async def test_a_resident_is_not_called_away_from_the_operator() -> None:
    """The plumber sits down with the two, and goes on with the resident when the operator has left."""
    async with three_at_the_table() as (office, ticket, caller, desk, staff):
        assert "С вами соединяется сотрудник" not in office.hears(caller)
        await desk.hangs_up()
        await asyncio.sleep(20)
        assert frozenset((caller.id, staff.id)) in office.network.bridges
        await caller.hangs_up()
        accepted = await office.until(ticket, Accepted)
        assert accepted.contact == "plumber1"
        await quiet(office)
        assert len(office.phone(FIRST).history) == 1


@virtual
async def test_three_who_talk_notice_no_restart() -> None:
    async with three_at_the_table() as (office, ticket, caller, desk, staff):
        spoken = [len(one.heard) for one in (caller, desk, staff)]
        await office.restart()
        await asyncio.sleep(15)
        assert frozenset((caller.id, desk.id, staff.id)) in office.network.bridges
        assert [len(one.heard) for one in (caller, desk, staff)] == spoken
        await caller.hangs_up()
        await asyncio.sleep(1)
        await desk.hangs_up()
        assert (await office.until(ticket, Accepted)).contact == "plumber1"
        await quiet(office)
