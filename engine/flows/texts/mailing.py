"""News by text: to every resident of some houses who has a mobile number and has not asked to be left alone.

The texts are queued on the news' own ticket, so its page shows how far the mailing is, and closing it stops what has not gone yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.domain.company import Company
from engine.domain.events import Event, TextDelivered, TextFailed, TextQueued, TextSent
from engine.domain.incidents import entrance_of
from engine.flows.deps import Deps
from engine.flows.texts.residents import MOBILE

TEMPLATE = "news"
PIECE = 500
"""So many texts are queued in one write."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a mailing is, in recipients."""

    queued: int
    sent: int
    delivered: int
    failed: int

    @property
    def waiting(self) -> int:
        """Those who have yet to get it."""
        return self.queued - self.sent - self.failed


async def send(
    d: Deps, company: Company, ticket: int, text: str, houses: Sequence[str] = (), entrance: int | None = None
) -> int:
    """Queue `text` for everybody there (in all houses, without any); how many they are. Again: only those who came to live there."""
    refused = await d.store.news_refused()
    history = await d.store.history(ticket)
    told = {event.number for event in history if isinstance(event, TextQueued) and event.template == TEMPLATE}
    numbers = [number for number in recipients(company, houses, entrance) if number not in refused | told]
    now = d.clock.now()
    texts = [
        TextQueued(
            at=now, text=f"{ticket}-news-{number.lstrip('+')}", number=number, body=text, template=TEMPLATE
        )
        for number in numbers
    ]
    for start in range(0, len(texts), PIECE):
        await d.store.append(ticket, texts[start : start + PIECE])
    return len(numbers)


def recipients(company: Company, houses: Sequence[str] = (), entrance: int | None = None) -> list[str]:
    """The mobile numbers of those who live there. A flat whose entrance is not known counts as in it."""
    return [
        resident.number
        for resident in company.residents.values()
        if resident.number.startswith(MOBILE)
        and (not houses or resident.house in houses)
        and (
            entrance is None
            or entrance_of(company.houses.get(resident.house), resident.flat) in (None, entrance)
        )
    ]


def progress(history: Sequence[Event]) -> Progress:
    """How far it is."""
    queued = {e.text for e in history if isinstance(e, TextQueued) and e.template == TEMPLATE}
    sent = {e.text for e in history if isinstance(e, TextSent)} & queued
    delivered = {e.text for e in history if isinstance(e, TextDelivered)} & queued
    failed = {e.text for e in history if isinstance(e, TextFailed)} & queued
    return Progress(len(queued), len(sent), len(delivered), len(failed - sent))
