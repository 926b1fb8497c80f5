"""A walk as it stands: what a ticket's timeline says about its escalation, folded event by event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.domain.events import (
    Accepted,
    CallEnded,
    CallStarted,
    Classified,
    Declined,
    DialEnded,
    DialStarted,
    EscalationExhausted,
    EscalationResumed,
    EscalationStarted,
    Event,
    NoCoverage,
    Reported,
    RobocallAnswered,
    StepStarted,
    TextDelivered,
    TextFailed,
    TextQueued,
    TextUndelivered,
    TicketClosed,
    TicketOpened,
    TicketReopened,
)
from engine.domain.model import Callee, CallKind, Outcome, Purpose, Urgency
from engine.domain.policy import Policy, Step

STAFF_CALLS = (CallKind.ROBOCALL, CallKind.CALLBACK)
LONGEST_TALK = timedelta(minutes=3)
"""Longer than any robocall says what it has to say."""


@dataclass(slots=True)
class Running:
    """An attempt that has begun and, as far as the timeline knows, not ended."""

    attempt: str
    contact: str
    number: str
    place: tuple[int, int]
    purpose: Purpose
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt that has ended, within the current step."""

    outcome: Outcome
    number: str
    at: datetime


@dataclass(slots=True)
class Texted:
    """A text that asked a person to come."""

    number: str
    at: datetime
    unreached: datetime | None = None
    """Since when it is known not to have reached them. None: no bad news."""
    lost: bool = False
    """Given up: nobody tries to send it any more."""


@dataclass(slots=True)
class Walk:
    """The state of one escalation. Build it with `Walk.of`; feed later events to `apply`."""

    ticket: int
    length: int = 0
    """How many events have been folded: the `expect` of the next append."""
    company: str = ""
    house: str | None = None
    urgency: Urgency | None = None
    policy: Policy | None = None
    entering: tuple[int, int] | None = None
    """(round, index) of the step to enter next, when that is already decided."""
    round: int = 0
    index: int = 0
    step_at: datetime | None = None
    people: tuple[Callee, ...] = ()
    tried: dict[str, list[Tried]] = field(default_factory=dict)
    """By contact, within the current step."""
    running: dict[str, Running] = field(default_factory=dict)
    dials: int = 0
    """Attempts of this ticket so far: the next one's number, less one."""
    trunk: int = 0
    """The trunk to dial through, counted from the preferred one: the next one after each failure, and kept while it works."""
    declined: set[str] = field(default_factory=set)
    """Contacts who declined within the current step."""
    texted: dict[str, dict[str, Texted]] = field(default_factory=dict)
    """By contact, the texts that asked them to come, by their ids; the first one first."""
    told: set[str] = field(default_factory=set)
    """Contacts who have been texted that somebody else took it."""
    on_line: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """Who is on the phone with us, by which call and since when; also after their attempt is over (who declined is asked why)."""
    no_coverage: dict[str, datetime] = field(default_factory=dict)
    known: dict[str, Callee] = field(default_factory=dict)
    """Everybody whom this ticket's steps have named so far."""
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By contact, the last (round, index) that named them."""
    exhausted_round: int = 0
    exhausted_at: datetime | None = None
    accepted: Accepted | None = None
    reported: list[Reported] = field(default_factory=list)
    """Reports since the acceptance."""
    asked: dict[Purpose, list[Tried]] = field(default_factory=dict)
    """Calls to the acceptor about a clock that ran out, since the acceptance."""
    closed: bool = False

    @classmethod
    def of(cls, ticket: int, history: Iterable[Event]) -> Walk:
        """Fold a whole timeline."""
        walk = cls(ticket)
        for event in history:
            walk.apply(event)
        return walk

    @property
    def step(self) -> Step | None:
        """The step being walked, None before the first."""
        if self.policy is None or self.step_at is None:
            return None
        return self.policy.steps[self.index]

    @property
    def over(self) -> bool:
        """Whether nothing of this escalation can ever need doing again, unless a new event says so."""
        if self.running:
            return False
        if self.policy is None or self.closed:
            return True
        return self.accepted is not None and self.clock is None

    @property
    def clock(self) -> tuple[Purpose, datetime] | None:
        """The after-acceptance clock that runs now and the instant it runs out, or None."""
        if self.accepted is None or self.policy is None:
            return None
        limits, told = self.policy.after_accepting, {report.what for report in self.reported}
        if limits.report_arrival_within and not told & {"arrived", "localised", "done"}:
            grace = 2 if "on_the_way" in told else 1
            return Purpose.ARRIVAL, self.accepted.at + limits.report_arrival_within * grace
        if limits.report_done_within and "done" not in told:
            return Purpose.DONE, self.accepted.at + limits.report_done_within
        return None

    def next_attempt(self) -> str:
        """The id of the next attempt, which will be its Asterisk channel's id."""
        return f"{self.ticket}-{self.dials + 1}"

    def talking(self, contact: str, now: datetime) -> bool:
        """Whether the person is on the phone with us. A call whose end was never written down does not count for ever."""
        return contact in self.on_line and now < self.on_line[contact][1] + LONGEST_TALK

    def uncovered(self, contact: str, now: datetime) -> bool:
        """Whether the person has said that they are out of coverage at `now`."""
        return self.no_coverage.get(contact, now) > now

    def apply(self, event: Event) -> None:
        """Take one more fact into account."""
        self.length += 1
        match event:
            case TicketOpened():
                self.company, self.house = event.company, event.premises.house
            case Classified():
                self.urgency = event.urgency
                if event.premises is not None:
                    self.house = event.premises.house
            case EscalationStarted():
                self.policy, self.accepted, self.closed = event.frozen, None, False
                self._restart_at(1, 0)
                self.round = self.exhausted_round = 0
                self._forget_texts()
            case EscalationResumed():
                self.accepted = None
                self._resume(event.index)
            case StepStarted():
                self._enter(event)
            case DialStarted():
                self.dials += 1
                place = (event.round, event.index)
                self.running[event.attempt] = Running(
                    event.attempt, event.contact, event.number, place, event.purpose
                )
            case RobocallAnswered():
                if event.attempt in self.running:
                    self.running[event.attempt].answered = True
            case DialEnded():
                self._end(event)
            case CallStarted() if event.kind in STAFF_CALLS and event.contact is not None:
                self.on_line[event.contact] = event.call, event.at
            case CallEnded():
                self.on_line = {who: call for who, call in self.on_line.items() if call[0] != event.call}
            case Accepted():
                self.accepted = event
                self.reported.clear()
                self.asked.clear()
            case Declined():
                self.declined.add(event.contact)
            case NoCoverage():
                self.no_coverage[event.contact] = event.until
            case TextQueued():
                if event.contact is not None and event.template == "ticket":
                    theirs = self.texted.setdefault(event.contact, {})
                    theirs[event.text] = Texted(event.number, event.at)
                elif event.contact is not None and event.template == "taken":
                    self.told.add(event.contact)
            case TextFailed() | TextUndelivered():
                for text in self._texts(event.text):
                    text.unreached = text.unreached or event.at
                    text.lost = text.lost or isinstance(event, TextFailed)
            case TextDelivered():
                for text in self._texts(event.text):
                    text.unreached, text.lost = None, False
            case EscalationExhausted():
                self.exhausted_round, self.exhausted_at = event.round, event.at
            case Reported():
                self.reported.append(event)
            case TicketClosed():
                self.closed = True
            case TicketReopened():
                self.closed, self.accepted, self.policy = False, None, None
            case _:
                pass

    def _restart_at(self, round_: int, index: int) -> None:
        self.entering = (round_, index)
        self.exhausted_at = None

    def _resume(self, index: int) -> None:
        steps = len(self.policy.steps) if self.policy else 0
        if index < steps:
            self._restart_at(max(self.round, 1), index)
        else:
            self._restart_at(self.round + 1, 0)
        self._forget_texts()

    def _texts(self, id: str) -> list[Texted]:
        """The text of that id, if it asked one of this walk's people to come."""
        return [theirs[id] for theirs in self.texted.values() if id in theirs]

    def _forget_texts(self) -> None:
        self.texted.clear()
        self.told.clear()

    def _enter(self, event: StepStarted) -> None:
        self.entering = None
        self.round, self.index, self.step_at = event.round, event.index, event.at
        self.people = event.people
        self.tried.clear()
        self.declined.clear()
        for callee in event.people:
            self.known[callee.contact] = callee
            self.places[callee.contact] = (event.round, event.index)

    def _end(self, event: DialEnded) -> None:
        ended = self.running.pop(event.attempt, None)
        if ended is None:
            return
        if event.outcome is Outcome.FAILED:
            self.trunk += 1
        tried = Tried(event.outcome, ended.number, event.at)
        if ended.purpose is not Purpose.ACCEPT:
            self.asked.setdefault(ended.purpose, []).append(tried)
        elif ended.place == (self.round, self.index):
            self.tried.setdefault(ended.contact, []).append(tried)
            if event.outcome is Outcome.DECLINED:
                self.declined.add(ended.contact)
