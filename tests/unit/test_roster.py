"""Rosters as people write them: nights, weeks, holidays with their transfers, clocks that are moved, calendars of others."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from engine.domain.calendar import instant
from engine.domain.coverage import coverage
from engine.domain.roster import Duty, Roster
from engine.files.company import load_company
from engine.files.ical import read_ical, write_ical
from engine.files.rosters import country_calendar

ROOT = Path(__file__).parents[2]
GOOD = Path(__file__).parent / "broken" / "good"
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def roster(
    tmp_path: Path, text: str, zone: str = "Europe/Moscow", more: dict[str, str] | None = None
) -> Roster:
    """The roster `duty`, written so, in a company that is otherwise sound."""
    folder = Path(shutil.copytree(GOOD, tmp_path / "company", dirs_exist_ok=True))
    (folder / "rosters.yaml").write_text(
        f"plumbers:\n  always: [chief]\nduty:\n  time_zone: {zone}\n"
        + "\n".join(f"  {line}" for line in text.splitlines())
    )
    for name, body in (more or {}).items():
        (folder / name).write_text(body)
    loaded = load_company(folder, ROOT / "escalation_policies", now=NOW)
    assert loaded.company is not None, "\n".join(map(str, loaded.findings))
    return loaded.company.rosters["duty"]


def at(written: str, zone: str = "Europe/Moscow") -> datetime:
    return datetime.fromisoformat(written).replace(tzinfo=ZoneInfo(zone))


NIGHTS = """\
shifts:
  - {name: день, from: 08:00, to: 20:00, who: ivanov}
  - name: ночь
    from: 20:00
    to: 08:00
    rotate: {every: 1w, since: 2026-01-05, crews: [petrov, [chief, petrov]]}
"""


def test_days_and_nights(tmp_path: Path) -> None:
    plan = roster(tmp_path, NIGHTS)
    assert plan.on_duty(at("2026-01-05 07:59")).contacts == (
        "chief",
        "petrov",
    )  # the night that began on the Sunday before
    assert plan.on_duty(at("2026-01-05 08:00")) == Duty(("ivanov",), at("2026-01-05 20:00"))
    assert plan.on_duty(at("2026-01-05 20:00")) == Duty(("petrov",), at("2026-01-06 08:00"))
    assert plan.on_duty(at("2026-01-12 23:00")).contacts == ("chief", "petrov")
    assert plan.on_duty(at("2026-01-19 23:00")).contacts == ("petrov",)


def test_a_week_round_the_clock_with_its_hand_over(tmp_path: Path) -> None:
    plan = roster(
        tmp_path,
        "shifts:\n  - {from: mon 09:00, to: mon 09:00, rotate: {every: 1w, since: 2026-01-05, crews: [ivanov, petrov]}}",
    )
    assert plan.on_duty(at("2026-01-12 08:59")) == Duty(("ivanov",), at("2026-01-12 09:00"))
    assert plan.on_duty(at("2026-01-12 09:00")) == Duty(("petrov",), at("2026-01-19 09:00"))


def test_a_day_on_and_three_off(tmp_path: Path) -> None:
    crews = "[ivanov, petrov, chief, director]"
    plan = roster(
        tmp_path,
        f"shifts:\n  - {{from: 08:00, to: 08:00, rotate: {{every: 1d, since: 2026-01-01, crews: {crews}}}}}",
    )
    people = [plan.on_duty(at("2026-03-01 12:00") + timedelta(days=day)).contacts[0] for day in range(5)]
    assert people == ["director", "ivanov", "petrov", "chief", "director"]


def test_a_week_end(tmp_path: Path) -> None:
    plan = roster(tmp_path, "always: [chief]\nshifts:\n  - {from: fri 18:00, to: mon 09:00, who: ivanov}")
    assert plan.on_duty(at("2026-11-20 17:59")) == Duty(("chief",), at("2026-11-20 18:00"))
    assert plan.on_duty(at("2026-11-22 03:00")) == Duty(("ivanov", "chief"), at("2026-11-23 09:00"))


def test_holidays_with_their_transfers(tmp_path: Path) -> None:
    plan = roster(
        tmp_path,
        "shifts:\n  - {from: 09:00, to: 18:00, days: workdays, who: ivanov}\n"
        "  - {from: 09:00, to: 18:00, days: free_days, who: petrov}",
    )
    works = {
        "2024-04-27": True,
        "2024-04-29": False,
        "2024-04-30": False,
        "2024-12-28": True,
        "2024-12-30": False,
    }
    works |= {
        "2025-11-01": True,
        "2025-11-03": False,
        "2026-01-09": False,
        "2026-11-20": True,
        "2026-11-21": False,
    }
    works |= {"2027-01-11": False}  # the company's own calendar says so
    found = {day: plan.on_duty(at(f"{day} 12:00")).contacts == ("ivanov",) for day in works}
    assert found == works


def test_the_country_calendar_has_the_decrees() -> None:
    russia = country_calendar("RU")
    assert date(2012, 3, 11) in russia.workdays  # a Sunday that was worked
    assert not russia.is_workday(date(2021, 2, 22))
    assert not russia.is_workday(date(2020, 5, 4))


def test_corrections(tmp_path: Path) -> None:
    plan = roster(
        tmp_path,
        "shifts:\n  - {from: 08:00, to: 08:00, who: [ivanov, petrov]}\n"
        "overrides:\n  - {from: 2026-12-31 18:00, to: 2027-01-01 08:00, who: director, why: Новый год}\n"
        "swaps:\n  - {from: 2026-12-01, to: 2026-12-02, between: [ivanov, chief]}\n"
        "days_off:\n  - {contact: petrov, from: 2026-12-10, to: 2026-12-11, instead: chief}\n"
        "  - {contact: ivanov, from: 2026-12-11}",
    )
    assert plan.on_duty(at("2026-12-01 10:00")) == Duty(("chief", "petrov"), at("2026-12-02 00:00"))
    assert plan.on_duty(at("2026-12-10 00:00")) == Duty(("ivanov", "chief"), at("2026-12-11 00:00"))
    assert plan.on_duty(at("2026-12-11 00:00")) == Duty(("chief",), at("2026-12-12 00:00"))
    assert plan.on_duty(at("2026-12-31 20:00")) == Duty(("director",), at("2027-01-01 08:00"))


def test_a_persons_days_off_are_in_their_own_zone(tmp_path: Path) -> None:
    """The chief lives in Omsk (UTC+6) and is away from midnight there, which is 21:00 in Moscow."""
    plan = roster(tmp_path, "always: [chief]")
    assert plan.on_duty(at("2027-06-30 20:59")) == Duty(("chief",), at("2027-06-30 21:00"))
    assert plan.on_duty(at("2027-06-30 21:00")) == Duty(("ivanov",), at("2027-07-14 21:00"))


def test_always_is_for_ever(tmp_path: Path) -> None:
    assert roster(tmp_path, "always: [ivanov, petrov, ivanov]").name == "duty"
    assert Roster("r", always=("a", "b", "a")).on_duty(NOW) == Duty(("a", "b"))


@pytest.mark.parametrize(
    ("zone", "local", "utc"),
    [
        ("Europe/Moscow", "2011-03-27 02:30", "2011-03-26 23:00"),  # skipped for good: the change itself
        ("Europe/Moscow", "2014-10-26 01:30", "2014-10-25 21:30"),  # comes twice: the first
        ("Asia/Kamchatka", "2010-03-28 02:15", "2010-03-27 14:15"),  # nearer to Moscow, by not moving
        ("Europe/Samara", "2010-03-28 02:30", "2010-03-27 22:30"),  # likewise
        ("Asia/Chita", "2014-10-26 00:30", "2014-10-25 14:30"),  # two hours back
        ("Europe/Volgograd", "2020-12-27 01:30", "2020-12-26 21:30"),
        ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 10:00"),  # a day that never was
        ("Asia/Yekaterinburg", "2026-11-21 12:00", "2026-11-21 07:00"),
    ],
)
def test_wall_time_becomes_an_instant(zone: str, local: str, utc: str) -> None:
    assert instant(datetime.fromisoformat(local), ZoneInfo(zone)) == datetime.fromisoformat(utc).replace(
        tzinfo=UTC
    )


def test_a_night_is_as_long_as_the_clock_makes_it(tmp_path: Path) -> None:
    plan = roster(tmp_path, NIGHTS)
    lengths = []
    for evening in ("2011-03-26 21:00", "2014-10-25 21:00", "2026-11-21 21:00"):
        since = at(evening)
        until = plan.on_duty(since).until
        assert until is not None
        lengths.append((until - since.astimezone(UTC)) / timedelta(hours=1) + 1)
    assert lengths == [11, 13, 12]


def test_coverage_counts_minutes(tmp_path: Path) -> None:
    plan = roster(tmp_path, "shifts:\n  - {from: 08:00, to: 20:00, days: mon-fri, who: ivanov}")
    week = coverage(plan, at("2026-11-16 00:00"), at("2026-11-23 00:00"))
    assert (week.minutes, week.covered, week.largest) == (7 * 1440, 5 * 720, 1)
    assert week.hours == {"ivanov": 60.0}
    assert [(gap.since, gap.until) for gap in week.gaps][-1] == (
        at("2026-11-20 20:00"),
        at("2026-11-23 00:00"),
    )


ICS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//RU
BEGIN:VEVENT
UID:1
SUMMARY:Иван Иванов, petrov
DTSTART;TZID=Europe/Moscow:20261116T080000
DTEND;TZID=Europe/Moscow:20261116T200000
RRULE:FREQ=WEEKLY
EXDATE;TZID=Europe/Moscow:20261123T080000
END:VEVENT
END:VCALENDAR
"""


def test_an_imported_calendar(tmp_path: Path) -> None:
    plan = roster(tmp_path, "always: [chief]\nical: duty.ics", more={"duty.ics": ICS})
    assert plan.on_duty(at("2026-11-16 08:00")) == Duty(("ivanov", "petrov", "chief"), at("2026-11-16 20:00"))
    assert plan.on_duty(at("2026-11-23 09:00")).contacts == ("chief",)  # the exception
    assert plan.on_duty(at("2027-11-22 09:00")).contacts == ("ivanov", "petrov", "chief")


def test_whole_days_of_a_calendar_are_days_of_the_rosters_zone(tmp_path: Path) -> None:
    event = "UID:2\nSUMMARY:director\nDTSTART;VALUE=DATE:20261231\nDTEND;VALUE=DATE:20270102\n"
    calendar = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nBEGIN:VEVENT\n{event}END:VEVENT\nEND:VCALENDAR\n"
    plan = roster(tmp_path, "always: [chief]\nical: year.ics", "Asia/Kamchatka", {"year.ics": calendar})
    since, until = at("2026-12-31 00:00", "Asia/Kamchatka"), at("2027-01-02 00:00", "Asia/Kamchatka")
    assert plan.on_duty(since - timedelta(minutes=1)) == Duty(("chief",), since)
    assert plan.on_duty(since) == Duty(("director", "chief"), until)


def test_a_stranger_in_a_calendar(tmp_path: Path) -> None:
    path = tmp_path / "duty.ics"
    path.write_text(ICS.replace("petrov", "Сидоров"))
    contacts = load_company(GOOD, ROOT / "escalation_policies", now=NOW).company
    assert contacts is not None
    assignments, (finding,) = read_ical(
        path, contacts.contacts.values(), ZoneInfo("UTC"), NOW.date(), ("rosters", "duty", "ical", 0)
    )
    assert not assignments
    assert "событие «Иван Иванов, Сидоров»" in finding.message
    path.write_text("не календарь")
    assert [one.code for one in read_ical(path, (), ZoneInfo("UTC"), NOW.date(), ())[1]] == ["ical.syntax"]


def test_what_is_exported_can_be_imported(tmp_path: Path) -> None:
    plan = roster(tmp_path, NIGHTS)
    company = load_company(tmp_path / "company", ROOT / "escalation_policies", now=NOW).company
    assert company is not None
    start, end = at("2026-11-01 00:00"), at("2027-02-01 00:00")
    path = tmp_path / "out.ics"
    path.write_bytes(write_ical(plan, company.contacts, start, end))
    assignments, findings = read_ical(path, company.contacts.values(), ZoneInfo("UTC"), NOW.date(), ())
    assert not findings
    copy = Roster("copy", assignments=tuple(assignments))
    assert list(copy.slices(start, end)) == list(plan.slices(start, end))
