"""Room on the disk: how much is left, and a reserve that is given up when the rest is full.

The reserve is a file that holds space. While it is there, recordings can never take the last bytes; given up, it leaves room in which
events and emergencies are still written. When half of that room is used up too, recording stops: the very last resort.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

RESERVE_BYTES = 64 * 1024 * 1024
LOW_BYTES = 1024 * 1024 * 1024
"""Warn below this: about 90 hours of kept calls, or 9 hours of calls that are up."""


class Level(StrEnum):
    """How much room there is."""

    OK = "ok"
    LOW = "low"
    """Less than the warning level: an administrator should look."""
    FULL = "full"
    """The reserve was given up."""
    LAST = "last"
    """Half of what the reserve held is used up: nothing but events may be written now. Until the reserve can be taken back."""


@dataclass(frozen=True, slots=True)
class Room:
    """Free bytes (the reserve not counted), all bytes, and what that means."""

    free: int
    total: int
    level: Level


class Disk:
    """Watches the disk that `folder` lies on. Call `check` every few seconds, and after any `OSError` of a full disk.

    `make_room` deletes what can be made again; it is called before the reserve is given up.
    """

    def __init__(
        self,
        folder: Path,
        *,
        reserve: int = RESERVE_BYTES,
        low: int = LOW_BYTES,
        make_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._file = folder / ".reserve"
        self._reserve, self._low, self._make_room = reserve, low, make_room
        self._level = Level.OK

    async def check(self) -> Room:
        """Look; give the reserve up when the disk is full, and take it back when there is room for it again."""
        room = await asyncio.to_thread(self._check)
        if room.level is not self._level:
            tell = log.info if room.level is Level.OK else log.warning
            tell("room on the disk changed", now=str(room.level), free=room.free)
            self._level = room.level
        return room

    def _check(self) -> Room:
        usage = shutil.disk_usage(self._folder)
        margin = self._reserve // 4
        held = self._file.stat().st_size if self._file.exists() else 0
        if held and usage.free < margin:
            self._make_room()
            usage = shutil.disk_usage(self._folder)
        if held and usage.free < margin:
            self._file.unlink()
            held = 0
        elif held != self._reserve and usage.free + held > self._reserve + 2 * margin:
            held = self._take(held)
        free = shutil.disk_usage(self._folder).free
        return Room(free, usage.total, self._judge(free, held > 0))

    def _judge(self, free: int, held: bool) -> Level:
        if held:
            return Level.LOW if free < self._low else Level.OK
        last = self._level is Level.LAST or free < self._reserve // 2
        return Level.LAST if last else Level.FULL

    def _take(self, held: int) -> int:
        """Hold the reserve's bytes for real (no holes). Returns how many are held."""
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, min(held, self._reserve))
            os.posix_fallocate(descriptor, 0, self._reserve)
            return self._reserve
        except OSError:  # somebody else took the room just now
            self._file.unlink(missing_ok=True)
            return 0
        finally:
            os.close(descriptor)
