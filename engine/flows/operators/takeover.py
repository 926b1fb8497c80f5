"""After a restart: the talks that an earlier engine had are taken up as they are; what only rang is ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import structlog

from engine.domain.errors import HungUp, TelephonyAway
from engine.domain.events import (
    CallAnswered,
    CallEnded,
    CallResumed,
    CallStarted,
    OperatorRang,
    PartiesConnected,
)
from engine.flows.operators.party import adopted, note
from engine.flows.operators.queue import Hall
from engine.flows.operators.table import Table
from engine.ports import Leg

log = structlog.get_logger()

PAUSE_SECONDS = 1.0
TAKE_OVER_SECONDS = 10.0
LETTERS = "opt"
"""Legs whose ids are marked so («1024-o1») are an operator's, that of a promised call back, a third party's."""


class TakeOver:
    """`run` it once, at start; `done` tells when every talk is at a table again."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self.done = asyncio.Event()
        self._resumed: dict[str, tuple[int, Table]] = {}

    async def resume(self, leg: Leg) -> bool:
        """Take up a caller who was talking with an operator when an earlier engine died; they notice nothing. False: they were not."""
        if (found := await self._left_at(leg)) is None:
            return False
        ticket, table = found
        await self._sit_again(ticket, leg, table, None)
        return True

    async def rejoin(self, leg: Leg) -> bool:
        """The same of a colleague, whose call goes on when the talk with the operator is over. Raises `HungUp` when they are gone."""
        if (found := await self._left_at(leg)) is None:
            return False
        _, table = found
        await table.sit(leg)
        return True

    async def _left_at(self, leg: Leg) -> tuple[int, Table] | None:
        """The ticket and the table at which the leg sat when an earlier engine died."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TAKE_OVER_SECONDS):
                await self.done.wait()
        found = self._resumed.pop(leg.id, None)
        if found is not None:
            await note(self._hall.d, found[0], CallResumed(at=self._hall.d.clock.now(), call=leg.id))
        return found

    async def run(self, booted: datetime) -> None:
        """Put the talks together again that an earlier engine had; end what rang, and what was left alone."""
        try:
            while True:
                try:
                    alive = await self._hall.d.phone.alive()
                    break
                except TelephonyAway:
                    await asyncio.sleep(PAUSE_SECONDS)
            found: dict[int, list[str]] = {}
            for ticket, call in await self._hall.d.store.calls_without_end():
                found.setdefault(ticket, []).append(call)
            for ticket, calls in found.items():
                await self._take_up(ticket, calls, alive, booted)
        finally:
            self.done.set()

    async def _take_up(
        self, ticket: int, calls: Sequence[str], alive: frozenset[str], booted: datetime
    ) -> None:
        history = await self._hall.d.store.history(ticket)
        talked = [event.calls for event in history if isinstance(event, PartiesConnected) and event.calls]
        up = [call for call in (talked[-1] if talked else ()) if call in calls and call in alive]
        up = up if len(up) >= 2 else []  # who is left alone is let go
        desks = {event.attempt: event for event in history if isinstance(event, OperatorRang)}
        if up:
            table = Table(ticket, self._hall.d, self._hall.own, coming=len(up), music=self._hall.music)
            for call in up:
                if not _ours(ticket, call):
                    self._resumed[call] = (ticket, table)
                elif (leg := self._hall.d.phone.adopt(call)) is not None:
                    desk = desks[call].desk if call in desks else None
                    self._hall.own(self._sit_again(ticket, leg, table, desk), f"resumed {call}")
                else:
                    table.stays_away()
            self._hall.own(table.run(), f"resumed table of {ticket}")
        began = {event.call: event.at for event in history if isinstance(event, CallStarted)}
        answered = {event.call: event.at for event in history if isinstance(event, CallAnswered)}
        for call in alive.intersection(calls).difference(up):
            if _ours(ticket, call) and began[call] < booted:
                with suppress(TelephonyAway):
                    await self._hall.d.phone.hang_up(call)
                now = self._hall.d.clock.now()
                seconds = (now - answered.get(call, now)).total_seconds()
                await note(self._hall.d, ticket, CallEnded(at=now, call=call, seconds=round(seconds, 3)))

    async def _sit_again(self, ticket: int, leg: Leg, table: Table, desk: str | None) -> None:
        if desk is not None:
            table.desk = desk
            self._hall.tables[leg.id] = table
            self._hall.room.take(desk)
        began = self._hall.d.clock.now()
        try:
            async with adopted(ticket, leg, self._hall.d):
                await table.sit(leg, operator=desk is not None)
        except HungUp:
            log.info("a talk that was taken over ended", call=leg.id, ticket=ticket)
        finally:
            if desk is not None:
                self._hall.tables.pop(leg.id, None)
                self._hall.room.free(desk, talked=self._hall.d.clock.now() - began)


def _ours(ticket: int, call: str) -> bool:
    """Whether a leg was begun here, by its id."""
    return any(call.startswith(f"{ticket}-{letter}") for letter in LETTERS)
