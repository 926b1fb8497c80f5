"""Who is on duty at an instant, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Duty:
    """The contacts on duty, first to be rung first, and the instant at which that may change (None: never)."""

    contacts: tuple[str, ...]
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Roster:
    """An on-call schedule."""

    name: str
    always: tuple[str, ...] = ()

    def on_duty(self, at: datetime) -> Duty:
        """Who is on duty at `at` (aware). Pure."""
        return Duty(self.always)
