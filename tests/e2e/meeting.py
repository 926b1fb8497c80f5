"""Where stories that are told side by side wait for each other, for what happens to all of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

MEETING_SECONDS = 120.0


@dataclass(eq=False)
class Meeting:
    """Held as often as anybody comes: when everybody is there who has not left for good, one of them does what is to be done."""

    expected: int = 0
    _here: int = 0
    _held: int = 0
    _moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def then(self, do: Callable[[], Awaitable[None]]) -> None:
        """Wait for the others; when this comes back it has been done, once. Raises `TimeoutError` if somebody never comes."""
        async with asyncio.timeout(MEETING_SECONDS), self._moved:
            self._here, held = self._here + 1, self._held
            await self._moved.wait_for(lambda: self._held > held or self._here == self.expected)
            if self._held == held:
                await do()
                self._here, self._held = 0, held + 1
                self._moved.notify_all()

    async def leave(self) -> None:
        """Nobody needs to wait for this one any more."""
        async with self._moved:
            self.expected -= 1
            self._moved.notify_all()
