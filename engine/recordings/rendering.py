"""What listeners asked for: made of the kept files in the workers, and kept for a while. Decrypted ones never touch a disk, where there
is a file system in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from engine.recordings.crypt import KEYS, KeyLost, KeyRing, Wrapped
from engine.recordings.keep import Facts
from engine.workers import URGENT, Workers

RENDERED_BYTES = 256 * 1024 * 1024
RENDERED_KEEP_SECONDS = 3600.0
DECRYPTED_KEEP_SECONDS = 600.0
RENDER_SECONDS = 60.0
RENDER_SECONDS_A_MINUTE = 6.0
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, which nobody else may enter

ORIGINAL, EVEN = "original", "even"
"""The levels: as they were recorded, or with each side made as loud as the other."""


class Renderings:
    """The files made for listeners, under `root/.rendered`, or in memory for what is encrypted at rest."""

    def __init__(self, root: Path, workers: Workers, keys: KeyRing | None) -> None:
        self._plain = root / ".rendered"
        self._secret = self._plain
        self._root = root
        self._workers, self._keys = workers, keys
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def prepare(self, tidy: bool) -> None:
        """Make the folders; to `tidy` is to let go of what an earlier engine decrypted."""
        self._secret = _memory_folder(self._root) or self._plain
        for folder in {self._plain, self._secret}:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._secret.iterdir() if tidy and self._secret != self._plain else ():
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave nothing decrypted behind."""
        if self._secret != self._plain:
            with suppress(OSError):  # a command beside us has cleared it, or has just put something there
                for path in self._secret.iterdir():
                    path.unlink(missing_ok=True)
                self._secret.rmdir()

    async def sound(
        self, source: Path, facts: Facts, leg: str, form: str, levels: str, ffmpeg: str | None
    ) -> Path:
        """A file of it in that way. Raises `KeyLost`, `Tampered`, `WorkerFailed`."""
        name = f"{facts.company}-{facts.recording}-{leg}{'-even' if levels == EVEN else ''}.{form}"
        errand: dict[str, Any] = {"do": "render", "source": str(source), "leg": leg, "format": form}
        errand |= {"levels": levels, "from": facts.format, "ffmpeg": ffmpeg, "rate": facts.rate}
        return await self._made(name, source, facts, errand)

    async def peaks(self, source: Path, facts: Facts) -> Path:
        """The peaks of an encrypted recording, decrypted. Raises `KeyLost`, `Tampered`."""
        name = f"{facts.company}-{facts.recording}.peaks.json"
        return await self._made(name, source, facts, {"do": "decrypt", "source": str(source)})

    def make_room(self) -> None:
        """Let go of everything: it can be made again."""
        for folder in {self._plain, self._secret}:
            for path in _files(folder):
                path.unlink(missing_ok=True)

    def forget(self, facts: Facts) -> None:
        """The recording was erased."""
        for folder in {self._plain, self._secret}:
            for name in ("-in*", "-out*", "-both*", ".peaks.json"):
                for path in folder.glob(f"{facts.company}-{facts.recording}{name}"):
                    path.unlink(missing_ok=True)

    def evict(self) -> None:
        """Let go of what was not asked for lately, the oldest first, until the rest is within bounds."""
        _evict(self._plain, RENDERED_BYTES, RENDERED_KEEP_SECONDS)
        if self._secret != self._plain:
            _evict(self._secret, 0, DECRYPTED_KEEP_SECONDS)

    async def _made(self, name: str, source: Path, facts: Facts, errand: dict[str, Any]) -> Path:
        path = (self._secret if facts.encrypted else self._plain) / name
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            if not await asyncio.to_thread(_touch, path):
                key = await asyncio.to_thread(self._key_of, source, facts) if facts.encrypted else None
                await asyncio.to_thread(path.parent.mkdir, mode=0o700, exist_ok=True)
                part = path.with_name(f".{name}.part")
                errand |= {"into": str(part), "key": key, "name": source.name}
                try:
                    patience = RENDER_SECONDS + RENDER_SECONDS_A_MINUTE * facts.seconds / 60
                    await self._workers.ask(errand, timeout=patience, priority=URGENT)
                    part.replace(path)
                finally:
                    part.unlink(missing_ok=True)
                await asyncio.to_thread(self.evict)
        return path

    def _key_of(self, source: Path, facts: Facts) -> str:
        if self._keys is None:
            raise KeyLost(f"{source} is encrypted, and no folder of keys was named")
        wrapped = Wrapped.read(source.with_name(f"{facts.recording}{KEYS}"))
        return self._keys.unwrap(facts.company, wrapped, source.name).hex()


def _memory_folder(root: Path) -> Path | None:
    """A folder in memory that belongs to this root alone."""
    if not os.access(MEMORY, os.W_OK):
        return None
    mark = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
    folder = MEMORY / f"dozvon-{os.getuid()}-{mark}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
    except OSError:
        return None
    ours = about.st_uid == os.getuid() and about.st_mode & 0o77 == 0 and not folder.is_symlink()
    return folder if ours else None


def _touch(path: Path) -> bool:
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _evict(folder: Path, most: int, keep_seconds: float) -> None:
    files = sorted(((path.stat(), path) for path in _files(folder)), key=lambda found: found[0].st_mtime)
    total = sum(stat.st_size for stat, _ in files)
    for stat, path in files:
        if total <= most or time.time() - stat.st_mtime < keep_seconds:
            return
        path.unlink(missing_ok=True)
        total -= stat.st_size


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:  # the system may clear what lies in memory
        return []
