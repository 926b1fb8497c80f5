"""The queue before the operators, and the promises to call back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.domain.events.base import Event
from engine.domain.model import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueJoined(Event):
    """The caller waits for an operator. `since` is their first ring, by which their place and the clock of the answer are counted."""

    call: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLeft(Event):
    """The caller waits no more: `reason` is message, callback, hung_up or no_operator. (Who is answered has an OperatorAnswered.)"""

    call: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRang(Event):
    """The intent to ring an operator's desk phone for `call`; `attempt` is the desk phone's leg."""

    call: str
    attempt: str
    desk: str
    operator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAnswered(Event):
    """The operator took `call`; `waited` seconds after its first ring."""

    call: str
    attempt: str
    desk: str
    operator: str
    waited: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorMissed(Event):
    """The desk phone rang in vain, and somebody else is rung."""

    attempt: str
    desk: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBackPromised(Event):
    """The caller was promised a call at `number` by `due`; their place in the queue is kept, counted from `since`."""

    call: str
    number: str
    since: datetime
    due: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBackTried(Event):
    """A call back reached nobody; `attempt` is its leg (see CallStarted)."""

    attempt: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBackEnded(Event):
    """The promise is settled: `kept`, or given up after the last try."""

    kept: bool
