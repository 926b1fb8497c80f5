"""Where the facts are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from engine.domain.events import Event, MeterRead


class Store(Protocol):
    """Timelines. A returned append is on disk."""

    async def open_ticket(self, events: Sequence[Event], key: str | None = None) -> int:
        """Start a timeline with `events` (a `TicketOpened` first) and return its number.

        `key` makes it idempotent: the second time the first one's number is returned and nothing is written.
        """
        ...

    async def append(self, ticket: int, events: Sequence[Event], expect: int | None = None) -> bool:
        """Append the events, all or none. With `expect`, only if the timeline has exactly that length; else False.

        Raises `NotKnown` for an unknown ticket and `StoreFailed` if they could not be made durable.
        """
        ...

    async def history(self, ticket: int, since: int = 0) -> Sequence[Event]:
        """The timeline from event number `since` + 1 on. Raises `NotKnown`."""
        ...

    async def changed(self, ticket: int, since: int, timeout: float | None) -> bool:
        """Wait until the timeline is longer than `since` or `timeout` seconds are over; whether it is longer."""
        ...

    async def ticket_of_call(self, call: str) -> int | None:
        """Which ticket a channel id belongs to, by its `CallStarted` or `DialStarted`."""
        ...

    async def escalating(self) -> Sequence[int]:
        """The tickets whose walk is not over (see `engine.domain.escalation.Walk.over`)."""
        ...

    async def open_tickets(self, company: str) -> Sequence[int]:
        """The company's tickets that are neither done nor closed, oldest first."""
        ...

    async def done_tickets(self, company: str) -> Sequence[int]:
        """The company's tickets that were reported done and are not closed, oldest first."""
        ...

    async def calls_without_end(self) -> Sequence[tuple[int, str]]:
        """(ticket, call) of every `CallStarted` that has no `CallEnded`: what a crash left open."""
        ...

    async def claim(self, what: str, owner: str, seconds: float) -> bool:
        """Make `what` (a thing that must not be done twice) `owner`'s for so long, by the database's clock.

        False: another has it, and may be about it. Its owner may claim it again, to have it longer. Raises `StoreFailed`.
        """
        ...

    async def unsent_texts(self) -> Sequence[tuple[int, str]]:
        """(ticket, text) of every `TextQueued` that was neither sent nor failed."""
        ...

    async def unreported_texts(self, since: datetime) -> Sequence[tuple[int, str]]:
        """(ticket, text) of every text sent since then of which nothing more is known."""
        ...

    async def ticket_of_text(self, text: str) -> int | None:
        """Which ticket a text belongs to, sent or received."""
        ...

    async def tickets_with(self, number: str, limit: int = 20) -> Sequence[int]:
        """The tickets that this number was texted about, wrote to, or opened; the latest first."""
        ...

    async def news_refused(self) -> frozenset[str]:
        """The numbers whose last word on news was «стоп»."""
        ...

    async def readings(
        self, company: str, house: str | None = None, flat: str | None = None, since: datetime | None = None
    ) -> Sequence[tuple[int, MeterRead]]:
        """(ticket, reading) of the company, or of one flat, from that instant on; the earliest first."""
        ...

    def feed(self) -> AbstractAsyncContextManager[AsyncIterator[tuple[int, int, Event]]]:
        """Every event from now on as (ticket, seq, event), in the order of their commit.

        The iterator raises `FeedLost` when it had to leave some out: read the histories, and open it anew.
        """
        ...
