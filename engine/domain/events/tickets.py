"""The ticket itself: opened, classified, told, reported on, closed; its deadlines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.domain.events.base import Event
from engine.domain.model import Premises, Urgency, Via


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketOpened(Event):
    """The ticket exists. `channel` is how it came in: phone, api, console, fallback, sms, alarm."""

    company: str
    channel: str
    phone: str | None = None
    did: str | None = None
    premises: Premises = Premises()
    applicant: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentJoined(Event):
    """A caller says that this known incident is theirs too: one more voice. On the incident's timeline `voice` is the caller's own
    ticket, with their message; on the caller's own, `incident` is the incident."""

    call: str
    incident: int
    voice: int
    premises: Premises = Premises()
    phone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeGiven(Event):
    """News for the callers of some houses (of one entrance, if it is said): a planned outage, or anything else that is to be told."""

    text: str
    houses: tuple[str, ...] = ()
    """Empty: all of the company's."""
    entrance: int | None = None
    starts: datetime | None = None
    ends: datetime | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRead(Event):
    """A reading that a resident gave. `value` counts whole units of the meter; `unusual`: far more than before, and confirmed."""

    house: str
    flat: str
    meter: str
    value: int
    call: str | None = None
    unusual: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentAsked(Event):
    """The resident was asked whether the work is done: what they said (None: nothing was to be had), and the mark, 1 to 5."""

    call: str
    done: bool | None = None
    mark: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified(Event):
    """What the ticket is about, as far as is known; a later one overrides an earlier one. `by` is a call's id or a user."""

    urgency: Urgency
    cause: str | None = None
    title: str | None = None
    premises: Premises | None = None
    text: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberTold(Event):
    """The applicant knows the ticket's number."""

    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Digested(Event):
    """The person was told of these tickets by one text, which is on the first one's timeline."""

    contact: str
    text: str
    tickets: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported(Event):
    """Progress after the acceptance: `what` is arrived, localised, done, on_the_way."""

    what: str
    contact: str
    via: Via


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Event):
    """A remark by a member of staff or the engine."""

    by: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketClosed(Event):
    """The ticket is closed; a walk of it stops."""

    by: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketReopened(Event):
    """The ticket is open again; an emergency's walk begins anew."""

    by: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineNear(Event):
    """A legal clock will run out soon."""

    clock: str
    due: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineBroken(Event):
    """A legal clock has run out."""

    clock: str
    due: datetime
