"""What the pages say, Russian first. Two languages and no plurals to speak of, so a table serves better than compiled catalogues:

it needs no build step, and a test sees that both languages have every key with the same fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from engine.console.words_en import ENGLISH
from engine.console.words_ru import RUSSIAN

LANGUAGES = {"ru": RUSSIAN, "en": ENGLISH}
NAMES = {"ru": "Русский", "en": "English"}
_MONTHS_RU = [
    "января",
    "февраля",
    "марта",
    "апреля",
    "мая",
    "июня",
    "июля",
    "августа",
    "сентября",
    "октября",
    "ноября",
    "декабря",
]


@dataclass(frozen=True, slots=True)
class Words:
    """One language. `words("ticket.opened", channel="…")`."""

    language: str = "ru"

    def __call__(self, key: str, **fields: object) -> str:
        """The sentence of that key. Raises `KeyError` for a key that nobody wrote."""
        sentence = LANGUAGES[self.language][key]
        return sentence.format(**fields) if fields else sentence

    def named(self, group: str, name: object) -> str:
        """The word for a value («outcome», «busy»); the value itself if nobody has named it yet."""
        return LANGUAGES[self.language].get(f"{group}.{name}", str(name))

    def day(self, at: datetime) -> str:
        """«21 ноября» or «21 November»."""
        return f"{at.day} {_MONTHS_RU[at.month - 1]}" if self.language == "ru" else f"{at.day} {at:%B}"

    def seen(self, at: datetime, zone: ZoneInfo, now: datetime) -> str:
        """An instant for a list: «14:05» today, else with its day."""
        local = at.astimezone(zone)
        today = now.astimezone(zone).date()
        return f"{local:%H:%M}" if local.date() == today else f"{self.day(local)}, {local:%H:%M}"


def duration(seconds: float) -> str:
    """«3:12», «1:04:09»."""
    whole = max(0, int(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def phone(number: str | None) -> str:
    """«+7 916 000-00-42»; a foreign number as it is."""
    if number and number.startswith("+7") and len(number) == 12:
        return f"+7 {number[2:5]} {number[5:8]}-{number[8:10]}-{number[10:]}"
    return number or ""


def masked(number: str | None) -> str:
    """«+7 916 ***-**-42»: enough to tell two numbers of a person apart."""
    if number and number.startswith("+7") and len(number) == 12:
        return f"+7\u00a0{number[2:5]}\u00a0***\u2011**\u2011{number[10:]}"
    return f"{number[:3]}***{number[-2:]}" if number and len(number) > 5 else (number or "")
