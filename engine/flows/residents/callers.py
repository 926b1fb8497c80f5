"""Who is on the line with the hotline: several calls of one number at once are one ticket, and nobody may flood us.

Kept in memory: after a restart the calls that are still up are found by the timeline.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Beyond these only the choice of an emergency is offered. It always is."""

    of_a_caller: int = 20
    """Calls of one number within `within`."""
    within: timedelta = timedelta(minutes=10)
    at_once: int = 500
    """Calls to the hotline at the same time."""


@dataclass(eq=False)
class _Caller:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    ticket: int | None = None
    live: set[str] = field(default_factory=set)
    came: deque[datetime] = field(default_factory=deque)


class Callers:
    """The calls that are up, by company and number."""

    def __init__(self, limits: CallLimits | None = None) -> None:
        self.limits = limits or CallLimits()
        self._callers: defaultdict[tuple[str, str], _Caller] = defaultdict(_Caller)
        self._live = 0

    @asynccontextmanager
    async def turn(self, company: str, number: str | None) -> AsyncIterator[int | None]:
        """One at a time for each number: the ticket of a call of theirs that is up now, or None."""
        if number is None:
            yield None
            return
        caller = self._callers[company, number]
        caller.waiting += 1
        try:
            async with caller.turn:
                yield caller.ticket if caller.live else None
        finally:
            caller.waiting -= 1

    def arrive(self, company: str, number: str | None, call: str, ticket: int, now: datetime) -> bool:
        """The call is up, about this ticket. True: there are too many."""
        self._live += 1
        if number is None:
            return self._live > self.limits.at_once
        caller = self._callers[company, number]
        caller.ticket = ticket
        caller.live.add(call)
        caller.came.append(now)
        while caller.came and now - caller.came[0] > self.limits.within:
            caller.came.popleft()
        return self.crowded(company, number)

    def crowded(self, company: str, number: str) -> bool:
        """Whether there are too many calls, of this number or at all."""
        caller = self._callers.get((company, number))
        often = caller is not None and len(caller.came) > self.limits.of_a_caller
        return often or self._live > self.limits.at_once

    def leave(self, company: str, number: str | None, call: str, now: datetime) -> None:
        """The call is over."""
        self._live -= 1
        if number is None:
            return
        self._callers[company, number].live.discard(call)
        if len(self._callers) > 10_000:
            self._forget(now)

    def on_line(self, company: str, number: str) -> bool:
        """Whether a call of that number is up."""
        caller = self._callers.get((company, number))
        return caller is not None and bool(caller.live)

    def _forget(self, now: datetime) -> None:
        old = [
            key
            for key, one in self._callers.items()
            if not one.live and not one.waiting and (not one.came or now - one.came[-1] > self.limits.within)
        ]
        for key in old:
            del self._callers[key]
