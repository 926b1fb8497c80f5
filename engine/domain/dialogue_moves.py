"""What the hotline can do next, as values, and what comes back. `engine.domain.dialogue` decides; `engine.flows.hotline` acts."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime

from engine.domain.company import Company
from engine.domain.incidents import Incident, Notice
from engine.domain.meters import Meter
from engine.domain.model import Premises, Urgency
from engine.domain.ticket import Status
from engine.domain.wording import Parts
from engine.domain.wording_hotline import Words


@dataclass(frozen=True, slots=True)
class Announce:
    """The greeting, and that the call is recorded. Said once in a call, to its end."""

    parts: Parts


@dataclass(frozen=True, slots=True)
class Say:
    """Say the parts."""

    parts: Parts


@dataclass(frozen=True, slots=True)
class Ask:
    """A question answered by one of `keys`. Comes back: the key, None for silence.

    `early` False: a key pressed before it was put cannot be meant for it; it is left for the next question, and this one is not put.
    """

    question: str
    parts: Parts
    keys: str
    wait: float = 5.0
    times: int = 2
    early: bool = True


@dataclass(frozen=True, slots=True)
class AskDigits:
    """A question answered by several digits, ended by the hash, by `most` of them, or by a pause. Comes back: the digits
    («» for the hash alone), None for silence."""

    question: str
    parts: Parts
    most: int


@dataclass(frozen=True, slots=True)
class Classify:
    """What the ticket is about, as far as is known now. An emergency's walk starts with it. What is None stays as it was."""

    urgency: Urgency
    cause: str | None = None
    title: str | None = None
    premises: Premises | None = None


@dataclass(frozen=True, slots=True)
class TellNumber:
    """Say the parts, which name the ticket's number, and text it. Comes back when it was heard to the end."""

    parts: Parts
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class TakeMessage:
    """Say the parts and let the caller speak; the recording runs anyway."""

    parts: Parts


@dataclass(frozen=True, slots=True)
class Join:
    """The caller's trouble is that incident: one more voice, and no walk of its own."""

    incident: Incident
    premises: Premises


@dataclass(frozen=True, slots=True)
class HandOver:
    """Ring a service of the company's (gas: 104, 112) at once, say `parts` to the caller meanwhile and `brief` to whoever answers
    there, then connect the two. Comes back: «talked», or None."""

    service: str
    parts: Parts = ()
    brief: Parts = ()


@dataclass(frozen=True, slots=True)
class CallOperator:
    """An operator, if one is on duty. Comes back: «talked», or None."""


@dataclass(frozen=True, slots=True)
class LookUp:
    """Tickets to tell the status of: those of the premises or the caller's number, or that one if it is of that flat.
    Comes back: `Found`."""

    number: int | None = None
    premises: Premises | None = None


@dataclass(frozen=True, slots=True)
class LookAtMeters:
    """The meters of a flat with their latest readings. Comes back: `Meters`."""

    house: str
    flat: str


@dataclass(frozen=True, slots=True)
class TakeReading:
    """Write a reading down."""

    meter: Meter
    value: int
    unusual: bool = False


@dataclass(frozen=True, slots=True)
class Settle:
    """The call needs nothing more: its ticket is closed, with this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Brief:
    """A ticket in a few words, for its status."""

    number: int
    title: str | None
    status: Status
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up found."""

    tickets: tuple[Brief, ...] = ()


@dataclass(frozen=True, slots=True)
class Meters:
    """A flat's meters."""

    meters: tuple[Meter, ...] = ()


Move = (
    Announce
    | Say
    | Ask
    | AskDigits
    | Classify
    | TellNumber
    | TakeMessage
    | Join
    | HandOver
    | CallOperator
    | LookUp
    | LookAtMeters
    | TakeReading
    | Settle
)
Heard = str | Found | Meters | None
Dialogue = Generator[Move, Heard, None]
"""Yields moves and is sent what came of each. Pure: the same answers give the same moves, so a talk can be replayed from its answers."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known when a call begins. It does not change while the call lasts."""

    words: Words
    company: Company
    ticket: int
    opened: datetime
    now: datetime
    premises: Premises = Premises()
    """Where the caller lives, as far as the number tells."""
    greeting: str | None = None
    """The line's own."""
    incidents: tuple[Incident, ...] = ()
    """The company's open ones, of all houses."""
    notices: tuple[Notice, ...] = ()
    operators: bool = False
    """Whether an operator may be had."""
    crowded: bool = False
    """Too many calls, of this caller or at all: only an emergency is served."""
    rings_back: bool = False
    """We rang the caller, after a call that had broken off."""

    @property
    def zone(self) -> str:
        """The caller's time zone."""
        return self.company.zone_of(self.premises.house)
