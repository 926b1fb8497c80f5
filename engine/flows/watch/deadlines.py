"""The law's clocks: each open ticket's deadlines, near or broken, are facts on its timeline, once each. News that is over is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from engine.domain import clocks
from engine.domain.company import Company
from engine.domain.errors import NotKnown
from engine.domain.events import DeadlineBroken, DeadlineNear, Event, TicketClosed
from engine.domain.incidents import news_is_over
from engine.domain.queueing import CALL_BACK_CLOCK, Promise
from engine.domain.ticket import Ticket

if TYPE_CHECKING:
    from engine.flows.deps import Deps

log = structlog.get_logger()

AT_LEAST_EVERY = timedelta(minutes=10)
"""A ticket is looked at so often even if nothing happens to it: a company may have set its clocks otherwise."""
TURN = 50
"""After so many tickets the others get a turn of the loop."""

Said = DeadlineNear | DeadlineBroken


@dataclass
class Deadlines:
    """Looks at the tickets whose clocks may have something to say: thousands that have not are passed over."""

    _next: dict[int, datetime] = field(default_factory=dict)

    def touched(self, ticket: int) -> None:
        """Something happened to the ticket: its clocks may be others now."""
        self._next.pop(ticket, None)

    async def watch(self, d: Deps) -> None:
        """Look once; call it every few seconds. One ticket that cannot be read does not hide the others."""
        looked, open_now = 0, set[int]()
        for company in d.companies():
            for ticket in await d.store.open_tickets(company.id):
                open_now.add(ticket)
                if self._next.get(ticket, d.clock.now()) <= d.clock.now():
                    await self._look(ticket, company, d)
                    looked += 1
                    if looked % TURN == 0:
                        await asyncio.sleep(0)
        self._next = {ticket: at for ticket, at in self._next.items() if ticket in open_now}

    async def _look(self, ticket: int, company: Company, d: Deps) -> None:
        try:
            history = await d.store.history(ticket)
        except NotKnown:
            return
        now = d.clock.now()
        found, then = due(history, company, now)
        self._next[ticket] = min(then or now + AT_LEAST_EVERY, now + AT_LEAST_EVERY)
        if news_is_over(history, now):
            found = [TicketClosed(at=now, by="dozvon", reason="срок объявления вышел")]
        if found and not await d.store.append(ticket, found, expect=len(history)):
            self.touched(ticket)  # somebody wrote meanwhile: next time
            return
        for event in found:
            if isinstance(event, Said):
                log.warning("a deadline", ticket=ticket, clock=event.clock, what=type(event).__name__)


def due(history: Sequence[Event], company: Company, now: datetime) -> tuple[list[Event], datetime | None]:
    """What the clocks say now and the timeline does not yet; and when they next may have something to say."""
    state = Ticket.of(history)
    cause = company.catalogue.cause(state.cause)
    zone = company.zone_of(state.premises.house)
    said = {(type(e), e.clock) for e in history if isinstance(e, Said)}
    found: list[Event] = []
    ahead: list[datetime] = []
    for clock in clocks.clocks(history, cause.clock if cause else None, zone, company.limits):
        if clock.broken(now) and (DeadlineBroken, clock.name) not in said:
            found.append(DeadlineBroken(at=now, clock=clock.name, due=clock.due))
        elif clock.met_at is None and now <= clock.due:
            if now >= clock.near and (DeadlineNear, clock.name) not in said:
                found.append(DeadlineNear(at=now, clock=clock.name, due=clock.due))
            ahead.append(clock.near if now < clock.near else clock.due)
    promise = Promise.of(history)
    if (
        promise is not None and not promise.over and now <= promise.due
    ):  # when it is broken is said by whoever keeps it
        near = promise.since + (promise.due - promise.since) * clocks.NEAR
        if now >= near and (DeadlineNear, CALL_BACK_CLOCK) not in said:
            found.append(DeadlineNear(at=now, clock=CALL_BACK_CLOCK, due=promise.due))
        ahead.append(near if now < near else promise.due)
    return found, min(ahead, default=None)
