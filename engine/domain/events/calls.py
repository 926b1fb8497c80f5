"""Legs of people: who was on the line, what they pressed, who talked with whom."""

from __future__ import annotations

from dataclasses import dataclass

from engine.domain.events.base import Event
from engine.domain.model import CallKind


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted(Event):
    """A leg belongs to this ticket. `call` is the Asterisk channel's id, and names the recording."""

    call: str
    kind: CallKind
    number: str | None = None
    did: str | None = None
    contact: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered(Event):
    """The leg is up and both sides are recorded from here on."""

    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingAnnounced(Event):
    """The caller was told that the call is recorded (152-FZ); the announcement had been played to its end."""

    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPressed(Event):
    """A key, and the question that it answered."""

    call: str
    key: str
    question: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingPressed(Event):
    """A question of the hotline that was met with silence; with the keys it lets a restarted engine go on where the talk was."""

    call: str
    question: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResumed(Event):
    """A restarted engine took up the call where it was."""

    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(Event):
    """The leg is gone. `cause` is the Q.850 hang-up cause; `by` is `caller` (the far end), `us` or `network`; `seconds` were answered."""

    call: str
    cause: int = 16
    by: str = "us"
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsBridged(Event):
    """These calls, a robocall and its ticket's resident, were put through to each other: from here on each is heard on the other's
    recording."""

    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartiesConnected(Event):
    """These legs, and nobody else, talk with each other from now on; fewer than two: a hold."""

    calls: tuple[str, ...]
