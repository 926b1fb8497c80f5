"""Whatever a caller presses, and however long they are silent: the talk comes to an end, and nothing of it is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.domain import dialogue_moves as m
from engine.domain.dialogue import talk
from engine.domain.events import CallEnded, CallStarted, Classified, NumberTold, TicketClosed
from engine.domain.incidents import Incident
from engine.domain.meters import Meter, MeterKind
from engine.domain.model import CallKind, Urgency
from engine.domain.ticket import Status
from tests.fakes.network import Hung
from tests.fakes.time import virtual
from tests.fakes.town import RESIDENT, Town
from tests.unit.test_dialogue import KNOWN, NOW, RISER, UNKNOWN
from tests.unit.test_hotline_in_town import calls, ticket_of
from tests.unit.test_hotline_in_town import town as hotline_town

MOST_MOVES = 200

METERS = m.Meters((Meter("c", "lenina15", "42", MeterKind.COLD, last=124, last_at=NOW),))
FOUND = m.Found((m.Brief(1001, "Прорыв стояка", Status.ACCEPTED),))
ASKING = (m.Ask, m.AskDigits, m.HandOver, m.CallOperator, m.LookUp, m.LookAtMeters)

settings_of = st.builds(
    lambda base, crowded, operators, incidents: replace(
        base, crowded=crowded, operators=operators, incidents=incidents
    ),
    st.sampled_from([KNOWN, UNKNOWN]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([(), (RISER,), (RISER, Incident(1002, "mira23", None, "Нет воды"))]),
)


@st.composite
def answer(draw: st.DrawFn, move: m.Move) -> m.Heard:
    match move:
        case m.Ask(keys=keys):
            return draw(st.none() | st.sampled_from(keys))
        case m.AskDigits(most=most):
            return draw(
                st.none() | st.text("0123456789", max_size=most) | st.sampled_from(["42", "15", "1001"])
            )
        case m.LookUp():
            return draw(st.sampled_from([FOUND, m.Found()]))
        case m.LookAtMeters():
            return draw(st.sampled_from([METERS, m.Meters()]))
        case _:
            return draw(st.sampled_from([None, "talked"]))


def play(setting: m.Setting, answers: list[m.Heard]) -> list[m.Move]:
    ahead, dialogue, heard, moves = list(answers), talk(setting), None, []
    while True:
        try:
            move = dialogue.send(heard)
        except StopIteration:
            return moves
        moves.append(move)
        heard = (ahead.pop(0) if ahead else None) if isinstance(move, ASKING) else None


@given(data=st.data(), setting=settings_of)
@settings(max_examples=300, deadline=None)
def test_every_talk_ends_and_loses_nothing(data: st.DataObject, setting: m.Setting) -> None:
    dialogue, heard, moves, answers = talk(setting), None, [], []
    while True:
        try:
            move = dialogue.send(heard)
        except StopIteration:
            break
        moves.append(move)
        assert len(moves) < MOST_MOVES, "a talk without end"
        heard = None
        if isinstance(move, ASKING):
            heard = data.draw(answer(move))
            answers.append(heard)
        if isinstance(move, m.Ask):
            assert move.keys, move.question
            assert all(part.strip() for part in move.parts)

    kinds = [type(move) for move in moves]
    assert kinds[0] is m.Announce
    pressed = {
        move.question: said
        for move, said in zip((x for x in moves if isinstance(x, ASKING)), answers, strict=True)
        if isinstance(move, m.Ask)
    }
    if pressed.get("emergency") == "1":
        first = next(move for move in moves if isinstance(move, m.Classify))
        assert first.urgency is Urgency.EMERGENCY
        asked = kinds.index(m.Classify)
        assert (
            sum(isinstance(move, m.Ask | m.AskDigits) for move in moves[:asked]) <= 2
        )  # at most the incident before it
    turned_away = setting.crowded and pressed.get("emergency") != "1"
    spoke = m.CallOperator in kinds and "talked" in answers
    assert turned_away or spoke or {m.TakeMessage, m.Settle} & set(kinds), "the caller was not served"
    # the same answers give the same talk: what a restarted engine relies on
    assert play(setting, answers) == moves


@given(data=st.data(), setting=settings_of, keep=st.integers(0, 12))
@settings(max_examples=100, deadline=None)
def test_a_talk_taken_up_again_goes_on_from_the_same_question(
    data: st.DataObject, setting: m.Setting, keep: int
) -> None:
    """Going through the first answers again leads to where they led before."""
    dialogue, heard, moves, answers = talk(setting), None, [], []
    while len(answers) < keep:
        try:
            move = dialogue.send(heard)
        except StopIteration:
            break
        moves.append(move)
        heard = None
        if isinstance(move, ASKING):
            heard = data.draw(answer(move))
            answers.append(heard)
    assert play(setting, answers)[: len(moves)] == moves


steps = st.lists(
    st.tuples(st.sampled_from([*"0123456789*#", "42#", "15#", "1001#", None]), st.floats(0, 25)), max_size=12
)


@given(
    steps=steps,
    known=st.booleans(),
    incident=st.booleans(),
    hangs_up=st.booleans(),
)
@example(
    steps=[("1", 0.0), ("4", 0.0)], known=False, incident=False, hangs_up=False
)  # gas: the service hangs up first
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@virtual
async def test_random_keys_silences_and_hang_ups(
    steps: list[tuple[str | None, float]], known: bool, incident: bool, hangs_up: bool
) -> None:
    async with hotline_town() as built:
        caller = RESIDENT if known else "+79161234567"
        built.phone(caller).busy()
        for service in ("104", "112"):
            built.phone(service).answers().holds(7).hangs_up()
        if incident:
            await built.emergency()
        call = calls(built, caller)
        try:
            for key, pause in steps:
                await call.holds(pause)
                if key is not None:
                    await call.presses(key)
        except Hung:
            pass
        if hangs_up:
            await call.hangs_up()
        ticket = await ticket_of(built, call)
        await call.ended(2000)
        await asyncio.sleep(400)
        ended = {event.call for event in built.events(ticket, CallEnded)}
        assert {event.call for event in residents(built, ticket)} <= ended
        timeline = built.store.timelines[ticket]
        assert not [leg for leg in built.network.live.values() if leg.did is not None], "a channel is left"
        if any(isinstance(event, NumberTold) for event in timeline):
            said = [event for event in timeline if isinstance(event, Classified | TicketClosed)]
            assert said, "the number was told of nothing"


def residents(built: Town, ticket: int) -> list[CallStarted]:
    return [e for e in built.events(ticket, CallStarted) if e.kind is CallKind.RESIDENT]
