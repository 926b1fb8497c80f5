"""What becomes of recordings: attached once, found again after a crash, never dropped; paused; let go when their time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.domain.company import Company, Keeping
from engine.domain.errors import NotKnown
from engine.domain.events import (
    CallAnswered,
    CallEnded,
    CallsBridged,
    CallStarted,
    Classified,
    DialEnded,
    DialStarted,
    EscalationStarted,
    Event,
    PartiesConnected,
    RecordingAttached,
    RecordingErased,
    RecordingPaused,
    RecordingResumed,
    TicketOpened,
)
from engine.domain.model import CallKind, Outcome, Urgency
from engine.flows.deps import Deps
from engine.flows.records import filing, keeping
from tests.fakes.recordings import FakeRecordings
from tests.fakes.store import MemoryStore
from tests.fakes.town import demo_company

NOW = datetime(2026, 11, 21, 20, tzinfo=UTC)
CALL = "1795287848.1"


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


class Mute:
    """`ports.Muting`."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bool]] = []

    async def mute(self, call: str, muted: bool) -> None:
        self.said.append((call, muted))


class World:
    def __init__(self, company: Company | None = None) -> None:
        self.clock, self.store, self.recordings = Clock(), MemoryStore(), FakeRecordings()
        self.companies = [company or demo_company()]
        nobody: object = None
        self.d = Deps(
            store=self.store,
            phone=nobody,  # type: ignore[arg-type]
            voice=nobody,  # type: ignore[arg-type]
            recordings=self.recordings,
            texts=nobody,  # type: ignore[arg-type]
            clock=self.clock,
            companies=lambda: self.companies,
        )
        self.strays: filing.Strays = {}

    async def ticket(self, *more: Event) -> int:
        return await self.store.open_ticket(
            [TicketOpened(at=NOW, company="demo", channel="phone"), *more], key=None
        )

    async def a_call(self, *more: Event, call: str = CALL) -> int:
        return await self.ticket(
            CallStarted(at=NOW, call=call, kind=CallKind.RESIDENT, number="+79160000042"),
            CallAnswered(at=NOW, call=call),
            *more,
        )

    def attached(self, ticket: int) -> Sequence[RecordingAttached]:
        return [e for e in self.store.timelines[ticket] if isinstance(e, RecordingAttached)]

    async def tidy(self, *alive: str) -> None:
        await filing.tidy_recordings(frozenset(alive), self.d, self.strays)


def ended(call: str = CALL, seconds: float = 5.0) -> CallEnded:
    return CallEnded(at=NOW + timedelta(seconds=seconds), call=call, seconds=seconds)


async def test_attached_once_however_many_file_it() -> None:
    world = World()
    ticket = await world.a_call(ended())
    world.recordings.record(CALL, 5.0)
    await asyncio.gather(*(filing.file_call(ticket, ended(), world.d) for _ in range(5)), world.tidy())
    (one,) = world.attached(ticket)
    assert (one.seconds, one.flaw, one.left, one.right, one.cause) == (
        5.0,
        None,
        "+79160000042",
        "dozvon",
        16,
    )


async def test_who_was_put_through_is_told() -> None:
    world = World()
    dial = DialStarted(
        at=NOW, attempt="7-1", contact="plumber1", number="+79000000001", step="brigade", round=1, index=0
    )
    ticket = await world.a_call(dial, CallsBridged(at=NOW, calls=("7-1", CALL)), ended(), ended("7-1"))
    for call in (CALL, "7-1"):
        world.recordings.record(call, 5.0)
    await world.tidy()
    sides = {one.call: (one.left, one.right) for one in world.attached(ticket)}
    resident = "+79160000042"
    assert sides == {CALL: (resident, "dozvon, plumber1"), "7-1": ("plumber1", f"dozvon, {resident}")}


async def test_what_could_not_be_filed_is_tried_again() -> None:
    world = World()
    ticket = await world.a_call(ended())
    world.recordings.record(CALL, 5.0)
    world.recordings.full = True
    with pytest.raises(OSError, match="No space"):
        await filing.file_call(ticket, ended(), world.d)
    await world.tidy()
    assert not world.attached(ticket)
    world.recordings.full = False
    await world.tidy()
    assert len(world.attached(ticket)) == 1


async def test_a_full_disk_at_start_does_not_keep_calls_from_ending() -> None:
    world = World()
    tickets = [await world.a_call(call=call) for call in ("1-a", "1-b")]
    for call in ("1-a", "1-b"):
        world.recordings.record(call, 5.0)
    world.recordings.full = True
    await filing.tidy_calls(frozenset(), world.d, NOW + timedelta(minutes=1))
    assert all(any(isinstance(e, CallEnded) for e in world.store.timelines[ticket]) for ticket in tickets)
    world.recordings.full = False
    await world.tidy()
    assert [len(world.attached(ticket)) for ticket in tickets] == [1, 1]


async def test_a_missing_recording_that_turns_up_is_attached() -> None:
    world = World()
    ticket = await world.a_call(ended())
    await filing.file_call(ticket, ended(), world.d)
    world.recordings.record(CALL, 5.0)
    await world.tidy()
    assert [one.flaw for one in world.attached(ticket)] == ["missing", None]
    await world.tidy()
    assert len(world.attached(ticket)) == 2


async def test_recorded_twice_both_are_attached() -> None:
    world = World()
    ticket = await world.a_call(ended())
    for recording in (CALL, f"{CALL}@2"):
        world.recordings.record(recording, 5.0)
    await world.tidy()
    assert [(one.recording, one.call) for one in world.attached(ticket)] == [
        (CALL, CALL),
        (f"{CALL}@2", CALL),
    ]


async def test_a_call_that_is_up_is_left_alone() -> None:
    world = World()
    ticket = await world.a_call()
    world.recordings.record(CALL, 5.0)
    await world.tidy(CALL)
    await world.tidy()  # its end is not on the timeline yet: whoever serves it will put it there
    assert not world.attached(ticket)
    await world.store.append(ticket, [ended()])
    await world.tidy()
    assert len(world.attached(ticket)) == 1


async def test_an_attempt_that_died_before_it_became_a_call() -> None:
    """Killed between the answer and `CallStarted`: the recording is there, and nothing but the attempt knows of it."""
    world = World()
    attempt = "7-1"
    dial = DialStarted(
        at=NOW, attempt=attempt, contact="plumber1", number="+79000000001", step="brigade", round=1, index=0
    )
    ticket = await world.ticket(dial, DialEnded(at=NOW, attempt=attempt, outcome=Outcome.LOST))
    world.recordings.record(attempt, 3.0)
    await world.tidy()
    (one,) = world.attached(ticket)
    assert (one.recording, one.left, one.seconds) == (attempt, "plumber1", 3.0)


async def test_a_recording_of_no_known_call_becomes_a_ticket() -> None:
    world = World()
    world.recordings.began[CALL] = NOW - timedelta(seconds=30)
    world.recordings.record(CALL, 8.0)
    await world.tidy()
    assert not world.store.timelines, "somebody may be about to open its ticket"
    world.clock.at += filing.FOUND_AFTER
    await world.tidy()
    ((number, story),) = world.store.timelines.items()
    opened = story[0]
    assert isinstance(opened, TicketOpened)
    assert (opened.channel, opened.company, opened.at) == ("found", "demo", NOW - timedelta(seconds=30))
    assert [one.recording for one in world.attached(number)] == [CALL]
    await world.tidy()
    assert len(world.store.timelines) == 1
    assert not world.strays


async def test_a_found_call_may_be_an_emergency_only_while_it_is_news() -> None:
    company = replace(demo_company(), unclear_is=Urgency.EMERGENCY)
    for age, walked in ((timedelta(minutes=5), True), (timedelta(days=2), False)):
        world = World(company)
        world.recordings.began[CALL] = NOW - age
        world.recordings.record(CALL, 8.0)
        await world.tidy()
        world.clock.at += filing.FOUND_AFTER
        await world.tidy()
        (story,) = world.store.timelines.values()
        urgency = next(e.urgency for e in story if isinstance(e, Classified))
        assert urgency is (Urgency.EMERGENCY if walked else Urgency.NORMAL)
        assert any(isinstance(e, EscalationStarted) for e in story) is walked


async def test_one_bad_recording_does_not_keep_the_others_from_being_filed() -> None:
    world = World()
    ticket = await world.a_call(ended())
    world.recordings.record("0-bad", 1.0)
    world.recordings.record(CALL, 5.0)
    bad = await world.ticket(CallStarted(at=NOW, call="0-bad", kind=CallKind.RESIDENT), ended("0-bad", 1.0))
    world.recordings.writing.add("0-bad")

    async def orphans() -> Sequence[str]:
        return ["0-bad", CALL]

    world.recordings.orphans = orphans  # type: ignore[method-assign]
    await world.tidy()
    assert not world.attached(bad)
    assert len(world.attached(ticket)) == 1


async def test_pause_and_resume_leave_a_gap_with_names() -> None:
    world, mute = World(), Mute()
    ticket = await world.a_call()
    assert await keeping.pause(world.d, CALL, "ivanova", mute)
    assert not await keeping.pause(world.d, CALL, "ivanova", mute), "twice is once"
    world.clock.at += timedelta(seconds=4)
    assert await keeping.resume(world.d, CALL, "ivanova", mute)
    assert not await keeping.resume(world.d, CALL, "ivanova", mute)
    assert mute.said == [(CALL, True), (CALL, True), (CALL, False), (CALL, False)]
    world.clock.at += timedelta(seconds=1)
    await keeping.pause(world.d, CALL, "ivanova", mute)
    over = CallEnded(at=NOW + timedelta(seconds=9), call=CALL, seconds=9.0)
    await world.store.append(ticket, [over])
    world.recordings.record(CALL, 9.0)
    await filing.file_call(ticket, over, world.d)
    at = [NOW + timedelta(seconds=seconds) for seconds in (0, 4, 5, 9)]
    assert world.recordings.gaps[CALL] == ((at[0], at[1]), (at[2], at[3]))
    kinds = [
        type(e) for e in world.store.timelines[ticket] if isinstance(e, RecordingPaused | RecordingResumed)
    ]
    assert kinds == [RecordingPaused, RecordingResumed, RecordingPaused]


def test_whoever_hears_a_paused_call_has_the_same_gap() -> None:
    def at(second: int) -> datetime:
        return NOW + timedelta(seconds=second)

    history: list[Event] = [
        PartiesConnected(at=at(0), calls=("caller", "operator")),
        RecordingPaused(at=at(1), call="caller", by="ivanova"),
        PartiesConnected(at=at(2), calls=()),  # a hold
        PartiesConnected(at=at(4), calls=("caller", "operator", "plumber")),
        RecordingResumed(at=at(6), call="caller", by="ivanova"),
        CallsBridged(at=at(7), calls=("robocall", "caller")),
        RecordingPaused(at=at(8), call="caller", by="ivanova"),
        CallEnded(at=at(9), call="caller", seconds=9.0),
    ]
    gaps = {call: filing.silences_of(history, call) for call in ("caller", "operator", "plumber", "robocall")}
    assert gaps == {
        "caller": ((at(1), at(6)), (at(8), at(9))),
        "operator": ((at(1), at(2)), (at(4), at(6)), (at(8), at(9))),
        "plumber": ((at(4), at(6)), (at(8), at(9))),
        "robocall": ((at(8), at(9)),),
    }


async def test_a_forgotten_pause_ends_by_itself() -> None:
    world, mute = World(), Mute()
    ticket = await world.a_call()
    await keeping.pause(world.d, CALL, "ivanova", mute)
    world.clock.at += keeping.PAUSE
    await keeping.keep_pauses(world.d, mute)
    assert mute.said == [(CALL, True)] * 2, "too early; but an engine that has just begun must be told of it"
    world.clock.at += timedelta(seconds=1)
    for _ in range(2):
        await keeping.keep_pauses(world.d, mute)
    assert mute.said == [(CALL, True)] * 2 + [(CALL, False)]
    (resumed,) = [e for e in world.store.timelines[ticket] if isinstance(e, RecordingResumed)]
    assert resumed.by == "dozvon"


async def test_only_a_call_that_is_up_can_be_paused() -> None:
    world, mute = World(), Mute()
    await world.a_call(ended())
    with pytest.raises(keeping.NotUp):
        await keeping.pause(world.d, CALL, "ivanova", mute)
    with pytest.raises(NotKnown):
        await keeping.pause(world.d, "unknown", "ivanova", mute)
    assert not mute.said


async def test_let_go_by_company_class_and_hold() -> None:
    rules = Keeping(days=100, days_of={Urgency.NORMAL: 10})
    world = World(replace(demo_company(), recordings=rules))
    tickets = {}
    for call, days, urgency in (
        ("old-normal", 11, Urgency.NORMAL),
        ("young-normal", 9, Urgency.NORMAL),
        ("old-urgent", 11, Urgency.URGENT),
        ("ancient-urgent", 101, Urgency.URGENT),
        ("held", 101, Urgency.URGENT),
    ):
        tickets[call] = await world.a_call(Classified(at=NOW, urgency=urgency), ended(call), call=call)
        world.recordings.began[call] = NOW - timedelta(days=days)
        world.recordings.record(call, 5.0)
    await world.tidy()
    world.recordings.held.add("held")
    assert await keeping.let_go(world.d) == 2
    assert set(world.recordings.erased) == {"old-normal", "ancient-urgent"}
    assert world.recordings.erased["old-normal"] == "срок хранения 10 дн. истёк"
    (fact,) = [e for e in world.store.timelines[tickets["old-normal"]] if isinstance(e, RecordingErased)]
    assert fact.recording == "old-normal"
    assert await keeping.let_go(world.d) == 0
