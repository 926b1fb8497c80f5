"""The walk: steps, rings and what became of them, acceptance, alarms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.domain.events.base import Event
from engine.domain.model import Callee, Outcome, Purpose, Via
from engine.domain.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationStarted(Event):
    """A walk begins, by a policy that is frozen here: a later edit of its file changes only the next walk."""

    policy: str
    frozen: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationResumed(Event):
    """The acceptance did not hold (no arrival reported, the acceptor gave it back, reopened): the walk goes on at `index`."""

    reason: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(Event):
    """A step of the tree begins, with the people whom its targets named at this instant. None of them: the walk moves on at once."""

    round: int
    index: int
    step: str
    people: tuple[Callee, ...]
    missing: tuple[str, ...] = ()
    """Targets that named nobody, each with the reason, in Russian."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialStarted(Event):
    """The intent to ring a person, on disk before the phone rings. `attempt` is the Asterisk channel's id."""

    attempt: str
    contact: str
    number: str
    step: str
    round: int
    index: int
    purpose: Purpose = Purpose.ACCEPT
    name: str | None = None
    ring_seconds: float = 25.0
    trunk: int = 0
    """Which trunk, counted from the preferred one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RobocallAnswered(Event):
    """The person picked up; `accept_key` is the key drawn for this call alone."""

    attempt: str
    accept_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSuspected(Event):
    """AMD takes whoever picked up for a machine. It shortens the waiting and decides nothing: silence looks like a machine too."""

    attempt: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DialEnded(Event):
    """What became of an attempt. `cause` is Q.850 (or the SIP status, `tech_cause`, when known); `reason` the one that was keyed in."""

    attempt: str
    outcome: Outcome
    cause: int | None = None
    tech_cause: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Event):
    """One person has taken the ticket. There is one winner."""

    contact: str
    via: Via
    name: str | None = None
    attempt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined(Event):
    """A person will not come, told otherwise than in a robocall (whose DialEnded says it)."""

    contact: str
    via: Via
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoCoverage(Event):
    """A person will be out of coverage until `until`; they are not rung before that."""

    contact: str
    until: datetime
    via: Via


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationExhausted(Event):
    """Round `round` (from 1) of the tree ended without an acceptance. The walk goes round again."""

    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRaised(Event):
    """Something is wrong that a human must know; `targets` are the alarm's addressees as the policy names them."""

    reason: str
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HookPosted(Event):
    """A webhook of the company took the alarm that is event number `alarm` of this timeline."""

    hook: str
    alarm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFailed(Event):
    """A webhook refused the alarm, or could not be reached for so long that it was given up."""

    hook: str
    alarm: int
    reason: str
