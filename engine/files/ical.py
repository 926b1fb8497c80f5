"""Rosters and calendars (iCalendar, RFC 5545): an imported calendar is who is on duty when; an exported one is for people's phones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import icalendar
import recurring_ical_events

from engine.domain.calendar import instant
from engine.domain.finding import Finding
from engine.domain.finding import Path as Place
from engine.domain.model import Contact
from engine.domain.roster import Assignment, Roster

PAST = timedelta(days=400)
FUTURE = timedelta(days=800)
"""How much of a calendar is read around today: recurring events have no end. It is read anew each day."""


def read_ical(
    path: Path, contacts: Iterable[Contact], zone: ZoneInfo, today: date, at: Place
) -> tuple[list[Assignment], list[Finding]]:
    """Read duty from an .ics file: each event's title names one or more contacts (by id or name, commas between).

    Recurrence, exceptions and zones are the calendar's own; whole days, and times without a zone, are wall time in `zone`. `at` is the
    path that findings carry.
    """
    try:
        calendar = icalendar.Calendar.from_ical(path.read_bytes())
        events = recurring_ical_events.of(calendar).between(
            _midnight(today - PAST), _midnight(today + FUTURE)
        )
    except FileNotFoundError:
        return [], [Finding("file.missing", at, {"name": path.name})]
    except Exception:  # the two libraries raise whatever their parsing stumbled over; the file is to blame
        return [], [Finding("ical.syntax", at, {"name": path.name})]
    known = {name.casefold(): one.id for one in contacts for name in (one.name, one.id)}
    assignments: list[Assignment] = []
    findings: dict[str, Finding] = {}
    for event in events:
        summary = str(event.get("SUMMARY", "")).strip()
        people = [known.get(part.strip().casefold()) for part in summary.split(",")]
        start, end = _instant(event.start, zone), _instant(event.end, zone)
        if None in people or not people:
            words = {"name": path.name, "summary": summary, "date": f"{start:%d.%m.%Y}"}
            findings.setdefault(summary, Finding("ical.person", at, words))
        elif start < end:
            assignments.append(Assignment(start, end, tuple(one for one in people if one)))
    return sorted(assignments, key=lambda one: (one.start, one.end)), list(findings.values())


def write_ical(roster: Roster, contacts: dict[str, Contact], start: datetime, end: datetime) -> bytes:
    """The roster from `start` to `end` (aware) as a calendar: one event for each stretch of duty, titled with the people's names."""
    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//Dozvon//on-call//RU")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", roster.title or roster.name)
    for stretch in roster.slices(start, end):
        if not stretch.contacts:
            continue
        event = icalendar.Event()
        event.add("uid", f"{roster.name}-{stretch.since:%Y%m%dT%H%M%SZ}@dozvon")
        event.add("dtstamp", start.astimezone(UTC))
        event.add("dtstart", stretch.since)
        event.add("dtend", stretch.until)
        event.add(
            "summary", ", ".join(contacts[one].name if one in contacts else one for one in stretch.contacts)
        )
        calendar.add_component(event)
    return bytes(calendar.to_ical())


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _instant(at: date | datetime, zone: ZoneInfo) -> datetime:
    if not isinstance(at, datetime):
        return instant(datetime(at.year, at.month, at.day), zone)
    return instant(at, zone) if at.tzinfo is None else at.astimezone(UTC)
