"""`engine.ports.Recordings`: the folder in which every call's recording ends up."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import structlog

from engine.domain.errors import NotKnown
from engine.ports import Kept
from engine.recordings import keep
from engine.recordings.archive import Archive
from engine.recordings.formats import CONTENT_TYPES, find_ffmpeg
from engine.recordings.keep import Facts, LegFacts
from engine.recordings.legs import Leg, calls_with_legs, is_call_id, leg_paths, read_leg, writers
from engine.workers import URGENT, Workers

log = structlog.get_logger(__name__)

LIVE = "live"
"""The folder of the legs of calls that are up, if no other one is named."""
CLOSE_SECONDS = 5.0
"""How long a leg may stay unclosed after its call; longer than the four seconds between two of Asterisk's writes."""
POLL_SECONDS = 0.05
JOIN_SECONDS = 60.0
JOIN_SECONDS_A_MINUTE = 6.0
RECENT_DAYS = 14
"""How far back orphans are looked for in the days' folders. (The folder of live legs is always looked through.)"""
INHERITED_SECONDS = 2 * 86_400.0
"""How far back a recording may have been kept by an engine that died before it was attached to its ticket."""
RENDERED_BYTES = 256 * 1024 * 1024
RENDERED_KEEP_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Listened:
    """A file to serve to a listener, as it is, by ranges if wanted."""

    path: Path
    content_type: str
    facts: Facts


class RecordingFolder:
    """Keeps recordings under `root`. Use `open()`.

    Live legs are looked for in `live` (by default `root` and `root/live`), then in the days' folders, where the dialplan lays them.
    `form` is how they are kept: opus, flac or wav; without an ffmpeg it is wav whatever was wished for. With an `archive` (of the
    same root) each one is sealed as it is kept.
    """

    def __init__(
        self,
        root: Path,
        live: Path | None = None,
        *,
        form: str = "opus",
        processes: int = 1,
        archive: Archive | None = None,
    ) -> None:
        self._archive = archive
        self._root = root.absolute()
        self._live = (live.absolute(),) if live else (self._root / LIVE, self._root)
        self._rendered = self._root / ".rendered"
        self._form = form
        self._ffmpeg: str | None = None
        self._inherited: dict[str, None] = {}
        self._workers = Workers("engine.recordings.worker", processes)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[RecordingFolder]:
        """Keep recordings while the block lasts."""
        self._ffmpeg = await asyncio.to_thread(self._prepare)
        if not self._ffmpeg and self._form != "wav":
            log.warning("no ffmpeg: recordings are kept as WAV", wanted=self._form)
            self._form = "wav"
        async with self._workers.open():
            yield self

    def _prepare(self) -> str | None:
        self._rendered.mkdir(mode=0o700, parents=True, exist_ok=True)
        since = time.time() - INHERITED_SECONDS
        for day in self._recent_days():
            facts = [path for path in day.glob("*.json") if not path.name.endswith(".peaks.json")]
            self._inherited.update({path.stem: None for path in facts if path.stat().st_mtime > since})
            for leftover in day.glob(
                ".*.part*"
            ):  # of a crash in the midst of joining; the legs are still there
                leftover.unlink(missing_ok=True)
        return find_ffmpeg()

    @property
    def backlog(self) -> int:
        """How many recordings wait to be joined or rendered."""
        return self._workers.backlog

    # ------------------------------------------------------------------------------------- the port

    async def finish(self, company: str, call: str, seconds: float | None) -> Kept | None:
        """See `engine.ports.Recordings`.

        Raises `TimeoutError` if the legs are still being written, `WorkerFailed` or `OSError` if they could not be joined (disk full):
        the legs stay as they are, `orphans` names the call, and finishing it again later mends it.
        """
        if not is_call_id(call):
            return None
        lock = self._locks.setdefault(call, asyncio.Lock())
        async with lock:
            legs = await asyncio.to_thread(self._find_legs, call)
            if facts := await asyncio.to_thread(self._kept_already, call, legs):
                self._inherited.pop(call, None)
                return facts.kept
            if not legs:
                return None
            await self._closed(legs.values())
            facts = await self._join(company, call, seconds, legs)
        log.info("recording kept", call=call, seconds=round(facts.seconds, 2), flaws=facts.flaws)
        return facts.kept

    async def orphans(self) -> Sequence[str]:
        """See `engine.ports.Recordings`. Calls whose legs are seen to be written just now are left out.

        An engine may have died after a recording was kept and before the timeline knew: so what was kept in the last days before
        `open` is named too, until it is finished again. Whoever attaches looks first whether it is attached.
        """

        def look() -> list[str]:
            writing = writers()
            folders = [*self._live, *self._recent_days()]
            found = ((call, path) for folder in folders for call, path in calls_with_legs(folder))
            unfinished = (call for call, path in found if not writing.hold([path]))
            return list(dict.fromkeys((*unfinished, *self._inherited)))

        return await asyncio.to_thread(look)

    # --------------------------------------------------------------------------------- for listeners

    async def find(self, recording: str) -> Facts:
        """What is known of a kept recording. Raises `NotKnown`."""
        return (await self._find(recording))[1]

    async def listen(self, recording: str, leg: str = "both", form: str = "wav") -> Listened:
        """A file with what was asked for: `leg` in, out or both; `form` wav, opus or flac.

        Raises `NotKnown` if there is no such recording, `ValueError` if it cannot be had in that way.
        """
        if leg not in ("in", "out", "both"):
            raise ValueError(f"leg must be in, out or both, not {leg}")
        if form not in CONTENT_TYPES:
            raise ValueError(f"format must be one of {', '.join(CONTENT_TYPES)}, not {form}")
        folder, facts = await self._find(recording)
        if (leg, form) == ("both", facts.format):
            return Listened(folder / facts.file, CONTENT_TYPES[form], facts)
        if not self._ffmpeg and (form != "wav" or facts.format != "wav"):
            raise ValueError(f"{form} cannot be made of {facts.format} without ffmpeg; install it")
        path = self._rendered / f"{facts.company}-{recording}-{leg}.{form}"
        lock = self._locks.setdefault(path.name, asyncio.Lock())
        async with lock:
            if not await asyncio.to_thread(_touch, path):
                await self._render(folder / facts.file, facts, leg, form, path)
        return Listened(path, CONTENT_TYPES[form], facts)

    async def peaks(self, recording: str) -> Path:
        """The file of peaks for a player: ten a second for left and right, of `full_scale`. Raises `NotKnown`."""
        folder, facts = await self._find(recording)
        return folder / f"{facts.recording}.peaks.json"

    async def _find(self, recording: str) -> tuple[Path, Facts]:
        found = None
        if is_call_id(recording):
            found = await asyncio.to_thread(keep.find_facts, self._root, recording)
        if found is None:
            raise NotKnown(f"there is no recording {recording}")
        return found

    async def _render(self, source: Path, facts: Facts, leg: str, form: str, path: Path) -> None:
        part = path.with_name(f".{path.name}.part")
        errand: dict[str, Any] = {
            "do": "render",
            "source": str(source),
            "into": str(part),
            "leg": leg,
            "format": form,
        }
        errand |= {"ffmpeg": self._ffmpeg, "rate": facts.rate}
        try:
            await self._workers.ask(errand, timeout=_patience(facts.seconds), priority=URGENT)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        await asyncio.to_thread(_evict, self._rendered)

    # ------------------------------------------------------------------------------------- finishing

    def _recent_days(self) -> Iterable[Path]:
        since = datetime.now(UTC).date() - timedelta(days=RECENT_DAYS)
        return itertools.takewhile(lambda day: keep.day_of(day) >= since, keep.day_folders(self._root))

    def _find_legs(self, call: str) -> dict[str, Path]:
        folders = itertools.chain(self._live, keep.day_folders(self._root))
        return next((legs for folder in folders if (legs := leg_paths(folder, call))), {})

    def _kept_already(self, call: str, legs: dict[str, Path]) -> Facts | None:
        """The facts if the call was finished before; legs that a crash left beside them are removed.

        Legs that are not those which were joined (recorded again under the same id) are never lost: they get an id of their own,
        `CALL@2`, and with it become an orphan.
        """
        found = keep.find_facts(self._root, call, self._recent_days() if legs else None)
        if found is None:
            return None
        facts = found[1]
        same = all(
            side in facts.legs and read_leg(path).seconds == facts.legs[side].seconds
            for side, path in legs.items()
        )
        if same:
            if self._archive and legs:
                self._archive.seal(*found)
            for path in legs.values():
                path.unlink(missing_ok=True)
        else:
            free = next(
                f"{call}@{n}" for n in itertools.count(2) if not keep.find_facts(self._root, f"{call}@{n}")
            )
            for side, path in legs.items():
                path.replace(path.with_name(f"{free}-{side}.wav"))
            log.warning("a call was recorded twice", call=call, kept_as=free)
        return facts

    async def _closed(self, paths: Iterable[Path]) -> None:
        """Wait until nobody writes the legs any more. Raises `TimeoutError` if somebody still does after `CLOSE_SECONDS`."""
        paths = list(paths)
        deadline = time.monotonic() + CLOSE_SECONDS
        first = await asyncio.to_thread(_look, paths)
        legs = first
        while not all(leg.whole for leg in legs):
            writing = await asyncio.to_thread(writers)
            if writing.complete and not writing.hold(paths):
                return
            if time.monotonic() >= deadline:
                if writing.hold(paths) or [leg.frames for leg in legs] != [leg.frames for leg in first]:
                    raise TimeoutError(f"{paths[0].name} is still being written")
                return
            await asyncio.sleep(POLL_SECONDS)
            legs = await asyncio.to_thread(_look, paths)

    async def _join(self, company: str, call: str, answered: float | None, legs: dict[str, Path]) -> Facts:
        looked = await asyncio.to_thread(_look, legs.values())
        longest = max(looked, key=lambda leg: leg.seconds)
        started = await asyncio.to_thread(keep.began, longest.path, longest.seconds)
        folder = keep.folder_for(self._root, company, started.date(), longest.path)
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        joined, peaks = folder / f".{call}.part", folder / f".{call}.peaks.part"
        errand: dict[str, Any] = {
            "do": "join",
            "into": str(joined),
            "peaks": str(peaks),
            "format": self._form,
        }
        errand |= {"ffmpeg": self._ffmpeg, **{side: str(path) for side, path in legs.items()}}
        try:
            made = await self._workers.ask(errand, timeout=_patience(longest.seconds))
            facts = _facts(folder, company, call, started, answered, self._form, made)
            await asyncio.to_thread(_keep, folder, facts, joined, peaks, legs.values(), self._archive)
        finally:
            for part in (joined, peaks):
                part.unlink(missing_ok=True)
        return facts


def _facts(
    folder: Path,
    company: str,
    call: str,
    started: datetime,
    answered: float | None,
    form: str,
    made: dict[str, Any],
) -> Facts:
    legs = {side: LegFacts(**leg) for side, leg in made["legs"].items()}
    return Facts(
        recording=call,
        call=call,
        company=folder.parts[-4],
        started=started,
        seconds=made["seconds"],
        rate=made["rate"],
        file=f"{call}.{form}",
        format=form,
        bytes=made["bytes"],
        sha256=made["sha256"],
        legs=legs,
        flaws=keep.find_flaws(legs, made["seconds"], answered),
        answered_seconds=answered,
    )


def _keep(
    folder: Path, facts: Facts, joined: Path, peaks: Path, legs: Iterable[Path], archive: Archive | None
) -> None:
    """Name the new files, write the facts, seal them, let go of the legs last: a crash anywhere between leaves enough to begin again."""
    joined.replace(folder / facts.file)
    peaks.replace(folder / f"{facts.recording}.peaks.json")
    keep.sync_folder(folder)
    keep.write_facts(folder, facts)
    if archive:
        archive.seal(folder, facts)
    for leg in legs:
        leg.unlink(missing_ok=True)


def _look(paths: Iterable[Path]) -> list[Leg]:
    return [read_leg(path) for path in paths]


def _patience(seconds: float) -> float:
    return JOIN_SECONDS + JOIN_SECONDS_A_MINUTE * seconds / 60


def _touch(path: Path) -> bool:
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _evict(folder: Path) -> None:
    """Let go of renderings that were not asked for lately, the oldest first, until the rest is within bounds."""
    files = sorted(((path.stat(), path) for path in folder.iterdir()), key=lambda found: found[0].st_mtime)
    total = sum(stat.st_size for stat, _ in files)
    for stat, path in files:
        if total <= RENDERED_BYTES or time.time() - stat.st_mtime < RENDERED_KEEP_SECONDS:
            return
        path.unlink(missing_ok=True)
        total -= stat.st_size
