"""The way out to the trunks: so many new calls a second, so many at once, and emergencies go first."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from engine.domain.model import Urgency

ORDER = {Urgency.EMERGENCY: 0, Urgency.URGENT: 1, Urgency.NORMAL: 2}

WHOLE = 1.0 - 1e-6
"""A whole token, as floating point counts: a hair less would be waited for in steps too short for any clock."""


@dataclass
class Gate:
    """A token bucket for one trunk: `rate` calls a second on average, `burst` at one moment, `channels` at the same time.

    Whoever waits is served by urgency, then in order of arrival. Nobody waits for a token while no call is being made.
    """

    rate: float = 10.0
    burst: int = 5
    channels: int = 30
    _tokens: float = field(default=0.0, init=False)
    _at: float | None = field(default=None, init=False)
    _busy: int = field(default=0, init=False)
    _waiting: list[tuple[int, int, asyncio.Future[None]]] = field(default_factory=list, init=False)
    _numbers: itertools.count[int] = field(default_factory=itertools.count, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    @asynccontextmanager
    async def slot(self, urgency: Urgency) -> AsyncIterator[None]:
        """A channel of the trunk for the length of the block, as soon as the limits allow one."""
        await self._enter(urgency)
        try:
            yield
        finally:
            self._busy -= 1
            self._serve()

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn."""
        return len(self._waiting)

    async def _enter(self, urgency: Urgency) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (ORDER[urgency], next(self._numbers), turn)
        heapq.heappush(self._waiting, entry)
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._busy -= 1  # it had just been our turn
                self._serve()
            else:
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
            raise

    def _serve(self) -> None:
        """Let in whoever may go; if only a token is missing, look again when there is one."""
        self._refill()
        while self._waiting and self._busy < self.channels and self._tokens >= WHOLE:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._tokens -= 1.0
                self._busy += 1
                turn.set_result(None)
        if self._waiting and self._busy < self.channels and self._timer is None:
            pause = (1.0 - self._tokens) / self.rate
            self._timer = asyncio.get_running_loop().call_later(pause, self._again)

    def _again(self) -> None:
        self._timer = None
        self._serve()

    def _refill(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._at is None:
            self._tokens = float(self.burst)
        else:
            self._tokens = min(float(self.burst), self._tokens + (now - self._at) * self.rate)
        self._at = now


class Gates:
    """A gate for each trunk, in the order of preference; `trunk` counts round as a dial's does."""

    def __init__(self, *gates: Gate) -> None:
        self._gates = gates or (Gate(),)

    def of(self, trunk: int) -> Gate:
        """The gate of that trunk."""
        return self._gates[trunk % len(self._gates)]
