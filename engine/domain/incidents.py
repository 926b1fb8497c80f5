"""Which open tickets concern a whole house or entrance, so that a caller can be told of them and join; and news for callers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.domain.catalogue import Catalogue, Spread
from engine.domain.events import Event, IncidentJoined, NoticeGiven, TicketOpened
from engine.domain.model import House, Premises, Urgency
from engine.domain.ticket import Status, Ticket

NEWS = "news"
"""The channel of a ticket that holds nothing but news."""


@dataclass(frozen=True, slots=True)
class Incident:
    """An open ticket that others may be calling about."""

    ticket: int
    house: str
    entrance: int | None
    """None: the whole house."""
    title: str
    accepted_at: datetime | None = None
    accepted_by: str | None = None
    due: datetime | None = None
    voices: int = 1
    """Callers who said that it is theirs too, and the first one."""

    def concerns(self, premises: Premises, house: House | None) -> bool:
        """Whether it may be what a caller from there calls about."""
        if premises.house != self.house:
            return False
        at = entrance_of(house, premises.flat)
        return self.entrance is None or at is None or at == self.entrance


@dataclass(frozen=True, slots=True)
class Notice:
    """News that callers from some houses hear. A planned outage has a beginning and an end."""

    text: str
    houses: tuple[str, ...] = ()
    entrance: int | None = None
    starts: datetime | None = None
    ends: datetime | None = None

    def concerns(self, premises: Premises, house: House | None, now: datetime) -> bool:
        """Whether a caller from there hears it now. Whose house is not known hears only what is for everybody."""
        if (self.starts and now < self.starts) or (self.ends and now >= self.ends):
            return False
        if self.houses and premises.house not in self.houses:
            return False
        return self.entrance is None or entrance_of(house, premises.flat) in (None, self.entrance)


def entrance_of(house: House | None, flat: str | None) -> int | None:
    """The entrance (from 1) in which a flat lies, as flats are numbered: evenly, entrance by entrance. None if that is not known."""
    if house is None or house.flats is None or flat is None or not flat.isdigit():
        return None
    first, last = house.flats
    number = int(flat)
    if not first <= number <= last:
        return None
    per_entrance = -(-(last - first + 1) // house.entrances)
    return (number - first) // per_entrance + 1


def incident_of(
    number: int,
    ticket: Ticket,
    voices: int,
    catalogue: Catalogue,
    house: House | None,
    due: datetime | None = None,
) -> Incident | None:
    """The incident that a ticket is, if it is one: open, more than ordinary, of a cause that concerns more than one flat."""
    cause = catalogue.cause(ticket.cause)
    if cause is None or cause.spread is Spread.FLAT or ticket.premises.house is None:
        return None
    if ticket.status in (Status.DONE, Status.CLOSED) or ticket.urgency in (None, Urgency.NORMAL):
        return None
    entrance = entrance_of(house, ticket.premises.flat) if cause.spread is Spread.ENTRANCE else None
    at, by = (ticket.accepted.at, ticket.accepted.name) if ticket.accepted else (None, None)
    return Incident(number, ticket.premises.house, entrance, ticket.title or cause.title, at, by, due, voices)


def voices(history: Iterable[Event], ticket: int) -> int:
    """How many have called about it: two hundred are a measure of severity."""
    return 1 + sum(isinstance(event, IncidentJoined) and event.voice != ticket for event in history)


def notices(history: Iterable[Event]) -> tuple[Notice, ...]:
    """The news on a timeline."""
    return tuple(
        Notice(event.text, event.houses, event.entrance, event.starts, event.ends)
        for event in history
        if isinstance(event, NoticeGiven)
    )


def news_is_over(history: Sequence[Event], now: datetime) -> bool:
    """Whether this is a ticket of news that nobody hears any more."""
    opened, told = history[0], notices(history)
    mine = isinstance(opened, TicketOpened) and opened.channel == NEWS
    return mine and bool(told) and all(one.ends is not None and one.ends <= now for one in told)
