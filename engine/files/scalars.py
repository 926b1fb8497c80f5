"""The small words of the files: durations, telephone numbers, times, dates, zones, names. Text in, values out.

Each type is an annotated one for the shapes; a text that does not fit raises `PydanticCustomError` whose type is a code of
`engine.domain.mistakes` and whose context fills its sentence.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any
from zoneinfo import available_timezones

import phonenumbers
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "с": 1, "м": 60, "ч": 3600, "д": 86400}
_DURATION = re.compile(r"(?:\d+[smhdсмчд])+")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_HUMAN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
MAX_DURATION = timedelta(days=31)


def wrong(code: str, **words: Any) -> PydanticCustomError:
    """The error for a value that does not fit."""
    return PydanticCustomError(code, "{code}", {"code": code, **words})


def closest(word: str, known: list[str]) -> str | None:
    """The known word that was probably meant."""
    same = [one for one in known if one.lower() == word.lower()]
    return same[0] if same else next(iter(get_close_matches(word, known, 1, 0.6)), None)


def text(value: object, code: str) -> str:
    """A scalar's text; anything else does not fit."""
    if not isinstance(value, str):
        raise wrong(code, value=shown(value))
    return value.strip()


def shown(value: object) -> str:
    """A value as a message may quote it, short."""
    if isinstance(value, dict):
        return "{…}"
    if isinstance(value, list):
        return "[…]"
    words = "" if value is None else str(value)
    return words if len(words) <= 40 else words[:39] + "…"


def duration(value: object) -> timedelta:
    """`25s`, `3m`, `1h30m`, `2d`."""
    if isinstance(value, timedelta):
        return value
    written = text(value, "value.duration")
    if written.isdigit():
        raise wrong("value.duration_unit", value=written)
    if not _DURATION.fullmatch(written):
        raise wrong("value.duration", value=shown(written))
    found = sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(\D)", written))
    if not 0 < found <= MAX_DURATION.total_seconds():
        raise wrong("value.duration_range", value=shown(written))
    return timedelta(seconds=found)


def days(value: object) -> int:
    """`1d`, `2w`: whole days."""
    if isinstance(value, int):
        return value
    written = text(value, "value.days")
    found = re.fullmatch(r"(\d{1,4})\s*([dwдн])", written)
    if not found or not int(found[1]):
        raise wrong("value.days", value=shown(written))
    return int(found[1]) * (7 if found[2] in "wн" else 1)


def phone(value: object) -> str:
    """A full number, as E.164. `8 916 …` is read as Russian."""
    written = text(value, "value.phone")
    try:
        number = phonenumbers.parse(written, "RU")
    except phonenumbers.NumberParseException as error:
        raise wrong("value.phone", value=shown(written)) from error
    if not phonenumbers.is_possible_number(number) or number.extension:
        short = bool(re.fullmatch(r"\d{2,6}", written))
        raise wrong("value.phone_short" if short else "value.phone", value=shown(written))
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def phone_or_short(value: object) -> str:
    """A full number, or a short code as 112: whether the company may dial it, the allow-list says."""
    written = text(value, "value.phone")
    return written if re.fullmatch(r"\d{2,6}", written) else phone(written)


def prefix(value: object) -> str:
    """The beginning of the numbers that may be dialled: `+7`, `+7495`, or a whole short code: `112`."""
    written = text(value, "value.prefix").replace(" ", "").replace("-", "")
    if not re.fullmatch(r"\+[1-9]\d{0,14}|\d{2,6}", written):
        raise wrong("value.prefix", value=shown(written))
    return written


def clock(value: object) -> time:
    """`08:00`."""
    if isinstance(value, time):
        return value
    written = text(value, "value.clock")
    found = _CLOCK.fullmatch(written)
    if not found:
        raise wrong("value.clock", value=shown(written))
    return time(int(found[1]), int(found[2]))


def clocks(value: object) -> tuple[time, time]:
    """`07:00-23:00`."""
    if isinstance(value, tuple):
        return value
    start, dash, end = text(value, "value.clocks").replace("–", "-").partition("-")
    if not dash or not _CLOCK.fullmatch(start.strip()) or not _CLOCK.fullmatch(end.strip()):
        raise wrong("value.clocks", value=shown(value))
    if clock(start) == clock(end):
        raise wrong("value.clocks_empty", value=shown(value))
    return clock(start), clock(end)


def day(value: object) -> date:
    """`2026-05-01`."""
    if isinstance(value, date):
        return value
    written = text(value, "value.date")
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", written):
        raise wrong("value.date", value=shown(written))
    try:
        return date.fromisoformat(written)
    except ValueError as error:
        raise wrong("value.date_absent", value=shown(written)) from error


def moment(value: object) -> datetime:
    """`2026-05-01 08:00`, or a date alone for its midnight: wall time, in a zone that the surroundings say."""
    if isinstance(value, datetime):
        return value
    first, _, second = text(value, "value.moment").replace("T", " ").partition(" ")
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", first) or (second and not _CLOCK.fullmatch(second.strip())):
        raise wrong("value.moment", value=shown(value))
    return datetime.combine(day(first), clock(second) if second else time())


def flats(value: object) -> tuple[int, int]:
    """`1-80`."""
    if isinstance(value, tuple):
        return value
    found = re.fullmatch(r"(\d{1,5})\s*[-–]\s*(\d{1,5})", text(value, "value.flats"))
    if not found or int(found[1]) > int(found[2]):
        raise wrong("value.flats", value=shown(value))
    return int(found[1]), int(found[2])


@cache
def zones() -> list[str]:
    """Every zone of the IANA database."""
    return sorted(available_timezones())


def zone(value: object) -> str:
    """`Europe/Moscow`."""
    written = text(value, "value.zone")
    if written not in zones():
        guess = closest(written, zones())
        raise (
            wrong("value.zone_near", value=shown(written), guess=guess)
            if guess
            else wrong("value.zone", value=shown(written))
        )
    return written


def identifier(value: object) -> str:
    """The name by which other files refer to a thing: Latin letters, digits, `_`, `-`, `.`."""
    written = text(value, "value.id")
    if not _HUMAN.fullmatch(written):
        raise wrong("value.id", value=shown(written))
    return written


def words(value: object) -> str:
    """Text for people: not empty."""
    written = text(value, "value.text")
    if not written:
        raise wrong("value.empty")
    return written


def url(value: object) -> str:
    """`https://host/…`."""
    written = text(value, "value.url")
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", written):
        raise wrong("value.url", value=shown(written))
    return written


def as_list(value: object) -> object:
    """One item may be written without its brackets."""
    return value if isinstance(value, list | tuple) or value is None else [value]


# What the shapes are written with.
Duration = Annotated[
    timedelta,
    BeforeValidator(duration),
    WithJsonSchema({"type": "string", "pattern": "^(\\d+[smhdсмчд])+$", "examples": ["25s", "3m", "1h30m"]}),
]
DayCount = Annotated[
    int,
    BeforeValidator(days),
    WithJsonSchema({"type": "string", "pattern": "^\\d{1,4} ?[dwдн]$", "examples": ["1d", "1w"]}),
]
Phone = Annotated[str, BeforeValidator(phone), WithJsonSchema({"type": ["string", "integer"]})]
PhoneOrShort = Annotated[
    str, BeforeValidator(phone_or_short), WithJsonSchema({"type": ["string", "integer"]})
]
Prefix = Annotated[str, BeforeValidator(prefix), WithJsonSchema({"type": ["string", "integer"]})]
Clocks = Annotated[tuple[time, time], BeforeValidator(clocks), WithJsonSchema({"type": "string"})]
Day = Annotated[date, BeforeValidator(day), WithJsonSchema({"type": "string", "format": "date"})]
Moment = Annotated[datetime, BeforeValidator(moment), WithJsonSchema({"type": "string"})]
Flats = Annotated[tuple[int, int], BeforeValidator(flats), WithJsonSchema({"type": "string"})]
Zone = Annotated[
    str, BeforeValidator(zone), WithJsonSchema({"type": "string", "examples": ["Europe/Moscow"]})
]
Id = Annotated[
    str,
    BeforeValidator(identifier),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"}),
]
Words = Annotated[str, BeforeValidator(words), WithJsonSchema({"type": "string", "minLength": 1})]
Url = Annotated[str, BeforeValidator(url), WithJsonSchema({"type": "string", "format": "uri"})]
