"""One coroutine per open escalation: read, decide, commit, act. Kill it anywhere, run it again.

A turn gathers the facts that came in, asks `next_step` until there is nothing to do but wait, commits all intents in one write that
succeeds only if nobody else wrote meanwhile, and only then lets phones ring. So no phone rings without its intent on disk, and two
walkers of one ticket cannot both act.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog

from engine.domain import wording
from engine.domain.colleagues import colleagues
from engine.domain.company import whom
from engine.domain.errors import NotKnown, StoreFailed, TelephonyAway
from engine.domain.escalation import (
    Cancel,
    EnterStep,
    Exhaust,
    Reconcile,
    Resume,
    Ring,
    Stop,
    Text,
    Wait,
    next_step,
)
from engine.domain.events import (
    AlarmRaised,
    DialEnded,
    DialStarted,
    EscalationExhausted,
    EscalationResumed,
    Event,
    NoCoverage,
    StepStarted,
    TextQueued,
)
from engine.domain.model import Callee, Outcome, Purpose, Urgency
from engine.domain.policy import Target, TargetKind
from engine.domain.ticket import Ticket
from engine.domain.walk import Walk
from engine.flows.deps import Deps
from engine.flows.dialout import SETTLE_SECONDS, Attempt
from engine.ports import Leg

log = structlog.get_logger()

LONGEST_NAP_SECONDS = 60.0
"""The walker looks at the clock at least this often. A clock that was set is noticed sooner, by the watchdog, which calls `look`."""
STORE_PAUSE_SECONDS = 1.0
SILENCE_TRIES, SILENCE_PAUSE_SECONDS = 20, 0.5
ACTIONS_PER_TURN = 500
"""More than any sane tree needs at one instant; a bound against a decision that would never say «wait»."""


async def walk(ticket: int, d: Deps, begun: Callable[[Walker], None] = lambda _: None) -> None:
    """Walk the ticket's escalation until nothing of it is left to do. The only thing it never does is to fall silent."""
    async with asyncio.TaskGroup() as attempts:
        walker = Walker(ticket, d, attempts)
        begun(walker)
        await walker.run()


@dataclass(eq=False)
class Walker:
    """The hands of one walk: the attempts that it runs, and what they have reported."""

    ticket: int
    d: Deps
    group: asyncio.TaskGroup
    live: dict[str, Attempt] = field(default_factory=dict)
    stopping: set[str] = field(default_factory=set)
    facts: list[Event] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    state: Walk = field(init=False)
    """The timeline as far as it has been read: enough to see that there is nothing to do, which is most of the time."""
    _latest: tuple[datetime, float] | None = None
    """The latest instant on the timeline, and the loop's time when it was read."""

    def __post_init__(self) -> None:
        self.state = Walk(self.ticket)

    def look(self) -> None:
        """Look at the clock and the timeline now."""
        self.news.set()

    async def run(self) -> None:
        """Turn after turn, until there is nothing to wait for."""
        while True:
            try:
                length, action = await self._turn()
            except StoreFailed as error:
                log.error(
                    "the walk cannot be written down and tries again", ticket=self.ticket, error=str(error)
                )
                await asyncio.sleep(STORE_PAUSE_SECONDS)
                continue
            if isinstance(action, Stop) and not self.live:
                return
            await self._until_news(length, action.until if isinstance(action, Wait) else None)

    async def _turn(self) -> tuple[int, Wait | Stop]:
        """Facts in, decisions, one commit, effects. Returns the timeline's length and what there is to wait for."""
        self.news.clear()
        await self._read()
        if not self.facts:
            action = next_step(self.state, self._now(), set(self.live), set(self.stopping))
            if isinstance(action, Wait | Stop):
                return self.state.length, action
        return await self._act()

    async def _read(self) -> None:
        """Fold what is new on the timeline."""
        for event in await self.d.store.history(self.ticket, since=self.state.length):
            self.state.apply(event)
            if self._latest is None or event.at > self._latest[0]:
                self._latest = event.at, asyncio.get_running_loop().time()

    async def _act(self) -> tuple[int, Wait | Stop]:
        """Draft what is to be done, commit it, do it."""
        history = await self.d.store.history(self.ticket)
        state = Walk.of(self.ticket, history)
        ticket = Ticket.of(history)
        batch: list[Event] = []
        effects: list[Callable[[], None]] = []
        mine, stopping, silenced = set(self.live), set(self.stopping), False
        facts = list(self.facts)
        for fact in facts:
            _take(state, ticket, batch, fact)

        for _ in range(ACTIONS_PER_TURN):
            now = self._now()
            action = next_step(state, now, mine, stopping)
            match action:
                case Stop() | Wait():
                    break
                case Cancel(attempt):
                    stopping.add(attempt)
                    effects.append(partial(self._stop, attempt))
                case Reconcile(attempt):
                    leg = self.d.phone.adopt(attempt)
                    if leg is not None and (ring := _ring_of(state, history, attempt)):
                        mine.add(attempt)
                        self._begin(
                            ring, state, leg
                        )  # its intent is on disk; a leg that is up must have an owner
                    else:
                        await self._silence(attempt)
                        silenced = True
                        taken = state.accepted is not None and state.accepted.attempt == attempt
                        outcome = Outcome.ACCEPTED if taken else Outcome.LOST
                        _take(state, ticket, batch, DialEnded(at=now, attempt=attempt, outcome=outcome))
                case Ring():
                    mine.add(action.attempt)
                    _take(state, ticket, batch, _intent(state, action, now))
                    effects.append(partial(self._begin, action, state))
                case _:
                    for event in self._events_of(action, state, ticket, [*history, *batch], now):
                        _take(state, ticket, batch, event)
                    if isinstance(action, EnterStep):
                        for absence in self._absences(state, now):
                            _take(state, ticket, batch, absence)
        else:
            log.error("the decision never came to an end", ticket=self.ticket)
            action = Wait(None)

        if batch:
            self.d.reached("walker.decided")
        if batch and not await self.d.store.append(self.ticket, batch, expect=len(history)):
            return len(history), Wait(self._now())  # somebody wrote meanwhile: read again
        del self.facts[: len(facts)]
        if batch:
            self.d.reached("walker.committed")
        if silenced and effects:
            await asyncio.sleep(SETTLE_SECONDS)
        for effect in effects:
            effect()
        if effects:
            self.d.reached("walker.acted")
        return state.length, action

    def _events_of(
        self,
        action: EnterStep | Text | Exhaust | Resume,
        state: Walk,
        ticket: Ticket,
        past: Sequence[Event],
        now: datetime,
    ) -> list[Event]:
        """What an action that rings nobody puts on the timeline."""
        match action:
            case EnterStep(round_, index, targets):
                people, missing = self._whom(state, targets, now)
                assert state.policy is not None
                name = state.policy.steps[index].name
                return [
                    StepStarted(at=now, round=round_, index=index, step=name, people=people, missing=missing)
                ]
            case Text():
                return [self._text(state, ticket, action, past, now)]
            case Exhaust(round_, alarm):
                events: list[Event] = [EscalationExhausted(at=now, round=round_)]
                names = tuple(str(target) for target in alarm)
                events.append(AlarmRaised(at=now, reason="exhausted", targets=names))
                people, _ = self._whom(state, alarm, now)
                body = wording.alarm_text(self.ticket, ticket, round_)
                for callee in people:
                    text = f"{self.ticket}-alarm-{round_}-{callee.contact}"
                    events.append(
                        TextQueued(
                            at=now,
                            text=text,
                            number=callee.numbers[0],
                            body=body,
                            contact=callee.contact,
                            template="alarm",
                        )
                    )
                return events
            case Resume(reason, index):
                return [
                    EscalationResumed(at=now, reason=reason, index=index),
                    AlarmRaised(at=now, reason=reason),
                ]

    def _absences(self, state: Walk, now: datetime) -> list[NoCoverage]:
        """Who of the step's people has said on another ticket that they are out of coverage: it holds for this one too."""
        known = (self.d.absences.of(state.company, one.contact, now) for one in state.people)
        return [
            NoCoverage(at=now, contact=said.contact, until=said.until, via=said.via)
            for said in known
            if said is not None and not state.uncovered(said.contact, now)
        ]

    def _text(
        self, state: Walk, ticket: Ticket, action: Text, past: Sequence[Event], now: datetime
    ) -> TextQueued:
        text = f"{self.ticket}-{state.length + 1}"
        if action.template == "taken":
            body = wording.taken_text(self.ticket, ticket.accepted.name if ticket.accepted else None)
        else:
            others = colleagues(past, action.callee.contact)
            body = wording.ticket_text(self.ticket, ticket, self.d.link(text), others)
        return TextQueued(
            at=now,
            text=text,
            number=action.number,
            body=body,
            contact=action.callee.contact,
            template=action.template,
        )

    def _whom(
        self, state: Walk, targets: Sequence[Target], now: datetime
    ) -> tuple[tuple[Callee, ...], tuple[str, ...]]:
        """The people behind the targets, as the company is now. A company that vanished is like a step with nobody on duty."""
        try:
            company = self.d.company(state.company)
        except NotKnown as error:
            return (), (str(error),)
        people = [target for target in targets if target.kind is not TargetKind.WEBHOOK]
        found = whom(company, people, state.house, state.urgency or Urgency.EMERGENCY, now)
        return found.people, found.missing

    def _stop(self, attempt: str) -> None:
        self.stopping.add(attempt)
        if attempt in self.live:
            self.live[attempt].stop()

    def _begin(self, ring: Ring, state: Walk, leg: Leg | None = None) -> None:
        """Let the phone ring (or go on talking), as a task of ours."""
        caller_id = self._caller_id(state.company)
        urgency = state.urgency or Urgency.EMERGENCY
        attempt = Attempt(self.ticket, ring, state.company, caller_id, urgency)
        self.live[ring.attempt] = attempt
        self.group.create_task(self._attempt(attempt, leg), name=f"attempt {ring.attempt}")

    async def _attempt(self, attempt: Attempt, leg: Leg | None) -> None:
        """Run the attempt to its end, whatever end; what became of it is a fact for the next turn."""
        name = attempt.ring.attempt
        try:
            ended = await (attempt.run(self.d) if leg is None else attempt.resume(leg, self.d))
        except Exception:
            log.exception("an attempt broke", ticket=self.ticket, attempt=name)
            await self._silence(name)
            ended = await self._broken(attempt)
        self.live.pop(name, None)
        self.stopping.discard(name)
        if ended is not None:
            self.facts.append(ended)
        self.news.set()

    async def _broken(self, attempt: Attempt) -> DialEnded | None:
        """What became of an attempt that broke, even if the store is what broke it."""
        try:
            return await attempt.broken(self.d)
        except StoreFailed:
            return DialEnded(at=self.d.clock.now(), attempt=attempt.ring.attempt, outcome=Outcome.FAILED)

    async def _silence(self, attempt: str) -> None:
        """End a channel that nobody owns, before anybody else is rung. Asterisk away for long has no channels left either."""
        for _ in range(SILENCE_TRIES):
            try:
                return await self.d.phone.hang_up(attempt)
            except TelephonyAway:
                log.warning("an attempt could not be hung up: Asterisk is away", attempt=attempt)
                await asyncio.sleep(SILENCE_PAUSE_SECONDS)
        return None

    def _now(self) -> datetime:
        """The time of this walk. It never runs backwards: a clock that is set back must not put an emergency to sleep."""
        now = self.d.clock.now()
        if self._latest is None:
            return now
        at, read = self._latest
        return max(now, at + timedelta(seconds=asyncio.get_running_loop().time() - read))

    def _caller_id(self, company: str) -> str | None:
        try:
            return self.d.company(company).caller_id
        except NotKnown:
            return None

    async def _until_news(self, length: int, until: datetime | None) -> None:
        """Sleep until something happens to the ticket, an attempt ends, or `until`."""
        nap = LONGEST_NAP_SECONDS
        if until is not None:
            nap = min(nap, max(0.0, (until - self._now()).total_seconds()))
        if self.news.is_set() or nap <= 0:
            return
        changed = asyncio.create_task(
            self.d.store.changed(self.ticket, length, nap), name=f"changes {self.ticket}"
        )
        told = asyncio.create_task(self.news.wait(), name=f"news {self.ticket}")
        try:
            await asyncio.wait({changed, told}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            told.cancel()
            await asyncio.wait({changed, told})


def _take(state: Walk, ticket: Ticket, batch: list[Event], event: Event) -> None:
    """Draft an event: decided upon as if it were on disk, committed with the rest of the turn."""
    state.apply(event)
    ticket.apply(event)
    batch.append(event)


def _intent(state: Walk, ring: Ring, now: datetime) -> DialStarted:
    step = state.step
    place = (state.round, state.index)
    if ring.purpose is not Purpose.ACCEPT:
        place = state.places.get(ring.callee.contact, place)
    return DialStarted(
        at=now,
        attempt=ring.attempt,
        contact=ring.callee.contact,
        name=ring.callee.name,
        number=ring.number,
        step=step.name if step else "",
        round=place[0],
        index=place[1],
        purpose=ring.purpose,
        ring_seconds=ring.ring_for.total_seconds(),
        trunk=ring.trunk,
    )


def _ring_of(state: Walk, history: Sequence[Event], attempt: str) -> Ring | None:
    """The order behind an attempt that an earlier engine began, read back from its intent."""
    for event in history:
        if isinstance(event, DialStarted) and event.attempt == attempt:
            callee = state.known.get(event.contact)
            if callee is None:
                return None
            return Ring(
                attempt,
                callee,
                event.number,
                timedelta(seconds=event.ring_seconds),
                event.purpose,
                event.trunk,
            )
    return None
