"""Recordings, from attached to erased."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.domain.events.base import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingAttached(Event):
    """A call's recording is closed, joined and kept. `recording` is its id (the call's), `seconds` its length."""

    recording: str
    call: str
    seconds: float
    flaw: str | None = None
    """What is wrong with it, if anything: `short` (by more than 0.3 s), `repaired` (cut by a crash), `silent`, `missing`."""
    started: datetime | None = None
    left: str | None = None
    """Who spoke on the left leg: a contact's id, else the far end's number."""
    right: str | None = None
    """Who spoke on the right leg, our side."""
    cause: int | None = None
    """The Q.850 cause with which the call ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingPaused(Event):
    """From here on nothing of the call is kept, at somebody's wish: words are said that must not be (a card's number)."""

    call: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingResumed(Event):
    """The call is recorded again."""

    call: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingErased(Event):
    """The recording's files were deleted; its hash, and this fact, stay."""

    recording: str
    by: str
    reason: str
