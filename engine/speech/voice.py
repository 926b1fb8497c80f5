"""`engine.ports.Voice`: a text becomes a sound file, once; after that it is found."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path

import structlog

from engine.domain.errors import VoiceFailed
from engine.domain.spoken import spoken
from engine.ports import Sound
from engine.speech.engines import Engine
from engine.workers import IDLE, URGENT, WorkerFailed, Workers

log = structlog.get_logger(__name__)

SOUND_VERSION = 1
"""Part of a cached sound's name: raise it when `engine.speech.sound` would make the same text come out differently."""
RENDER_SECONDS = 10.0
RENDER_SECONDS_A_LETTER = 0.05
PASS_OVER_SECONDS = 30.0
"""How long an engine that failed twice running is not asked again while another one is there."""
CACHE_BYTES = 512 * 1024 * 1024
KEEP_SECONDS = 3600.0
"""A sound that was asked for within this time is never evicted: it may be playing."""
REMEMBERED = 4096
"""Sentences whose spoken words and file names are kept in mind."""
EVICT_EVERY = 64
"""Renderings between two looks at the size of the cache."""


class SpokenVoice:
    """Speaks with the first engine that can; keeps what was rendered in `folder`, by engine, voice and text. Use `open()`."""

    def __init__(
        self,
        engines: Sequence[Engine],
        folder: Path,
        *,
        processes: int = 2,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._engines = tuple(engines)
        self._folder = folder.absolute()
        self._cache_bytes = cache_bytes
        self._workers = Workers("engine.speech.worker", processes)
        self._rendering: dict[tuple[Path, int], asyncio.Task[WorkerFailed | OSError | None]] = {}
        self._rendered = 0
        self._failures: dict[str, tuple[int, float]] = {}
        self._open = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[SpokenVoice]:
        """Speak while the block lasts."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob(".*.part"):
            leftover.unlink(missing_ok=True)
        async with self._workers.open():
            self._open = True
            try:
                yield self
            finally:
                self._open = False
                rendering = list(self._rendering.values())
                for task in rendering:
                    task.cancel()
                await asyncio.gather(*rendering, return_exceptions=True)

    def engines(self, language: str = "ru") -> Sequence[str]:
        """Names of the engines that may speak the language, the preferred one first; empty: this voice is mute."""
        return [engine.name for engine in self._able(language)]

    def speaks(self, language: str) -> bool:
        """Whether an engine is made for the language; another one only reads it as it can."""
        return any(language in engine.languages for engine in self._engines)

    async def speak(self, text: str, language: str = "ru") -> Sound:
        """See `engine.ports.Voice`. A caller that is cancelled leaves the rendering to go on: the next one finds it."""
        return await self._speak(text, language, URGENT)

    async def prepare(self, texts: Iterable[str], language: str = "ru") -> int:
        """Render texts ahead of time, after whatever a call waits for. Returns how many of them can now be said."""
        said = await asyncio.gather(
            *(self._speak(text, language, IDLE) for text in texts), return_exceptions=True
        )
        for failure in said:
            if isinstance(failure, BaseException) and not isinstance(failure, VoiceFailed):
                raise failure
        return sum(not isinstance(outcome, BaseException) for outcome in said)

    def _able(self, language: str) -> list[Engine]:
        """Who may speak it; a language that nobody has is left to the Russian voices, which read it as they can."""
        able = [engine for engine in self._engines if language in engine.languages]
        return able or [engine for engine in self._engines if "ru" in engine.languages]

    async def _speak(self, text: str, language: str, priority: int) -> Sound:
        words = _words(text, language)
        if not any(letter.isalnum() for letter in words):
            raise VoiceFailed("there is nothing to say in this text")
        able = self._able(language)
        rested = [engine for engine in able if not self._passed_over(engine)]
        troubles: list[str] = []
        for engine in rested or able:
            path = self._path(engine, language, words)
            try:
                if not self._touch(path):
                    await self._render(engine, language, words, path, priority)
            except (WorkerFailed, OSError) as trouble:
                log.warning("a speech engine failed", engine=engine.name, trouble=str(trouble))
                troubles.append(f"{engine.name}: {trouble}")
            else:
                return Sound(f"sound:{path.with_suffix('')}")
        raise VoiceFailed("; ".join(troubles) or f"no engine speaks {language}: run asterisk/fetch.py voices")

    def _path(self, engine: Engine, language: str, words: str) -> Path:
        return self._folder / _file_name(engine.name, language, words)

    def _touch(self, path: Path) -> bool:
        """Whether the sound is there; if so, it counts as used now."""
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        return True

    def _passed_over(self, engine: Engine) -> bool:
        times, since = self._failures.get(engine.name, (0, 0.0))
        return times >= 2 and time.monotonic() - since < PASS_OVER_SECONDS

    async def _render(self, engine: Engine, language: str, words: str, path: Path, priority: int) -> None:
        """Render it, or wait for whoever is doing so. What waits in `prepare` does not hold up a call: that has its own errand."""
        if not self._open:
            raise VoiceFailed("the voice is not open")
        if (task := self._rendering.get((path, priority))) is None:
            errand = self._errand(engine, language, words, path, priority)
            task = asyncio.create_task(errand, name=f"say {path.stem}")
            self._rendering[path, priority] = task
            task.add_done_callback(lambda _: self._rendering.pop((path, priority), None))
        if trouble := await asyncio.shield(task):
            raise trouble

    async def _errand(
        self, engine: Engine, language: str, words: str, path: Path, priority: int
    ) -> WorkerFailed | OSError | None:
        part = path.with_name(f".{path.stem}-{priority}.part")
        errand = {"engine": engine.errand(), "text": words, "language": language, "into": str(part)}
        seconds = RENDER_SECONDS + RENDER_SECONDS_A_LETTER * len(words)
        try:
            if priority != URGENT and self._touch(path):  # a call was quicker
                return None
            await self._workers.ask(errand, timeout=seconds, priority=priority)
            part.replace(path)
        except (WorkerFailed, OSError) as trouble:
            times, _ = self._failures.get(engine.name, (0, 0.0))
            self._failures[engine.name] = (times + 1, time.monotonic())
            return trouble
        finally:
            part.unlink(missing_ok=True)
        self._failures.pop(engine.name, None)
        await self._evict()
        return None

    async def _evict(self) -> None:
        """Keep the cache within its bounds; looked at once in a while only."""
        self._rendered += 1
        if self._rendered % EVICT_EVERY == 0:
            freed = await asyncio.to_thread(evict, self._folder, self._cache_bytes)
            if freed:
                log.info("old sounds were evicted", bytes=freed)


@lru_cache(maxsize=REMEMBERED)
def _words(text: str, language: str) -> str:
    """The text as it is spoken. The same few sentences are said all day."""
    return spoken(text) if language == "ru" else " ".join(text.split())


@lru_cache(maxsize=REMEMBERED)
def _file_name(engine: str, language: str, words: str) -> str:
    named = json.dumps([SOUND_VERSION, engine, language, words], ensure_ascii=False)
    return f"{hashlib.sha256(named.encode()).hexdigest()[:32]}.wav"


def evict(folder: Path, limit: int, now: float | None = None) -> int:
    """Delete the sounds of `folder` that were not used for longest until at most `limit` bytes are left. Returns bytes freed."""
    now = time.time() if now is None else now
    sounds = [(file.stat(), file) for file in folder.glob("*.wav")]
    total, freed = sum(stat.st_size for stat, _ in sounds), 0
    for stat, file in sorted(sounds, key=lambda found: found[0].st_mtime):
        if total - freed <= limit or now - stat.st_mtime < KEEP_SECONDS:
            break
        file.unlink(missing_ok=True)
        freed += stat.st_size
    return freed
