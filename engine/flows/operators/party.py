"""Ring somebody for a ticket: the intent on the timeline before the ring, then the answer, then the end; recorded like any call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import structlog

from engine.domain.errors import StoreFailed, TelephonyAway
from engine.domain.events import CallAnswered, CallEnded, CallStarted, Event
from engine.domain.model import CallKind, Urgency
from engine.flows.deps import Deps
from engine.ports import Cause, Dial, DialFailed, Leg

log = structlog.get_logger()

RING_SECONDS = 30.0
LOOK_SECONDS = 0.2
Fact = Callable[[str, datetime], Event]
"""Makes the event that goes on the timeline together with the intent, from the leg's id and the instant."""


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody to be rung. `number` is E.164, or the name of a desk phone; `letter` marks the ids of such legs: «1024-o1»."""

    letter: str
    kind: CallKind
    number: str
    desk: bool = False
    contact: str | None = None
    ring_seconds: float = RING_SECONDS
    caller_id: str | None = None
    caller_name: str | None = None
    company: str | None = None
    trunk: int = 0
    urgency: Urgency = Urgency.URGENT

    def dial(self, attempt: str) -> Dial:
        """How it is dialled."""
        return Dial(
            attempt,
            self.number,
            self.ring_seconds,
            caller_id=self.caller_id,
            trunk=self.trunk,
            company=self.company,
            phone=self.number if self.desk else None,
            caller_name=self.caller_name,
        )


@asynccontextmanager
async def rung(ticket: int, party: Party, d: Deps, call: str | None = None) -> AsyncIterator[Leg]:
    """The party's leg, up and recorded, for the length of the block. `call` is its id, if `claim` has given it one.

    Raises as `Telephony.dial` does when nobody answers; the end is on the timeline then, too.
    """
    call = call or await claim(ticket, party, d)
    end = CallEnded(at=d.clock.now(), call=call)
    try:
        async with AsyncExitStack() as stack:
            if not party.desk:
                await stack.enter_async_context(d.gates.of(party.trunk).slot(party.urgency))
            leg = await stack.enter_async_context(d.phone.dial(party.dial(call)))
            up_since = asyncio.get_running_loop().time()
            await note(d, ticket, CallAnswered(at=d.clock.now(), call=call))
            try:
                yield leg
            finally:
                end = ending(leg, up_since)
    except DialFailed as failed:
        end = CallEnded(at=end.at, call=call, cause=failed.cause or end.cause, by="network")
        raise
    finally:
        await asyncio.shield(note(d, ticket, _now(end, d)))


async def left_by_another(call: str, d: Deps, seconds: float = RING_SECONDS) -> Leg | None:
    """The leg of a call that an earlier engine had dialled: at once if it is up, once it answers if it still rings.

    None: it is over, or has been ringing for too long.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                if (leg := d.phone.adopt(call)) is not None:
                    return leg
                with suppress(TelephonyAway):
                    if call not in await d.phone.alive():
                        return None
                await asyncio.sleep(LOOK_SECONDS)
    return None


@asynccontextmanager
async def adopted(ticket: int, leg: Leg, d: Deps) -> AsyncIterator[Leg]:
    """A leg that an earlier engine had; its answer, if nobody saw it, and its end are put on the timeline."""
    loop = asyncio.get_running_loop()
    history = await d.store.history(ticket)
    since = next((e.at for e in history if isinstance(e, CallAnswered) and e.call == leg.id), None)
    if since is None:
        since = d.clock.now()
        await note(d, ticket, CallAnswered(at=since, call=leg.id))
    up_since = loop.time() - (d.clock.now() - since).total_seconds()
    end = CallEnded(at=since, call=leg.id)
    try:
        async with leg:
            try:
                yield leg
            finally:
                end = ending(leg, up_since)
    finally:
        await asyncio.shield(note(d, ticket, _now(end, d)))


def ending(leg: Leg, up_since: float) -> CallEnded:
    """How the leg ends, asked before we end it ourselves; `up_since` is the loop's time."""
    by, cause = leg.ended_by, int(leg.hung_up or Cause.NORMAL)
    seconds = round(asyncio.get_running_loop().time() - up_since, 3)
    return CallEnded(at=datetime.min, call=leg.id, cause=cause, by=by, seconds=seconds)


def _now(end: CallEnded, d: Deps) -> CallEnded:
    return CallEnded(at=d.clock.now(), call=end.call, cause=end.cause, by=end.by, seconds=end.seconds)


async def note(d: Deps, ticket: int, *events: Event) -> None:
    """A store that cannot write must not cost anybody a call: it goes on, loudly."""
    try:
        await d.store.append(ticket, events)
    except StoreFailed as error:
        log.error("a fact of a call was lost", ticket=ticket, error=str(error))


def next_id(ticket: int, letter: str, history: Sequence[Event]) -> str:
    """«1024-o2»: the leg's id, which no other leg of the ticket has had."""
    prefix = f"{ticket}-{letter}"
    had = sum(isinstance(event, CallStarted) and event.call.startswith(prefix) for event in history)
    return f"{prefix}{had + 1}"


async def claim(ticket: int, party: Party, d: Deps, fact: Fact | None = None) -> str:
    """Choose the leg's id and put the intent on the timeline, so that nobody else can have the same."""
    while True:
        history = await d.store.history(ticket)
        now, call = d.clock.now(), next_id(ticket, party.letter, history)
        events: list[Event] = [
            CallStarted(at=now, call=call, kind=party.kind, number=party.number, contact=party.contact)
        ]
        events += [fact(call, now)] if fact else []
        if await d.store.append(ticket, events, expect=len(history)):
            return call
