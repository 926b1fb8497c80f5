"""Where a caller who is on the line can be met: whoever takes the ticket may be connected with them at once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from engine.ports import Leg


@dataclass(eq=False)
class Seat:
    """A caller who talks to the hotline, and can be called away from it."""

    leg: Leg
    engaged: bool = False
    """They talk with a person: nobody may call them away from that."""
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
    """The callers on the line, by ticket: several of one number share one."""

    def __init__(self) -> None:
        self._seats: defaultdict[int, list[Seat]] = defaultdict(list)
        self._arrival = asyncio.Event()

    @contextmanager
    def seat(self, ticket: int, leg: Leg) -> Iterator[Seat]:
        """The caller of this ticket can be met while the block lasts."""
        seat = Seat(leg)
        self._seats[ticket].append(seat)
        self._arrival.set()
        self._arrival = asyncio.Event()
        try:
            yield seat
        finally:
            self._seats[ticket].remove(seat)
            if not self._seats[ticket]:
                del self._seats[ticket]

    @contextmanager
    def engaged(self, ticket: int, leg: Leg) -> Iterator[None]:
        """The caller on that leg talks with a person while the block lasts, and stays with them."""
        seats = [seat for seat in self._seats.get(ticket, ()) if seat.leg is leg]
        for seat in seats:
            seat.engaged = True
        try:
            yield
        finally:
            for seat in seats:
                seat.engaged = False

    def talks(self, ticket: int) -> bool:
        """Whether a caller of the ticket is on the line, and all who are talk with a person."""
        here = self._here(ticket)
        return bool(here) and all(seat.engaged for seat in here)

    async def comes(self, ticket: int, call: str) -> None:
        """Wait until the caller of that call is on the line."""
        while all(seat.leg.id != call for seat in self._here(ticket)):
            await self._arrival.wait()

    @asynccontextmanager
    async def meet(self, ticket: int, call: str | None = None) -> AsyncIterator[Leg | None]:
        """The leg of the caller who came last and talks with nobody, called away from the hotline for the length of the block.

        With `call`: the caller of that call. None if there is nobody like that on the line.
        """
        free = [seat for seat in self._here(ticket) if not seat.engaged and call in (None, seat.leg.id)]
        seat = free[-1] if free else None
        if seat is None:
            yield None
            return
        seat.engaged = True
        seat.called.set()
        try:
            yield seat.leg
        finally:
            seat.released.set()

    def _here(self, ticket: int) -> list[Seat]:
        return [seat for seat in self._seats.get(ticket, ()) if seat.leg.hung_up is None]
