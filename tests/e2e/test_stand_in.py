"""The engine is away: the dialplan answers, records, and rings whoever is on duty. When the engine is back, each call is a ticket."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.demo.hearing import heard
from engine.demo.softphones import Call, Resident
from engine.domain.wording import FALLBACK
from tests.e2e.harness import DID, POLL_SECONDS, Installation, Json, People, russian_prompt

SPEECH = russian_prompt("vm-goodbye")
TAKEN_OVER_SECONDS = 10.0
"""What is promised. They are there when the engine says that it is ready; one that ends after that is three seconds later."""
PATIENCE_SECONDS = 20.0
HASTY, LATE = "+79160000043", "+79160000044"


async def engine_dies(installation: Installation, people: People) -> None:
    """Once it has told Asterisk whom to ring without it, and what to say."""
    wanted = [
        phone.number
        for phone in (people.plumber, people.plumber_reserve, people.second_plumber, people.director)
    ]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            said = await installation.server.cli(f"database show dozvon/fallback/{DID}")
            kept = [line.split()[-1] for line in said.splitlines() if line.startswith("/dozvon")]
            spoken = [(installation.server.settings.sounds_dir / f"{name}.wav").exists() for name in FALLBACK]
            if kept == wanted and all(spoken):
                break
            await asyncio.sleep(POLL_SECONDS)
    await installation.kill()


async def tickets(installation: Installation, number: int) -> dict[str | None, list[Json]]:
    """By the caller's number, the timeline of each of so many tickets, once they are there with their recordings."""
    async with asyncio.timeout(TAKEN_OVER_SECONDS):
        while True:
            found = {
                one["phone"]: await installation.events(one["number"]) for one in await installation.tickets()
            }
            if len(found) == number and all(map(recorded, found.values())):
                return found
            await asyncio.sleep(POLL_SECONDS)


def recorded(events: list[Json]) -> bool:
    return {e["call"] for e in events if e["type"] == "CallEnded"} == {
        e["call"] for e in events if e["type"] == "RecordingAttached"
    }


def only(events: list[Json], type: str) -> Any:
    (found,) = [event for event in events if event["type"] == type]
    return found


async def test_it_answers_records_and_rings_and_all_of_it_becomes_tickets(
    installation: Installation, people: People
) -> None:
    """One resident is connected with the second plumber, one gives up, one shows no number, one is on the line when the engine is back."""
    people.plumber.busy()
    people.plumber_reserve.declines_call()
    staff = people.second_plumber.answers().hears(4).presses("1").hears_pause(0.3).says(SPEECH)
    staff.then.rings_out()  # for the walks, later
    await engine_dies(installation, people)
    residents = {name: people.network.resident(name) for name in (HASTY, "anonymous", LATE)}
    async with asyncio.TaskGroup() as group:
        group.create_task(is_connected(people, installation))
        group.create_task(gives_up(residents[HASTY], installation))
        group.create_task(speaks_and_leaves(residents["anonymous"], installation))
    late = await calls(residents[LATE], installation)
    await installation.start()
    await late.hangs_up()
    found = await tickets(installation, 4)

    connected = found[people.resident.number]
    assert only(connected, "TicketOpened")["channel"] == "fallback"
    assert only(connected, "TicketOpened")["premises"]["house"] == "lenina15"
    assert (only(connected, "Accepted")["contact"], only(connected, "Accepted")["via"]) == (
        "plumber2",
        "call",
    )
    assert [e["kind"] for e in connected if e["type"] == "CallStarted"] == ["fallback", "robocall"]
    assert not [e for e in connected if e["type"] == "DialStarted"], "it was taken already"
    assert only(found[HASTY], "Classified")["urgency"] == "normal"
    assert only(found[LATE], "TicketOpened")["channel"] == "fallback"
    assert only(found[None], "Classified")["urgency"] == "emergency", (
        "a message was left, so somebody is rung"
    )
    for ticket in await installation.tickets():
        if ticket["status"] == "escalating":
            await installation.post(f"/api/v1/tickets/{ticket['number']}/accept", {"contact": "supervisor"})
    left = [path.name for path in installation.server.settings.live_dir.glob("[!.]*") if path.is_file()]
    assert left == [], "notes or messages of the dialplan were left"


async def is_connected(people: People, installation: Installation) -> None:
    call = await calls(people.resident, installation)
    await call.hears_pause(0.5)
    await call.says(SPEECH)
    taken = await people.second_plumber.rang()
    await taken.hears_pause(0.3)
    before = call.speech_seconds
    await call.says(SPEECH)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while call.speech_seconds < before + 0.5 or taken.said_seconds == 0:
            await call.holds(POLL_SECONDS)
    await call.holds(1.0)
    await call.hangs_up()
    await taken.ended()
    for sentence in ("fallback-greeting", "fallback-hold"):
        prompt = await people.network.prompt_of(FALLBACK[sentence])
        assert call.wav is not None
        assert await asyncio.to_thread(heard, call.wav, prompt), sentence


async def gives_up(resident: Resident, installation: Installation) -> None:
    call = await calls(resident, installation)
    await call.hears(0.5)
    await call.hangs_up()


async def speaks_and_leaves(resident: Resident, installation: Installation) -> None:
    call = await calls(resident, installation)
    await call.hears_pause(0.5)
    await call.says(SPEECH)
    await call.hangs_up()


async def calls(resident: Resident, installation: Installation) -> Call:
    call = await resident.calls(f"sip:{DID}@127.0.0.1:{installation.base_port}")
    assert call.up
    return call
