"""`engine.ports.Recordings`: the folder in which every call's recording ends up."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import structlog

from engine.domain.company import Keeping
from engine.domain.errors import NotKnown
from engine.ports import Aged, Gap, Kept
from engine.recordings import keep
from engine.recordings.archive import Archive
from engine.recordings.crypt import KeyRing, new_key
from engine.recordings.formats import CONTENT_TYPES, find_ffmpeg
from engine.recordings.keep import Facts
from engine.recordings.legs import Leg, calls_with_legs, is_call_id, leg_paths, read_leg, writers, writers_of
from engine.recordings.making import Making
from engine.recordings.rendering import EVEN, ORIGINAL, Renderings
from engine.workers import Workers

if TYPE_CHECKING:
    from engine.recordings.away import Away

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

Rules = Callable[[str], Keeping]
"""How a company's recordings are kept, by its id."""


@dataclass(frozen=True, slots=True)
class Listened:
    """A file to serve to a listener, as it is, by ranges if wanted."""

    path: Path
    content_type: str
    facts: Facts
    folder: Path
    """Where the recording itself lies."""


class RecordingFolder:
    """Keeps recordings under `root`. Use `open()`.

    Live legs are looked for in `live` (by default `root` and `root/live`), then in the days' folders, where the dialplan lays them.
    `form` is how they are kept unless `rules` say otherwise: opus, flac or wav; without an ffmpeg it is wav whatever was wished for.
    With an `archive` (of the same root) each one is sealed as it is kept; with `keys` they can be encrypted. `away`
    is told of each, and asked for those that lie here no more.
    """

    def __init__(
        self,
        root: Path,
        live: Path | None = None,
        *,
        form: str = "opus",
        processes: int = 1,
        archive: Archive | None = None,
        keys: KeyRing | None = None,
        rules: Rules = lambda company: Keeping(),
        away: Away | None = None,
    ) -> None:
        self._archive, self._keys, self._rules, self._away = archive, keys, rules, away
        self._root = root.absolute()
        self._live = (live.absolute(),) if live else (self._root / LIVE, self._root)
        self._form = form
        self._ffmpeg: str | None = None
        self._inherited: dict[str, None] = {}
        self._workers = Workers("engine.recordings.worker", processes)
        self._renderings = Renderings(self._root, self._workers, keys)
        self._finishing = 0
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def open(self, *, tidy: bool = True) -> AsyncIterator[RecordingFolder]:
        """Keep recordings while the block lasts. Beside a running engine do not `tidy` up: what is half-made is that engine's."""
        await asyncio.to_thread(self._renderings.prepare, tidy)
        self._ffmpeg = await asyncio.to_thread(find_ffmpeg)
        if tidy:
            await asyncio.to_thread(self._look_back)
        if not self._ffmpeg and self._form != "wav":
            log.warning("no ffmpeg: recordings are kept as WAV", wanted=self._form)
            self._form = "wav"
        try:
            async with self._workers.open():
                yield self
        finally:
            if tidy:
                await asyncio.to_thread(self._renderings.close)

    def _look_back(self) -> None:
        """See what an earlier engine left: kept lately, perhaps not attached; half-made."""
        since = time.time() - INHERITED_SECONDS
        for day in self._recent_days():
            facts = [path for path in day.glob("*.json") if not path.name.endswith(".peaks.json")]
            self._inherited.update({path.stem: None for path in facts if path.stat().st_mtime > since})
            for leftover in day.glob(
                ".*.part*"
            ):  # of a crash in the midst of joining; the legs are still there
                leftover.unlink(missing_ok=True)

    @property
    def backlog(self) -> int:
        """How many recordings are being joined, or wait for it."""
        return self._finishing

    @property
    def away(self) -> Away | None:
        """The store of copies, if there is one."""
        return self._away

    def make_room(self) -> None:
        """The disk is nearly full: let go of whatever can be made again. Blocking."""
        self._renderings.make_room()

    def tidy(self) -> None:
        """Let go of what was made for listeners and is not asked for any more. Blocking; call it every few minutes."""
        self._renderings.evict()

    # ------------------------------------------------------------------------------------- the port

    async def finish(
        self, company: str, call: str, seconds: float | None, gaps: Sequence[Gap] = ()
    ) -> Kept | None:
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
            self._finishing += 1
            try:
                await self._closed(legs.values())
                facts = await self._join(company, call, seconds, gaps, legs)
            finally:
                self._finishing -= 1
        log.info("recording kept", call=call, seconds=round(facts.seconds, 2), flaws=facts.flaws)
        return facts.kept

    async def orphans(self) -> Sequence[str]:
        """See `engine.ports.Recordings`. Calls whose legs are seen to be written just now are left out.

        An engine may have died after a recording was kept and before the timeline knew: so what was kept in the last days before
        `open` is named too, until it is finished again. Whoever attaches looks first whether it is attached.
        """

        def look() -> list[str]:
            folders = [*self._live, *self._recent_days()]
            found = [(call, path) for folder in folders for call, path in calls_with_legs(folder)]
            if found:
                writing = writers()
                found = [(call, path) for call, path in found if not writing.hold([path])]
            return list(dict.fromkeys((*(call for call, _ in found), *self._inherited)))

        return await asyncio.to_thread(look)

    async def older_than(self, company: str, before: datetime) -> Sequence[Aged]:
        """See `engine.ports.Recordings`. Raises `ValueError` if the company's chain is damaged: nothing is erased then."""
        if self._archive is None:
            return ()
        old = await asyncio.to_thread(self._archive.older_than, company, before)
        return [Aged(facts.recording, facts.call, facts.started) for facts in old]

    async def erase(self, recording: str, by: str, reason: str) -> None:
        """See `engine.ports.Recordings`."""
        folder, facts = await self._find(recording)
        if self._archive is None:
            raise ValueError("without a key to seal with nothing is erased: nobody could say later what was")
        await asyncio.to_thread(self._archive.erase, recording, by, reason)
        await asyncio.to_thread(self._renderings.forget, facts)
        if self._away:
            self._away.add(folder / f"{recording}{keep.MARK}")

    # --------------------------------------------------------------------------------- for listeners

    async def find(self, recording: str) -> Facts:
        """What is known of a kept recording. Raises `NotKnown`."""
        return (await self._find(recording))[1]

    async def listen(
        self, recording: str, leg: str = "both", form: str = "wav", levels: str = ORIGINAL
    ) -> Listened:
        """A file with what was asked for: `leg` in, out or both; `form` wav, opus or flac; `levels` original, or even for listening.

        Raises `NotKnown` if there is no such recording, `ValueError` if it cannot be had in that way, `KeyLost` or `Tampered` (both are
        `ValueError`s too) if it cannot be decrypted.
        """
        if leg not in ("in", "out", "both"):
            raise ValueError(f"leg must be in, out or both, not {leg}")
        if form not in CONTENT_TYPES:
            raise ValueError(f"format must be one of {', '.join(CONTENT_TYPES)}, not {form}")
        if levels not in (ORIGINAL, EVEN):
            raise ValueError(f"levels must be original or even, not {levels}")
        folder, facts = await self._find(recording)
        if not self._ffmpeg:
            if form != "wav" or facts.format != "wav":
                raise ValueError(f"{form} cannot be made of {facts.format} without ffmpeg; install it")
            levels = ORIGINAL
        path = folder / facts.file
        if self._away and not path.exists():
            await self._away.fetch(folder, facts)
        if facts.encrypted or (leg, form, levels) != ("both", facts.format, ORIGINAL):
            path = await self._renderings.sound(path, facts, leg, form, levels, self._ffmpeg)
        return Listened(path, CONTENT_TYPES[form], facts, folder)

    async def peaks(self, recording: str) -> Path:
        """The file of peaks for a player: ten a second for left and right, of `full_scale`. Raises `NotKnown`."""
        folder, facts = await self._find(recording)
        path = folder / facts.peaks
        return await self._renderings.peaks(path, facts) if facts.encrypted else path

    async def _find(self, recording: str) -> tuple[Path, Facts]:
        found = None
        if is_call_id(recording):
            found = await asyncio.to_thread(keep.find_facts, self._root, recording)
        if found is None:
            raise NotKnown(f"there is no recording {recording}")
        return found

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
            writing = await asyncio.to_thread(writers_of, paths)
            if writing.complete and not writing.hold(paths):
                return
            if time.monotonic() >= deadline:
                if writing.hold(paths) or [leg.frames for leg in legs] != [leg.frames for leg in first]:
                    raise TimeoutError(f"{paths[0].name} is still being written")
                return
            await asyncio.sleep(POLL_SECONDS)
            legs = await asyncio.to_thread(_look, paths)

    async def _join(
        self, company: str, call: str, answered: float | None, gaps: Sequence[Gap], legs: dict[str, Path]
    ) -> Facts:
        looked = await asyncio.to_thread(_look, legs.values())
        longest = max(looked, key=lambda leg: leg.seconds)
        started = await asyncio.to_thread(keep.began, longest.path, longest.seconds)
        folder = keep.folder_for(self._root, company, started.date(), longest.path)
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        owner = folder.parts[-4]
        form, encrypted = self._how(owner)
        making = Making(folder, call, form, encrypted)
        errand: dict[str, Any] = {"do": "join", "into": str(making.sound), "peaks": str(making.peaks)}
        errand |= {"format": form, "ffmpeg": self._ffmpeg, **{side: str(path) for side, path in legs.items()}}
        keys = {name: new_key() for name in making.names} if encrypted else {}
        errand |= {"gaps": keep.seconds_of(gaps, started, longest.seconds)}
        errand |= {"keys": {name: key.hex() for name, key in keys.items()}, "names": making.names}
        try:
            made = await self._workers.ask(errand, timeout=_patience(longest.seconds))
            facts = making.facts(owner, started, answered, gaps, made)
            wrapped = await asyncio.to_thread(self._keys.wrap, owner, keys) if keys and self._keys else None
            await asyncio.to_thread(making.keep, facts, wrapped, legs.values(), self._archive)
            if self._away:
                self._away.add(folder / f"{call}.json")
        finally:
            making.clear()
        return facts

    def _how(self, company: str) -> tuple[str, bool]:
        """In which format the company's recordings are kept, and whether encrypted."""
        wanted = self._rules(company)
        form = wanted.form or self._form if self._ffmpeg else "wav"
        return form, wanted.encrypt and self._keys is not None


def _look(paths: Iterable[Path]) -> list[Leg]:
    return [read_leg(path) for path in paths]


def _patience(seconds: float) -> float:
    return JOIN_SECONDS + JOIN_SECONDS_A_MINUTE * seconds / 60
