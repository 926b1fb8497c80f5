"""Who waits for an operator, which desk phone is rung next, and what a promised call back needs. Pure: values in, values out.

The sources of the figures: decree 416 (15.05.2013, amended by 331 of 27.03.2018), section IV, item 13: a call is answered within five
minutes, or the caller is talked to within ten minutes of the call.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from math import ceil

from engine.domain.events import (
    CallBackEnded,
    CallBackPromised,
    CallBackTried,
    CallStarted,
    DeadlineBroken,
    Event,
    TicketClosed,
)
from engine.domain.model import Outcome

CALL_BACK_CLOCK = "call_back"
ANSWER_CLOCK = "answer"


@dataclass(frozen=True, slots=True)
class Rules:
    """How the operators' room works; all of it may be set otherwise."""

    answer_within: timedelta = timedelta(minutes=5)
    call_back_within: timedelta = timedelta(minutes=10)
    call_back_tries: int = 3
    try_again_after: timedelta = timedelta(minutes=1)
    too_late_after: timedelta = timedelta(hours=1)
    """So long after it was due nobody waits for the call any more (all trunks failed, or we were away)."""
    without_operator_before: timedelta = timedelta(seconds=90)
    """So long before a promise is due its caller is rung, whether an operator is free or not."""
    ring_for: timedelta = timedelta(seconds=15)
    wrap_up: timedelta = timedelta(seconds=20)
    """What an operator has after each talk, to write it down."""
    rest_after_miss: timedelta = timedelta(seconds=30)
    misses_allowed: int = 3
    """A desk phone that rings in vain so often in a row is signed out: nobody sits at it."""
    offer_every: timedelta = timedelta(minutes=1)
    usual_talk: timedelta = timedelta(minutes=3)
    """Until talks were measured."""


class Why(Enum):
    """Why an operator is wanted."""

    CALLER = "caller"
    PROMISE = "promise"
    """To call somebody back."""
    STAFF = "staff"
    """A colleague asks."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a call asks of an operator: to speak for the company, and skills (the line's language, for one)."""

    company: str
    skills: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Desk:
    """A desk phone with an operator at it. `skills` by company, none named: all of them; no company at all: every one."""

    phone: str
    operator: str
    idle_since: datetime
    skills: Mapping[str, frozenset[str]] = field(default_factory=dict)
    rests_until: datetime | None = None
    misses: int = 0

    def fits(self, need: Need) -> bool:
        """Whether this operator can serve such a call at all."""
        if not self.skills:
            return True
        skills = self.skills.get(need.company)
        return skills is not None and (not skills or need.skills <= skills)

    def ready(self, now: datetime) -> bool:
        """Whether they may be rung, as far as they themselves go."""
        return self.rests_until is None or self.rests_until <= now

    def talked(self, now: datetime, wrap_up: timedelta) -> Desk:
        """After a talk: idle from now on, and left alone for the wrap-up."""
        return replace(self, idle_since=now, rests_until=now + wrap_up, misses=0)

    def missed(self, now: datetime, rules: Rules) -> Desk | None:
        """After ringing in vain: a rest, their place among the idle lost; None: signed out."""
        if self.misses + 1 >= rules.misses_allowed:
            return None
        return replace(self, idle_since=now, rests_until=now + rules.rest_after_miss, misses=self.misses + 1)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A place in the queue: a caller on the line, or a promise to call back. `since` is the first ring; `id` the call's."""

    id: str
    need: Need
    since: datetime

    @property
    def order(self) -> tuple[datetime, str]:
        """First come, first served."""
        return (self.since, self.id)


def matches(
    waiting: Iterable[Waiting], desks: Iterable[Desk], busy: Collection[str], now: datetime
) -> list[tuple[Waiting, Desk]]:
    """Who is to be connected with whom now: in the order of the queue, each with the longest idle operator who fits and is free."""
    free = [desk for desk in desks if desk.phone not in busy and desk.ready(now)]
    free.sort(key=lambda desk: (desk.idle_since, desk.phone))
    found = []
    for place in sorted(waiting, key=lambda place: place.order):
        desk = next((one for one in free if one.fits(place.need)), None)
        if desk is not None:
            free.remove(desk)
            found.append((place, desk))
    return found


def next_ready(desks: Iterable[Desk], now: datetime) -> datetime | None:
    """When the next desk ends its rest."""
    return min(
        (desk.rests_until for desk in desks if desk.rests_until and desk.rests_until > now), default=None
    )


def position(place: Waiting, waiting: Iterable[Waiting], desks: Collection[Desk]) -> int:
    """The place's number, counted from 1, among those who wait for the same operators."""
    mine = [desk for desk in desks if desk.fits(place.need)]
    ahead = (one for one in waiting if one.order < place.order)
    return 1 + sum(any(desk.fits(one.need) for desk in mine) for one in ahead)


def expected_wait(number: int, desks: int, talks: Sequence[timedelta], rules: Rules) -> int:
    """About how many whole minutes whoever stands at `number` will wait, at least 1; `talks` are the latest ones' lengths."""
    usual = sum(talks, timedelta()) / len(talks) if talks else rules.usual_talk
    turns = ceil(number / max(desks, 1))
    return max(1, ceil(turns * (usual + rules.wrap_up) / timedelta(minutes=1)))


# --- the promise to call back --------------------------------------------------------------------------------------------------------


NOT_COUNTED = frozenset({Outcome.LOST, Outcome.FAILED})
"""Our own doing, or the trunk's: the caller has not been tried."""


@dataclass(slots=True)
class Promise:
    """The latest promise on a timeline, folded. `tries` are those whose caller could not be reached (`NOT_COUNTED` left out)."""

    call: str
    number: str
    since: datetime
    due: datetime
    tries: int = 0
    failing_trunks: int = 0
    tried_at: datetime | None = None
    running: str | None = None
    """A try that has begun and of whose end nothing is known: ours, or one that an earlier engine was in the midst of."""
    over: bool = False
    broken: bool = False

    @classmethod
    def of(cls, history: Iterable[Event]) -> Promise | None:
        """None if nothing was promised."""
        promise: Promise | None = None
        for event in history:
            if isinstance(event, CallBackPromised):
                promise = cls(event.call, event.number, event.since, event.due)
            elif promise is not None:
                promise._apply(event)
        return promise

    def _apply(self, event: Event) -> None:
        match event:
            case CallStarted() if is_call_back(event.call):
                self.running = event.call
            case CallBackTried():
                self.running, self.tried_at = None, event.at
                if event.outcome is Outcome.FAILED:
                    self.failing_trunks += 1
                self.tries += event.outcome not in NOT_COUNTED
            case DeadlineBroken(clock=clock) if clock == CALL_BACK_CLOCK:
                self.broken = True
            case CallBackEnded() | TicketClosed():
                self.over = True
            case _:
                pass


def is_call_back(call: str) -> bool:
    """Whether that leg is a try to keep a promise, by its id («1024-p2»)."""
    return call.rpartition("-")[2].startswith("p")


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing to do before `until`."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Lost:
    """An earlier engine had begun this try; what became of it is not known."""

    attempt: str


@dataclass(frozen=True, slots=True)
class Overdue:
    """The clock has run out: say so on the timeline, and go on."""

    due: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The caller could not be reached, as often as was promised to try."""


@dataclass(frozen=True, slots=True)
class Try:
    """Wait in the queue for an operator; from `alone_from` on ring the caller without one."""

    alone_from: datetime


def next_for(
    promise: Promise, rules: Rules, now: datetime
) -> Settled | Pause | Lost | Overdue | GiveUp | Try:
    """What the promise needs now. Whoever does it writes it on the timeline and asks again."""
    if promise.over:
        return Settled()
    if promise.running is not None:
        return Lost(promise.running)
    if now >= promise.due and not promise.broken:
        return Overdue(promise.due)
    if promise.tries >= rules.call_back_tries or now >= promise.due + rules.too_late_after:
        return GiveUp()
    if promise.tried_at is not None and now < promise.tried_at + rules.try_again_after:
        return Pause(promise.tried_at + rules.try_again_after)
    return Try(promise.due - rules.without_operator_before)
