"""What every caller of a house should hear first: its known incidents, planned outages, news. Folded from the open tickets."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from engine.domain import clocks
from engine.domain.company import Company
from engine.domain.errors import NotKnown
from engine.domain.events import Event, IncidentJoined, NoticeGiven
from engine.domain.incidents import Incident, Notice, incident_of, notices
from engine.domain.ticket import Ticket
from engine.ports import Store

FRESH_SECONDS = 1.0
"""A view is used for so long; two hundred calls in a second look once."""
TURN = 200


@dataclass(frozen=True, slots=True)
class View:
    """A company's board at an instant."""

    incidents: tuple[Incident, ...] = ()
    notices: tuple[Notice, ...] = ()


@dataclass(slots=True)
class _Known:
    """A ticket as far as it was read."""

    length: int = 0
    ticket: Ticket = field(default_factory=Ticket)
    voices: int = 1
    notices: tuple[Notice, ...] = ()

    def take(self, number: int, events: list[Event]) -> None:
        self.length += len(events)
        for event in events:
            self.ticket.apply(event)
            self.voices += isinstance(event, IncidentJoined) and event.voice != number
        self.notices += notices(event for event in events if isinstance(event, NoticeGiven))


class Board:
    """Reads only what is new: the tickets that it does not know yet, and those that something happened to (`touched`)."""

    def __init__(self) -> None:
        self._stale: set[int] = set()
        self._known: defaultdict[str, dict[int, _Known]] = defaultdict(dict)
        self._views: dict[str, tuple[float, View]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def touched(self, ticket: int) -> None:
        """Something happened to the ticket."""
        self._stale.add(ticket)

    async def view(self, company: Company, store: Store) -> View:
        """The company's board, not older than a second. Raises `StoreFailed`."""
        async with self._locks[company.id]:
            now = asyncio.get_running_loop().time()
            at, view = self._views.get(company.id, (-FRESH_SECONDS, View()))
            if now - at >= FRESH_SECONDS:
                view = await self._look(company, store)
                self._views[company.id] = now, view
            return view

    async def _look(self, company: Company, store: Store) -> View:
        before = self._known[company.id]
        known: dict[int, _Known] = {}
        for turn, number in enumerate(await store.open_tickets(company.id)):
            if turn % TURN == TURN - 1:
                await asyncio.sleep(0)  # there may be thousands
            if number in before and number not in self._stale:
                known[number] = before[number]
                continue
            self._stale.discard(number)
            one = known[number] = before.get(number) or _Known()
            try:
                one.take(number, list(await store.history(number, one.length)))
            except NotKnown:
                del known[number]
        self._known[company.id] = known
        found = [self._incident(number, one, company) for number, one in known.items()]
        news = [notice for one in known.values() for notice in one.notices]
        return View(tuple(one for one in found if one is not None), (*company.notices, *news))

    def _incident(self, number: int, one: _Known, company: Company) -> Incident | None:
        ticket = one.ticket
        house = company.houses.get(ticket.premises.house or "")
        cause = company.catalogue.cause(ticket.cause)
        due = None
        if cause is not None and ticket.opened_at is not None:
            zone = company.zone_of(ticket.premises.house)
            due = clocks.planned(ticket.opened_at, cause.clock, zone, company.limits)
        return incident_of(number, ticket, one.voices, company.catalogue, house, due)
