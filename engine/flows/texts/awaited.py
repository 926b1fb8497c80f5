"""The delivery reports that are still to come: by what they will name the text, when they are due, which parts have been told."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.domain.events import TextSent
from engine.domain.texts import Fate
from engine.ports import Report

REFERENCES_KEPT = 100_000


@dataclass(slots=True)
class Awaited:
    """What one engine awaits, of its own texts and of those that were unreported when it started."""

    _references: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    _parts: dict[str, set[str]] = field(default_factory=dict)
    _due: list[tuple[datetime, int, str, str]] = field(default_factory=list)
    """When a report is due, on which text of which ticket, by which provider: a heap."""

    def remember(self, ticket: int, sent: TextSent, within: timedelta | None) -> None:
        """By what its reports will name it; and when they are due, if anybody minds."""
        for reference in sent.references:
            self._references[sent.provider, reference] = (ticket, sent.text)
        while len(self._references) > REFERENCES_KEPT:
            del self._references[next(iter(self._references))]
        if sent.reports and within is not None:
            heapq.heappush(self._due, (sent.at + within, ticket, sent.text, sent.provider))

    def place(self, report: Report) -> tuple[int, str] | None:
        """The ticket and the text that a report by the provider's own id is about."""
        return self._references.get((report.provider, report.reference or ""))

    def whole(self, fate: Fate, report: Report) -> bool:
        """Whether every part has arrived, where the provider reports on each."""
        assert fate.queued is not None
        expected = next((set(s.references) for s in fate.sent if report.reference in s.references), set())
        if len(expected) < 2 or report.reference is None:
            return True
        arrived = self._parts.setdefault(fate.queued.text, set())
        arrived.add(report.reference)
        return expected <= arrived

    def settled(self, text: str) -> None:
        """Nothing more needs to be known about its parts."""
        self._parts.pop(text, None)

    def overdue(self, now: datetime) -> Iterator[tuple[int, str, str]]:
        """Ticket, text and provider of every report that is due by now; each once."""
        while self._due and self._due[0][0] <= now:
            yield heapq.heappop(self._due)[1:]
