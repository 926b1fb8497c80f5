"""`roster`: the coming year of 50 rosters in 11 time zones, checked minute by minute, against asking for every single minute.

The baseline asks `on_duty` for minutes drawn at random and is scaled to all 26,280,000 of them; each answer must be the same as ours.
"""

from __future__ import annotations

import asyncio
import bisect
import json
import random
import sys
import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock

from engine.domain.calendar import DayRule, instant_of
from engine.domain.coverage import MINUTE, YEAR, coverage
from engine.domain.roster import DayOff, Override, Roster, Shift
from engine.files.rosters import country_calendar

ROSTERS = 50
ZONES = (
    "Europe/Kaliningrad",
    "Europe/Moscow",
    "Europe/Samara",
    "Asia/Yekaterinburg",
    "Asia/Omsk",
    "Asia/Krasnoyarsk",
    "Asia/Irkutsk",
    "Asia/Yakutsk",
    "Asia/Vladivostok",
    "Asia/Magadan",
    "Asia/Kamchatka",
)
SINCE = date(2026, 1, 5)


def roster(number: int, start: datetime) -> Roster:
    """Days that rotate daily, nights that rotate weekly, office hours on working days; a holiday and a replacement. Sundays have gaps."""
    week = timedelta(days=7)
    return Roster(
        f"roster{number}",
        time_zone=ZONES[number % len(ZONES)],
        shifts=(
            Shift((("a",), ("b",), ("c",)), clock(8), clock(20), 0, 1, SINCE, DayRule(frozenset(range(6)))),
            Shift((("d", "a"), ("e",)), clock(20), clock(8), 1, 7, SINCE),
            Shift((("f",),), clock(9), clock(18), 0, days=DayRule(frozenset(), workdays=True)),
        ),
        days_off=(DayOff(start + 20 * week, start + 22 * week, "a", "f"),),
        overrides=(Override(start + number * week, start + number * week + timedelta(days=1), ("g",)),),
        calendar=country_calendar("RU"),
    )


def measure(quick: bool) -> dict[str, object]:
    """One line of `make bench`; `failed` counts minutes on which the two disagree."""
    start = datetime(2026, 11, 21, tzinfo=UTC)
    rosters = [roster(number, start) for number in range(ROSTERS)]
    asked = ROSTERS * (20 if quick else 200)
    instant_of.cache_clear()
    began = time.perf_counter()
    years = [coverage(one, start, start + YEAR) for one in rosters]
    ours = time.perf_counter() - began
    draw = random.Random(1)
    minutes = [(number % ROSTERS, draw.randrange(years[0].minutes)) for number in range(asked)]
    gaps = [[(gap.since, gap.until) for gap in year.gaps] for year in years]
    began = time.perf_counter()
    answers = [bool(rosters[which].on_duty(start + minute * MINUTE).contacts) for which, minute in minutes]
    each = (time.perf_counter() - began) / asked
    failed = 0
    for (which, minute), covered in zip(minutes, answers, strict=True):
        at = start + minute * MINUTE
        place = bisect.bisect_right(gaps[which], at, key=lambda gap: gap[0]) - 1
        failed += covered is (place >= 0 and at < gaps[which][place][1])
    total = sum(year.minutes for year in years)
    baseline = each * total
    return {
        "bench": "roster year",
        "ours": round(ours, 3),
        "baseline": round(baseline),
        "ratio": round(ours / baseline, 6),
        "unit": "s",
        "n": total,
        "failed": failed,
    }


async def run(quick: bool) -> list[dict[str, object]]:
    """The bench's one line."""
    return [await asyncio.to_thread(measure, quick)]


if __name__ == "__main__":
    for line in asyncio.run(run("--quick" in sys.argv)):
        print(json.dumps(line, ensure_ascii=False))
