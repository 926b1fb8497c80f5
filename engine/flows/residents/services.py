"""Hand a caller over to a service of the company's: 104 for gas, 112. Rung at once, bridged, recorded, on the timeline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from engine.domain.company import Company
from engine.domain.errors import AttemptExists, HungUp, TelephonyAway
from engine.domain.events import CallAnswered, CallEnded, CallStarted, Event
from engine.domain.model import CallKind, Urgency
from engine.domain.wording import Parts
from engine.flows.conversation import Conversation, until_one_leaves
from engine.flows.deps import Deps
from engine.flows.operators.party import Party, adopted, left_by_another, rung
from engine.flows.records import filing
from engine.ports import DialFailed, Leg, Sound

log = structlog.get_logger()

LETTER = "u"
TALK_SECONDS = 1800.0
RINGING = Sound("tone:ring")


def talking(history: Sequence[Event]) -> str | None:
    """The service's leg that the caller is connected with, as far as the timeline knows."""
    legs = {e.call for e in history if isinstance(e, CallStarted) and e.kind is CallKind.UTILITY}
    up = [e.call for e in history if isinstance(e, CallAnswered) and e.call in legs]
    ended = {e.call for e in history if isinstance(e, CallEnded)}
    return next((call for call in up if call not in ended), None)


async def hand_over(
    talk: Conversation, ticket: int, company: Company, service: str, parts: Parts, brief: Parts, d: Deps
) -> bool:
    """Connect the caller with the first number of the service that answers; whether one did.

    The caller hears `parts` while it rings, the service `brief` before the two are connected: it is told even of a caller who has
    hung up, as somebody does who runs from a smell of gas. Raises `HungUp` when the caller is gone. A talk that an earlier engine
    began goes on, and is not begun again.
    """
    history = await d.store.history(ticket)
    if (call := talking(history)) is not None and (earlier := d.phone.adopt(call)) is not None:
        async with adopted(ticket, earlier, d) as leg:
            await _together(talk.leg, leg, d)
    if any(isinstance(e, CallAnswered) and e.call.startswith(f"{ticket}-{LETTER}") for e in history):
        _raise_if_gone(talk.leg)
        return True
    over = {e.call for e in history if isinstance(e, CallEnded)}
    begun = {e.number: e.call for e in history if isinstance(e, CallStarted) and e.kind is CallKind.UTILITY}
    async with Meanwhile(talk, parts) as meanwhile:
        for number in company.services.get(service, ()):
            if not company.may_dial(number):
                log.error("a service may not be dialled: add it to allowed_numbers", service=service)
                continue
            if (before := begun.get(number)) in over:
                continue  # an earlier engine has tried it
            party = Party(
                LETTER,
                CallKind.UTILITY,
                number,
                caller_id=company.caller_id,
                company=company.id,
                urgency=Urgency.EMERGENCY,
            )
            with suppress(DialFailed, AttemptExists, TelephonyAway):
                async with _reached(ticket, party, before, d) as leg:
                    with suppress(HungUp):
                        await Conversation(leg, d.voice).say(*brief)
                    await meanwhile.finish()
                    await _together(talk.leg, leg, d)
                _raise_if_gone(talk.leg)
                return True
    return False


@asynccontextmanager
async def _reached(ticket: int, party: Party, before: str | None, d: Deps) -> AsyncIterator[Leg]:
    """The service's leg: of the call `before`, which an earlier engine has left ringing, or of a new one. Raises as `rung` does."""
    if before is not None and (ringing := await left_by_another(before, d)) is not None:
        async with adopted(ticket, ringing, d) as leg:
            yield leg
        return
    if before is not None:
        await filing.close_unseen(ticket, before, d)
    async with rung(ticket, party, d) as leg:
        yield leg


async def _together(caller: Leg, service: Leg, d: Deps) -> None:
    """Bridge the two until one of them leaves."""
    with suppress(HungUp):  # of one of them, while they were to be bridged
        async with d.phone.bridge(caller, service):
            await until_one_leaves(caller, service, seconds=TALK_SECONDS)


def _raise_if_gone(caller: Leg) -> None:
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
