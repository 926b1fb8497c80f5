"""Any afternoon in the operators' room, in virtual time: whatever everybody does, nothing is left, and every call has its end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.domain.events import (
    CallBackEnded,
    CallBackPromised,
    CallEnded,
    CallStarted,
    OperatorAnswered,
    OperatorMissed,
    OperatorRang,
    QueueJoined,
    QueueLeft,
)
from engine.domain.queueing import Rules
from tests.fakes.network import FakeCall, FakePhone, Hung
from tests.fakes.time import virtual
from tests.fakes.town import DIRECTOR, FIRST, SECOND, SUPERVISOR
from tests.unit.test_queue_in_town import OLGA, VERA, Office

RULES = Rules(misses_allowed=100, try_again_after=timedelta(seconds=20))
AFTERNOON_SECONDS = 4000

seconds = st.integers(0, 400).map(lambda tenths: tenths / 10)
taking = st.one_of(
    st.tuples(st.just("answers"), seconds, seconds),
    st.tuples(st.sampled_from(["rings_out", "busy", "declines", "silent"]), seconds, seconds),
)
desks = st.lists(taking, min_size=1, max_size=4)
callers = st.lists(
    st.tuples(seconds, st.sampled_from(["", "", "1", "2"]), seconds, st.none() | seconds),
    min_size=1,
    max_size=4,
)
residents = st.lists(taking, min_size=1, max_size=3)


def plays(phone: FakePhone, calls: list[tuple[str, float, float]]) -> None:
    """The phone takes one call after another so; the last way repeats."""
    script: Any = phone
    for number, (how, first, then) in enumerate(calls):
        script = script.then if number else phone
        match how:
            case "answers":
                script = script.answers(first / 4).holds(then).hangs_up()
            case "rings_out":
                script = script.rings_out()
            case "busy":
                script = script.busy()
            case "declines":
                script = script.declines_call(first / 4)
            case _:
                script = script.silent()


async def live_through(office: Office, call: FakeCall, key: str, after: float, until: float | None) -> None:
    """A caller in the queue: presses, and at last hangs up."""
    with suppress(Hung):
        await call.holds(after)
        if key:
            await call.presses(key)
        await call.holds(300 if until is None else until)
    if not call.over:
        await call.hangs_up()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(desks, desks, callers, residents, st.none() | seconds, st.none() | seconds)
@example(  # the engine dies while it rings somebody back
    olga=[("answers", 0.0, 0.0)],
    vera=[("answers", 0.0, 0.0)],
    calls=[(0.0, "", 0.0, 0.1)],
    home=[("rings_out", 0.0, 0.0)],
    restart=4.2,
    leaves=None,
)
@example(  # the engine stops while the caller of a promise is fetched to a table
    olga=[("declines", 13.5, 1.9), ("answers", 9.8, 20.1), ("silent", 13.1, 26.6), ("busy", 0.0, 19.0)],
    vera=[("busy", 24.9, 22.1), ("answers", 38.4, 6.7), ("answers", 15.5, 14.5), ("rings_out", 23.9, 0.1)],
    calls=[(8.3, "", 30.9, 27.0), (0.1, "", 0.1, 2.0), (8.3, "2", 23.3, None)],
    home=[("rings_out", 20.1, 39.0)],
    restart=40.0,
    leaves=None,
)
def test_an_afternoon(
    olga: list[Any],
    vera: list[Any],
    calls: list[Any],
    home: list[Any],
    restart: float | None,
    leaves: float | None,
) -> None:
    @virtual
    async def afternoon() -> None:
        async with Office.open(OLGA, VERA, rules=RULES) as office:
            plays(office.phone(OLGA), olga)
            plays(office.phone(VERA), vera)
            for staff in (
                FIRST,
                SECOND,
                SUPERVISOR,
                DIRECTOR,
            ):  # a key pressed at another moment means something else
                office.phone(staff).answers().presses_accept_key()
            tasks = []
            for number, (at, key, after, until) in enumerate(calls):
                caller = f"+7916000010{number}"
                plays(office.phone(caller), home)
                await asyncio.sleep(at / 10)
                call = office.calls_for_operator(caller)
                tasks.append(asyncio.create_task(live_through(office, call, key, after, until)))
            if restart is not None:
                await asyncio.sleep(restart)
                await office.restart()
            if leaves is not None:
                await asyncio.sleep(leaves)
                office.operators.sign_out(OLGA)
                office.operators.sign_out(VERA)
            await asyncio.gather(*tasks)
            await asyncio.sleep(AFTERNOON_SECONDS)
            look_round(office)

    afternoon()


def look_round(office: Office) -> None:
    """What must be true when everybody has gone home."""
    assert not office.network.live
    assert not office.network.bridges
    assert not office.network.unexpected
    assert not office.operators._room.busy
    assert not office.operators._room.waiting
    assert not office.operators._hall.tables
    for ticket, timeline in office.store.timelines.items():
        begun = [event.call for event in timeline if isinstance(event, CallStarted)]
        ended = [event.call for event in timeline if isinstance(event, CallEnded)]
        assert set(begun) == set(ended), (ticket, begun, ended)
        assert len(begun) == len(set(begun))
        rang = {event.attempt for event in timeline if isinstance(event, OperatorRang)}
        answered = {event.attempt for event in timeline if isinstance(event, OperatorAnswered)}
        missed = {event.attempt for event in timeline if isinstance(event, OperatorMissed)}
        assert answered | missed <= rang <= set(begun)
        assert not answered & missed
        joined = {event.call for event in timeline if isinstance(event, QueueJoined)}
        settled = {event.call for event in timeline if isinstance(event, QueueLeft | OperatorAnswered)}
        lost = {event.call for event in timeline if isinstance(event, CallEnded)}
        assert joined <= settled | lost
        promises = sum(isinstance(event, CallBackPromised) for event in timeline)
        assert promises <= sum(isinstance(event, CallBackEnded) for event in timeline) or not promises
