"""A ticket, its calls and texts, as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.console.deps import CallRow, Reader, TextRow, TicketRow
from engine.console.wire import plain
from engine.domain.events import Accepted, DeadlineBroken, DeadlineNear, Event
from engine.domain.ticket import Ticket
from engine.ports import Store

ALL = 1000
"""More texts than one ticket ever has."""


@dataclass(frozen=True, slots=True)
class TicketView:
    """A whole ticket: its timeline folded, and its calls and texts, oldest first."""

    number: int
    history: Sequence[Event]
    ticket: Ticket
    calls: Sequence[CallRow]
    texts: Sequence[TextRow]

    @classmethod
    async def read(cls, number: int, store: Store, reader: Reader) -> TicketView:
        """Read it. Raises `NotKnown`."""
        history = await store.history(number)
        calls = await reader.calls_of(number)
        texts = await reader.texts(ticket=number, limit=ALL)
        return cls(
            number,
            history,
            Ticket.of(history),
            calls,
            sorted(texts, key=lambda text: text.queued_at),
        )

    def json(self) -> dict[str, Any]:
        """For the API."""
        ticket = self.ticket
        deadlines = [event for event in self.history if isinstance(event, DeadlineNear | DeadlineBroken)]
        return {
            "number": self.number,
            "company": ticket.company,
            "status": ticket.status,
            "urgency": ticket.urgency,
            "cause": ticket.cause,
            "title": ticket.title,
            "text": ticket.text,
            "channel": ticket.channel,
            "phone": ticket.phone,
            "did": ticket.did,
            "applicant": ticket.applicant,
            "premises": ticket.premises,
            "opened_at": ticket.opened_at,
            "closed_at": ticket.closed_at,
            "policy": ticket.policy,
            "accepted": acceptance_json(ticket.accepted),
            "reported": ticket.reported,
            "events": len(self.history),
            "calls": [call_json(call) for call in self.calls],
            "texts": [text_json(text) for text in self.texts],
            "deadlines": [{"type": type(event).__name__, **plain(event)} for event in deadlines],
        }


def acceptance_json(accepted: Accepted | None) -> dict[str, Any] | None:
    """Who is responsible, since when, and by which way they said so."""
    if accepted is None:
        return None
    return {"contact": accepted.contact, "name": accepted.name, "via": accepted.via, "at": accepted.at}


def row_json(row: TicketRow) -> dict[str, Any]:
    """One ticket of a list."""
    accepted = None
    if row.accepted_by is not None:
        accepted = {"contact": row.accepted_by, "name": row.accepted_name, "at": row.accepted_at}
    return {
        "number": row.number,
        "company": row.company,
        "status": row.status,
        "urgency": row.urgency,
        "cause": row.cause,
        "title": row.title,
        "premises": {"house": row.house, "flat": row.flat, "address": row.address},
        "phone": row.phone,
        "channel": row.channel,
        "opened_at": row.opened_at,
        "accepted": accepted,
        "closed_at": row.closed_at,
        "events": row.length,
    }


def call_json(call: CallRow) -> dict[str, Any]:
    """One call; `recording` says where it can be heard."""
    recording = None
    if call.recording is not None:
        recording = {
            "recording": call.recording,
            "seconds": call.recording_seconds,
            "flaw": call.flaw,
            "url": f"/api/v1/recordings/{call.recording}",
        }
    return {
        "call": call.id,
        "ticket": call.ticket,
        "company": call.company,
        "kind": call.kind,
        "number": call.number,
        "did": call.did,
        "contact": call.contact,
        "started_at": call.started_at,
        "answered_at": call.answered_at,
        "ended_at": call.ended_at,
        "seconds": call.seconds,
        "outcome": call.outcome,
        "cause": call.cause,
        "by": call.ended_by,
        "recording": recording,
    }


def text_json(text: TextRow) -> dict[str, Any]:
    """One text message and its delivery."""
    return {
        "text": text.id,
        "ticket": text.ticket,
        "company": text.company,
        "number": text.number,
        "contact": text.contact,
        "template": text.template,
        "body": text.body,
        "status": text.status,
        "queued_at": text.queued_at,
        "changed_at": text.changed_at,
        "provider": text.provider,
        "parts": text.parts,
        "reason": text.reason,
    }
