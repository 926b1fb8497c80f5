"""Who has been called to a ticket already, and how each of them stands: for those who are called next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from engine.domain.events import (
    Accepted,
    Declined,
    DialEnded,
    DialStarted,
    EscalationResumed,
    EscalationStarted,
    Event,
    NoCoverage,
    StepStarted,
    TextQueued,
)
from engine.domain.model import Outcome


class Stands(IntEnum):
    """What became of calling somebody; what the next person should know most comes first."""

    GAVE_UP = 0
    """Had accepted it, and then reported nothing or gave it back."""
    RINGING = 1
    """Is being rung, or is on the phone with us, right now."""
    DECLINED = 2
    NO_COVERAGE = 3
    NO_ANSWER = 4
    """Busy, unreachable, or simply not picking up."""
    CALLED = 5
    """Texted, or rung in a way that says nothing about them."""


SILENT = (Outcome.NO_ANSWER, Outcome.BUSY, Outcome.UNREACHABLE, Outcome.MACHINE)


@dataclass(frozen=True, slots=True)
class Colleague:
    """Somebody who was called to the ticket."""

    name: str
    stands: Stands


def colleagues(history: Iterable[Event], besides: str) -> tuple[Colleague, ...]:
    """Everybody who was called since the escalation began, except the contact `besides`, in the order of `Stands`."""
    names: dict[str, str] = {}
    stand: dict[str, Stands] = {}
    attempts: dict[str, str] = {}
    accepted: Accepted | None = None
    for event in history:
        match event:
            case EscalationStarted():
                stand.clear()
                accepted = None
            case StepStarted():
                names |= {one.contact: one.name for one in event.people}
            case TextQueued(contact=str(who), template="ticket"):
                stand.setdefault(who, Stands.CALLED)
            case DialStarted():
                attempts[event.attempt] = event.contact
                stand[event.contact] = Stands.RINGING
            case DialEnded() if event.attempt in attempts:
                who = attempts.pop(event.attempt)
                if stand.get(who) is Stands.RINGING:
                    stand[who] = _after(event.outcome)
            case Declined():
                stand[event.contact] = Stands.DECLINED
            case NoCoverage():
                stand[event.contact] = Stands.NO_COVERAGE
            case Accepted():
                accepted = event
                names.setdefault(event.contact, event.name or event.contact)
            case EscalationResumed() if accepted is not None:
                stand[accepted.contact] = Stands.GAVE_UP
                accepted = None
            case _:
                pass
    known = [Colleague(names[who], how) for who, how in stand.items() if who != besides and who in names]
    return tuple(sorted(known, key=lambda one: one.stands))


def _after(outcome: Outcome) -> Stands:
    if outcome is Outcome.DECLINED:
        return Stands.DECLINED
    return Stands.NO_ANSWER if outcome in SILENT else Stands.CALLED
