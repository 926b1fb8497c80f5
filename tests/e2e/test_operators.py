"""Operators on a real Asterisk: a desk phone that registers with its password, callers in the queue, call backs, calls from a ticket."""

from __future__ import annotations

import asyncio
import time

import pytest

from engine.domain import wording_operators as wording
from tests.e2e.harness import DESK_PHONES, ApiError, Installation, People
from tests.e2e.offices import SOON, Office, Offices

ENVIRONMENT = {
    "DOZVON_ASTERISK_DESK_PHONES": ",".join(DESK_PHONES),
    "DOZVON_OPERATORS_WRAP_UP": "1s",
    "DOZVON_OPERATORS_RING_FOR": "5s",
    "DOZVON_OPERATORS_REST_AFTER_MISS": "2s",
    "DOZVON_OPERATORS_OFFER_EVERY": "14s",
    "DOZVON_OPERATORS_TRY_AGAIN_AFTER": "2s",
}
"""Quick rules; the long ones are waited for in virtual time."""

story = Offices()


# --- the queue ---------------------------------------------------------------------------------------------------------------------


@story
async def two_callers_position_and_the_call_back(s: Office) -> None:
    """The second one chooses to be called back, hangs up, and is called when the operator is free."""
    s.desk.answers()
    await s.signs_in()
    first = await s.asks_for_operator(s.neighbour_number)
    await first.until("PartiesConnected")
    second = await s.asks_for_operator()
    await second.call.hears("Ваше место в очереди: 1.", timeout=SOON)
    await second.call.presses("2")
    await second.call.hears(wording.WILL_CALL_BACK)
    promised = await second.until("CallBackPromised")
    await second.call.ended(SOON)
    back = s.network.phone(s.resident_number)
    back.rings(1).answers()
    assert not back.history
    await (await s.desk.rang()).hangs_up()
    await first.call.ended(SOON)
    resident, desk = await back.rang(SOON), await s.desk.rang(SOON)
    await second.until("CallBackEnded", kept=True)
    await second.until("PartiesConnected")
    await resident.hears(wording.YOUR_CALL_BACK)
    await s.hear_each_other(resident, desk)
    assert promised["due"] > promised["at"]
    await resident.hangs_up()
    await desk.ended(SOON)


@story
async def a_message_from_the_queue(s: Office) -> None:
    s.desk.answers()
    await s.signs_in()
    first = await s.asks_for_operator(s.neighbour_number)
    await s.desk.rang(SOON)
    second = await s.asks_for_operator()
    await second.until("QueueJoined")
    await first.until("PartiesConnected")
    await second.call.presses("1", after=1)
    assert (await second.until("QueueLeft"))["reason"] == "message"
    await second.call.presses("#", after=8)
    await second.call.ended(SOON)
    await first.call.hangs_up()
    await s.desk.history[0].ended(SOON)


@story
async def a_phone_that_is_unplugged_is_passed_over_and_a_message_taken(s: Office) -> None:
    await s.signs_in()
    s.network.unplug(s.desk)
    await asyncio.sleep(1)
    caller = await s.asks_for_operator()
    left = await caller.until("QueueLeft")
    assert left["reason"] == "no_operator"
    await caller.call.hears(wording.OPERATORS_LEFT)
    assert [event["outcome"] for event in caller.all("OperatorMissed")] == ["unreachable"] * 3
    assert not (await s.desk_state())["signed_in"]
    await caller.call.presses("#", after=6)
    await caller.call.ended(SOON)


@story
async def a_caller_is_put_through_and_both_are_recorded(s: Office) -> None:
    s.desk.rings(2).answers()
    assert (await s.signs_in())["operator"] == "Ольга"
    began = time.monotonic()
    caller = await s.asks_for_operator()
    call, desk = caller.call, await s.desk.rang(SOON)
    assert (desk.caller, desk.caller_name) == (s.resident_number, s.title)
    answered = await caller.until("OperatorAnswered", operator="Ольга", desk=s.desk.number)
    assert answered["waited"] < time.monotonic() - began + 1
    await caller.until("PartiesConnected")
    await desk.hears(f"{s.title}.")
    await call.hears("Ваше место в очереди: 1.")
    await s.hear_each_other(call, desk)
    state = await s.desk_state()
    assert (state["busy"], state["ticket"], state["call"]) == (True, caller.number, answered["attempt"])
    await desk.hangs_up()
    await call.ended(SOON)
    await caller.until("RecordingAttached", call=answered["attempt"])
    await caller.until("RecordingAttached", call=answered["call"])
    assert not (await s.desk_state())["busy"]


@story
async def the_caller_who_hangs_up_is_not_rung_back(s: Office) -> None:
    s.desk.answers()
    await s.signs_in()
    caller = await s.asks_for_operator()
    await caller.until("PartiesConnected")
    await asyncio.sleep(1)
    await caller.call.hangs_up()
    await (await s.desk.rang()).ended(SOON)
    await asyncio.sleep(6)  # longer than the pause before a call that broke off is rung back


# --- calls from a ticket -----------------------------------------------------------------------------------------------------------


async def taken_by_the_second_plumber(s: Office) -> str:
    """A ticket; the path of its calls."""
    await s.plugs_in()
    s.people.plumber.busy()
    s.people.plumber_reserve.busy()
    s.people.second_plumber.answers().hears(0.5).presses_accept_key().then.answers()
    await s.emergency()
    await s.until("Accepted", 60)
    await s.people.second_plumber.history[-1].ended(SOON)
    return f"/api/v1/tickets/{s.number}/calls"


@story
async def an_operator_calls_from_the_ticket_holds_brings_a_third_and_leaves(s: Office) -> None:
    path = await taken_by_the_second_plumber(s)
    post, resident_phone = s.installation.post, s.network.phone(s.resident_number)
    s.desk.answers()
    resident_phone.rings(1).answers()
    placed = await post(path, {"desk": s.desk.number, "to": "resident"})
    desk, resident = await s.desk.rang(SOON), await resident_phone.rang(SOON)
    assert desk.began_at < resident.began_at
    assert desk.caller_name == s.title
    await s.until("PartiesConnected")
    await s.hear_each_other(desk, resident)
    with pytest.raises(ApiError) as refused:
        await post(path, {"desk": s.desk.number, "to": "executor"})
    assert refused.value.status == 409

    talk = f"{path}/{placed['call']}"
    assert (await post(f"{talk}/hold"))["held"]
    await asyncio.sleep(0.5)
    on_hold, heard = resident.speech_seconds, desk.speech_seconds
    await asyncio.sleep(2)
    assert resident.speech_seconds - on_hold > 0.5, "no music on hold"
    assert desk.speech_seconds == heard
    await post(f"{talk}/resume")
    await asyncio.sleep(0.5)
    await s.hear_each_other(desk, resident)

    await post(f"{talk}/add", {"to": "executor"})
    robocall, plumber = [await s.people.second_plumber.rang(SOON) for _ in range(2)]
    assert robocall.over
    await plumber.answered(SOON)
    await plumber.hears(wording.OPERATOR_CALLS)
    await s.talk_together(3)
    await s.hear_each_other(plumber, resident)
    await s.hear_each_other(plumber, desk)
    await desk.hangs_up()
    await s.talk_together(2)
    await s.hear_each_other(plumber, resident)
    assert not (await s.desk_state())["busy"]
    await resident.hangs_up()
    await plumber.ended(SOON)
    calls = {call["call"] for call in (await s.installation.ticket(s.number))["calls"]}
    assert {placed["call"], f"{s.number}-t1", f"{s.number}-t2"} <= calls


@story
async def a_transfer_to_the_next_of_the_tree(s: Office) -> None:
    path = await taken_by_the_second_plumber(s)
    s.desk.answers()
    s.network.phone(s.resident_number).answers()
    s.people.supervisor.rings(1).answers()
    placed = await s.installation.post(path, {"desk": s.desk.number, "to": "resident"})
    desk, resident = await s.desk.rang(SOON), await s.network.phone(s.resident_number).rang(SOON)
    await s.until("PartiesConnected")
    await s.installation.post(f"{path}/{placed['call']}/transfer", {"to": "next"})
    await desk.ended(SOON)
    supervisor = await s.people.supervisor.rang(SOON)
    await supervisor.hears(wording.OPERATOR_CALLS)
    await asyncio.sleep(1)
    await s.hear_each_other(resident, supervisor)
    await supervisor.hangs_up()
    await resident.ended(SOON)


@story
async def who_cannot_be_rung_is_refused_with_the_reason(s: Office) -> None:
    await s.emergency(urgency="normal", phone=None)
    for to, reason in (
        ("resident", "номер"),
        ("executor", "никто"),
        ("next", "никого"),
        ("utility", "служб"),
    ):
        with pytest.raises(ApiError) as refused:
            await s.installation.post(f"/api/v1/tickets/{s.number}/calls", {"desk": s.desk.number, "to": to})
        assert refused.value.status == 422
        assert reason in refused.value.body["errors"][0]["reason"]


# --- the desk phone ----------------------------------------------------------------------------------------------------------------


@story
async def a_desk_phone_without_its_password_is_not_let_in(s: Office) -> None:
    for name in (s.desk.number, "nobody"):
        with pytest.raises(Exception, match="not let in"):
            await s.network.desk_phone(name, "guess", s.registrar)


# --- those who live through a kill --------------------------------------------------------------------------------------------------


@story
async def a_promise_survives_a_kill(s: Office) -> None:
    s.desk.answers()
    await s.signs_in()
    first = await s.asks_for_operator()
    await s.desk.rang(SOON)
    second = await s.asks_for_operator(s.neighbour_number)
    await second.until("QueueJoined")
    await second.call.presses("2", after=1)
    await second.until("CallBackPromised")
    await second.call.ended(SOON)
    await first.until("PartiesConnected")
    await s.engine_is_killed()
    back = s.network.phone(s.neighbour_number)
    back.busy().then.answers()
    await first.call.hangs_up()
    await asyncio.sleep(1)
    await s.engine_is_back()
    await second.until("CallBackTried", SOON, outcome="busy")
    await second.until("CallBackEnded", SOON, kept=True)
    await second.until("PartiesConnected", SOON)
    await s.hear_each_other(back.history[-1], s.desk.history[-1])
    await back.history[-1].hangs_up()
    await asyncio.sleep(2)
    assert len(back.history) == 2


@story
async def a_killed_engine_leaves_a_talk_untouched(s: Office) -> None:
    s.desk.answers()
    await s.signs_in()
    caller = await s.asks_for_operator()
    call, desk = caller.call, await s.desk.rang(SOON)
    await caller.until("PartiesConnected")
    await asyncio.sleep(1)
    await s.engine_is_killed()
    await s.hear_each_other(call, desk)  # while no engine is there
    await s.engine_is_back()
    await caller.until("CallResumed")
    spoken = (call.speech_seconds, desk.speech_seconds)
    await asyncio.sleep(3)
    assert (call.speech_seconds, desk.speech_seconds) == spoken  # nobody said anything to them
    await s.hear_each_other(call, desk)
    state = await s.desk_state()
    assert (state["operator"], state["busy"], state["ticket"]) == ("Ольга", True, caller.number)
    await desk.hangs_up()
    await call.ended(SOON)


@story
async def a_killed_engine_leaves_a_colleagues_talk_untouched(s: Office) -> None:
    """The plumber asks the operator something in the midst of a robocall; the question whether they go comes afterwards."""
    s.desk.answers()
    plumber = s.people.plumber
    plumber.answers().hears(1.0).presses("0")
    await s.signs_in()
    await s.emergency()
    call, desk = await plumber.rang(SOON), await s.desk.rang(SOON)
    await s.talk_together(2)
    await s.engine_is_killed()
    await s.engine_is_back()
    await s.until("CallResumed")
    spoken = (call.speech_seconds, desk.speech_seconds)
    await s.hear_each_other(call, desk)
    await desk.hangs_up()
    await call.hears(spoken[0] + 2.0, timeout=SOON)  # the question again
    await call.presses((await s.until("RobocallAnswered"))["accept_key"])
    assert (await s.until("Accepted"))["contact"] == "plumber1"
    await call.hangs_up()
    assert len(plumber.history) == 1


# --- told ---------------------------------------------------------------------------------------------------------------------------


async def test_the_codes_of_the_desk_phone_sign_in_and_out(
    installation: Installation, people: People
) -> None:
    """Alone: who signs in so serves every company."""
    office = Office("codes", installation, 0, people.network)
    await office.plugs_in()

    async def dials(code: str, words: str) -> None:
        call = await people.network.dials(office.desk, f"sip:{code}@{office.registrar}")
        await call.hears(words)
        await call.ended(SOON)
        assert call.code == 200

    await dials("*1", wording.SIGNED_IN)
    assert (await office.desk_state())["operator"] == "operator1"
    await dials("*0", wording.SIGNED_OUT)
    assert not (await office.desk_state())["signed_in"]
    outside = await people.network.dials(office.desk, f"sip:+79160000043@{office.registrar}")
    await outside.ended(SOON)
    assert outside.code == 403
    people.network.calls.clear()  # no conversation, so no recording


@pytest.mark.parametrize("name", story.names)
async def test_operators(told: dict[str, asyncio.Task[None]], name: str) -> None:
    await told[name]
