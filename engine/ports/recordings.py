"""What was recorded, while it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished recording; `company` is whose folder it lies in."""

    recording: str
    seconds: float
    flaw: str | None
    started: datetime | None = None
    company: str | None = None


@dataclass(frozen=True, slots=True)
class Aged:
    """A kept recording, and when its call began."""

    recording: str
    call: str
    started: datetime


Gap = tuple[datetime, datetime]
"""From when to when nothing of a call was kept, at somebody's wish."""


class Muting(Protocol):
    """Silences what is recorded of a call, not the call."""

    async def mute(self, call: str, muted: bool) -> None:
        """Let silence be recorded, or the voices again, of the call and of those that it is connected with. Twice is once.

        Returns when it is so. Raises `TelephonyAway`, `NotKnown` if there is no such channel.
        """
        ...


class Recordings(Protocol):
    """The folder of recordings. Legs are recorded by the dialplan; this closes and keeps them."""

    async def finish(
        self, company: str, call: str, seconds: float | None, gaps: Sequence[Gap] = ()
    ) -> Kept | None:
        """Close the call's two legs, join them to stereo (far end left, we right) and keep them; None if there are none.

        `seconds` is how long the call was up, to flag a recording that is shorter; `gaps` are marked in it. Idempotent.
        Raises `TimeoutError` if the legs are still being written, `OSError` or `RuntimeError` if they could not be joined (disk
        full): finish it again later.
        """
        ...

    async def orphans(self) -> Sequence[str]:
        """Ids of the calls whose recording may not be attached: legs that nobody finished, or finished by an earlier engine lately.

        «CALL@2» is what was recorded under the id of a call whose recording had been kept before.
        """
        ...

    async def older_than(self, company: str, before: datetime) -> Sequence[Aged]:
        """The company's recordings whose call began before that instant and that are not on hold, oldest first."""
        ...

    async def erase(self, recording: str, by: str, reason: str) -> None:
        """Delete its files; what it was, who erased it and why stay. Raises `NotKnown`, or `ValueError` if it is on hold."""
        ...
