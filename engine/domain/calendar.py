"""Wall time and dates: when a local time becomes an instant, and which dates a rule names."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo


def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The first instant (UTC) at which a wall clock in `zone` shows `local` or later.

    So an hour that comes twice counts from its first coming, and a time that a change skips is the instant of the change. `local` is naive.
    """
    found = local.replace(tzinfo=zone).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == local:
        return found
    return _change(local, zone)


def _change(local: datetime, zone: ZoneInfo) -> datetime:
    """The instant at which the clock jumped over `local`."""
    late = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    early = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    after = late.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) // 2
        middle -= timedelta(microseconds=middle.microsecond)
        if middle <= early:
            break
        if middle.astimezone(zone).utcoffset() == after:
            late = middle
        else:
            early = middle
    return late


@lru_cache(maxsize=65536)
def instant_of(day: date, minutes: int, zone: str) -> datetime:
    """As `instant`, for so many minutes of the wall clock after the midnight of a day."""
    return instant(datetime(day.year, day.month, day.day) + timedelta(minutes=minutes), ZoneInfo(zone))


@dataclass(frozen=True, slots=True)
class WorkCalendar:
    """Which dates are not as their weekday says: days off by law (or by a transfer), and Saturdays and Sundays that are worked."""

    days_off: frozenset[date] = field(default=frozenset(), repr=False)
    workdays: frozenset[date] = field(default=frozenset(), repr=False)

    def is_workday(self, day: date) -> bool:
        """Whether people work on that date."""
        if day in self.workdays:
            return True
        return day.weekday() < 5 and day not in self.days_off


NO_HOLIDAYS = WorkCalendar()


@dataclass(frozen=True, slots=True)
class DayRule:
    """The dates on which a shift begins.

    A date is meant if it is listed in `dates`, or its weekday (0 is Monday) is in `weekdays`, or it is a working (a free) day and
    `workdays` (`free_days`) is set.
    """

    weekdays: frozenset[int] = frozenset(range(7))
    workdays: bool = False
    free_days: bool = False
    dates: frozenset[date] = frozenset()

    def meets(self, day: date, calendar: WorkCalendar) -> bool:
        """Whether the shift begins on `day`."""
        if day.weekday() in self.weekdays or day in self.dates:
            return True
        if self.workdays or self.free_days:
            return self.workdays if calendar.is_workday(day) else self.free_days
        return False


EVERY_DAY = DayRule()
