"""Asterisk is killed while a phone rings, and while somebody listens: the walk goes on. (A cut line: tests/contract/test_ari.py.)"""

from __future__ import annotations

import asyncio
from pathlib import Path

from engine.asterisk.server import AsteriskServer
from tests.crash.test_disk_and_ports import WATER, installed_on
from tests.e2e.harness import POLL_SECONDS, Installation, Json

PATIENCE_SECONDS = 90.0


async def asterisk_dies(installation: Installation) -> AsteriskServer:
    """SIGKILL, and another one in its place, as `dozvon up` would see to."""
    await installation.server.kill()
    installation.server = AsteriskServer(installation.server.settings, dies_with_parent=True)
    await installation.server.start()
    return installation.server


async def outcomes(installation: Installation, ticket: int) -> list[tuple[str, str]]:
    """Who was rung and how it ended, once somebody has accepted and that call is over."""
    accepted = await installation.wait_event(ticket, "Accepted", PATIENCE_SECONDS)
    await installation.wait_event(ticket, "DialEnded", PATIENCE_SECONDS, attempt=accepted["attempt"])
    events: list[Json] = await installation.events(ticket)
    ended = {event["attempt"]: event["outcome"] for event in events if event["type"] == "DialEnded"}
    return [(event["contact"], ended[event["attempt"]]) for event in events if event["type"] == "DialStarted"]


async def test_asterisk_is_killed_in_mid_ring_and_in_mid_talk(
    tmp_path: Path, asterisk: AsteriskServer
) -> None:
    """Nobody is skipped for it: the same person is rung again, and what was recorded until then is attached."""
    phones = tmp_path / "phones"
    phones.mkdir()
    async with installed_on(tmp_path, asterisk.settings.sounds_dir, phones) as (installation, people):
        people.plumber.rings_out().then.answers().then.answers().hears(0.5).presses_accept_key()
        server = installation.server
        try:
            ticket = (await installation.post("/api/v1/tickets", WATER))["number"]
            await (await people.plumber.rang()).reached()
            server = await asterisk_dies(installation)
            talk = await people.plumber.rang(PATIENCE_SECONDS)
            await talk.hears(2)
            server = await asterisk_dies(installation)
            ended = await outcomes(installation, ticket)
            assert {contact for contact, _ in ended} == {"plumber1"}
            assert ended[-1] == ("plumber1", "accepted")
            assert {outcome for _, outcome in ended[:-1]} <= {"lost", "failed"}
            cut = await installation.wait_event(ticket, "CallEnded", PATIENCE_SECONDS)
            kept = await installation.wait_event(
                ticket, "RecordingAttached", PATIENCE_SECONDS, call=cut["call"]
            )
            assert kept["seconds"] <= talk.seconds
            await gone(installation)
        finally:
            await server.stop()


async def gone(installation: Installation) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await installation.server.channels_count():
            await asyncio.sleep(POLL_SECONDS)
