"""What a ticket's timeline amounts to, folded into rows. Pure: the same events give the same rows, so projections can be rebuilt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from engine.domain.events import (
    CallAnswered,
    CallEnded,
    CallStarted,
    DialEnded,
    DialStarted,
    Event,
    RecordingAttached,
    RobocallAnswered,
    TextDelivered,
    TextFailed,
    TextQueued,
    TextReceived,
    TextSent,
)
from engine.domain.model import CallKind
from engine.domain.ticket import Ticket
from engine.domain.walk import Walk
from engine.store.rows import CallRow, RecordingRow, TextRow, TicketRow

VERSION = 3
"""Raise it when folding changes: the next start builds all projections anew."""


@dataclass(slots=True)
class Projection:
    """One ticket's rows. Events go in by `apply`; `take_changed` hands out the rows that differ since it was last asked."""

    number: int
    ticket: Ticket = field(default_factory=Ticket)
    walk: Walk = field(init=False)
    changed_at: datetime | None = None
    _rows: dict[str, CallRow | TextRow | RecordingRow] = field(default_factory=dict)
    _touched: dict[str, CallRow | TextRow | RecordingRow] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.walk = Walk(self.number)

    @classmethod
    def of(cls, number: int, history: Iterable[Event]) -> Projection:
        """Fold a timeline that is on disk: its rows count as known, not as changed."""
        projection = cls(number)
        for event in history:
            projection.apply(event)
        projection._touched.clear()
        return projection

    def apply(self, event: Event) -> None:
        """Take one more fact into account."""
        self.ticket.apply(event)
        self.walk.apply(event)
        self.changed_at = event.at
        match event:
            case (
                CallStarted()
                | DialStarted()
                | CallAnswered()
                | RobocallAnswered()
                | CallEnded()
                | DialEnded()
            ):
                self._call(event)
            case TextQueued() | TextSent() | TextDelivered() | TextFailed():
                self._text(event)
            case TextReceived():
                self._reply(event)
            case RecordingAttached():
                self._recording(event)
            case _:
                pass

    def row(self) -> TicketRow:
        """The ticket's own row."""
        ticket, changed_at = self.ticket, self.changed_at
        assert changed_at is not None
        accepted = ticket.accepted
        return TicketRow(
            number=self.number,
            company=ticket.company,
            status=ticket.status.value,
            channel=ticket.channel,
            urgency=ticket.urgency.value if ticket.urgency else None,
            cause=ticket.cause,
            title=ticket.title,
            house=ticket.premises.house,
            flat=ticket.premises.flat,
            address=ticket.premises.address,
            phone=ticket.phone,
            did=ticket.did,
            applicant=ticket.applicant,
            text=ticket.text,
            policy=ticket.policy,
            accepted_by=accepted.contact if accepted else None,
            accepted_name=accepted.name if accepted else None,
            accepted_at=accepted.at if accepted else None,
            opened_at=ticket.opened_at or changed_at,
            closed_at=ticket.closed_at,
            changed_at=changed_at,
            length=self.walk.length,
            walk_over=self.walk.over,
        )

    def take_changed(self) -> Iterable[CallRow | TextRow | RecordingRow]:
        """The calls, texts and recordings that changed since this was last asked."""
        changed, self._touched = self._touched.values(), {}
        return changed

    def rows(self) -> Iterable[CallRow | TextRow | RecordingRow]:
        """All its calls, texts and recordings."""
        return self._rows.values()

    def _put(self, key: str, row: CallRow | TextRow | RecordingRow) -> None:
        self._rows[key] = self._touched[key] = row

    def _call(
        self, event: CallStarted | DialStarted | CallAnswered | RobocallAnswered | CallEnded | DialEnded
    ) -> None:
        call = event.attempt if isinstance(event, DialStarted | RobocallAnswered | DialEnded) else event.call
        key = f"call {call}"
        row = self._rows.get(key)
        if isinstance(event, CallStarted | DialStarted):
            self._put(key, self._begun(event, call, row if isinstance(row, CallRow) else None))
            return
        if not isinstance(row, CallRow):
            return  # of a call that this timeline never saw begin
        match event:
            case CallAnswered() | RobocallAnswered():
                row = replace(row, answered_at=row.answered_at or event.at)
            case CallEnded():
                row = replace(
                    row, ended_at=event.at, cause=event.cause, ended_by=event.by, seconds=event.seconds
                )
            case DialEnded():
                # Once a CallStarted told of the leg, only its CallEnded ends it: a crash between the two must show.
                ended_at = row.ended_at if row.started else event.at
                row = replace(
                    row,
                    ended_at=ended_at,
                    outcome=event.outcome.value,
                    cause=row.cause if event.cause is None else event.cause,
                )
        self._put(key, row)

    def _begun(self, event: CallStarted | DialStarted, call: str, known: CallRow | None) -> CallRow:
        if isinstance(event, DialStarted):
            kind, started, did = CallKind.ROBOCALL, False, None
        else:
            kind, started, did = event.kind, True, event.did
        if known is not None:
            started = started or known.started
            return replace(known, kind=kind.value, started=started, ended_at=None, did=did or known.did)
        return CallRow(
            id=call,
            ticket=self.number,
            company=self.ticket.company,
            kind=kind.value,
            started=started,
            number=event.number,
            did=did,
            contact=event.contact,
            started_at=event.at,
        )

    def _text(self, event: TextQueued | TextSent | TextDelivered | TextFailed) -> None:
        key = f"text {event.text}"
        row = self._rows.get(key)
        if isinstance(event, TextQueued):
            row = TextRow(
                id=event.text,
                ticket=self.number,
                company=self.ticket.company,
                number=event.number,
                contact=event.contact,
                template=event.template,
                body=event.body,
                status="queued",
                queued_at=event.at,
                changed_at=event.at,
            )
        elif not isinstance(row, TextRow):
            return
        elif isinstance(event, TextSent):
            row = replace(row, status="sent", provider=event.provider, parts=event.parts, changed_at=event.at)
        elif isinstance(event, TextDelivered):
            row = replace(row, status="delivered", changed_at=event.at)
        else:
            row = replace(row, status="failed", reason=event.reason, changed_at=event.at)
        self._put(key, row)

    def _reply(self, event: TextReceived) -> None:
        """A text from somebody: `status` is received, `template` names what it means."""
        self._put(
            f"text {event.text}",
            TextRow(
                id=event.text,
                ticket=self.number,
                company=self.ticket.company,
                number=event.number,
                contact=event.contact,
                template=f"reply.{event.meaning}",
                body=event.body,
                status="received",
                queued_at=event.at,
                changed_at=event.at,
                provider=event.provider,
            ),
        )

    def _recording(self, event: RecordingAttached) -> None:
        self._put(
            f"recording {event.recording}",
            RecordingRow(
                id=event.recording,
                ticket=self.number,
                company=self.ticket.company,
                call=event.call,
                seconds=event.seconds,
                flaw=event.flaw,
                attached_at=event.at,
            ),
        )
        call = self._rows.get(f"call {event.call}")
        if isinstance(call, CallRow) and (
            call.recording in (None, event.recording) or not call.recording_seconds
        ):
            # What was recorded under the id once more («CALL@2») has a row of its own.
            self._put(
                f"call {event.call}",
                replace(call, recording=event.recording, recording_seconds=event.seconds, flaw=event.flaw),
            )
