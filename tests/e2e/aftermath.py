"""What must be true when a test is over: nothing rang that should not, nothing is left, every call is on record."""

from __future__ import annotations

import asyncio
import io
import time
import wave
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from engine.demo.hearing import speech_seconds
from engine.demo.softphones import Call
from tests.e2e.harness import POLL_SECONDS, SAME_LENGTH_SECONDS, Installation, Json, People

QUIET_SECONDS = 5.0
"""How long calls may take to end, and recordings to be attached."""
AUDIBLE_SECONDS = 0.3
WITHHELD = "anonymous"


async def complaints(installation: Installation, people: People) -> list[str]:
    """Everything that is wrong after a test; leaves the engine running, unless the test said that tickets stay open."""
    found: list[str] = []
    if not installation.running:
        await installation.start()
    if installation.open_tickets_allowed:
        answered = [call for call in people.network.calls if call.answered_at is not None]
        await installation.stop()
        await people.network.hang_up()
        found += await left_behind(installation)
        await installation.start()
        found += await recordings(installation, answered)
    else:
        found += await left_behind(installation)
        found += await recordings(installation, people.network.calls)
    found += unexpected_calls(people)
    found += await unexpected_texts(installation, people)
    return found


def unexpected_calls(people: People) -> list[str]:
    network = people.network
    return [f"unexpected call: {call}" for call in network.unexpected] + [
        f"a softphone's trouble: {text}" for text in network.troubles
    ]


async def unexpected_texts(installation: Installation, people: People) -> list[str]:
    """A text may go to whoever a script was written for, was rung, or called."""
    involved = {phone.number for phone in people.network.phones if phone.expected or phone.history}
    involved |= {call.caller for call in people.network.calls if not call.incoming}
    return [
        f"unexpected text: {text}" for text in await installation.texts() if text["number"] not in involved
    ]


async def left_behind(installation: Installation) -> list[str]:
    """Channels and bridges that are still there when they have had the time to go."""
    deadline = time.monotonic() + QUIET_SECONDS
    while True:
        channels, bridges = await installation.ari("/channels"), await installation.ari("/bridges")
        if not channels and not bridges:
            return []
        if time.monotonic() > deadline:
            return [
                f"channel left: {each['name']} {each['state']} {each['dialplan']}" for each in channels
            ] + [f"bridge left: {each['id']} {each['channels']}" for each in bridges]
        await asyncio.sleep(POLL_SECONDS)


async def recordings(installation: Installation, calls: list[Call]) -> list[str]:
    """Each answered call has a recording of its length, with speech in it on the sides that spoke."""
    answered = [call for call in calls if call.seconds > SAME_LENGTH_SECONDS and call.over]
    if not answered:
        return []
    deadline = time.monotonic() + QUIET_SECONDS
    while True:
        attached = await _attached(installation)
        pairs, missing = _match(answered, attached)
        if not missing or time.monotonic() > deadline:
            break
        await asyncio.sleep(POLL_SECONDS)
    have = [f"{number} {event['seconds']:.2f} s from {event['started']}" for number, event in attached]
    found = [f"no recording of {call}, {_length(call)}, among {have}" for call in missing]
    for call, event in pairs:
        sides = await _speech_seconds(installation, event["recording"])
        for leg, expected in (("out", call.speech_seconds), ("in", call.said_seconds)):
            spoken = sides[leg]
            where = f"the {leg} leg of {event['recording']} ({call})"
            if expected > AUDIBLE_SECONDS and spoken < AUDIBLE_SECONDS / 2:
                found.append(f"{where} is silent; {expected:.1f} s were spoken")
            if expected == 0.0 and spoken > AUDIBLE_SECONDS:
                found.append(f"{where} has {spoken:.1f} s of speech; nothing was spoken")
    return found


async def _attached(installation: Installation) -> list[tuple[str, Json]]:
    """Every `RecordingAttached`, with the number at the other end of its call."""
    found: list[tuple[str, Json]] = []
    for ticket in await installation.tickets():
        events = await installation.events(ticket["number"])
        numbers = {event["attempt"]: event["number"] for event in events if event["type"] == "DialStarted"}
        numbers |= {event["call"]: event.get("number") for event in events if event["type"] == "CallStarted"}
        found += [
            (numbers.get(event["call"]) or "", event)
            for event in events
            if event["type"] == "RecordingAttached"
        ]
    return found


def _length(call: Call) -> str:
    """Of its talk as the phone saw it, and since when: shows whether a recording lacks its beginning."""
    assert call.answered_at is not None
    answered = datetime.fromtimestamp(time.time() - time.monotonic() + call.answered_at, UTC)
    return f"{call.seconds:.2f} s from {answered.isoformat()}"


def _match(calls: list[Call], attached: list[tuple[str, Json]]) -> tuple[list[tuple[Call, Json]], list[Call]]:
    """Pair each call with a recording of the same number and length; the calls that found none."""
    left, pairs, missing = list(attached), [], []
    for call in calls:
        number = call.number if call.incoming else call.caller.replace(WITHHELD, "")
        alike = [
            each
            for each in left
            if each[0] == number and abs(float(each[1]["seconds"]) - call.seconds) <= SAME_LENGTH_SECONDS
        ]
        if not alike:
            missing.append(call)
            continue
        best = min(alike, key=lambda each: abs(each[1]["seconds"] - call.seconds))
        left.remove(best)
        pairs.append((call, best[1]))
    return pairs, missing


async def _speech_seconds(installation: Installation, recording: Any) -> dict[str, float]:
    """How much is spoken on either side of the stereo file: left is the far end (`in`), right is we (`out`)."""
    audio = await installation.get(f"/api/v1/recordings/{recording}?leg=both&format=wav")
    path = Path(installation.data_dir.parent) / "heard.wav"
    found = {}
    with wave.open(io.BytesIO(audio)) as stereo:
        frames, rate = np.frombuffer(stereo.readframes(stereo.getnframes()), "<i2"), stereo.getframerate()
    for side, leg in enumerate(("in", "out")):
        with wave.open(str(path), "wb") as mono:
            mono.setparams((1, 2, rate, 0, "NONE", ""))
            mono.writeframes(frames[side::2].tobytes())
        found[leg] = speech_seconds(path)
    return found
