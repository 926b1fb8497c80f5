"""The engine at work: one coroutine per call, one per open escalation, one per text and per recording; each named, owned and guarded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import datetime

import structlog
from structlog.contextvars import bound_contextvars

from engine.domain.errors import FeedLost, TelephonyAway
from engine.domain.events import (
    CallEnded,
    EscalationResumed,
    EscalationStarted,
    Event,
    TextQueued,
    TicketReopened,
)
from engine.flows import filing, hotline, staff_line, stand_in, texting
from engine.flows.deps import Deps
from engine.flows.walker import walk
from engine.ports import Leg, StandIn

log = structlog.get_logger()

PAUSES_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Before a walk that broke is taken up again."""
TIDY_PAUSE_SECONDS = 2.0


class Service:
    """Runs until cancelled. Build it with the world of the flows and the dialplan's fallback."""

    def __init__(self, d: Deps, fallback: StandIn) -> None:
        self._d = d
        self._fallback = fallback
        self._walking: set[int] = set()
        self._walk_again: set[int] = set()
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Take up what an earlier engine left, then serve: calls, walks, texts, recordings."""
        booted = self._d.clock.now()
        async with asyncio.TaskGroup() as self._group:
            self._own(self._follow_events(), "events")
            self._own(self._take_calls(), "calls")
            self._own(self._tidy(booted), "tidy")

    # --- what comes in -------------------------------------------------------------------------------------------------------------

    async def _take_calls(self) -> None:
        async for leg in self._d.phone.inbound():
            self._own(self._serve_call(leg), f"call {leg.id}")

    async def _serve_call(self, leg: Leg) -> None:
        """Answer for the company whose number was dialled; an unknown number is answered too, by the first company."""
        with bound_contextvars(call=leg.id):
            try:
                company = self._d.company_of_did(leg.did) or next(iter(self._d.companies()), None)
                if company is None:
                    log.error("a call came in and no company is configured", did=leg.did)
                    await leg.hang_up()
                    return
                line = company.line(leg.did) or company.lines[0]
                if line.did != leg.did:
                    log.error("a number was dialled that no company has", did=leg.did)
                contact = company.staff(leg.number)
                about = await staff_line.concerns(company, contact, self._d) if contact else ()
                if contact is not None and about:
                    await staff_line.answer(leg, company, contact, about, self._d)
                else:
                    await hotline.answer(leg, company, line, self._d)
            except Exception:
                log.exception("a call broke")

    async def _follow_events(self) -> None:
        """Each new fact may start a walk, a text or the filing of a recording. Opened first, then caught up, so nothing falls between."""
        while True:
            async with self._d.store.feed() as feed:
                await self._catch_up()
                try:
                    async for ticket, _, event in feed:
                        self._react(ticket, event)
                except FeedLost as lost:
                    log.warning("events were missed and are read again", reason=str(lost))

    async def _catch_up(self) -> None:
        """What stands open on disk: its walks and texts. A store that is away is asked again; nobody may be forgotten."""
        for ticket in await self._d.store.escalating():
            self._walk(ticket)
        for ticket, text in await self._d.store.unsent_texts():
            self._own(texting.deliver(ticket, text, self._d), f"text {text}")

    def _react(self, ticket: int, event: Event) -> None:
        match event:
            case EscalationStarted() | EscalationResumed() | TicketReopened():
                self._walk(ticket)
            case TextQueued():
                self._own(texting.deliver(ticket, event.text, self._d), f"text {event.text}")
            case CallEnded():
                self._own(filing.file_call(ticket, event, self._d), f"filing {event.call}")
            case _:
                pass

    # --- walks ---------------------------------------------------------------------------------------------------------------------

    @property
    def walking(self) -> frozenset[int]:
        """The tickets that have a live walker: what the watchdog compares with the open escalations."""
        return frozenset(self._walking)

    def _walk(self, ticket: int) -> None:
        if ticket in self._walking:
            self._walk_again.add(ticket)  # its walker may be about to end
        else:
            self._walking.add(ticket)
            self._own(self._walk_guarded(ticket), f"walk {ticket}")

    async def _walk_guarded(self, ticket: int) -> None:
        """A walk that breaks is taken up again, for as long as the engine lives."""
        breaks = 0
        with bound_contextvars(ticket=ticket):
            try:
                while True:
                    self._walk_again.discard(ticket)
                    try:
                        await walk(ticket, self._d)
                    except Exception:
                        log.exception("a walk broke and is taken up again", breaks=breaks + 1)
                        await asyncio.sleep(PAUSES_SECONDS[min(breaks, len(PAUSES_SECONDS) - 1)])
                        breaks += 1
                    else:
                        if ticket not in self._walk_again:
                            return
            finally:
                self._walking.discard(ticket)

    # --- what was left open --------------------------------------------------------------------------------------------------------

    async def _tidy(self, booted: datetime) -> None:
        """Once at start, as soon as Asterisk can be asked: close what ended unseen, attach what was recorded unattended."""
        while True:
            try:
                alive = await self._d.phone.alive()
                break
            except TelephonyAway:
                await asyncio.sleep(TIDY_PAUSE_SECONDS)
        await self.stood_in()
        await filing.tidy_calls(alive, self._d, booted)
        await filing.tidy_recordings(alive, self._d)

    async def stood_in(self) -> None:
        """Turn the calls that the dialplan took by itself into tickets."""
        await stand_in.take_over(self._fallback, self._d)

    # --- ownership -----------------------------------------------------------------------------------------------------------------

    def _own(self, work: Awaitable[None], name: str) -> None:
        """Run it as a task of ours. Whatever it raises is logged and ends nothing else."""
        assert self._group is not None
        self._group.create_task(self._guarded(work, name), name=name)

    async def _guarded(self, work: Awaitable[None], name: str) -> None:
        try:
            await work
        except Exception:
            log.exception("a task broke", task=name)
