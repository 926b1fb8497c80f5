"""A store in memory that fulfils `ports.Store`. It passes the same contract suite as the real one, and obeys virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from engine.domain.errors import NotKnown, StoreFailed
from engine.domain.events import (
    CallEnded,
    CallStarted,
    DialStarted,
    Event,
    MeterRead,
    TextDelivered,
    TextFailed,
    TextQueued,
    TextReceived,
    TextSent,
    TicketOpened,
)
from engine.domain.ticket import Ticket
from engine.domain.walk import Walk

FIRST_TICKET = 1001


class MemoryStore:
    """Answers every question by looking through the timelines. `fail_next` makes that many appends fail, as a full disk would."""

    def __init__(self) -> None:
        self.timelines: dict[int, list[Event]] = {}
        self.fail_next = 0
        self._keys: dict[str, int] = {}
        self._claims: dict[str, tuple[str, float]] = {}
        self._walks: dict[int, Walk] = {}
        self._tickets: dict[int, tuple[Ticket, int]] = {}
        self._grown: set[asyncio.Future[None]] = set()
        self._feeds: set[asyncio.Queue[tuple[int, int, Event]]] = set()

    async def open_ticket(self, events: Sequence[Event], key: str | None = None) -> int:
        if not events or not isinstance(events[0], TicketOpened):
            raise ValueError("a timeline starts with a TicketOpened")
        await self._reach_disk()
        if key is not None and key in self._keys:
            return self._keys[key]
        ticket = FIRST_TICKET + len(self.timelines)
        self.timelines[ticket] = []
        if key is not None:
            self._keys[key] = ticket
        self._add(ticket, events)
        return ticket

    async def append(self, ticket: int, events: Sequence[Event], expect: int | None = None) -> bool:
        await self._reach_disk()
        if expect is not None and expect != len(self._timeline(ticket)):
            return False
        self._add(ticket, events)
        return True

    async def history(self, ticket: int, since: int = 0) -> Sequence[Event]:
        return self._timeline(ticket)[since:]

    async def changed(self, ticket: int, since: int, timeout: float | None) -> bool:
        try:
            async with asyncio.timeout(timeout):
                while len(self._timeline(ticket)) <= since:
                    grown = asyncio.get_running_loop().create_future()
                    self._grown.add(grown)
                    try:
                        await grown
                    finally:
                        self._grown.discard(grown)
        except TimeoutError:
            return False
        return True

    async def ticket_of_call(self, call: str) -> int | None:
        found = None
        for ticket, timeline in self.timelines.items():
            for event in timeline:
                match event:
                    case CallStarted(call=id) | DialStarted(attempt=id) if id == call:
                        found = ticket
        return found

    async def escalating(self) -> Sequence[int]:
        return [ticket for ticket in self.timelines if not self._walk(ticket).over]

    async def open_tickets(self, company: str) -> Sequence[int]:
        states = {number: self._ticket(number) for number in self.timelines}
        return [
            n for n, one in states.items() if one.company == company and one.is_open and one.status != "done"
        ]

    async def done_tickets(self, company: str) -> Sequence[int]:
        states = {number: self._ticket(number) for number in self.timelines}
        return [n for n, one in states.items() if one.company == company and one.status == "done"]

    async def calls_without_end(self) -> Sequence[tuple[int, str]]:
        begun: dict[tuple[int, str], Event] = {}
        for ticket, timeline in self.timelines.items():
            for event in timeline:
                if isinstance(event, CallStarted):
                    begun[ticket, event.call] = event
                elif isinstance(event, CallEnded):
                    begun.pop((ticket, event.call), None)
        return sorted(begun, key=lambda place: begun[place].at)

    async def claim(self, what: str, owner: str, seconds: float) -> bool:
        now = asyncio.get_running_loop().time()
        held = self._claims.get(what)
        if held is not None and held[0] != owner and now < held[1]:
            return False
        self._claims[what] = owner, now + seconds
        return True

    async def unsent_texts(self) -> Sequence[tuple[int, str]]:
        queued: dict[tuple[int, str], Event] = {}
        for ticket, timeline in self.timelines.items():
            for event in timeline:
                if isinstance(event, TextQueued):
                    queued[ticket, event.text] = event
                elif isinstance(event, TextSent | TextDelivered | TextFailed):
                    queued.pop((ticket, event.text), None)
        return sorted(queued, key=lambda place: queued[place].at)

    async def unreported_texts(self, since: datetime) -> Sequence[tuple[int, str]]:
        sent: dict[tuple[int, str], datetime] = {}
        queued: dict[tuple[int, str], datetime] = {}
        for ticket, timeline in self.timelines.items():
            for event in timeline:
                if isinstance(event, TextQueued):
                    queued[ticket, event.text] = event.at
                elif isinstance(event, TextSent):
                    sent[ticket, event.text] = event.at
                elif isinstance(event, TextDelivered | TextFailed):
                    sent.pop((ticket, event.text), None)
        return sorted((place for place, at in sent.items() if at >= since), key=lambda place: queued[place])

    async def ticket_of_text(self, text: str) -> int | None:
        for ticket, timeline in self.timelines.items():
            if any(isinstance(event, TextQueued | TextReceived) and event.text == text for event in timeline):
                return ticket
        return None

    async def tickets_with(self, number: str, limit: int = 20) -> Sequence[int]:
        last: dict[int, datetime] = {}
        for ticket, timeline in self.timelines.items():
            for event in timeline:
                match event:
                    case TextQueued(number=n) | TextReceived(number=n) | TicketOpened(phone=n) if n == number:
                        last[ticket] = event.at
        return sorted(last, key=lambda ticket: (last[ticket], ticket), reverse=True)[:limit]

    async def news_refused(self) -> frozenset[str]:
        words = [
            event
            for timeline in self.timelines.values()
            for event in timeline
            if isinstance(event, TextReceived) and event.meaning in ("stop", "start")
        ]
        last = {event.number: event.meaning for event in sorted(words, key=lambda event: event.at)}
        return frozenset(number for number, meaning in last.items() if meaning == "stop")

    async def readings(
        self, company: str, house: str | None = None, flat: str | None = None, since: datetime | None = None
    ) -> Sequence[tuple[int, MeterRead]]:
        found = [
            (number, event)
            for number, timeline in self.timelines.items()
            if Ticket.of(timeline).company == company
            for event in timeline
            if isinstance(event, MeterRead)
            and (house is None or (event.house, event.flat) == (house, flat))
            and (since is None or event.at >= since)
        ]
        return sorted(found, key=lambda one: one[1].at)

    @asynccontextmanager
    async def feed(self) -> AsyncIterator[AsyncIterator[tuple[int, int, Event]]]:
        queue: asyncio.Queue[tuple[int, int, Event]] = asyncio.Queue()
        self._feeds.add(queue)
        events = _drain(queue)
        try:
            yield events
        finally:
            self._feeds.discard(queue)
            await events.aclose()

    async def _reach_disk(self) -> None:
        """The real store gives other tasks a turn here; so does this one, or races would hide."""
        await asyncio.sleep(0)
        if self.fail_next:
            self.fail_next -= 1
            raise StoreFailed("the disk is full; make room on it")

    def _walk(self, ticket: int) -> Walk:
        """Folded as far as it was, and on: a month has many restarts."""
        walk = self._walks.setdefault(ticket, Walk(ticket))
        for event in self.timelines[ticket][walk.length :]:
            walk.apply(event)
        return walk

    def _ticket(self, number: int) -> Ticket:
        state, length = self._tickets.get(number, (Ticket(), 0))
        for event in self.timelines[number][length:]:
            state.apply(event)
        self._tickets[number] = state, len(self.timelines[number])
        return state

    def _timeline(self, ticket: int) -> list[Event]:
        try:
            return self.timelines[ticket]
        except KeyError:
            raise NotKnown(f"there is no ticket {ticket}") from None

    def _add(self, ticket: int, events: Sequence[Event]) -> None:
        timeline = self._timeline(ticket)
        for event in events:
            timeline.append(event)
            for queue in self._feeds:
                queue.put_nowait((ticket, len(timeline), event))
        for grown in self._grown:
            if not grown.done():
                grown.set_result(None)


async def _drain(queue: asyncio.Queue[tuple[int, int, Event]]):
    while True:
        yield await queue.get()
