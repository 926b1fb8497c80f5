"""Where a caller who is on the line can be met: whoever takes the ticket may be connected with them at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from engine.ports import Leg


@dataclass(eq=False)
class Seat:
    """A caller who talks to the hotline, and can be called away from it."""

    leg: Leg
    called: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def unless_called(self, talk: Coroutine[Any, Any, None]) -> None:
        """Hold the talk; if somebody wants to meet the caller it ends, and this returns when they have parted."""
        talking = asyncio.create_task(talk, name=f"talk {self.leg.id}")
        wanted = asyncio.create_task(self.called.wait(), name=f"wanted {self.leg.id}")
        try:
            await asyncio.wait({talking, wanted}, return_when=asyncio.FIRST_COMPLETED)
            if talking.done():
                return await talking
        finally:
            for task in (talking, wanted):
                task.cancel()
            await asyncio.wait({talking, wanted})
        await self.released.wait()
        return None


class Lobby:
    """The callers on the line, by ticket."""

    def __init__(self) -> None:
        self._seats: dict[int, Seat] = {}

    @contextmanager
    def seat(self, ticket: int, leg: Leg) -> Iterator[Seat]:
        """The caller of this ticket can be met while the block lasts."""
        seat = self._seats[ticket] = Seat(leg)
        try:
            yield seat
        finally:
            if self._seats.get(ticket) is seat:
                del self._seats[ticket]

    @asynccontextmanager
    async def meet(self, ticket: int) -> AsyncIterator[Leg | None]:
        """The leg of the ticket's caller, called away from the hotline for the length of the block; None if nobody is on the line."""
        seat = self._seats.pop(ticket, None)
        if seat is None or seat.leg.hung_up is not None:
            yield None
            return
        seat.called.set()
        try:
            yield seat.leg
        finally:
            seat.released.set()
