"""Who is signed in at which desk phone, in one small file that outlives the engine. Desk phones belong to one Asterisk, so to one file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from engine.domain.queueing import Desk

log = structlog.get_logger()


class _Kept(msgspec.Struct, frozen=True):
    phone: str
    operator: str
    skills: dict[str, list[str]] = {}


class DeskFile:
    """Written whole, in one step."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Sequence[Desk]:
        """Who was signed in when it was written last. A file that is damaged is left aside: operators sign in again."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=list[_Kept])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            log.error("who was signed in could not be read", file=str(self._path), error=str(error))
            return []
        now = datetime.now(UTC)
        return [
            Desk(one.phone, one.operator, now, {c: frozenset(skills) for c, skills in one.skills.items()})
            for one in kept
        ]

    def save(self, desks: Sequence[Desk]) -> None:
        """Keep them. Failing that, operators must sign in again after a restart, and nothing else is lost."""
        kept = [
            _Kept(desk.phone, desk.operator, {c: sorted(skills) for c, skills in desk.skills.items()})
            for desk in desks
        ]
        fresh = self._path.with_name(f".{self._path.name}.new")
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(kept))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            log.error("who is signed in could not be kept", file=str(self._path), error=str(error))
