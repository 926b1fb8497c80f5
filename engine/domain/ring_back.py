"""Whether a call that broke off is to be rung back, and when. Pure: decided from the timeline alone, so a restart decides the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.domain.events import (
    CallAnswered,
    CallBackPromised,
    CallEnded,
    CallsBridged,
    CallStarted,
    Event,
    NumberTold,
    OperatorAnswered,
    TicketOpened,
)
from engine.domain.model import CallKind
from engine.domain.ticket import Ticket

PAUSES = (timedelta(seconds=4), timedelta(seconds=30), timedelta(minutes=2))
"""Before the first, second and third try. The first is soon enough for ten seconds, and late enough for the line to be free."""
USELESS_AFTER = timedelta(minutes=15)
"""A call that broke off so long ago (we were away) is not rung back: the resident has called again, or somebody has come."""
ORDINARY_END = 16


@dataclass(frozen=True, slots=True)
class RingBack:
    """Ring this number at that instant. `attempt` will be the Asterisk channel's id; `continues` are the calls whose answers count."""

    attempt: str
    number: str
    at: datetime
    continues: frozenset[str]


def ring_back(number: int, history: Sequence[Event]) -> RingBack | None:
    """What is due, or None: nothing broke off, the number was told and the caller hung up in the ordinary way, it was tried often
    enough, or somebody is talking."""
    opened, state = history[0], Ticket.of(history)
    if not isinstance(opened, TicketOpened) or opened.channel != "phone" or opened.phone is None:
        return None
    if not state.is_open or state.live_calls:
        return None
    residents: list[str] = []
    tries: list[str] = []
    up: set[str] = set()
    last: CallEnded | None = None
    told = False
    for event in history:
        match event:
            case CallStarted() if event.call.startswith(f"{number}-b"):
                tries.append(event.call)
            case CallStarted(kind=CallKind.RESIDENT):
                residents.append(event.call)
            case CallAnswered():
                up.add(event.call)
            case CallEnded() if event.call in residents or event.call in tries:
                last = event
            case NumberTold() | OperatorAnswered() | CallBackPromised() | CallsBridged():
                told = True  # the number, or more than that: by a person
            case _:
                pass
    if last is None or len(tries) >= len(PAUSES):
        return None
    if last.call in up:
        if last.by == "us" or (told and last.cause == ORDINARY_END):
            return None
    elif last.call in residents:
        return None  # they hung up before we had answered
    attempt = f"{number}-b{len(tries) + 1}"
    chain = frozenset({*residents[-1:], *tries, attempt})
    return RingBack(attempt, opened.phone, last.at + PAUSES[len(tries)], chain)
