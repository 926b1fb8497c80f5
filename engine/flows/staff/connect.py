"""Connect a member of staff with the resident: with the caller who is still on the line, else by calling them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from engine.domain import wording
from engine.domain.errors import AttemptExists, HungUp, TelephonyAway
from engine.domain.events import CallAnswered, CallEnded, CallsBridged, CallStarted, Event
from engine.domain.model import CallKind, Urgency
from engine.domain.ticket import Ticket
from engine.flows.conversation import Conversation, until_one_leaves
from engine.flows.deps import Deps
from engine.flows.operators.party import adopted, ending, note
from engine.ports import Dial, DialFailed, Leg

log = structlog.get_logger()

RING_SECONDS = 30.0
TALK_SECONDS = 900.0
TAKE_OVER_SECONDS = 5.0
"""After a restart the other one of two who talk is met again by then."""


async def with_resident(talk: Conversation, ticket: int, d: Deps) -> None:
    """Let the far end of `talk` speak with the ticket's resident. Returns when the resident is gone, or could not be had.

    A resident who talks with an operator is not called away: the member of staff sits down with the two; who talks with a service is
    left to it. Raises `HungUp` when the member of staff hangs up.
    """
    if d.operators is not None and await d.operators.join(talk, ticket):
        return
    if d.lobby.talks(ticket):
        await talk.say(wording.RESIDENT_TALKS)
        return
    async with d.lobby.meet(ticket) as waiting:
        if waiting is not None:
            await talk.say(wording.CONNECTING)
            await _together(talk.leg, waiting, ticket, d)
            return
    state = Ticket.of(await d.store.history(ticket))
    if state.phone is None or not d.company(state.company).may_dial(state.phone):
        await talk.say(wording.NO_RESIDENT)
        return
    await talk.say(wording.CONNECTING)
    try:
        await _call(talk.leg, ticket, state, d)
    except (DialFailed, AttemptExists, TelephonyAway):
        await talk.say(wording.RESIDENT_AWAY)


def bridged(history: Sequence[Event], call: str) -> str | None:
    """With which other call an earlier engine had connected this one, if both were up still."""
    last = next((e for e in reversed(history) if isinstance(e, CallsBridged) and call in e.calls), None)
    ended = {event.call for event in history if isinstance(event, CallEnded)}
    if last is None or ended.intersection(last.calls):
        return None
    return next(other for other in last.calls if other != call)


async def goes_on(talk: Conversation, ticket: int, d: Deps) -> bool:
    """After a restart: go on with the talk with the resident that an earlier engine had begun; the two notice nothing.

    False: there was none. Raises `HungUp` when the member of staff hangs up.
    """
    other = bridged(await d.store.history(ticket), talk.leg.id)
    if other is None:
        return False
    if (rung := d.phone.adopt(other)) is not None:
        with suppress(HungUp):
            async with adopted(ticket, rung, d) as resident:
                await _together(talk.leg, resident, ticket, d)
        if talk.leg.hung_up is not None:
            raise HungUp(talk.leg.hung_up)
        return True
    with suppress(TimeoutError):
        async with asyncio.timeout(TAKE_OVER_SECONDS):
            await d.lobby.comes(ticket, other)
    async with d.lobby.meet(ticket, other) as caller:
        if caller is not None:
            await _together(talk.leg, caller, ticket, d)
    return caller is not None


async def _call(staff: Leg, ticket: int, state: Ticket, d: Deps) -> None:
    """Ring the resident and bridge the two. The call is on the timeline and recorded like any other."""
    assert state.phone is not None
    company = d.company(state.company)
    call = f"{ticket}-r{1 + sum(one.startswith(f'{ticket}-r') for one in state.calls)}"
    await d.store.append(
        ticket, [CallStarted(at=d.clock.now(), call=call, kind=CallKind.CALLBACK, number=state.phone)]
    )
    end = CallEnded(at=d.clock.now(), call=call, by="network")
    dial = Dial(call, state.phone, RING_SECONDS, caller_id=company.caller_id, company=company.id)
    try:
        async with d.gates.of(0).slot(Urgency.EMERGENCY), d.phone.dial(dial) as resident:
            up_since = asyncio.get_running_loop().time()
            await d.store.append(ticket, [CallAnswered(at=d.clock.now(), call=call)])
            try:
                await Conversation(resident, d.voice).say(wording.STAFF_CALLS)
                await _together(staff, resident, ticket, d)
            except HungUp:
                if staff.hung_up is not None:
                    raise
            finally:
                end = ending(resident, up_since)
    except DialFailed as failed:
        end = replace(end, cause=failed.cause or end.cause)
        raise
    finally:
        await asyncio.shield(note(d, ticket, replace(end, at=d.clock.now())))


async def _together(staff: Leg, resident: Leg, ticket: int, d: Deps) -> None:
    """Bridge the two until one of them leaves. Raises `HungUp` if it was the member of staff."""
    async with d.phone.bridge(staff, resident):
        await note(d, ticket, CallsBridged(at=d.clock.now(), calls=(staff.id, resident.id)))
        await until_one_leaves(staff, resident, seconds=TALK_SECONDS)
    if staff.hung_up is not None:
        raise HungUp(staff.hung_up)
