"""The engine at work: one coroutine per call, one per open escalation, one per text and per recording; each named, owned and guarded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from engine.domain.errors import DozvonError, FeedLost, TelephonyAway
from engine.domain.events import (
    Accepted,
    AlarmRaised,
    CallEnded,
    EscalationResumed,
    EscalationStarted,
    Event,
    NoCoverage,
    NumberTold,
    Reported,
    TextQueued,
    TicketOpened,
    TicketReopened,
)
from engine.flows import hotline, verbs
from engine.flows.deps import Deps
from engine.flows.records import filing, stand_in
from engine.flows.residents import aftercare, ring_back
from engine.flows.staff import staff_line
from engine.flows.texts import residents
from engine.flows.texts.replies import Replies
from engine.flows.texts.texting import Post
from engine.flows.walker import Walker, walk
from engine.flows.watch import alarm
from engine.ports import Incoming, Leg, Report, StandIn

log = structlog.get_logger()

PAUSES_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Before a walk that broke is taken up again."""
TIDY_PAUSE_SECONDS = 2.0
TIDY_AGAIN_SECONDS = (20.0, 40.0)
"""What still rang or was up at the start, and that nobody took up, has ended by then."""
STORE_PAUSE_SECONDS = 1.0


class Service:
    """Runs until cancelled. Build it with the world of the flows and the dialplan's fallback."""

    def __init__(self, d: Deps, fallback: StandIn) -> None:
        self._d = d
        self._fallback = fallback
        self.post = Post(d)
        self._replies = Replies(d)
        self._walks: dict[int, asyncio.Task[None]] = {}
        self._walkers: dict[int, Walker] = {}
        self._walk_again: set[int] = set()
        self._group: asyncio.TaskGroup | None = None
        self._stopping = False

    async def run(self) -> None:
        """Take up what an earlier engine left, then serve: calls, walks, texts, recordings."""
        booted = self._d.clock.now()
        async with asyncio.TaskGroup() as self._group:
            self._own(self._follow_events(), "events")
            self._own(self._take_calls(), "calls")
            self._own(self.post.run(), "texts")
            self._own(self._d.texts.serve(self.heard), "text gateways")
            self._own(self._tidy(booted), "tidy")
            if self._d.operators is not None:
                self._own(self._d.operators.run(), "operators")
            try:
                await asyncio.get_running_loop().create_future()  # until cancelled
            finally:
                self._stopping = True  # before the tasks end: nothing is taken up again

    # --- what comes in -------------------------------------------------------------------------------------------------------------

    async def _take_calls(self) -> None:
        async for leg in self._d.phone.inbound():
            self._own(self._serve_call(leg), f"call {leg.id}")

    async def _serve_call(self, leg: Leg) -> None:
        """Answer for the company whose number was dialled; an unknown number is answered too, by the first company."""
        with bound_contextvars(call=leg.id):
            try:
                if leg.adopted and self._d.operators is not None and await self._d.operators.resume(leg):
                    return
                if self._d.operators is not None and await self._d.operators.dialled(leg):
                    return
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
            try:
                async with self._d.store.feed() as feed:
                    await self._catch_up()
                    async for ticket, seq, event in feed:
                        self._react(ticket, seq, event)
            except FeedLost as lost:
                log.warning("events were missed and are read again", reason=str(lost))
            except DozvonError as error:
                log.error("the store does not answer and is asked again", error=str(error))
                await asyncio.sleep(STORE_PAUSE_SECONDS)

    async def _note_absence(self, ticket: int, said: NoCoverage) -> None:
        opened = (await self._d.store.history(ticket))[0]
        if isinstance(opened, TicketOpened):
            self._d.absences.note(opened.company, said)

    async def _catch_up(self) -> None:
        for company in self._d.companies():
            known = await verbs.no_coverage(self._d, company.id, self._d.clock.now())
            for said in known.values():
                self._d.absences.note(company.id, said)
        for ticket in await self._d.store.escalating():
            self._walk(ticket)
        for ticket, text in await self._d.store.unsent_texts():
            self.post.take(ticket, text)
        self._own(self._owed_to_residents(), "what is owed to residents")
        for ticket, seq in await alarm.unposted(self._d):
            self._own(alarm.post(ticket, seq, self._d), f"alarm {ticket}-{seq}")

    async def _owed_to_residents(self) -> None:
        """Texts and calls to residents that an earlier engine, or a gap in the events, left undone."""
        for company in self._d.companies():
            for ticket in await self._d.store.open_tickets(company.id):
                self._d.board.touched(ticket)
                self._d.deadlines.touched(ticket)
                await residents.tell(ticket, self._d)
                if await ring_back.is_owed(ticket, self._d):
                    self._own(ring_back.go_on(ticket, self._d), f"ring back {ticket}")
                await asyncio.sleep(0)  # there may be thousands
            for ticket in await self._d.store.done_tickets(company.id):
                await residents.tell(ticket, self._d)
                self._own(aftercare.go_on(ticket, self._d), f"aftercare {ticket}")

    def _react(self, ticket: int, seq: int, event: Event) -> None:
        self._d.board.touched(ticket)
        self._d.deadlines.touched(ticket)
        match event:
            case EscalationStarted() | EscalationResumed() | TicketReopened():
                self._walk(ticket)
            case TextQueued():
                self.post.take(ticket, event.text)
            case CallEnded():
                self._own(filing.file_call(ticket, event, self._d), f"filing {event.call}")
                self._own(residents.tell(ticket, self._d), f"telling {ticket}")
                self._own(ring_back.ring_back_if_due(ticket, self._d), f"ring back {ticket}")
            case NumberTold() | Accepted() | Reported() | TicketOpened():
                self._own(residents.tell(ticket, self._d), f"telling {ticket}")
                if isinstance(event, Reported) and event.what == "done":
                    self._own(aftercare.ask_if_due(ticket, self._d), f"aftercare {ticket}")
            case NoCoverage():
                self._own(self._note_absence(ticket, event), f"absence {ticket}-{seq}")
            case AlarmRaised():
                self._own(alarm.post(ticket, seq, self._d), f"alarm {ticket}-{seq}")
            case _:
                pass

    async def heard(self, what: Report | Incoming) -> None:
        """Something came from a text gateway. On disk when this returns. Raises `StoreFailed`."""
        if isinstance(what, Report):
            await self.post.reported(what)
        else:
            await self._replies.take(what)

    # --- walks ---------------------------------------------------------------------------------------------------------------------

    @property
    def walking(self) -> frozenset[int]:
        """The tickets that have a live walker: what the watchdog compares with the open escalations."""
        return frozenset(ticket for ticket, walk in self._walks.items() if not walk.done())

    def take_up(self, ticket: int) -> None:
        """Give the ticket a walker if it has none, and a new one instead of one that hangs (whose calls end with it)."""
        walk = self._walks.get(ticket)
        if walk is None or walk.done():
            self._walk(ticket)
        else:
            self._walk_again.add(ticket)
            walk.cancel()

    def look(self) -> None:
        """Let every walker look at the clock: it was set."""
        for walker in self._walkers.values():
            walker.look()

    def _walk(self, ticket: int) -> None:
        walk = self._walks.get(ticket)
        if walk is not None and not walk.done():
            self._walk_again.add(ticket)  # its walker may be about to end
        else:
            self._walk_again.discard(ticket)
            self._walks[ticket] = self._own(self._walk_guarded(ticket), f"walk {ticket}")
            self._walks[ticket].add_done_callback(lambda walk: self._walked(ticket, walk))

    def _walked(self, ticket: int, walk: asyncio.Task[None]) -> None:
        """A walk is over: all is done, or it was ended because it hung, or it must look once more."""
        if self._walks.get(ticket) is not walk:
            return
        del self._walks[ticket]
        self._walkers.pop(ticket, None)
        if ticket in self._walk_again and not self._stopping:
            self._walk(ticket)

    async def _walk_guarded(self, ticket: int) -> None:
        """A walk that breaks is taken up again, for as long as the engine lives."""
        breaks = 0
        with bound_contextvars(ticket=ticket):
            while True:
                self._walk_again.discard(ticket)
                try:
                    await walk(ticket, self._d, partial(self._walkers.__setitem__, ticket))
                except Exception:
                    log.exception("a walk broke and is taken up again", breaks=breaks + 1)
                    await asyncio.sleep(PAUSES_SECONDS[min(breaks, len(PAUSES_SECONDS) - 1)])
                    breaks += 1
                else:
                    if ticket not in self._walk_again:
                        return

    # --- what was left open --------------------------------------------------------------------------------------------------------

    async def _tidy(self, booted: datetime) -> None:
        """Once at start, as soon as Asterisk can be asked: close what ended unseen, attach what was recorded unattended."""
        while True:
            try:
                alive = await self._d.phone.alive()
                await filing.end_told_calls(alive, self._d, booted)
                break
            except TelephonyAway:
                await asyncio.sleep(TIDY_PAUSE_SECONDS)
        await self.stood_in()
        await filing.tidy_calls(alive, self._d, booted)
        await filing.tidy_recordings(alive, self._d)
        for pause in TIDY_AGAIN_SECONDS:
            await asyncio.sleep(pause)
            with suppress(TelephonyAway):
                alive = await self._d.phone.alive()
                await asyncio.sleep(
                    TIDY_PAUSE_SECONDS
                )  # whoever serves a call that has just ended writes that down
                await filing.tidy_calls(alive, self._d, booted)

    async def stood_in(self) -> None:
        """Turn the calls that the dialplan took by itself into tickets."""
        await stand_in.take_over(self._fallback, self._d)

    # --- ownership -----------------------------------------------------------------------------------------------------------------

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run it as a task of ours. Whatever it raises is logged and ends nothing else."""
        assert self._group is not None
        task = self._group.create_task(self._guarded(work, name), name=name)
        task.add_done_callback(lambda _: work.close())  # one that is cancelled before it began would complain
        return task

    async def _guarded(self, work: Awaitable[None], name: str) -> None:
        try:
            await work
        except Exception:
            log.exception("a task broke", task=name)
