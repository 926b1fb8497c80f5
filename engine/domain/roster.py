"""Who is on duty at an instant, and until when.

A roster is a plan (shifts with fixed people or rotating crews, imported assignments, people who are always there) with corrections:
swaps, days off, overrides. At an instant, in this order:

1. the shifts that run, as they are written; then the assignments; then `always`: each person once, first to be rung first;
2. a swap puts each of its two people in the other's place;
3. a day off takes a person out, or puts the stand-in in their place;
4. the last override that covers the instant replaces them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import TypeAlias
from zoneinfo import ZoneInfo

from engine.domain.calendar import EVERY_DAY, NO_HOLIDAYS, DayRule, WorkCalendar, instant_of

LOOK_AHEAD = (timedelta(days=3), timedelta(days=28), timedelta(days=400))
"""How far `on_duty` looks for the next change, in growing windows. Duty that lasts longer is said to end there: ask again."""


@dataclass(frozen=True, slots=True)
class Duty:
    """The contacts on duty, first to be rung first, and the instant at which that changes (None: never)."""

    contacts: tuple[str, ...]
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of time, `since` ≤ t < `until` (UTC), throughout which the same people are on duty."""

    since: datetime
    until: datetime
    contacts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shift:
    """A stretch of duty that begins at `starts` on each date that `days` names, and ends at `ends`, `span` days later (wall time).

    `crews` take turns: each serves `every` days (whole calendar days, counted from `since`), then the next. One crew: always the same.
    The shift begins no earlier than `first` and no later than `last`.
    """

    crews: tuple[tuple[str, ...], ...]
    starts: time = time(0)
    ends: time = time(0)
    span: int = 1
    every: int = 1
    since: date = date(2024, 1, 1)
    days: DayRule = EVERY_DAY
    first: date | None = None
    last: date | None = None
    name: str = ""

    def crew(self, day: date) -> tuple[str, ...]:
        """Who serves the shift that begins on `day`."""
        return self.crews[(day - self.since).days // self.every % len(self.crews)]

    def begins(self, day: date, calendar: WorkCalendar) -> bool:
        """Whether a shift begins on `day`."""
        if (self.first and day < self.first) or (self.last and day > self.last):
            return False
        return self.days.meets(day, calendar)


@dataclass(frozen=True, slots=True)
class Assignment:
    """People on duty for one stretch of time, as an imported calendar says (UTC)."""

    start: datetime
    end: datetime
    contacts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Override:
    """Whoever the plan names, these are on duty (UTC)."""

    start: datetime
    end: datetime
    contacts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Swap:
    """Two people stand for each other (UTC)."""

    start: datetime
    end: datetime
    one: str
    other: str


@dataclass(frozen=True, slots=True)
class DayOff:
    """A person is away (UTC); `instead` stands in, if anybody does."""

    start: datetime
    end: datetime
    contact: str
    instead: str | None = None


Dated: TypeAlias = Assignment | Swap | DayOff | Override


@dataclass(frozen=True, slots=True)
class Roster:
    """An on-call schedule. Its shifts are in the wall time of `time_zone`, with that zone's whole history."""

    name: str
    always: tuple[str, ...] = ()
    title: str = ""
    time_zone: str = "Europe/Moscow"
    shifts: tuple[Shift, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    swaps: tuple[Swap, ...] = ()
    days_off: tuple[DayOff, ...] = ()
    overrides: tuple[Override, ...] = ()
    calendar: WorkCalendar = NO_HOLIDAYS

    def on_duty(self, at: datetime) -> Duty:
        """Who is on duty at `at` (aware), and until when. Pure."""
        if not self.shifts and not self._dated():
            return Duty(_each_once(self.always))
        at = at.astimezone(UTC)
        now: Slice | None = None
        for ahead in LOOK_AHEAD:
            end = at + ahead
            slices = self.slices(at, end)
            now = next(slices)
            if now.until < end:
                return Duty(now.contacts, now.until)
        assert now is not None
        changes = self.shifts or any(one.end > now.until for one in self._dated())
        return Duty(now.contacts, now.until if changes else None)

    def people(self) -> frozenset[str]:
        """Everybody whom the roster may ever name."""
        crews = [self.always, *(crew for shift in self.shifts for crew in shift.crews)]
        crews += [one.contacts for one in self.assignments] + [one.contacts for one in self.overrides]
        named = {contact for crew in crews for contact in crew}
        for swap in self.swaps:
            named |= {swap.one, swap.other} if named & {swap.one, swap.other} else set()
        stand_ins = {off.instead for off in self.days_off if off.instead and off.contact in named}
        return frozenset(named | stand_ins)

    def slices(self, start: datetime, end: datetime) -> Iterator[Slice]:
        """The time from `start` to `end` (aware), cut where the people on duty change: no two neighbours are the same."""
        start, end = start.astimezone(UTC), end.astimezone(UTC)
        running = self._plan(start, end)
        corrections = [one for one in self._dated() if one.start < end and start < one.end]
        cuts = {start, end}
        for since, until, _, _ in running:
            cuts.update((since, until))
        for one in corrections:
            cuts.update((one.start, one.end))
        marks = sorted(cut for cut in cuts if start <= cut <= end)
        running.sort(key=lambda one: one[0])
        active: list[tuple[datetime, datetime, int, tuple[str, ...]]] = []
        ahead, open_slice = 0, None
        for since, until in pairwise(marks):
            active = [one for one in active if one[1] > since]
            while ahead < len(running) and running[ahead][0] <= since:
                if running[ahead][1] > since:
                    active.append(running[ahead])
                ahead += 1
            planned = [one[3] for one in sorted(active, key=lambda one: (one[2], one[0]))]
            contacts = self._corrected(planned, [one for one in corrections if one.start <= since < one.end])
            if open_slice is not None and open_slice.contacts == contacts:
                open_slice = Slice(open_slice.since, until, contacts)
                continue
            if open_slice is not None:
                yield open_slice
            open_slice = Slice(since, until, contacts)
        if open_slice is not None:
            yield open_slice

    def _plan(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime, int, tuple[str, ...]]]:
        """The shifts that run at some time between: start, end, place in the roster, crew."""
        zone = ZoneInfo(self.time_zone)
        first, last = start.astimezone(zone).date(), end.astimezone(zone).date()
        found = []
        for order, shift in enumerate(self.shifts):
            starts, ends = _minutes(shift.starts), _minutes(shift.ends) + shift.span * 1440
            # A zone may skip or repeat hours at midnight, so one day more than the span on either side.
            day, past = first - timedelta(days=shift.span + 1), last + timedelta(days=1)
            while day <= past:
                if shift.begins(day, self.calendar):
                    since, until = (
                        instant_of(day, starts, self.time_zone),
                        instant_of(day, ends, self.time_zone),
                    )
                    if since < end and start < until and since < until:
                        found.append((since, until, order, shift.crew(day)))
                day += timedelta(days=1)
        return found

    def _corrected(self, planned: Iterable[tuple[str, ...]], corrections: list[Dated]) -> tuple[str, ...]:
        overrides = [one for one in corrections if isinstance(one, Override)]
        if overrides:
            return _each_once(overrides[-1].contacts)
        people = [contact for crew in planned for contact in crew]
        people += [contact for one in corrections if isinstance(one, Assignment) for contact in one.contacts]
        people += self.always
        for swap in (one for one in corrections if isinstance(one, Swap)):
            places = {swap.one: swap.other, swap.other: swap.one}
            people = [places.get(contact, contact) for contact in people]
        away = {one.contact: one.instead for one in corrections if isinstance(one, DayOff)}
        if away:
            stood_in = (away.get(contact, contact) for contact in people)
            people = [contact for contact in stood_in if contact is not None and contact not in away]
        return _each_once(people)

    def _dated(self) -> tuple[Dated, ...]:
        return (*self.assignments, *self.swaps, *self.days_off, *self.overrides)


def _minutes(clock: time) -> int:
    return clock.hour * 60 + clock.minute


def _each_once(people: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(people))
