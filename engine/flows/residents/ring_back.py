"""A call that broke off is rung back: within ten seconds, three times at most, and the talk goes on where it was."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from engine.domain.errors import AttemptExists, NotKnown, TelephonyAway
from engine.domain.events import CallEnded, CallStarted
from engine.domain.model import CallKind, Line, Urgency
from engine.domain.ring_back import USELESS_AFTER, RingBack, ring_back
from engine.domain.ticket import Ticket
from engine.flows import hotline
from engine.flows.deps import Deps
from engine.flows.operators.party import left_by_another
from engine.flows.records import filing
from engine.ports import Dial, DialFailed, Leg

log = structlog.get_logger()

RING_SECONDS = 25.0


async def go_on(ticket: int, d: Deps) -> None:
    """At start: go on with the ring-back that an earlier engine had begun, then with what is due."""
    await _take_up(ticket, d)
    await ring_back_if_due(ticket, d)


async def ring_back_if_due(ticket: int, d: Deps) -> None:
    """Ring the caller of the ticket back, if the timeline says so. Again: nothing, once it was done."""
    due = ring_back(ticket, await d.store.history(ticket))
    if due is None:
        return None
    await asyncio.sleep(max(0.0, (due.at - d.clock.now()).total_seconds()))
    history = await d.store.history(ticket)
    if ring_back(ticket, history) != due:
        return None  # they have called again, or somebody has closed it
    state = Ticket.of(history)
    try:
        company = d.company(state.company)
    except NotKnown:
        return None
    if d.clock.now() - due.at > USELESS_AFTER or not company.may_dial(due.number):
        return None
    if d.callers.crowded(company.id, due.number) or d.callers.on_line(company.id, due.number):
        return None
    now = d.clock.now()
    started = CallStarted(at=now, call=due.attempt, kind=CallKind.CALLBACK, number=due.number, did=state.did)
    if not await d.store.append(ticket, [started], expect=len(history)):
        return await ring_back_if_due(ticket, d)
    log.info("a call broke off and is rung back", ticket=ticket, call=due.attempt)
    await _ring(ticket, due, state, d)
    return None


async def is_owed(ticket: int, d: Deps) -> bool:
    """Whether there is a call to ring back, or one that was being rung back when an engine died."""
    history = await d.store.history(ticket)
    live = Ticket.of(history).live_calls
    return ring_back(ticket, history) is not None or any(name.startswith(f"{ticket}-b") for name in live)


async def _take_up(ticket: int, d: Deps) -> None:
    """Go on with a talk that an earlier engine had rung back, or with a phone that it had left ringing."""
    history = await d.store.history(ticket)
    state = Ticket.of(history)
    for name in state.live_calls:
        if not name.startswith(f"{ticket}-b"):
            continue
        if (leg := await left_by_another(name, d)) is None:
            with suppress(TelephonyAway):
                if name not in await d.phone.alive():  # else it is a talk of our own
                    await filing.close_unseen(ticket, name, d)
            continue
        begun = [e.call for e in history if isinstance(e, CallStarted)]
        if d.operators is not None and await d.operators.resume(leg):
            continue  # they were talking with an operator, and notice nothing
        async with leg:
            await hotline.serve(_call(ticket, leg, state, frozenset(begun), d))


def _call(ticket: int, leg: Leg, state: Ticket, continues: frozenset[str], d: Deps) -> hotline.Call:
    company = d.company(state.company)
    line = company.line(state.did) or (company.lines[0] if company.lines else Line(""))
    call = hotline.Call(leg, company, ticket, line, d)
    call.caller, call.continues, call.rings_back = state.phone, continues, True
    d.callers.arrive(company.id, state.phone, leg.id, ticket, d.clock.now())
    return call


async def _ring(ticket: int, due: RingBack, state: Ticket, d: Deps) -> None:
    company = d.company(state.company)
    urgency = state.urgency or Urgency.EMERGENCY
    dial = Dial(due.attempt, due.number, RING_SECONDS, caller_id=company.caller_id, company=company.id)
    try:
        async with d.gates.of(0).slot(urgency), d.phone.dial(dial) as leg:
            await hotline.serve(_call(ticket, leg, state, due.continues, d))
    except (DialFailed, AttemptExists, TelephonyAway) as error:
        cause = error.cause if isinstance(error, DialFailed) and error.cause else 16
        ended = CallEnded(at=d.clock.now(), call=due.attempt, cause=cause, by="network")
        await asyncio.shield(d.store.append(ticket, [ended]))
