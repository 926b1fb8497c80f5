"""Hand a caller over to a service of the company's: 104 for gas, 112. Rung at once, bridged, recorded, on the timeline."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from engine.domain.company import Company
from engine.domain.errors import AttemptExists, HungUp, TelephonyAway
from engine.domain.events import CallAnswered, CallEnded, CallStarted, Event
from engine.domain.model import CallKind, Urgency
from engine.flows.deps import Deps
from engine.ports import Dial, DialFailed, Leg, Sound

log = structlog.get_logger()

RING_SECONDS = 30.0
TALK_SECONDS = 1800.0
RINGING = Sound("tone:ring")


async def hand_over(caller: Leg, ticket: int, company: Company, service: str, d: Deps) -> bool:
    """Connect the caller with the first number of the service that answers; whether they have talked.

    Raises `HungUp` when the caller hangs up. A talk that an earlier engine began is taken up, and not begun again.
    """
    history = await d.store.history(ticket)
    begun = [e for e in history if isinstance(e, CallStarted) and e.kind is CallKind.UTILITY]
    answered = {e.call for e in history if isinstance(e, CallAnswered)}
    for earlier in begun:
        if earlier.call in answered:
            if (leg := d.phone.adopt(earlier.call)) is not None:
                async with leg:
                    await _talk(caller, leg, ticket, d)
            return True
    for number in company.services.get(service, ()):
        if not company.may_dial(number):
            log.error(
                "a service may not be dialled: add it to allowed_numbers", service=service, number=number
            )
            continue
        attempt = f"{ticket}-u{len(begun) + 1}"
        begun.append(CallStarted(at=d.clock.now(), call=attempt, kind=CallKind.UTILITY, number=number))
        with suppress(DialFailed, AttemptExists, TelephonyAway):
            await _call(caller, ticket, begun[-1], company, d)
            return True
    return False


async def _call(caller: Leg, ticket: int, started: CallStarted, company: Company, d: Deps) -> None:
    """Ring one number and bridge. Raises `DialFailed` and the like if nobody answered there."""
    await d.store.append(ticket, [started])
    number = started.number or ""
    dial = Dial(started.call, number, RING_SECONDS, caller_id=company.caller_id, company=company.id)
    ringing = asyncio.create_task(_ringing(caller), name=f"ringing tone {caller.id}")
    up = False
    try:
        async with d.gates.of(0).slot(Urgency.EMERGENCY), d.phone.dial(dial) as leg:
            up = True
            await _stop(ringing)
            await d.store.append(ticket, [CallAnswered(at=d.clock.now(), call=leg.id)])
            await _talk(caller, leg, ticket, d)
    finally:
        await _stop(ringing)
        if not up:
            await asyncio.shield(_end(ticket, CallEnded(at=d.clock.now(), call=started.call), d))


async def _talk(caller: Leg, service: Leg, ticket: int, d: Deps) -> None:
    """Let them talk until one of them leaves. Raises `HungUp` if it was the caller."""
    loop = asyncio.get_running_loop()
    since, by, cause = loop.time(), "us", 16
    try:
        async with d.phone.bridge(caller, service):
            gone = [asyncio.create_task(leg.ended(), name=f"bridged {leg.id}") for leg in (caller, service)]
            try:
                await asyncio.wait(gone, timeout=TALK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in gone:
                    task.cancel()
                await asyncio.wait(gone)
    except HungUp:
        if caller.hung_up is not None:
            raise
    finally:
        if service.hung_up is not None:
            by, cause = "caller", service.hung_up
        await service.hang_up()
        seconds = round(loop.time() - since, 3)
        ended = CallEnded(at=d.clock.now(), call=service.id, cause=cause, by=by, seconds=seconds)
        await asyncio.shield(_end(ticket, ended, d))
    if caller.hung_up is not None:
        raise HungUp(caller.hung_up)


async def _end(ticket: int, ended: Event, d: Deps) -> None:
    await d.store.append(ticket, [ended])


async def _ringing(caller: Leg) -> None:
    """What the caller hears meanwhile."""
    with suppress(HungUp, TelephonyAway):
        while True:
            await caller.play(RINGING)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
