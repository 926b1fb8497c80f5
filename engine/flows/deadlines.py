"""The law's clocks: each open ticket's deadlines, near or broken, are facts on its timeline, once each. News that is over is closed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog

from engine.domain import clocks
from engine.domain.company import Company
from engine.domain.errors import NotKnown
from engine.domain.events import DeadlineBroken, DeadlineNear, Event
from engine.domain.ticket import Ticket
from engine.flows import news, verbs
from engine.flows.deps import Deps

log = structlog.get_logger()


async def watch(d: Deps) -> None:
    """Look at every open ticket once; call it every few seconds. One that cannot be read does not hide the others."""
    for company in d.companies():
        for ticket in await d.store.open_tickets(company.id):
            try:
                history = await d.store.history(ticket)
            except NotKnown:
                continue
            if news.over(history, d.clock.now()):
                await verbs.close(d, ticket, "dozvon", "срок объявления вышел")
            elif found := due(history, company, d.clock.now()):
                await d.store.append(
                    ticket, found, expect=len(history)
                )  # somebody wrote meanwhile: next time
                for event in found:
                    log.warning("a deadline", ticket=ticket, clock=event.clock, what=type(event).__name__)


def due(history: Sequence[Event], company: Company, now: datetime) -> list[DeadlineNear | DeadlineBroken]:
    """What the clocks say now and the timeline does not yet."""
    state = Ticket.of(history)
    cause = company.catalogue.cause(state.cause)
    zone = company.zone_of(state.premises.house)
    said = {(type(e), e.clock) for e in history if isinstance(e, DeadlineNear | DeadlineBroken)}
    found: list[DeadlineNear | DeadlineBroken] = []
    for clock in clocks.clocks(history, cause.clock if cause else None, zone, company.limits):
        if clock.broken(now) and (DeadlineBroken, clock.name) not in said:
            found.append(DeadlineBroken(at=now, clock=clock.name, due=clock.due))
        elif (
            clock.met_at is None and clock.near <= now <= clock.due and (DeadlineNear, clock.name) not in said
        ):
            found.append(DeadlineNear(at=now, clock=clock.name, due=clock.due))
    return found
