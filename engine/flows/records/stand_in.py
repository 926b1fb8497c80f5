"""While the engine was away the dialplan stood in. Each call that it took becomes a ticket, with what was recorded and what happened."""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from engine.domain.company import Company
from engine.domain.errors import DozvonError
from engine.domain.events import (
    Accepted,
    CallAnswered,
    CallEnded,
    CallStarted,
    Classified,
    EscalationStarted,
    Event,
    Noted,
    TicketOpened,
)
from engine.domain.model import CallKind, Premises, Urgency, Via
from engine.domain.ticket import Ticket
from engine.flows import verbs
from engine.flows.deps import Deps
from engine.ports import StandIn, StoodInCall

log = structlog.get_logger()


async def take_over(stand_in: StandIn, d: Deps) -> int:
    """Turn every call that the dialplan has finished by itself into a ticket; returns how many. Again: only what is new."""
    taken = 0
    for call in await stand_in.calls():
        try:
            taken += await _take_over(call, stand_in, d)
        except (DozvonError, OSError):
            raise  # the store is away, or the disk is full: all of them, later
        except Exception:
            log.exception("a call that was taken while the engine was away cannot be told", call=call.id)
    return taken


async def _take_over(call: StoodInCall, stand_in: StandIn, d: Deps) -> bool:
    company = d.company_of_did(call.did) or next(iter(d.companies()), None)
    if company is None:
        log.error("a call was taken while the engine was away, and no company is configured", call=call.id)
        return False
    story = _story(call, company, d)
    ticket = await d.store.ticket_of_call(call.id)
    if ticket is None:
        ticket = await d.store.open_ticket(story, key=call.id)
    else:
        await _add(ticket, call.id, story, d)
    await stand_in.forget(call.id)
    log.warning("a call was taken while the engine was away", ticket=ticket, call=call.id)
    return True


async def _add(ticket: int, call: str, story: list[Event], d: Deps) -> None:
    """A call that we had begun and handed over has its ticket: only what came after is new. Told before: nothing."""
    history = await d.store.history(ticket)
    state = Ticket.of(history)
    if any(isinstance(event, CallEnded) and event.call == call for event in history):
        return
    answered = any(isinstance(event, CallAnswered) and event.call == call for event in history)

    def known(event: Event) -> bool:
        match event:
            case TicketOpened():
                return True
            case CallStarted():
                return event.call == call
            case CallAnswered():
                return event.call == call and answered
            case Classified() | EscalationStarted():
                return state.urgency is Urgency.EMERGENCY
            case _:
                return False

    await d.store.append(ticket, [event for event in story if not known(event)])


def _story(call: StoodInCall, company: Company, d: Deps) -> list[Event]:
    """What happened, as it would have been written down. Nobody took it and nobody heard it: then it is walked as an emergency,
    for the caller was promised that the service would be rung."""
    resident = company.residents.get(call.caller or "")
    premises = verbs.premises_of(company, resident.house, resident.flat) if resident else Premises()
    now = d.clock.now()
    acceptor = company.staff(call.accepted_by)
    urgency = Urgency.EMERGENCY if call.spoke else company.unclear_is
    events: list[Event] = [
        TicketOpened(
            at=call.started,
            company=company.id,
            channel="fallback",
            phone=call.caller,
            did=call.did or None,
            premises=premises,
            applicant=resident.name if resident else None,
        ),
        CallStarted(
            at=call.started, call=call.id, kind=CallKind.FALLBACK, number=call.caller, did=call.did or None
        ),
        CallAnswered(at=call.started, call=call.id),
        *_talks(call, company),
        CallEnded(
            at=call.ended, call=call.id, by="network", seconds=(call.ended - call.started).total_seconds()
        ),
        Noted(at=now, by="dozvon", text=_note(call)),
        Classified(at=now, urgency=urgency, by=call.id),
    ]
    started = verbs.escalation_of(company, urgency, None, now)
    if call.accepted_by:
        name = acceptor.name if acceptor else call.accepted_by
        contact = acceptor.id if acceptor else call.accepted_by
        events += [*started, Accepted(at=call.ended, contact=contact, via=Via.CALL, name=name)]
    else:
        events += started
    return events


def _talks(call: StoodInCall, company: Company) -> Iterator[Event]:
    """The members of staff who picked up: each has a recording of their own."""
    for leg in call.legs:
        who = company.staff(leg.number)
        yield CallStarted(
            at=leg.started,
            call=leg.id,
            kind=CallKind.ROBOCALL,
            number=leg.number,
            contact=who.id if who else None,
        )
        yield CallAnswered(at=leg.started, call=leg.id)
        seconds = (leg.ended - leg.started).total_seconds()
        yield CallEnded(at=leg.ended, call=leg.id, by="network", seconds=seconds)


def _note(call: StoodInCall) -> str:
    rung = f"; звонили: {', '.join(call.rang)}" if call.rang else ""
    return f"Звонок принят без диспетчерской программы{rung}."
