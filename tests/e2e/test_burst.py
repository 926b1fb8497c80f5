"""200 residents at once, and one who dials twenty times: a ticket is left by each, an emergency is walked meanwhile, no channel stays."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.harness import DID, Installation, People
from tests.e2e.sipp import burst

CALLERS, VOICES = 200, 20
RATE = 40.0
TALK_SECONDS, VOICE_SECONDS = 5.0, 8.0
ENDED_SECONDS = 30.0
"""How long answering and ending may take beside the talks themselves."""
ABROAD, FRIGHTENED = "+4930[call_number]", "+493099999"
"""Numbers that may not be dialled: nobody is rung back who plays no telephone."""


class Found:
    """What is in the store. It is only read: hundreds of requests to the API would be a burst of their own."""

    def __init__(self, installation: Installation) -> None:
        self._file = installation.data_dir / "dozvon.sqlite"

    def events(self, kind: str) -> list[tuple[int, float]]:
        """The ticket and the instant (seconds) of each event of that type."""
        with closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)) as store:
            rows = store.execute(
                "SELECT ticket, at FROM events WHERE type = ? ORDER BY at", (kind,)
            ).fetchall()
        return [(ticket, at / 1e6) for ticket, at in rows]

    async def first(self, kind: str) -> tuple[int, float]:
        """The first event of that type, waited for."""
        while not (found := self.events(kind)):
            await asyncio.sleep(0.1)
        return found[0]


@pytest.mark.alone
async def test_two_hundred_calls_and_twenty_from_one_number(
    installation: Installation, people: People, tmp_path: Path
) -> None:
    for phone in (
        people.plumber,
        people.plumber_reserve,
        people.second_plumber,
        people.supervisor,
        people.director,
    ):
        phone.busy()
    found, port, began = Found(installation), installation.base_port, time.monotonic()
    async with asyncio.TaskGroup() as group, asyncio.timeout(TALK_SECONDS + CALLERS / RATE + ENDED_SECONDS):
        watching = group.create_task(_most_channels(installation, CALLERS + VOICES, found))
        taking = group.create_task(_taken(installation, found))
        well, voices = await asyncio.gather(
            burst(tmp_path, port, DID, caller=ABROAD, calls=CALLERS, rate=RATE, seconds=TALK_SECONDS, local_port=port + 60),
            burst(tmp_path, port, DID, caller=FRIGHTENED, calls=VOICES, rate=RATE, seconds=VOICE_SECONDS, local_port=port + 70, key="1"),
        )  # fmt: skip
        took = time.monotonic() - began
        most, ticket = await watching, await taking
    legs = len(list(installation.data_dir.rglob("*-in.wav")))
    tickets, left = len(found.events("TicketOpened")), await installation.ari("/channels")
    kept = len(found.events("RecordingAttached")) + legs
    (_, pressed), (_, dialled) = found.events("KeyPressed")[0], found.events("DialStarted")[0]
    print(
        f"\n{well} of {CALLERS} and {voices} of {VOICES} calls went well in {took:.1f} s, {most} channels at once; {tickets} tickets, "
        f"{kept} recordings, {len(left)} channels left; rung {dialled - pressed:.2f} s after the first key"
    )
    assert (well, voices) == (CALLERS, VOICES)
    assert tickets == CALLERS + 1
    assert {number for number, _ in found.events("EscalationStarted")} == {ticket}
    assert [number for number, _ in found.events("CallStarted")].count(ticket) == VOICES
    assert kept >= CALLERS + VOICES
    assert not left


async def _taken(installation: Installation, found: Found) -> int:
    """Somebody accepts the emergency in the midst of it; its ticket."""
    ticket, _ = await found.first("DialStarted")
    await installation.post(f"/api/v1/tickets/{ticket}/accept", {"contact": "supervisor"})
    return ticket


async def _most_channels(installation: Installation, calls: int, found: Found) -> int:
    """How many channels there were at most, until so many calls have ended."""
    most = 0
    while len(found.events("CallEnded")) < calls:
        most = max(most, len(await installation.ari("/channels")))
        await asyncio.sleep(0.5)
    return most
