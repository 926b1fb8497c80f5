"""What one transaction is going to write. Pure staging: decides each request against the timelines and collects the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from engine.domain.errors import NotKnown
from engine.domain.events import Event
from engine.store.rows import CallRow, RecordingRow, TextRow, merely_grew, values
from engine.store.timelines import Timeline

Row = dict[str, object]
Encoded = tuple[str, str]
"""An event's type and JSON."""


@dataclass(slots=True)
class Draft:
    """A timeline and the events that this transaction adds to it."""

    timeline: Timeline
    added: list[Event] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.timeline.events) + len(self.added)


class Batch:
    """Requests are staged in the order in which they came; each sees what those before it have added."""

    def __init__(self, timelines: dict[int, Timeline]) -> None:
        self.drafts = {ticket: Draft(timeline) for ticket, timeline in timelines.items()}
        self.events: list[Row] = []
        self.news: list[tuple[int, int, Event]] = []
        """The same events as the feed tells them."""
        self.keys: dict[str, int] = {}

    def append(
        self, ticket: int, events: Sequence[Event], encoded: Sequence[Encoded], expect: int | None
    ) -> bool | NotKnown:
        """What `ports.Store.append` will answer if the transaction commits."""
        draft = self.drafts.get(ticket)
        if draft is None:
            return NotKnown(f"there is no ticket {ticket}")
        if expect is not None and expect != draft.length:
            return False
        self._add(draft, events, encoded)
        return True

    def open(self, number: int, events: Sequence[Event], encoded: Sequence[Encoded], key: str | None) -> int:
        """Start the timeline of a new ticket."""
        draft = self.drafts[number] = Draft(Timeline(number, []))
        self._add(draft, events, encoded)
        if key is not None:
            self.keys[key] = number
        return number

    def _add(self, draft: Draft, events: Sequence[Event], encoded: Sequence[Encoded]) -> None:
        ticket, projection = draft.timeline.ticket, draft.timeline.projection
        for seq, (event, (kind, data)) in enumerate(zip(events, encoded, strict=True), draft.length + 1):
            self.events.append({"ticket": ticket, "seq": seq, "at": event.at, "type": kind, "data": data})
            self.news.append((ticket, seq, event))
            projection.apply(event)
        draft.added.extend(events)

    @property
    def grown(self) -> list[Draft]:
        """The timelines that become longer."""
        return [draft for draft in self.drafts.values() if draft.added]

    def projections(self) -> Iterator[tuple[str, Row]]:
        """The projections' changes as (table, row)."""
        for draft in self.grown:
            row, before = draft.timeline.projection.row(), draft.timeline.row_on_disk
            draft.timeline.row_on_disk = row
            if before is None or not merely_grew(before, row):
                yield "tickets", values(row)
            for changed in draft.timeline.projection.take_changed():
                yield TABLES[type(changed)], values(changed)


TABLES: dict[type[CallRow | TextRow | RecordingRow], str] = {
    CallRow: "calls",
    TextRow: "texts",
    RecordingRow: "recordings",
}
