"""`Roster.on_duty` and `Roster.slices` agree with an oracle that knows nothing but the rules, minute by minute.

The oracle asks at one instant only, and finds when a shift begins by stepping through the minutes until the wall clock shows its time.
"""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.calendar import DayRule, WorkCalendar
from engine.domain.coverage import coverage
from engine.domain.roster import Assignment, DayOff, Override, Roster, Shift, Swap

MINUTE = timedelta(minutes=1)
PEOPLE = ("anna", "boris", "vera", "gleb")

CHANGES = {
    # Russia, 2010–2020: the last summer times, 2011, 2014, and the regions that moved by themselves.
    "Europe/Moscow": ["2010-03-27T23:00", "2010-10-30T23:00", "2011-03-26T23:00", "2014-10-25T22:00"],
    "Europe/Samara": ["2010-03-27T23:00", "2011-03-26T23:00"],
    "Asia/Kamchatka": ["2010-03-27T14:00", "2010-10-30T15:00", "2011-03-26T15:00"],
    "Europe/Volgograd": ["2014-10-25T22:00", "2018-10-27T23:00", "2020-12-26T22:00"],
    "Europe/Saratov": ["2016-12-03T23:00"],
    "Europe/Astrakhan": ["2016-03-26T23:00"],
    "Europe/Ulyanovsk": ["2016-03-26T23:00"],
    "Asia/Magadan": ["2014-10-25T14:00", "2016-04-23T16:00"],
    "Asia/Chita": ["2014-10-25T16:00", "2016-03-26T18:00"],
    "Asia/Sakhalin": ["2014-10-25T15:00", "2016-03-26T16:00"],
    "Asia/Tomsk": ["2016-05-28T20:00"],
    "Asia/Novosibirsk": ["2014-10-25T19:00", "2016-07-23T20:00"],
    "Asia/Barnaul": ["2016-03-26T20:00"],
    "Asia/Yekaterinburg": ["2011-03-26T21:00", "2014-10-25T20:00"],
    "Europe/Kaliningrad": ["2011-03-27T00:00", "2014-10-25T23:00"],
    # Elsewhere: yearly changes, half an hour, midnight, and a day that was left out.
    "Europe/Berlin": ["2026-03-29T01:00", "2026-10-25T01:00"],
    "America/New_York": ["2026-03-08T07:00", "2026-11-01T06:00"],
    "Australia/Lord_Howe": ["2026-04-04T15:00", "2026-10-03T15:30"],
    "Asia/Beirut": ["2026-03-28T22:00", "2026-10-24T21:00"],
    "Pacific/Apia": ["2011-12-30T10:00"],
}
"""Instants (UTC) at which clocks were moved."""


# --- the oracle --------------------------------------------------------------------------------------------------------------------


@cache
def first_minute(zone: str, day: date, minutes: int) -> datetime:
    """The first minute at which the wall clock shows that time or later, found by looking at one minute after the other."""
    wanted = datetime.combine(day, time()) + timedelta(minutes=minutes)
    at = wanted.replace(tzinfo=UTC) - timedelta(hours=15)
    while at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) < wanted:
        at += MINUTE
    return at


def runs(shift: Shift, roster: Roster, at: datetime) -> tuple[str, ...]:
    """Whom the shift has on duty at `at`: it is on if one of its days has begun but not ended."""
    people: tuple[str, ...] = ()
    here = at.astimezone(ZoneInfo(roster.time_zone)).date()
    for back in range(shift.span + 3, -3, -1):
        day = here - timedelta(days=back)
        listed = day in shift.days.dates or day.weekday() in shift.days.weekdays
        weekend = (
            day.weekday() > 4 or day in roster.calendar.days_off
        ) and day not in roster.calendar.workdays
        listed |= (shift.days.workdays and not weekend) or (shift.days.free_days and weekend)
        if not listed or (shift.first and day < shift.first) or (shift.last and day > shift.last):
            continue
        starts = shift.starts.hour * 60 + shift.starts.minute
        ends = shift.ends.hour * 60 + shift.ends.minute + 1440 * shift.span
        if first_minute(roster.time_zone, day, starts) <= at < first_minute(roster.time_zone, day, ends):
            turn = (day.toordinal() - shift.since.toordinal()) // shift.every
            people += shift.crews[turn % len(shift.crews)]
    return people


def oracle(roster: Roster, at: datetime) -> list[str]:
    replaced = [one.contacts for one in roster.overrides if one.start <= at < one.end]
    if replaced:
        return list(dict.fromkeys(replaced[-1]))
    people = [one for shift in roster.shifts for one in runs(shift, roster, at)]
    people += [one for each in roster.assignments if each.start <= at < each.end for one in each.contacts]
    people += roster.always
    for swap in roster.swaps:
        if swap.start <= at < swap.end:
            people = [
                swap.other if one == swap.one else swap.one if one == swap.other else one for one in people
            ]
    away = {off.contact: off.instead for off in roster.days_off if off.start <= at < off.end}
    present: list[str] = []
    for one in people:
        stand_in = away.get(one, one)
        if stand_in is not None and stand_in not in away and stand_in not in present:
            present.append(stand_in)
    return present


# --- rosters of any kind -----------------------------------------------------------------------------------------------------------


def crew(most: int = 2) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(PEOPLE), max_size=most, unique=True).map(tuple)


# Clocks are moved in the small hours, so that is where most shifts begin and end here.
clocks = st.builds(time, st.one_of(st.integers(0, 3), st.integers(0, 23)), st.sampled_from([0, 15, 30, 59]))


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and an instant: most often near a change of its clocks."""
    zone = draw(st.sampled_from(sorted(CHANGES)))
    if draw(st.integers(0, 3)) == 0:
        base = datetime(2009, 6, 1, tzinfo=UTC) + timedelta(minutes=draw(st.integers(0, 12_000_000)))
        return zone, base
    change = datetime.fromisoformat(draw(st.sampled_from(CHANGES[zone]))).replace(tzinfo=UTC)
    return zone, change + timedelta(minutes=draw(st.one_of(st.integers(-90, 90), st.integers(-2000, 2000))))


@st.composite
def rosters(draw: st.DrawFn, zone: str, near: datetime) -> Roster:
    def dates() -> date:
        return (near + timedelta(days=draw(st.integers(-9, 9)))).date()

    def span() -> tuple[datetime, datetime]:
        start = near + timedelta(minutes=draw(st.integers(-4000, 4000)))
        return start, start + timedelta(minutes=draw(st.integers(1, 4000)))

    def shift() -> Shift:
        starts, ends = draw(clocks), draw(clocks)
        span = (
            draw(st.sampled_from([0, 1, 1, 2, 7]))
            if ends > starts
            else draw(st.sampled_from([1, 1, 1, 3, 7]))
        )
        days = DayRule(
            draw(st.one_of(st.just(frozenset(range(7))), st.frozensets(st.integers(0, 6)))),
            draw(st.booleans()),
            draw(st.booleans()),
            frozenset({dates()}) if draw(st.booleans()) else frozenset(),
        )
        first = dates() if draw(st.integers(0, 3)) == 0 else None
        last = dates() if draw(st.integers(0, 3)) == 0 else None
        crews = draw(st.lists(crew(), min_size=1, max_size=4).map(tuple))
        return Shift(crews, starts, ends, span, draw(st.integers(1, 14)), dates(), days, first, last)

    def some(most: int) -> range:
        return range(draw(st.integers(0, most)))

    return Roster(
        "any",
        always=draw(crew(1)),
        time_zone=zone,
        shifts=tuple(shift() for _ in range(draw(st.integers(0, 3)))),
        assignments=tuple(Assignment(*span(), draw(crew())) for _ in some(2)),
        swaps=tuple(Swap(*span(), *draw(st.permutations(PEOPLE))[:2]) for _ in some(2)),
        days_off=tuple(
            DayOff(*span(), draw(st.sampled_from(PEOPLE)), draw(st.none() | st.sampled_from(PEOPLE)))
            for _ in some(2)
        ),
        overrides=tuple(Override(*span(), draw(crew())) for _ in some(2)),
        calendar=WorkCalendar(frozenset({dates()}), frozenset({dates()})),
    )


@st.composite
def questions(draw: st.DrawFn) -> tuple[Roster, datetime]:
    zone, at = draw(moments())
    return draw(rosters(zone, at)), at


@settings(max_examples=600, deadline=None)
@given(questions())
def test_who_is_on_duty(question: tuple[Roster, datetime]) -> None:
    roster, at = question
    assert list(roster.on_duty(at).contacts) == oracle(roster, at)


@settings(max_examples=150, deadline=None)
@given(questions(), st.data())
def test_and_until_when(question: tuple[Roster, datetime], data: st.DataObject) -> None:
    """Nothing changes before `until`, and at `until` it does."""
    roster, at = question
    duty = roster.on_duty(at)
    if duty.until is None:
        later = at + timedelta(minutes=data.draw(st.integers(0, 10_000)))
        assert oracle(roster, later) == list(duty.contacts)
        return
    assert duty.until > at
    minutes = (duty.until - at) // MINUTE
    if minutes:
        between = at + MINUTE * data.draw(st.integers(0, minutes - 1))
        assert oracle(roster, between) == list(duty.contacts)
    if duty.until < at + timedelta(days=400):
        assert oracle(roster, duty.until) != list(duty.contacts)


@settings(max_examples=40, deadline=None)
@given(questions())
def test_every_minute_of_three_days(question: tuple[Roster, datetime]) -> None:
    """The slices, and the coverage that is counted from them, are what minute after minute says."""
    roster, at = question
    end = at + timedelta(days=3)
    slices = list(roster.slices(at, end))
    assert slices[0].since == at
    assert slices[-1].until == end
    uncovered = 0
    for one, following in itertools.pairwise(slices):
        assert one.until == following.since
        assert one.contacts != following.contacts
    for one in slices:
        minute = one.since
        while minute < one.until:
            people = oracle(roster, minute)
            assert people == list(one.contacts)
            uncovered += not people
            minute += MINUTE
    year = coverage(roster, at, end)
    assert (year.minutes, year.minutes - year.covered) == (3 * 1440, uncovered)


@settings(max_examples=100, deadline=None)
@given(questions())
def test_jumping_by_until_is_the_same_as_the_slices(question: tuple[Roster, datetime]) -> None:
    roster, at = question
    end, jumped = at + timedelta(days=10), []
    while at is not None and at < end:
        duty = roster.on_duty(at)
        jumped.append((at, duty.contacts))
        at = duty.until  # type: ignore[assignment]
    assert jumped == [(one.since, one.contacts) for one in roster.slices(question[1], end)]
