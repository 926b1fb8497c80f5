"""The timelines that are in use, kept in memory so that reading one costs no I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.domain.events import Event
from engine.store.projection import Projection
from engine.store.rows import TicketRow

HOT_EVENTS = 300_000
"""How many events are kept in memory at most: about 100 MB."""


@dataclass(slots=True)
class Timeline:
    """A ticket's events that are on disk, and what they amount to. Only the writer changes one."""

    ticket: int
    events: list[Event]
    _projection: Projection | None = field(default=None)
    row_on_disk: TicketRow | None = None

    @property
    def projection(self) -> Projection:
        """Folded when the writer first needs it; a timeline that is only read is never folded."""
        if self._projection is None:
            self._projection = Projection.of(self.ticket, self.events)
            if self.events:
                self.row_on_disk = self._projection.row()
        return self._projection


class Timelines:
    """Timelines by ticket, the least recently used dropped first.

    Only the writer puts timelines here: a reader's copy could be older than what was committed while it read.
    """

    def __init__(self, limit: int = HOT_EVENTS) -> None:
        self._limit = limit
        self._hot: OrderedDict[int, Timeline] = OrderedDict()
        self._events = 0

    def get(self, ticket: int) -> Timeline | None:
        timeline = self._hot.get(ticket)
        if timeline is not None:
            self._hot.move_to_end(ticket)
        return timeline

    def put(self, timeline: Timeline) -> None:
        self.drop(timeline.ticket)
        self._hot[timeline.ticket] = timeline
        self._events += len(timeline.events)
        self._shrink()

    def grow(self, timeline: Timeline, events: Iterable[Event]) -> None:
        """Events of a timeline became durable."""
        before = len(timeline.events)
        timeline.events.extend(events)
        if self._hot.get(timeline.ticket) is timeline:
            self._events += len(timeline.events) - before
            self._shrink()
        else:
            self.put(timeline)

    def drop(self, ticket: int) -> None:
        """Forget what is remembered of a ticket: the next use reads it from disk."""
        timeline = self._hot.pop(ticket, None)
        if timeline is not None:
            self._events -= len(timeline.events)

    def clear(self) -> None:
        self._hot.clear()
        self._events = 0

    def _shrink(self) -> None:
        while self._events > self._limit and len(self._hot) > 1:
            _, timeline = self._hot.popitem(last=False)
            self._events -= len(timeline.events)
