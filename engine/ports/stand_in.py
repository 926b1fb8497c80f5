"""What the dialplan did while the engine was away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoodInLeg:
    """A member of staff who picked up while the dialplan was by itself. `id` names the recording."""

    id: str
    number: str
    started: datetime
    ended: datetime


@dataclass(frozen=True, slots=True)
class StoodInCall:
    """A call that the dialplan took by itself. `id` names its recording; `spoke`: a message was left; numbers are E.164."""

    id: str
    did: str
    caller: str | None
    started: datetime
    ended: datetime
    spoke: bool
    rang: tuple[str, ...] = ()
    accepted_by: str | None = None
    legs: tuple[StoodInLeg, ...] = ()
    """Those who picked up, in order."""


class StandIn(Protocol):
    """The dialplan's fallback, as the engine sees it afterwards, and what it rings meanwhile."""

    async def calls(self) -> Sequence[StoodInCall]:
        """The calls that it took and finished, and that were not forgotten yet, oldest first."""
        ...

    async def forget(self, call: str) -> None:
        """The call is on a timeline: drop the notes of it (never its recording)."""
        ...

    async def keep(self, did: str, company: str, numbers: Sequence[str]) -> None:
        """Whose number `did` is, and whom the dialplan rings, in this order, for calls to it while the engine is away.

        Raises `ConnectionError` if it cannot be told now.
        """
        ...
