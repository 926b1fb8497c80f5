"""Tells those who wait in this process what has become durable: `changed` by ticket, and the feed of everything."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

from engine.domain.errors import FeedLost
from engine.domain.events import Event

FEED_EVENTS = 10_000
"""How far a consumer of the feed may fall behind before it is told to start anew."""

News = tuple[int, int, Event]
"""Ticket, seq, event."""


class _Feed:
    """One consumer's queue. It never makes the publisher wait: a full one is emptied and its consumer told."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[News | FeedLost] = asyncio.Queue()

    def put(self, news: Iterable[News]) -> bool:
        """Whether the consumer is still served."""
        for item in news:
            if self.queue.qsize() >= FEED_EVENTS:
                self.lose(f"its consumer fell {FEED_EVENTS} events behind")
                return False
            self.queue.put_nowait(item)
        return True

    def lose(self, why: str) -> None:
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(
            FeedLost(f"the feed of events is broken off: {why}; open it again and read the histories")
        )

    async def __aiter__(self) -> AsyncIterator[News]:
        while True:
            item = await self.queue.get()
            if isinstance(item, FeedLost):
                raise item
            yield item


class Hub:
    """Publishing is synchronous and cannot fail, so that the writer is never held up by those who listen."""

    def __init__(self) -> None:
        self._feeds: set[_Feed] = set()
        self._waiting: defaultdict[int, set[tuple[int, asyncio.Future[None]]]] = defaultdict(set)

    @property
    def has_feeds(self) -> bool:
        """Whether anybody reads the feed."""
        return bool(self._feeds)

    def publish(self, news: Iterable[News]) -> None:
        """Hand committed events to every feed, in the order of their commit."""
        if self._feeds:
            news = list(news)
            self._feeds = {feed for feed in self._feeds if feed.put(news)}

    def grown(self, ticket: int, length: int) -> None:
        """Wake whoever waits for the ticket's timeline to become this long."""
        for since, woken in self._waiting.get(ticket, ()):
            if since < length and not woken.done():
                woken.set_result(None)

    def awaited(self) -> list[int]:
        """The tickets that somebody waits for."""
        return list(self._waiting)

    def break_feeds(self, why: str) -> None:
        """Events may have been missed: every consumer of the feed is told to start anew."""
        for feed in self._feeds:
            feed.lose(why)
        self._feeds = set()

    @contextmanager
    def waiting(self, ticket: int, since: int) -> Iterator[asyncio.Future[None]]:
        """A future that is done once the timeline is longer than `since`. Look at its length after entering, not before."""
        entry = (since, asyncio.get_running_loop().create_future())
        self._waiting[ticket].add(entry)
        try:
            yield entry[1]
        finally:
            self._waiting[ticket].discard(entry)
            if not self._waiting[ticket]:
                del self._waiting[ticket]

    @asynccontextmanager
    async def feed(self) -> AsyncIterator[AsyncIterator[News]]:
        """See `ports.Store.feed`. The iterator raises `FeedLost` when events had to be dropped."""
        feed = _Feed()
        self._feeds.add(feed)
        events = aiter(feed)
        try:
            yield events
        finally:
            self._feeds.discard(feed)
            await events.aclose()  # type: ignore[attr-defined]
