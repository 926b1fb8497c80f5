"""Rosters as they are written → `Roster` values: names of days and dates of holidays become plain dates, wall times become instants."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

from engine.domain.calendar import DayRule, WorkCalendar, instant
from engine.domain.finding import Finding, Path
from engine.domain.roster import Assignment, DayOff, Override, Roster, Shift, Swap
from engine.files.scalars import clock
from engine.files.shapes import (
    CalendarShape,
    DaysOffShape,
    OverrideShape,
    OwnDaysOffShape,
    RosterShape,
    ShiftShape,
    SwapShape,
)

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_RUSSIAN = dict(zip(("пн", "вт", "ср", "чт", "пт", "сб", "вс"), WEEKDAYS, strict=True))
_WORDS = {"workdays": "workdays", "рабочие": "workdays", "free_days": "free_days", "выходные": "free_days"}
CALENDAR_YEARS = range(2005, 2046)


@lru_cache(maxsize=4)
def country_calendar(country: str) -> WorkCalendar:
    """A country's days off and worked week-ends, transfers by government decree included as far as they are published."""
    if country == "none":
        return WorkCalendar()
    found = holidays.country_holidays(country, years=CALENDAR_YEARS)
    return WorkCalendar(frozenset(found), frozenset(found.weekend_workdays))


def calendar_of(shape: CalendarShape) -> WorkCalendar:
    """The company's calendar: its country's, and over it what the company says itself."""
    base = country_calendar(shape.country)
    return WorkCalendar(
        (base.days_off | set(shape.days_off)) - set(shape.workdays),
        (base.workdays - set(shape.days_off)) | set(shape.workdays),
    )


class RosterReader:
    """Turns one roster's shape into its value; what does not fit is a finding with the path of its place."""

    def __init__(self, name: str, time_zone: str, calendar: WorkCalendar) -> None:
        self.name = name
        self.time_zone = time_zone
        self.zone = ZoneInfo(time_zone)
        self.calendar = calendar
        self.findings: list[Finding] = []

    def read(
        self,
        shape: RosterShape,
        assignments: Iterable[Assignment] = (),
        away: Iterable[tuple[str, str, OwnDaysOffShape]] = (),
    ) -> Roster:
        """The roster. `away` are days off from the people's own entries: contact, their zone, the days."""
        own = [off for number, each in enumerate(shape.days_off) if (off := self._day_off(each, number))]
        theirs = [_days_off(contact, each, ZoneInfo(zone)) for contact, zone, each in away]
        return Roster(
            name=self.name,
            always=shape.always,
            title=shape.title or self.name,
            time_zone=self.time_zone,
            shifts=tuple(s for number, each in enumerate(shape.shifts) if (s := self._shift(each, number))),
            assignments=tuple(assignments),
            swaps=tuple(w for number, each in enumerate(shape.swaps) if (w := self._swap(each, number))),
            days_off=(*own, *theirs),
            overrides=tuple(
                o for number, each in enumerate(shape.overrides) if (o := self._override(each, number))
            ),
            calendar=self.calendar,
        )

    def _complain(self, code: str, path: Path, **words: object) -> None:
        self.findings.append(Finding(code, ("rosters", self.name, *path), words))

    def _shift(self, shape: ShiftShape, number: int) -> Shift | None:
        path: Path = ("shifts", number)
        starts, ends = self._end(shape.starts, (*path, "from")), self._end(shape.ends, (*path, "to"))
        days = self._days(shape, (*path, "days"))
        if (shape.who is None) == (shape.rotate is None):
            self._complain("shift.who", path)
            return None
        if shape.since and shape.until and shape.until < shape.since:
            self._complain("span.backwards", (*path, "until"))
        if starts is None or ends is None or days is None:
            return None
        if (starts[0] is None) != (ends[0] is None):
            self._complain("shift.weekday", (*path, "to" if starts[0] is None else "from"))
            return None
        if starts[0] is not None and ends[0] is not None:
            if shape.days:
                self._complain("shift.days", (*path, "days"))
            days = DayRule(frozenset({starts[0]}))
            span = (ends[0] - starts[0]) % 7
            span += 7 if span == 0 and ends[1] <= starts[1] else 0
        else:
            span = 1 if ends[1] <= starts[1] else 0
        turns = shape.rotate
        return Shift(
            crews=turns.crews if turns else (shape.who or (),),
            starts=starts[1],
            ends=ends[1],
            span=span,
            every=turns.every if turns else 1,
            since=turns.since if turns else date(2024, 1, 1),
            days=days,
            first=shape.since,
            last=shape.until,
            name=shape.name or "",
        )

    def _end(self, written: str, path: Path) -> tuple[int | None, time] | None:
        """`08:00` or `mon 08:00`."""
        weekday, _, hour = written.lower().rpartition(" ")
        if re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", hour) and (not weekday or _weekday(weekday) is not None):
            return (_weekday(weekday) if weekday else None), clock(hour)
        self._complain("value.shift_clock", path, value=written)
        return None

    def _days(self, shape: ShiftShape, path: Path) -> DayRule | None:
        if not shape.days:
            return DayRule()
        weekdays: set[int] = set()
        dates: set[date] = set()
        words: set[str] = set()
        fits = True
        for number, written in enumerate(shape.days):
            day = written.strip().lower()
            first, dash, last = day.partition("-")
            if day in _WORDS:
                words.add(_WORDS[day])
            elif (found := _date(day)) is not None:
                dates.add(found)
            elif (begin := _weekday(first)) is not None and (
                end := _weekday(last) if dash else begin
            ) is not None:
                weekdays |= {(begin + step) % 7 for step in range((end - begin) % 7 + 1)}
            else:
                self._complain("value.day_rule", (*path, number), value=written)
                fits = False
        rule = DayRule(frozenset(weekdays), "workdays" in words, "free_days" in words, frozenset(dates))
        return rule if fits else None

    def _span(self, start: datetime, end: datetime, path: Path) -> tuple[datetime, datetime] | None:
        if end <= start:
            self._complain("span.backwards", (*path, "to"))
            return None
        return instant(start, self.zone), instant(end, self.zone)

    def _swap(self, shape: SwapShape, number: int) -> Swap | None:
        span = self._span(shape.start, shape.end, ("swaps", number))
        return Swap(*span, *shape.between) if span else None

    def _override(self, shape: OverrideShape, number: int) -> Override | None:
        span = self._span(shape.start, shape.end, ("overrides", number))
        return Override(*span, shape.who) if span else None

    def _day_off(self, shape: DaysOffShape, number: int) -> DayOff | None:
        if shape.last is not None and shape.last < shape.first:
            self._complain("span.backwards", ("days_off", number, "to"))
            return None
        return _days_off(shape.contact, shape, self.zone)


def _days_off(contact: str, shape: DaysOffShape | OwnDaysOffShape, zone: ZoneInfo) -> DayOff:
    """Whole days: from the first midnight to the midnight after the last."""
    past = (shape.last or shape.first) + timedelta(days=1)
    start, end = (instant(datetime(day.year, day.month, day.day), zone) for day in (shape.first, past))
    return DayOff(start, end, contact, shape.instead)


def _weekday(word: str) -> int | None:
    word = _RUSSIAN.get(word.strip(), word.strip())
    return WEEKDAYS.index(word) if word in WEEKDAYS else None


def _date(word: str) -> date | None:
    try:
        return date.fromisoformat(word) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", word) else None
    except ValueError:
        return None
