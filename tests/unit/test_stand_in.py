"""What the dialplan's fallback notes down becomes a ticket: who called, who was rung, who picked up, who took it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.asterisk.stand_in import AsteriskStandIn
from engine.domain.company import Company
from engine.domain.events import (
    Accepted,
    CallEnded,
    CallStarted,
    Classified,
    DeadlineBroken,
    DeadlineNear,
    Event,
)
from engine.domain.model import CallKind, Urgency, Via
from engine.domain.wording import FALLBACK
from engine.flows.deps import Deps
from engine.flows.records import stand_in
from engine.ports import Sound, StoodInCall, StoodInLeg
from tests.fakes.time import virtual
from tests.fakes.town import DID, FIRST, RESIDENT, SECOND, Notes, Town

NOTES = f"""call=1795.1
did={DID}
caller={RESIDENT}
started=1795290000
message=1795.1-message
rang={FIRST}
status=BUSY
left_at=1795290010
rang={SECOND}
leg=1795.2
leg_at=1795290012.250
accepted={SECOND}
status=ANSWER
left_at=1795290040
outcome=accepted
ended=1795290041
"""


class Files:
    """A voice whose sounds are files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def speak(self, text: str, language: str = "ru") -> Sound:
        name = self.folder / f"said-{len(text)}"
        name.with_suffix(".wav").write_text(text)
        return Sound(f"sound:{name}")


async def _nothing(*_: object) -> None:
    return


CALL = StoodInCall(
    id="1795.1",
    did=DID,
    caller=RESIDENT,
    started=datetime.fromtimestamp(1795290000, UTC),
    ended=datetime.fromtimestamp(1795290041, UTC),
    spoke=True,
    rang=(FIRST, SECOND),
    accepted_by=SECOND,
    legs=(
        StoodInLeg(
            "1795.2",
            SECOND,
            datetime.fromtimestamp(1795290012.25, UTC),
            datetime.fromtimestamp(1795290040, UTC),
        ),
    ),
)


async def test_notes_are_read_and_put_away(tmp_path: Path) -> None:
    (tmp_path / "1795.1.fallback").write_text(NOTES)
    (tmp_path / "1795.1.fallback.accepted").write_text(f"{SECOND}\n")
    (tmp_path / "1795.1-message.wav").touch()
    notes = AsteriskStandIn(tmp_path, _nothing, _nothing)
    assert await notes.calls() == [CALL]
    await notes.forget(CALL.id)
    assert list(tmp_path.iterdir()) == []


async def test_who_hung_up_while_somebody_listened_has_ended_that_call_too(tmp_path: Path) -> None:
    (tmp_path / "1795.1.fallback").write_text(NOTES.replace("status=ANSWER\nleft_at=1795290040\n", ""))
    (call,) = await AsteriskStandIn(tmp_path, _nothing, _nothing).calls()
    assert [leg.ended for leg in call.legs] == [CALL.ended]


async def test_a_call_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "1795.1.fallback").write_text(NOTES.partition("outcome=")[0])
    assert await AsteriskStandIn(tmp_path, _nothing, _nothing).calls() == []


async def test_a_disk_that_was_full_for_a_while_loses_notes_but_no_call(tmp_path: Path) -> None:
    """What was written when there was room again is enough."""
    (tmp_path / "1795.1.fallback").write_text("\n".join(NOTES.splitlines()[-5:]))
    (call,) = await AsteriskStandIn(tmp_path, _nothing, _nothing).calls()
    assert (call.id, call.did, call.caller, call.accepted_by) == ("1795.1", "", None, SECOND)
    assert (call.started, call.ended, call.spoke) == (CALL.legs[0].ended, CALL.ended, True)


async def test_the_dialplan_is_given_its_sentences(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    notes = AsteriskStandIn(tmp_path, _nothing, _nothing, tmp_path / "sounds", Files(tmp_path))
    await notes.keep(DID, "demo", (FIRST,))
    said = {path.stem: path.read_text() for path in (tmp_path / "sounds").iterdir()}
    assert said == FALLBACK
    assert "записывается" in said["fallback-greeting"]


@virtual
async def test_who_took_the_call_has_the_ticket() -> None:
    notes = Notes()
    notes.left.append(CALL)
    async with Town.at_work() as town:
        assert await stand_in.take_over(notes, town.d) == 1
        assert [(call.call, call.kind, call.number) for call in town.events(1001, CallStarted)] == [
            ("1795.1", CallKind.FALLBACK, RESIDENT),
            ("1795.2", CallKind.ROBOCALL, SECOND),
        ]
        assert [ended.seconds for ended in town.events(1001, CallEnded)] == [27.75, 41.0]
        (accepted,) = town.events(1001, Accepted)
        assert (accepted.contact, accepted.via) == ("plumber2", Via.CALL)
        assert await stand_in.take_over(notes, town.d) == 0


@virtual
async def test_whom_nobody_answered_is_an_emergency() -> None:
    """They were promised that somebody would be rung; and one who picked up and pressed nothing took nothing."""
    notes = Notes()
    notes.left.append(replace(CALL, accepted_by=None))
    async with Town.at_work() as town:
        town.phone(FIRST).answers().presses_accept_key()
        await stand_in.take_over(notes, town.d)
        assert town.events(1001, Classified)[0].urgency is Urgency.EMERGENCY
        assert (await town.until(1001, Accepted)).contact == "plumber1"


@virtual
async def test_one_call_that_cannot_be_told_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    notes, story = Notes(), stand_in._story

    def odd(call: StoodInCall, company: Company, d: Deps) -> list[Event]:
        if call.id == "odd":
            raise ValueError("nobody foresaw this")
        return story(call, company, d)

    monkeypatch.setattr(stand_in, "_story", odd)
    notes.left += [replace(CALL, id="odd"), CALL]
    async with Town.at_work() as town:
        assert await stand_in.take_over(notes, town.d) == 1
        assert [call.id for call in notes.left] == ["odd"]  # and is tried again
        assert town.events(1001, Accepted)


@virtual
async def test_a_message_that_nobody_has_heard_in_ten_minutes_breaks_a_clock() -> None:
    notes = Notes()
    async with Town.at_work() as town:
        now = town.clock.now()
        late = replace(
            CALL,
            id="late",
            started=now - timedelta(minutes=11),
            ended=now - timedelta(minutes=10),
            accepted_by=None,
        )
        near = replace(
            late, id="near", started=now - timedelta(minutes=9), ended=now - timedelta(minutes=8), legs=()
        )
        taken = replace(late, id="taken", accepted_by=SECOND, legs=())
        notes.left += [replace(late, legs=()), taken, near]
        await stand_in.take_over(notes, town.d)
        for _ in range(3):  # the walks write meanwhile: what could not be told is told the next time
            await asyncio.sleep(1)
            await town.d.deadlines.watch(town.d)
        said = {
            call: [
                type(e).__name__
                for e in town.store.timelines[await town.store.ticket_of_call(call) or 0]
                if isinstance(e, DeadlineNear | DeadlineBroken) and e.clock == "process_message"
            ]
            for call in ("late", "near", "taken")
        }
        assert said == {"late": ["DeadlineBroken"], "near": ["DeadlineNear"], "taken": []}
