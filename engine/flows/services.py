"""Hand a caller over to a service of the company's: 104 for gas, 112. Rung at once, bridged, recorded, on the timeline."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import structlog

from engine.domain.company import Company
from engine.domain.errors import AttemptExists, HungUp, TelephonyAway
from engine.domain.events import CallAnswered, CallEnded, CallStarted
from engine.domain.model import CallKind, Urgency
from engine.domain.wording import Parts
from engine.flows.conversation import Conversation
from engine.flows.deps import Deps
from engine.ports import Dial, DialFailed, Leg, Sound

log = structlog.get_logger()

RING_SECONDS = 30.0
TALK_SECONDS = 1800.0
RINGING = Sound("tone:ring")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who is to be connected: the caller of a ticket, with a service; it hears `brief` first."""

    talk: Conversation
    ticket: int
    company: Company
    brief: Parts
    meanwhile: Meanwhile | None = None


async def hand_over(
    talk: Conversation, ticket: int, company: Company, service: str, parts: Parts, brief: Parts, d: Deps
) -> bool:
    """Connect the caller with the first number of the service that answers; whether it answered.

    The caller hears `parts` while it rings, the service `brief` before the two are connected: it is told even of a caller who has
    hung up, as somebody does who runs from a smell of gas. Raises `HungUp` when the caller is gone. A talk that an earlier engine
    began is taken up, and not begun again.
    """
    history = await d.store.history(ticket)
    begun = [e for e in history if isinstance(e, CallStarted) and e.kind is CallKind.UTILITY]
    answered = {e.call for e in history if isinstance(e, CallAnswered)}
    for earlier in begun:
        if earlier.call in answered:
            if (leg := d.phone.adopt(earlier.call)) is not None:
                async with leg:
                    await _connect(Wanted(talk, ticket, company, brief), leg, d)
            return True
    async with Meanwhile(talk, parts) as meanwhile:
        wanted = Wanted(talk, ticket, company, brief, meanwhile)
        for number in company.services.get(service, ()):
            if not company.may_dial(number):
                log.error("a service may not be dialled: add it to allowed_numbers", service=service)
                continue
            attempt = f"{ticket}-u{len(begun) + 1}"
            begun.append(CallStarted(at=d.clock.now(), call=attempt, kind=CallKind.UTILITY, number=number))
            with suppress(DialFailed, AttemptExists, TelephonyAway):
                await _call(wanted, begun[-1], d)
                return True
    return False


async def _call(wanted: Wanted, started: CallStarted, d: Deps) -> None:
    """Ring one number, brief, bridge. Raises `DialFailed` and the like if nobody answered there."""
    await d.store.append(wanted.ticket, [started])
    company = wanted.company
    dial = Dial(
        started.call, started.number or "", RING_SECONDS, caller_id=company.caller_id, company=company.id
    )
    up = False
    try:
        async with d.gates.of(0).slot(Urgency.EMERGENCY), d.phone.dial(dial) as leg:
            up = True
            await d.store.append(wanted.ticket, [CallAnswered(at=d.clock.now(), call=leg.id)])
            await _connect(wanted, leg, d)
    finally:
        if not up:
            ended = CallEnded(at=d.clock.now(), call=started.call, by="network")
            await asyncio.shield(d.store.append(wanted.ticket, [ended]))


async def _connect(wanted: Wanted, service: Leg, d: Deps) -> None:
    """Brief the service, then let the two talk until one of them leaves. Raises `HungUp` if it was the caller."""
    caller, loop = wanted.talk.leg, asyncio.get_running_loop()
    since = loop.time()
    try:
        await Conversation(service, d.voice).say(*wanted.brief)
        if wanted.meanwhile is not None:
            await wanted.meanwhile.finish()
        async with d.phone.bridge(caller, service):
            gone = [asyncio.create_task(leg.ended(), name=f"bridged {leg.id}") for leg in (caller, service)]
            try:
                await asyncio.wait(gone, timeout=TALK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in gone:
                    task.cancel()
                await asyncio.wait(gone)
    except HungUp:
        pass  # of one of the two; which, is seen below
    finally:
        by, cause = ("us", 16) if service.hung_up is None else ("caller", service.hung_up)
        await service.hang_up()
        seconds = round(loop.time() - since, 3)
        ended = CallEnded(at=d.clock.now(), call=service.id, cause=cause, by=by, seconds=seconds)
        await asyncio.shield(d.store.append(wanted.ticket, [ended]))
    if caller.hung_up is not None:
        raise HungUp(caller.hung_up)


class Meanwhile:
    """What the caller hears before they are connected: the parts to their end, then ringing."""

    def __init__(self, talk: Conversation, parts: Parts) -> None:
        self._talk, self._parts = talk, parts
        self._told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Meanwhile:
        self._task = asyncio.create_task(self._speak(), name=f"meanwhile {self._talk.leg.id}")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._quiet()

    async def finish(self) -> None:
        """Let the parts be said to their end, then be silent."""
        await self._told.wait()
        await self._quiet()

    async def _quiet(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _speak(self) -> None:
        try:
            with suppress(HungUp, TelephonyAway):
                await self._talk.say(*self._parts)
                self._told.set()
                while True:
                    await self._talk.leg.play(RINGING)
        finally:
            self._told.set()
