"""The demo story with the engine killed at every point that has a name, and with Asterisk killed: nobody is skipped, nothing is lost.

`kill -9` comes from within, at the very line. After each one the engine is started again and killed at the next point, so that one story
lives through several deaths; the last engine finishes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from engine.demo.softphones import Call, CallOverError
from engine.flows.deps import FAILPOINTS
from tests.e2e.harness import EngineFailedError, Installation, Json, People
from tests.e2e.stories import shorten_greeting

STORY_SECONDS = 300.0
DEATH_SECONDS = 90.0
"""Bounds for a busy machine; on an idle one a story takes twenty seconds."""
PERSISTENT_SECONDS = 2.0
MENU = "cause.emergency"
OVERLAP_SECONDS = 0.1
LIVES = {
    "the resident's call": ("hotline.ticket_opened", "hotline.answered", "hotline.announced"),
    "the resident's answers": (
        "hotline.classified",
        "hotline.number_told",
        "hotline.asked",
        "hotline.ended",
    ),
    "the walk": ("walker.decided", "walker.committed", "walker.acted", "texting.sent"),
    "the refusal": ("dialout.answered", "dialout.key_drawn", "dialout.key_pressed"),
    "the acceptance": ("dialout.accepted", "dialout.ended", "filing.kept"),
}
ELSEWHERE = {"hotline.joined"}
"""Reached only when a house has an incident already."""
PEOPLE = ["plumber1", "plumber2", "supervisor", "director"]


def test_every_point_is_died_at() -> None:
    assert {point for points in LIVES.values() for point in points} | ELSEWHERE == set(FAILPOINTS)


def shortened(companies: Path) -> None:
    """The demo story with short times and a short greeting."""
    folder = companies / "demo"
    policy = folder / "policies" / "water.yaml"
    text = (
        policy.read_text()
        .replace("ring_for: 6s", "ring_for: 2s")
        .replace("again_after: 2s", "again_after: 1s")
    )
    policy.write_text(text.replace("calls: 2", "calls: 1"))
    shorten_greeting(folder)


def cast(people: People) -> None:
    people.plumber.busy()
    people.plumber_reserve.busy()
    people.second_plumber.answers().hears(0.5).presses("2").hears(
        4.0
    ).hangs_up()  # beyond «связь прерывалась»
    people.supervisor.rings_out()
    people.director.answers().hears(0.5).presses_accept_key()
    people.network.phone(people.resident.number).busy()  # a call that breaks off may be rung back


@pytest.mark.parametrize("points", LIVES.values(), ids=LIVES)
async def test_killed_in(points: Sequence[str], installation: Installation, people: People) -> None:
    cast(people)
    await installation.begin(shortened, DOZVON_FAILPOINT=points[0])
    async with asyncio.timeout(STORY_SECONDS), asyncio.TaskGroup() as group:
        resident = group.create_task(phones(installation, people, "hotline.asked" in points), name="resident")
        for point, following in zip(points, (*points[1:], None), strict=True):
            code = await installation.died(DEATH_SECONDS)
            assert code == -9, f"{point}: the engine ended with {code}{installation.last_words()}"
            installation.environment.pop("DOZVON_FAILPOINT")
            if following is not None:
                installation.environment["DOZVON_FAILPOINT"] = following
            try:
                await installation.start()
            except EngineFailedError:  # it may reach its failpoint before it says that it is ready
                if following is None or installation.running:
                    raise
        await resident
    events = await settled(installation)
    check(events, people)


async def phones(installation: Installation, people: People, asked: bool) -> None:
    """The resident phones, presses one until somebody cares, and stays on the line until the director has accepted (and the menu of
    causes has been `asked`, and answered)."""
    call = await people.call_the_hotline(installation.base_port, timeout=DEATH_SECONDS)
    with contextlib.suppress(CallOverError):  # the fallback may have had it, or the hotline has said good-bye
        await presses_until(call, installation, "Classified")
        if asked:
            await presses_until(call, installation, question=MENU)
        while not await seen(installation, "Accepted"):
            await call.holds(0.2)
    await call.hangs_up()


async def presses_until(
    call: Call, installation: Installation, type: str | None = None, question: str | None = None
) -> None:
    """Press one, over and over, until such an event is on the timeline. By INFO: a key that is held while nobody is there to send
    silence would be missing in the recording (ADR 14)."""
    while not await seen(installation, type, question):
        await call.presses("1", info=True)
        await call.holds(PERSISTENT_SECONDS)


async def seen(installation: Installation, type: str | None = None, question: str | None = None) -> bool:
    """Whether the first ticket has such an event; an engine that is dead says nothing."""
    with contextlib.suppress(aiohttp.ClientError):
        for ticket in await installation.tickets():
            for event in await installation.events(ticket["number"]):
                if type in (None, event["type"]) and question in (None, event.get("question")):
                    return True
    return False


async def settled(installation: Installation) -> list[Json]:
    """The story's timeline, when everything has come to its end."""
    (ticket,) = await installation.tickets()
    async with contextlib.aclosing(installation.timeline(ticket["number"])) as timeline:
        events: list[Json] = []
        async with asyncio.timeout(DEATH_SECONDS):
            async for event in timeline:
                events.append(event)
                if over(events):
                    return events
    raise AssertionError("a timeline never ends")


def over(events: list[Json]) -> bool:
    def of(type: str, field: str, *, up: bool = False) -> set[Any]:
        return {e[field] for e in events if e["type"] == type and (not up or e["seconds"] > 0)}

    return (
        bool(of("Accepted", "contact"))
        and of("DialStarted", "attempt") <= of("DialEnded", "attempt")
        and of("CallStarted", "call") <= of("CallEnded", "call")
        and of("CallEnded", "call", up=True) <= of("RecordingAttached", "call")
    )


def check(events: list[Json], people: People) -> None:
    (accepted,) = [event for event in events if event["type"] == "Accepted"]
    assert (accepted["contact"], accepted["via"]) == ("director", "call")
    started = [event for event in events if event["type"] == "DialStarted"]
    rung = list(dict.fromkeys(event["contact"] for event in started))
    assert rung == PEOPLE, "somebody was skipped, or rung out of turn"
    assert all(event["seq"] < accepted["seq"] for event in started), "somebody was rung after the acceptance"
    ended = {event["attempt"]: event["outcome"] for event in events if event["type"] == "DialEnded"}
    last = {
        event["contact"]: ended[event["attempt"]] for event in started if ended[event["attempt"]] != "lost"
    }
    assert last["plumber1"] == "busy"
    assert last["plumber2"] in ("declined", "machine"), "the refusal may have been made to a dead engine"
    assert last["director"] == "accepted"
    ringing = sorted(
        ring(call) for call in people.network.calls if call.incoming and call.number != people.resident.number
    )
    for (_, until, one), (since, _, other) in itertools.pairwise(ringing):
        assert until < since + OVERLAP_SECONDS, f"{one} and {other} rang at the same time"


def ring(call: Call) -> tuple[float, float, str]:
    """From when until when it rang, and where."""
    until = call.answered_at or call.ended_at
    assert until is not None
    return call.began_at, until, repr(call)
