"""A ticket as it stands: its timeline, folded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from engine.domain.events import (
    Accepted,
    CallEnded,
    CallStarted,
    Classified,
    EscalationResumed,
    EscalationStarted,
    Event,
    Reported,
    TicketClosed,
    TicketOpened,
    TicketReopened,
)
from engine.domain.model import Premises, Urgency


class Status(StrEnum):
    """Where a ticket stands, for lists and filters."""

    OPEN = "open"
    ESCALATING = "escalating"
    ACCEPTED = "accepted"
    DONE = "done"
    CLOSED = "closed"


@dataclass(slots=True)
class Ticket:
    """The state of one ticket. Build it with `Ticket.of(history)`; feed later events to `apply`."""

    company: str = ""
    channel: str = ""
    opened_at: datetime | None = None
    phone: str | None = None
    did: str | None = None
    applicant: str | None = None
    premises: Premises = field(default_factory=Premises)
    urgency: Urgency | None = None
    cause: str | None = None
    title: str | None = None
    text: str | None = None
    policy: str | None = None
    status: Status = Status.OPEN
    accepted: Accepted | None = None
    reported: list[Reported] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    live_calls: set[str] = field(default_factory=set)
    closed_at: datetime | None = None

    @classmethod
    def of(cls, history: Iterable[Event]) -> Ticket:
        """Fold a whole timeline."""
        ticket = cls()
        for event in history:
            ticket.apply(event)
        return ticket

    @property
    def is_open(self) -> bool:
        """Whether something may still be done about it."""
        return self.status is not Status.CLOSED

    def apply(self, event: Event) -> None:
        """Take one more fact into account."""
        match event:
            case TicketOpened():
                self.company, self.channel, self.opened_at = event.company, event.channel, event.at
                self.phone, self.did, self.applicant = event.phone, event.did, event.applicant
                self.premises, self.text = event.premises, event.text
            case Classified():
                self.urgency = event.urgency
                self.cause = event.cause or self.cause
                self.title = event.title or self.title
                self.premises = event.premises or self.premises
                self.text = event.text or self.text
            case EscalationStarted():
                self.policy, self.status, self.accepted = event.policy, Status.ESCALATING, None
            case EscalationResumed():
                self.status, self.accepted = Status.ESCALATING, None
            case Accepted():
                self.accepted, self.status = event, Status.ACCEPTED
            case Reported():
                self.reported.append(event)
                if event.what == "done":
                    self.status = Status.DONE
            case CallStarted():
                self.calls.append(event.call)
                self.live_calls.add(event.call)
            case CallEnded():
                self.live_calls.discard(event.call)
            case TicketClosed():
                self.status, self.closed_at = Status.CLOSED, event.at
            case TicketReopened():
                self.status, self.closed_at, self.accepted = Status.OPEN, None, None
            case _:
                pass
