"""The time, and the companies as they are now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from engine.domain.company import Company


class Clock(Protocol):
    """The time. Tests put a virtual one here."""

    def now(self) -> datetime:
        """The current instant, UTC."""
        ...


Companies = Callable[[], Sequence[Company]]
"""The companies as they are configured now; a reload shows at the next call."""
