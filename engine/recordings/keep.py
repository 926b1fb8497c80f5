"""What is known about a kept recording, and where its files lie: `COMPANY/YYYY/MM/DD/CALLID.{opus,peaks.json,json}`.

Encrypted files are called `….enc`, and their wrapped keys lie in `CALLID.keys`.

`CALLID.json` is written last: with it the recording is kept, without it the call's legs are still the recording.
"""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from engine.ports import Gap, Kept
from engine.recordings.crypt import ENCRYPTED

NO_COMPANY = "_"
MARK = ".away"
"""`CALLID.away` says what a store of copies holds of the recording."""
SHORT_BY_SECONDS = 0.3
_COMPANY = re.compile(r"[A-Za-zА-Яа-яЁё0-9][\wЁё-]{0,63}")


@dataclass(frozen=True, slots=True)
class LegFacts:
    """What a leg was like: its own length, whether it was closed properly, whether nothing was heard on it."""

    seconds: float
    whole: bool
    silent: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """One kept recording, as it stands in its `CALLID.json`. Left is the far end (`in`), right is we (`out`)."""

    recording: str
    call: str
    company: str
    started: datetime
    seconds: float
    rate: int
    file: str
    format: str
    bytes: int
    sha256: str
    legs: dict[str, LegFacts]
    flaws: tuple[str, ...] = ()
    answered_seconds: float | None = None
    gaps: tuple[tuple[float, float], ...] = ()
    """Seconds from and to, in which nothing was kept at somebody's wish."""
    encrypted: bool = False
    content: str | None = None
    """SHA-256 of what was encrypted; `sha256` and `bytes` are of the file as it lies there."""
    version: int = 1

    @property
    def kept(self) -> Kept:
        """The same for the flows: the worst flaw alone."""
        flaw = self.flaws[0] if self.flaws else None
        return Kept(self.recording, self.seconds, flaw, self.started, self.company)

    @property
    def peaks(self) -> str:
        """The name of the file of peaks."""
        return f"{self.recording}.peaks.json{ENCRYPTED if self.encrypted else ''}"


def find_flaws(legs: dict[str, LegFacts], seconds: float, answered: float | None) -> tuple[str, ...]:
    """What is wrong with a recording of `seconds` whose call was up for `answered` seconds, the worst first.

    `missing`: a leg is not there, or is empty; `repaired`: a crash cut one; `short`: by more than 0.3 s; `silent`: nobody is heard.
    """
    flaws = {
        "missing": len(legs) < 2 or any(not leg.seconds for leg in legs.values()),
        "repaired": any(not leg.whole and leg.seconds for leg in legs.values()),
        "short": answered is not None and seconds < answered - SHORT_BY_SECONDS,
        "silent": all(leg.silent for leg in legs.values()),
    }
    return tuple(flaw for flaw, there in flaws.items() if there)


def seconds_of(gaps: Iterable[Gap], started: datetime, seconds: float) -> tuple[tuple[float, float], ...]:
    """Gaps as seconds within a recording that began at `started`."""
    placed = (tuple(min(max((at - started).total_seconds(), 0.0), seconds) for at in gap) for gap in gaps)
    return tuple((round(since, 2), round(until, 2)) for since, until in placed if until > since)


def company_folder(root: Path, company: str) -> Path:
    """The company's folder; one whose id cannot be a folder's name shares that of the unknown ones."""
    return root / (company if _COMPANY.fullmatch(company) else NO_COMPANY)


def day_folder(root: Path, company: str, day: date) -> Path:
    """Where the recordings of calls lie that began on that day (UTC)."""
    return company_folder(root, company) / f"{day:%Y/%m/%d}"


def folder_for(root: Path, company: str, began: date, leg: Path) -> Path:
    """Where a recording belongs. A leg that lies in a day's folder knows the day, and the company if we do not."""
    if leg.parent.parent.parent.parent.parent == root and (day := day_of(leg.parent)) != date.min:
        began = day
        company = company if _COMPANY.fullmatch(company) else leg.parent.relative_to(root).parts[0]
    return day_folder(root, company, began)


def day_folders(root: Path, company: str = "*") -> Iterator[Path]:
    """Every day's folder that there is, the latest first. Found as they are asked for: there are a thousand after three years."""
    odd: list[Path] = []
    companies = [path for path in root.glob("*") if path.is_dir()] if company == "*" else [root / company]
    yield from heapq.merge(*(_days_of(folder, odd) for folder in companies), key=day_of, reverse=True)
    yield from odd


def _days_of(company: Path, odd: list[Path]) -> Iterator[Path]:
    """The same of one company; what is called like a day and is none (2026/02/31) goes to `odd`."""
    for year in _numbered(company, 4):
        for month in _numbered(year, 2):
            for day in _numbered(month, 2):
                if day_of(day) == date.min:
                    odd.append(day)
                else:
                    yield day


def _numbered(folder: Path, digits: int) -> list[Path]:
    """The folders in it that are called by so many digits, the greatest first."""
    try:
        found = [
            e.name for e in os.scandir(folder) if len(e.name) == digits and e.name.isdecimal() and e.is_dir()
        ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(found, reverse=True)]


def day_of(folder: Path) -> date:
    """The day (UTC) whose folder this is."""
    year, month, day = folder.parts[-3:]
    try:
        return date(int(year), int(month), int(day))
    except ValueError:  # 2026/02/31: not one that we made
        return date.min


def recording_of(file: str) -> str:
    """Which recording a file belongs to, by its name: «CALL.opus.enc», «CALL.peaks.json»."""
    return re.sub(r"(\.peaks\.json|\.json|\.opus|\.flac|\.wav)(\.enc)?$", "", file)


def all_facts(root: Path, company: str = "*") -> Iterator[Path]:
    """Every recording's file of facts, the latest day first."""
    for day in day_folders(root, company):
        yield from (path for path in day.glob("*.json") if not path.name.endswith(".peaks.json"))


def find_facts(root: Path, recording: str, days: Iterable[Path] | None = None) -> tuple[Path, Facts] | None:
    """The folder and the facts of a kept recording; `days` to look into, else all."""
    for folder in day_folders(root) if days is None else days:
        if facts := read_facts(folder / f"{recording}.json"):
            return folder, facts
    return None


def read_facts(path: Path) -> Facts | None:
    """The facts in a `CALLID.json`; None if there are none. Raises `ValueError` if it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Facts)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path} is damaged ({error}); run `dozvon recordings verify`") from error


def write_facts(folder: Path, facts: Facts) -> None:
    """Keep the facts, durably; from here on the recording is kept. The folder's other files are made durable too."""
    path = folder / f"{facts.recording}.json"
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(facts), indent=1) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make new and changed names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def began(path: Path, seconds: float) -> datetime:
    """When a leg of that length began: it was last written at its end."""
    return datetime.fromtimestamp(path.stat().st_mtime - seconds, UTC)
