"""Ordinary requests ring nobody. Whoever they are for gets a text in their waking hours, and one for all that have gathered.

Who that is says the company's policy of the class «normal» (its first step); without one the request waits in the console alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from engine.domain import wording
from engine.domain.company import Company, whom
from engine.domain.events import Digested, Event, NoticeGiven, TextQueued
from engine.domain.model import Callee, Urgency
from engine.domain.policy import choose_policy
from engine.domain.ticket import Ticket
from engine.flows.deps import Deps

log = structlog.get_logger()

GATHER_FOR = timedelta(minutes=15)
"""So long may the first one wait for others to come."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that somebody has not been told of."""

    number: int
    state: Ticket
    length: int


async def gather(d: Deps) -> None:
    """Text everybody whose requests have waited long enough. Call it every minute; what has been told is told once."""
    for company in d.companies():
        now = d.clock.now()
        for callee, waiting in await _untold(company, now, d):
            oldest = min(one.state.opened_at or now for one in waiting)
            if now - oldest >= GATHER_FOR and callee.awake(now):
                await _tell(callee, waiting, now, d)


async def _untold(company: Company, now: datetime, d: Deps) -> Sequence[tuple[Callee, list[Waiting]]]:
    """Who has not been told of which open requests; oldest first."""
    told: set[tuple[str, int]] = set()
    waiting: defaultdict[str, list[Waiting]] = defaultdict(list)
    people: dict[str, Callee] = {}
    for number in await d.store.open_tickets(company.id):
        history = await d.store.history(number)
        told |= {(e.contact, one) for e in history if isinstance(e, Digested) for one in e.tickets}
        state = Ticket.of(history)
        if state.urgency is not Urgency.NORMAL or state.accepted is not None or _is_news(history):
            continue
        for callee in _for_whom(company, state, now):
            people[callee.contact] = callee
            waiting[callee.contact].append(Waiting(number, state, len(history)))
    found = []
    for contact, every in waiting.items():
        new = [one for one in every if (contact, one.number) not in told]
        if new:
            found.append((people[contact], new))
    return found


def _for_whom(company: Company, state: Ticket, now: datetime) -> Sequence[Callee]:
    policy = choose_policy(company.policies, Urgency.NORMAL, state.cause)
    if policy is None:
        return ()
    return whom(company, policy.steps[0].ring, state.premises.house, Urgency.NORMAL, now).people


def _is_news(history: Sequence[Event]) -> bool:
    return any(isinstance(event, NoticeGiven) for event in history)


async def _tell(callee: Callee, waiting: Sequence[Waiting], now: datetime, d: Deps) -> None:
    """One text, on the first request's timeline; each of the others keeps that it was told with it."""
    home, *others = waiting
    text = f"{home.number}-digest-{callee.contact}"
    tickets = tuple(one.number for one in waiting)
    body = wording.digest_text([(one.number, one.state) for one in waiting])
    digested = Digested(at=now, contact=callee.contact, text=text, tickets=tickets)
    queued = TextQueued(
        at=now,
        text=text,
        number=callee.numbers[0],
        body=body,
        contact=callee.contact,
        template="digest",
    )
    if not await d.store.append(home.number, [digested, queued], expect=home.length):
        return  # something has just happened to it: next time
    for one in others:
        await d.store.append(one.number, [digested])
    log.info("ordinary requests were told of by one text", text=text, requests=len(waiting))
