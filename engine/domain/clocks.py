"""The deadlines that the law sets, with their sources; all may be set otherwise for a company. Pure: a timeline in, instants out.

V: the primary text was seen. S: a secondary source. M: from memory, to be confirmed by a lawyer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from engine.domain.events import (
    Accepted,
    CallAnswered,
    CallsBridged,
    CallStarted,
    Event,
    NumberTold,
    OperatorAnswered,
    Reported,
    TextQueued,
    TextSent,
    TicketClosed,
)
from engine.domain.incidents import NEWS
from engine.domain.model import CallKind
from engine.domain.ticket import Ticket

DECREE_416 = "ПП РФ 416 от 15.05.2013 (ред. ПП РФ 331 от 27.03.2018), раздел IV"


@dataclass(frozen=True, slots=True)
class Law:
    """One deadline: its length, from where it comes, and what meets it."""

    name: str
    limit: timedelta
    source: str
    met_by: frozenset[str]
    """What was reported (`localised`, `done`, …), or `answered`, `told`."""
    hours: tuple[time, time] | None = None
    """Runs only between these times of the house's day."""


LAWS: Mapping[str, Law] = {
    law.name: law
    for law in (
        Law("answer", timedelta(minutes=5), f"{DECREE_416}, п. 13 (V)", frozenset({"answered"})),
        Law("process_message", timedelta(minutes=10), f"{DECREE_416}, п. 13 (V)", frozenset({"taken"})),
        Law("tell", timedelta(minutes=30), f"{DECREE_416} (S/M)", frozenset({"told"})),
        Law("localise", timedelta(minutes=30), f"{DECREE_416}, п. 13 (V)", frozenset({"localised", "done"})),
        Law("sewer", timedelta(hours=2), f"{DECREE_416}, п. 13 (V)", frozenset({"localised", "done"})),
        Law(
            "chute",
            timedelta(hours=2),
            f"{DECREE_416}, п. 13 (V): только с 8:00 до 23:00",
            frozenset({"localised", "done"}),
            (time(8), time(23)),
        ),
        Law("lift_person", timedelta(minutes=30), "ГОСТ Р 55964 (S)", frozenset({"localised", "done"})),
        Law("lift_repair", timedelta(days=1), "ГОСТ Р 55964 (S)", frozenset({"done"})),
        Law("eliminate", timedelta(days=3), f"{DECREE_416} (S)", frozenset({"done"})),
        Law("gas", timedelta(minutes=5), "передача в 104/112 немедленно (M)", frozenset({"handed", "done"})),
        Law("urgent", timedelta(days=1), "срок компании", frozenset({"done"})),
        Law("ordinary", timedelta(days=3), "срок компании", frozenset({"done"})),
    )
}
"""By name; a cause of the catalogue names the one that its work must meet."""

ALWAYS = ("tell",)
AFTER_LOCALISING = frozenset({"localise", "sewer", "chute"})
"""These stop the damage; the three days to eliminate it run besides."""
NEAR = 0.8
"""A deadline is near when so much of its time is over."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A deadline of one ticket. `met_at` is when it was met, None while it runs."""

    name: str
    due: datetime
    near: datetime
    met_at: datetime | None = None

    def broken(self, now: datetime) -> bool:
        """Whether it ran out."""
        return (self.met_at or now) > self.due


def due(law: Law, starts: datetime, zone: str) -> datetime:
    """When a clock that starts at `starts` runs out, by the hours of that zone's day in which it runs."""
    if law.hours is None:
        return starts + law.limit
    opens, shuts = law.hours
    local = starts.astimezone(ZoneInfo(zone))
    left = law.limit
    while True:
        begin = local.replace(hour=opens.hour, minute=opens.minute, second=0, microsecond=0)
        end = local.replace(hour=shuts.hour, minute=shuts.minute, second=0, microsecond=0)
        local = max(local, begin)
        if local < end and left <= end - local:
            return (local + left).astimezone(starts.tzinfo)
        left -= max(end - local, timedelta(0))
        local = begin + timedelta(days=1)


def clocks(
    history: Iterable[Event],
    of_cause: str | None,
    zone: str,
    limits: Mapping[str, timedelta] | None = None,
) -> tuple[Clock, ...]:
    """The clocks of a ticket. `of_cause` is the clock that its cause names (None: by its class); `limits` are the company's own."""
    events = list(history)
    ticket = Ticket.of(events)
    if ticket.opened_at is None or ticket.channel == NEWS:
        return ()
    names = {"phone": [*ALWAYS], "fallback": [*ALWAYS, "process_message"]}.get(ticket.channel, [])
    work = of_cause if of_cause is not None and of_cause in LAWS else by_class(ticket)
    names.append(work)
    if work in AFTER_LOCALISING:
        names.append("eliminate")
    met = dict(_met(events))
    found = []
    for name in names:
        law = _law(name, limits or {})
        end = due(law, ticket.opened_at, zone)
        at = min((met[what] for what in law.met_by | {"closed"} if what in met), default=None)
        found.append(Clock(name, end, ticket.opened_at + (end - ticket.opened_at) * NEAR, at))
    return tuple(found)


def by_class(ticket: Ticket) -> str:
    """The clock of a ticket whose cause is not known."""
    return {"emergency": "localise", "urgent": "urgent"}.get(ticket.urgency or "", "ordinary")


def planned(
    opened: datetime, clock: str, zone: str, limits: Mapping[str, timedelta] | None = None
) -> datetime:
    """The planned time that the resident is told: when the clock of the work runs out."""
    return due(_law(clock, limits or {}), opened, zone)


def _law(name: str, limits: Mapping[str, timedelta]) -> Law:
    law = LAWS[name]
    return Law(law.name, limits[name], law.source, law.met_by, law.hours) if name in limits else law


def _met(events: Iterable[Event]) -> Iterable[tuple[str, datetime]]:
    """(what, when) of everything that can meet a clock; of each the first time counts."""
    found: dict[str, datetime] = {}
    utility: set[str] = set()
    to_resident: set[str] = set()
    for event in events:
        match event:
            case CallStarted(kind=CallKind.UTILITY):
                utility.add(event.call)
                continue
            case TextQueued(template="number"):
                to_resident.add(event.text)
                continue
            case CallAnswered():
                what = "handed" if event.call in utility else "answered"
            case NumberTold():
                what = "told"
            case TextSent() if event.text in to_resident:
                what = "told"
            case Reported():
                what = event.what
            case Accepted() | OperatorAnswered() | CallsBridged():
                what = "taken"
            case TicketClosed():
                what = "closed"
            case _:
                continue
        found.setdefault(what, event.at)
    return found.items()
