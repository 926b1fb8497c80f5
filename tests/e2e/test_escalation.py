"""The walk on a real Asterisk where it is a race, a call the other way round, or silence; and the alarm call that needs no engine."""

from __future__ import annotations

import asyncio
import wave
from datetime import datetime
from pathlib import Path

import pytest

from engine.asterisk.call_file import CallFiles
from engine.asterisk.server import AsteriskServer
from engine.demo.softphones import Call
from engine.domain import wording
from engine.ports import Sound
from tests.e2e import wire
from tests.e2e.harness import DID, PREFIX, asterisk_settings
from tests.e2e.stories import Stories, Story, gap
from tests.ports import free_base_port

LONGEST_TIMER_SECONDS = 12.0
"""Longer than any pause of the stories' policies but `give_up_after`; that one is waited for in virtual time."""
TAKEN = ("first", "accepted")

story = Stories()


async def calls_in(s: Story, number: str) -> Call:
    """A member of staff calls the hotline from their own phone."""
    return await s.network.resident(number).calls(f"sip:{DID}@127.0.0.1:{s.installation.base_port}")


# --- all at once -------------------------------------------------------------------------------------------------------------------


@story
async def two_answer_and_press_in_the_same_moment(s: Story) -> None:
    """Both pick up within 50 ms and both press their keys: one has it, the other hears who, and both calls end."""
    together = asyncio.Barrier(2)
    for phone in (s.first, s.second):
        phone.rings(0.5).meets(together).answers().hears(1).presses_accept_key()
    await s.emergency(cause="heating.riser")
    one, other = await s.first.rang(), await s.second.rang()
    await asyncio.gather(one.ended(40), other.ended(40))
    assert abs(one.answered_at - other.answered_at) < 0.05
    assert sorted(outcome for _, outcome in await s.dials()) == ["accepted", "cancelled"]
    assert len(s.all("Accepted")) == 1
    winner = s.all("Accepted")[0]["contact"]
    loser = other if winner.endswith("-1") else one
    assert await s.heard(loser, wording.taken_by("кто-то")[0])


# --- called back -------------------------------------------------------------------------------------------------------------------


@story
async def called_back_while_it_rings(s: Story) -> None:
    """Who sees the missed call and calls back hears the ticket and takes it; whatever rings falls silent."""
    s.first.rings_out()
    s.second.rings_out()
    await s.emergency()
    await s.first.rang()
    back = await calls_in(s, s.first.number)
    assert back.up
    await back.presses("1")  # the key is kept for the question
    accepted = await s.until("Accepted")
    assert (accepted["via"], accepted["contact"]) == ("callback", f"staff-{s.index}-1")
    await back.ended(30)
    dials = await s.dials()
    assert dials[-1][1] == "cancelled"
    ended = s.all("DialEnded", outcome="cancelled")[-1]
    assert gap(accepted, ended) < 1.0
    assert await s.heard(back, wording.ACCEPTED)
    assert {one["kind"] for one in s.all("CallStarted")} == {"callback"}


@story
async def one_call_reports_arrival(s: Story) -> None:
    """Who has taken a ticket calls in and says by key that they have arrived."""
    s.first.answers().hears(1).presses_accept_key()
    await s.emergency()
    await (await s.first.rang()).ended(30)
    assert await s.dials() == [TAKEN]
    back = await calls_in(s, s.first.number)
    await back.presses("1")
    reported = await s.until("Reported")
    assert (reported["what"], reported["via"], reported["contact"]) == (
        "arrived",
        "callback",
        f"staff-{s.index}-1",
    )
    await back.ended(30)


# --- no coverage -------------------------------------------------------------------------------------------------------------------


@story
async def no_coverage_for_three_hours(s: Story) -> None:
    s.first.answers().hears(1).presses("2").hears(2).presses("2").hears(1).presses("3").holds(20)
    s.second.answers().hears(3).presses_accept_key()
    await s.emergency()
    await (await s.first.rang()).ended(40)
    said = await s.until("NoCoverage")
    until, at = datetime.fromisoformat(said["until"]), datetime.fromisoformat(said["at"])
    assert 2.9 * 3600 < (until - at).total_seconds() <= 3 * 3600
    assert await s.dials() == [("first", "declined"), ("second", "accepted")]


# --- silence -----------------------------------------------------------------------------------------------------------------------


@story
async def nobody_is_rung_after_the_acceptance(s: Story) -> None:
    """No timer of the policy rings anybody any more: not the pause, not the next step, not the next round."""
    s.first.busy().then.answers().hears(1).presses_accept_key()
    await s.emergency()
    await s.until("Accepted")
    settled = await s.dials()
    await asyncio.sleep(LONGEST_TIMER_SECONDS)
    assert await s.dials() == settled == [("first", "busy"), TAKEN]
    assert not s.second.history


@pytest.mark.parametrize("name", story.names)
async def test_escalation(told: dict[str, asyncio.Task[None]], name: str) -> None:
    await told[name]


# --- the alarm that needs no engine ------------------------------------------------------------------------------------------------


async def test_asterisk_rings_the_director_by_itself(tmp_path: Path) -> None:
    """An order in the spool: the phone rings, and whoever picks up hears the alarm, with no engine at all."""
    if not PREFIX.exists():
        pytest.skip("no Asterisk in .cache/asterisk: run `make setup`")
    settings = asterisk_settings(tmp_path / "var", free_base_port())
    async with (
        AsteriskServer(settings, dies_with_parent=True),
        wire.phone("+79000000004", settings.base_port + 50) as director,
    ):
        sound = tmp_path / "alarm.wav"
        with wave.open(str(sound), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(b"\x00\x20\x00\xe0" * 8000)
        calls = CallFiles(settings.run_dir / "spool", settings.trunks[0].name, "+74950000112")
        await calls.order("alarm-test", "+79000000004", Sound(f"sound:{sound.with_suffix('')}"))
        async with asyncio.timeout(20):
            assert await director.rings() == "+79000000004"
            assert "+74950000112" in director.caller
            director.answers()
            await director.is_hung_up()
        assert director.frames > 150, "three seconds of alarm were to be heard"
        async with asyncio.timeout(10):  # an order that was carried out is taken away
            while list((settings.run_dir / "spool" / "outgoing").iterdir()):
                await asyncio.sleep(0.05)
