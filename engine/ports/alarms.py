"""Ways out that need nothing of a call: webhooks, and calls that Asterisk places by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from engine.ports.telephony import Sound


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell another program. `id` is the same each time that it is told; `ticket` keeps its notices in order."""

    id: str
    url: str
    kind: str
    at: datetime
    ticket: int | None
    body: Mapping[str, object]


class Hooks(Protocol):
    """The way out to other programs: signed, retried, in order for a ticket."""

    async def post(self, notice: Notice) -> None:
        """Hand it over, after the earlier ones of the same ticket and address.

        Raises `ConnectionError` if it was given up after many tries, `ValueError` if it was refused.
        """
        ...


class AlarmCalls(Protocol):
    """A call that Asterisk places by itself: the way out that needs nothing of this engine any more."""

    async def order(self, name: str, number: str, sound: Sound | None) -> None:
        """Leave the order to ring `number` and play `sound` (None: a fixed warning), once. Raises `OSError`, `ValueError`."""
        ...
