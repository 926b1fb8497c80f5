"""Operators on a real Asterisk: a desk phone that registers with its password, callers in the queue, call backs, calls from a ticket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.demo.softphones import Call, Phone
from engine.domain import wording_operators as wording
from tests.contract.worlds import tone
from tests.e2e.fixtures import put_away
from tests.e2e.harness import ApiError, Installation, Json, People

RESIDENT, NEIGHBOUR = "+79160000042", "+79160000043"
COMPANY = "Управляющая компания «Демо»"
SOON = 40.0
HEARD_SECONDS = 10.0
QUICK = {"WRAP_UP": "1s", "RING_FOR": "5s", "REST_AFTER_MISS": "2s", "OFFER_EVERY": "14s"}
WATER: Json = {
    "company": "demo",
    "house": "lenina15",
    "premises": "42",
    "urgency": "emergency",
    "cause": "water.riser",
    "phone": RESIDENT,
}


@dataclass
class Office:
    """An installation with one operator's phone on the desk."""

    installation: Installation
    people: People
    desk: Phone

    async def signs_in(self, **body: Any) -> Json:
        return await self.installation.post("/api/v1/desks/operator1/sign-in", {"operator": "Ольга", **body})

    async def asks_for_operator(self, number: str = RESIDENT) -> Call:
        """A resident calls and keys their way to an operator."""
        resident = self.people.network.resident(number)
        call = await resident.calls(f"sip:+74950000112@127.0.0.1:{self.installation.base_port}")
        return await call.presses("20", after=0.5)

    async def event(self, ticket: int, type: str, timeout: float = SOON, **fields: Any) -> Json:
        return await self.installation.wait_event(ticket, type, timeout, **fields)

    async def desk_state(self) -> Json:
        return (await self.installation.get("/api/v1/desks"))["desks"][0]

    async def together(self, ticket: int, parties: int) -> None:
        """Wait until so many of them talk with each other."""
        async with asyncio.timeout(SOON):
            while True:
                events = await self.installation.events(ticket)
                talks = [event["calls"] for event in events if event["type"] == "PartiesConnected"]
                if talks and len(talks[-1]) == parties:
                    return
                await asyncio.sleep(0.1)

    async def all_recorded(self) -> None:
        """Wait until every call that was up has its recording: on a busy machine that takes a while."""
        for ticket in await self.installation.tickets():
            events = await self.installation.events(ticket["number"])
            for event in events:
                if event["type"] == "CallEnded" and event["seconds"] > 0:
                    await self.event(ticket["number"], "RecordingAttached", call=event["call"])

    async def hear_each_other(self, one: Call, other: Call, voice: Path) -> None:
        """What either says, the other hears."""
        for speaker, listener in ((one, other), (other, one)):
            heard = listener.speech_seconds
            await speaker.says(voice)
            await listener.hears(heard + 0.3, timeout=HEARD_SECONDS)


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """Something to say."""
    tone(tmp_path / "voice.wav", 1.0)
    return tmp_path / "voice.wav"


@pytest_asyncio.fixture(loop_scope="session")
async def office(session_installation: Installation, people: People) -> AsyncIterator[Office]:
    """An engine with quick rules; the desk phone is registered by digest, with the password of secrets.json."""
    installation = session_installation
    await installation.begin(**{f"DOZVON_OPERATORS_{name}": value for name, value in QUICK.items()})
    people.network.accept_key = installation.accept_key
    secret = json.loads((installation.data_dir / "secrets.json").read_text())["desk_phones"]["operator1"]
    registrar = f"127.0.0.1:{installation.base_port}"
    desk = await people.network.desk_phone("operator1", secret, registrar)
    office = Office(installation, people, desk)
    yield office
    with suppress(TimeoutError):  # then put_away says which one is missing
        await office.all_recorded()
    await put_away(installation, people)


async def test_a_caller_is_put_through_and_both_are_recorded(office: Office, voice: Path) -> None:
    office.desk.rings(2).answers()
    assert (await office.signs_in())["operator"] == "Ольга"
    began = time.monotonic()
    call = await office.asks_for_operator()
    desk = await office.desk.rang(SOON)
    assert (desk.caller, desk.caller_name) == (RESIDENT, COMPANY)
    answered = await office.event(1001, "OperatorAnswered", operator="Ольга", desk="operator1")
    assert answered["waited"] < time.monotonic() - began + 1
    await office.event(1001, "PartiesConnected")
    await desk.hears(f"{COMPANY}.")
    await call.hears("Ваше место в очереди: 1.")
    await office.hear_each_other(call, desk, voice)
    state = await office.desk_state()
    assert (state["busy"], state["ticket"], state["call"]) == (True, 1001, answered["attempt"])
    await desk.hangs_up()
    await call.ended(SOON)
    await office.event(1001, "RecordingAttached", call=answered["attempt"])
    await office.event(1001, "RecordingAttached", call=answered["call"])
    assert not (await office.desk_state())["busy"]


async def test_the_caller_who_hangs_up_is_not_rung_back(office: Office) -> None:
    office.desk.answers()
    await office.signs_in()
    call = await office.asks_for_operator()
    await office.event(1001, "PartiesConnected")
    await asyncio.sleep(1)
    await call.hangs_up()
    await (await office.desk.rang()).ended(SOON)
    await asyncio.sleep(6)  # longer than the pause before a call that broke off is rung back


async def test_a_desk_phone_without_its_password_is_not_let_in(office: Office) -> None:
    registrar = f"127.0.0.1:{office.installation.base_port}"
    with pytest.raises(Exception, match="not let in"):
        await office.people.network.desk_phone("operator9", "guess", registrar)


async def test_the_codes_of_the_desk_phone_sign_in_and_out(office: Office) -> None:
    async def dials(code: str, words: str) -> None:
        call = await office.people.network.dials(
            office.desk, f"sip:{code}@127.0.0.1:{office.installation.base_port}"
        )
        await call.hears(words)
        await call.ended(SOON)
        assert call.code == 200

    await dials("*1", wording.SIGNED_IN)
    assert (await office.desk_state())["operator"] == "operator1"
    await dials("*0", wording.SIGNED_OUT)
    assert not (await office.desk_state())["signed_in"]
    outside = await office.people.network.dials(
        office.desk, f"sip:+79160000043@127.0.0.1:{office.installation.base_port}"
    )
    await outside.ended(SOON)
    assert outside.code == 403
    office.people.network.calls.clear()  # no conversation, so no recording


async def test_a_phone_that_is_unplugged_is_passed_over_and_a_message_taken(office: Office) -> None:
    await office.signs_in()
    office.people.network.unplug(office.desk)
    await asyncio.sleep(1)
    call = await office.asks_for_operator()
    left = await office.event(1001, "QueueLeft")
    assert left["reason"] == "no_operator"
    await call.hears(wording.OPERATORS_LEFT)
    missed = [e for e in await office.installation.events(1001) if e["type"] == "OperatorMissed"]
    assert [event["outcome"] for event in missed] == ["unreachable"] * 3
    assert not (await office.desk_state())["signed_in"]
    await call.presses("#", after=6)
    await call.ended(SOON)


async def test_two_callers_position_and_the_call_back(office: Office, voice: Path) -> None:
    """The second one chooses to be called back, hangs up, and is called when the operator is free."""
    office.desk.answers()
    await office.signs_in()
    first = await office.asks_for_operator(NEIGHBOUR)
    await office.event(1001, "PartiesConnected")
    second = await office.asks_for_operator()
    await second.hears("Ваше место в очереди: 1.", timeout=SOON)
    await second.presses("2")
    await second.hears(wording.WILL_CALL_BACK)
    promised = await office.event(1002, "CallBackPromised")
    await second.ended(SOON)
    back = office.people.network.phone(RESIDENT)
    back.rings(1).answers()
    assert not back.history
    await (await office.desk.rang()).hangs_up()
    await first.ended(SOON)
    resident, desk = await back.rang(SOON), await office.desk.rang(SOON)
    await office.event(1002, "CallBackEnded", kept=True)
    await office.event(1002, "PartiesConnected")
    await resident.hears(wording.YOUR_CALL_BACK)
    await office.hear_each_other(resident, desk, voice)
    assert promised["due"] > promised["at"]
    await resident.hangs_up()
    await desk.ended(SOON)


async def test_a_message_from_the_queue(office: Office) -> None:
    office.desk.answers()
    await office.signs_in()
    first = await office.asks_for_operator(NEIGHBOUR)
    await office.event(1001, "PartiesConnected")
    second = await office.asks_for_operator()
    await office.event(1002, "QueueJoined")
    await second.presses("1", after=1)
    assert (await office.event(1002, "QueueLeft"))["reason"] == "message"
    await second.presses("#", after=8)
    await second.ended(SOON)
    await first.hangs_up()
    await (await office.desk.rang()).ended(SOON)


async def test_a_killed_engine_leaves_a_talk_untouched(office: Office, voice: Path) -> None:
    office.desk.answers()
    await office.signs_in()
    call = await office.asks_for_operator()
    desk = await office.desk.rang(SOON)
    await office.event(1001, "PartiesConnected")
    await asyncio.sleep(1)
    await office.installation.kill()
    await office.hear_each_other(call, desk, voice)  # while no engine is there
    await office.installation.start()
    await office.event(1001, "CallResumed")
    spoken = (call.speech_seconds, desk.speech_seconds)
    await asyncio.sleep(3)
    assert (call.speech_seconds, desk.speech_seconds) == spoken  # nobody said anything to them
    await office.hear_each_other(call, desk, voice)
    state = await office.desk_state()
    assert (state["operator"], state["busy"], state["ticket"]) == ("Ольга", True, 1001)
    await desk.hangs_up()
    await call.ended(SOON)


async def test_a_killed_engine_leaves_a_colleagues_talk_untouched(office: Office, voice: Path) -> None:
    """The plumber asks the operator something in the midst of a robocall; the question whether they go comes afterwards."""
    office.desk.answers()
    staff = office.people.plumber
    staff.answers().hears(1.0).presses("0").holds(60)
    await office.signs_in()
    ticket = (await office.installation.post("/api/v1/tickets", WATER))["number"]
    call, desk = await staff.rang(SOON), await office.desk.rang(SOON)
    await office.together(ticket, 2)
    await office.installation.kill()
    await office.installation.start()
    await office.event(ticket, "CallResumed")
    spoken = (call.speech_seconds, desk.speech_seconds)
    await office.hear_each_other(call, desk, voice)
    await desk.hangs_up()
    await call.hears(spoken[0] + 2.0, timeout=SOON)  # the question again
    await call.presses((await office.event(ticket, "RobocallAnswered"))["accept_key"])
    assert (await office.event(ticket, "Accepted"))["contact"] == "plumber1"
    await call.hangs_up()
    assert len(staff.history) == 1


async def test_a_promise_survives_a_kill(office: Office) -> None:
    office.desk.answers()
    await office.signs_in()
    first = await office.asks_for_operator(NEIGHBOUR)
    await office.event(1001, "PartiesConnected")
    second = await office.asks_for_operator()
    await office.event(1002, "QueueJoined")
    await second.presses("2", after=1)
    await office.event(1002, "CallBackPromised")
    await second.ended(SOON)
    await office.installation.kill()
    back = office.people.network.phone(RESIDENT)
    back.busy().then.answers().holds(12).hangs_up()
    await first.hangs_up()
    await asyncio.sleep(1)
    office.installation.environment["DOZVON_OPERATORS_TRY_AGAIN_AFTER"] = "2s"
    await office.installation.start()
    await office.event(1002, "CallBackTried", outcome="busy")
    await office.event(1002, "CallBackEnded", kept=True)
    await back.history[-1].ended(SOON)
    await asyncio.sleep(2)
    assert len(back.history) == 2


@pytest.fixture
def accepted(people: People) -> None:
    """The second plumber takes every emergency."""
    people.plumber.busy()
    people.plumber_reserve.busy()
    people.second_plumber.answers().hears(0.5).presses_accept_key().then.answers()


async def _ticket(office: Office) -> int:
    number = int((await office.installation.post("/api/v1/tickets", WATER))["number"])
    await office.event(number, "Accepted", 60)
    await office.people.second_plumber.history[-1].ended(SOON)
    return number


@pytest.mark.usefixtures("accepted")
async def test_an_operator_calls_from_the_ticket_holds_brings_a_third_and_leaves(
    office: Office, voice: Path
) -> None:
    number = await _ticket(office)
    path = f"/api/v1/tickets/{number}/calls"
    resident_phone = office.people.network.phone(RESIDENT)
    office.desk.answers()
    resident_phone.rings(1).answers()
    placed = await office.installation.post(path, {"desk": "operator1", "to": "resident"})
    desk, resident = await office.desk.rang(SOON), await resident_phone.rang(SOON)
    assert desk.began_at < resident.began_at
    assert desk.caller_name == COMPANY
    await office.event(number, "PartiesConnected")
    await office.hear_each_other(desk, resident, voice)
    with pytest.raises(ApiError) as refused:
        await office.installation.post(path, {"desk": "operator1", "to": "executor"})
    assert refused.value.status == 409

    talk = f"{path}/{placed['call']}"
    assert (await office.installation.post(f"{talk}/hold"))["held"]
    await asyncio.sleep(0.5)
    on_hold, heard = resident.speech_seconds, desk.speech_seconds
    await asyncio.sleep(2)
    assert resident.speech_seconds - on_hold > 0.5, "no music on hold"
    assert desk.speech_seconds == heard
    await office.installation.post(f"{talk}/resume")
    await asyncio.sleep(0.5)
    await office.hear_each_other(desk, resident, voice)

    await office.installation.post(f"{talk}/add", {"to": "executor"})
    robocall, plumber = [await office.people.second_plumber.rang(SOON) for _ in range(2)]
    assert robocall.over
    await plumber.answered(SOON)
    await plumber.hears(wording.OPERATOR_CALLS)
    await office.together(number, 3)
    await office.hear_each_other(plumber, resident, voice)
    await office.hear_each_other(plumber, desk, voice)
    await desk.hangs_up()
    await office.together(number, 2)
    await office.hear_each_other(plumber, resident, voice)
    assert not (await office.desk_state())["busy"]
    await resident.hangs_up()
    await plumber.ended(SOON)
    calls = {call["call"] for call in (await office.installation.ticket(number))["calls"]}
    assert {placed["call"], f"{number}-t1", f"{number}-t2"} <= calls


@pytest.mark.usefixtures("accepted")
async def test_a_transfer_to_the_next_of_the_tree(office: Office, voice: Path) -> None:
    number = await _ticket(office)
    office.desk.answers()
    office.people.network.phone(RESIDENT).answers()
    office.people.supervisor.rings(1).answers()
    path = f"/api/v1/tickets/{number}/calls"
    placed = await office.installation.post(path, {"desk": "operator1", "to": "resident"})
    desk, resident = await office.desk.rang(SOON), await office.people.network.phone(RESIDENT).rang(SOON)
    await office.event(number, "PartiesConnected")
    await office.installation.post(f"{path}/{placed['call']}/transfer", {"to": "next"})
    await desk.ended(SOON)
    supervisor = await office.people.supervisor.rang(SOON)
    await supervisor.hears(wording.OPERATOR_CALLS)
    await asyncio.sleep(1)
    await office.hear_each_other(resident, supervisor, voice)
    await supervisor.hangs_up()
    await resident.ended(SOON)


async def test_who_cannot_be_rung_is_refused_with_the_reason(office: Office) -> None:
    ticket = {**WATER, "urgency": "normal", "phone": None}
    number = (await office.installation.post("/api/v1/tickets", ticket))["number"]
    for to, reason in (
        ("resident", "номер"),
        ("executor", "никто"),
        ("next", "никого"),
        ("utility", "служб"),
    ):
        with pytest.raises(ApiError) as refused:
            await office.installation.post(f"/api/v1/tickets/{number}/calls", {"desk": "operator1", "to": to})
        assert refused.value.status == 422
        assert reason in refused.value.body["errors"][0]["reason"]
