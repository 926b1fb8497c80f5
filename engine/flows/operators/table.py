"""A talk around a table: whoever sits at it hears the others. People come, go, are put on hold; it is over when one is left alone.

A leg is at the table while its own coroutine is in `sit`; so each leg is ended by whoever began it, and every end is told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from engine.domain import wording_operators as wording
from engine.domain.errors import AttemptExists, HungUp, TelephonyAway
from engine.domain.events import PartiesConnected
from engine.domain.model import Outcome
from engine.domain.wording import Parts
from engine.flows.conversation import Conversation
from engine.flows.deps import Deps
from engine.flows.operators.hold import HOLD, RINGING, listen, stop
from engine.flows.operators.party import Party, note, rung
from engine.ports import DialFailed, Leg, Sound

log = structlog.get_logger()

AWAY_PAUSE_SECONDS = 1.0
COMING_SECONDS = 5.0
"""Who is on the way and not being rung sits down within this time, or is gone."""


class Owner(Protocol):
    """Runs work as a task of its own."""

    def __call__(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]: ...


@dataclass(eq=False)
class _Seat:
    leg: Leg
    operator: bool
    left: asyncio.Event = field(default_factory=asyncio.Event)


class Table:
    """Made for `coming` legs that are on their way; `run` it as a task. `desk` is the phone of the operator's."""

    def __init__(
        self, ticket: int, d: Deps, own: Owner, *, desk: str = "", coming: int = 2, music: Sound = HOLD
    ) -> None:
        self.desk = desk
        self.ticket, self.over, self.talked = ticket, False, False
        self._d, self._own, self._music = d, own, music
        self._seats: dict[str, _Seat] = {}
        self._coming, self._dialling = coming, 0
        self._held = False
        self._together: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._let_go = asyncio.Event()
        self._fetching: set[asyncio.Task[Any]] = set()

    # --- what is done at it ----------------------------------------------------------------------------------------------------------

    async def sit(self, leg: Leg, *, operator: bool = False) -> None:
        """Be at the table until the talk is over for this leg. Raises `HungUp` if its far end is gone."""
        seat = self._seats[leg.id] = _Seat(leg, operator)
        self._coming -= 1
        if self.over:
            seat.left.set()
        self._change()
        ended = asyncio.create_task(leg.ended(), name=f"at the table {leg.id}")
        left = asyncio.create_task(seat.left.wait(), name=f"leaves the table {leg.id}")
        try:
            await asyncio.wait({ended, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._seats[leg.id]
            self._held = self._held and not operator  # a hold ends with whoever could end it
            self._change()
            for task in (ended, left):
                task.cancel()
            await asyncio.wait({ended, left})
            while leg.id in self._together:
                await self._let_go.wait()
        if leg.hung_up is not None:
            raise HungUp(leg.hung_up)

    async def join(self, leg: Leg) -> None:
        """Sit down with those who talk. Raises `HungUp` as `sit` does."""
        self._coming += 1
        await self.sit(leg)

    @property
    def sitting(self) -> frozenset[str]:
        """The legs at the table."""
        return frozenset(self._seats)

    def stays_away(self) -> None:
        """Somebody who was on the way does not come."""
        self._coming -= 1
        self._change()

    def hold(self) -> None:
        """Everybody but the operator hears music."""
        self._held = True
        self._change()

    def resume(self) -> None:
        """End of the hold."""
        self._held = False
        self._change()

    @property
    def held(self) -> bool:
        return self._held

    def bring(self, party: Party, *, transfer: bool = False) -> None:
        """Ring somebody to the table, as a task. With `transfer` the operator leaves when they answer."""
        self._coming += 1

        async def answered() -> None:
            if transfer:
                self._dismiss_operator()

        self._own(self._brought(party, answered), f"to the table of {self.ticket}")

    async def _brought(self, party: Party, answered: Callable[[], Awaitable[None]]) -> None:
        await self.fetch(party, wording.called(party.kind), answered)

    async def fetch(
        self, party: Party, greeting: Parts, answered: Callable[[], Awaitable[None]]
    ) -> Outcome | None:
        """Ring somebody who is counted as coming; they sit until the talk is over for them. None, or why they did not come."""
        me = asyncio.current_task()
        assert me is not None
        self._fetching.add(me)
        self._dialling += 1
        self._change()
        seated = False
        try:
            async with rung(self.ticket, party, self._d) as leg:
                await Conversation(leg, self._d.voice).say(*greeting)
                await answered()
                self._fetching.discard(me)
                self._dialling -= 1
                seated = True
                await self.sit(leg)
        except DialFailed as failed:
            log.info("nobody came to the table", ticket=self.ticket, reason=str(failed))
            return failed.outcome
        except (AttemptExists, TelephonyAway) as error:
            log.warning("nobody could be rung to the table", ticket=self.ticket, reason=str(error))
            return Outcome.FAILED
        except HungUp:
            return None if seated else Outcome.DECLINED
        except asyncio.CancelledError:
            if self.over and not seated and me.cancelling() and not me.uncancel():
                return Outcome.CANCELLED  # there is nobody left to come to, and nobody else has cancelled us
            raise
        finally:
            self._fetching.discard(me)
            if not seated:
                self._dialling -= 1
                self.stays_away()
        return None

    def _dismiss_operator(self) -> None:
        """The operator leaves, the others go on."""
        self._held = False
        for seat in self._seats.values():
            if seat.operator:
                seat.left.set()

    def close(self) -> None:
        """Everybody leaves."""
        self._coming = 0
        for seat in self._seats.values():
            seat.left.set()
        self._change()

    # --- the table itself ------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Let them talk until nobody is left to talk to."""
        told: tuple[str, ...] = ()
        try:
            while True:
                changed = self._changed = asyncio.Event()
                here = [s for s in self._seats.values() if s.leg.hung_up is None and not s.left.is_set()]
                if len(here) + self._coming < 2:
                    return
                talking = () if self._held or len(here) < 2 else tuple(seat.leg.id for seat in here)
                if talking != told:
                    told = talking
                    await note(self._d, self.ticket, PartiesConnected(at=self._d.clock.now(), calls=talking))
                if talking:
                    await self._talk([seat.leg for seat in here], changed)
                else:
                    await self._wait(here, changed)
        finally:
            self.over = True
            for seat in self._seats.values():
                seat.left.set()
            for task in self._fetching:
                task.cancel()

    async def _talk(self, legs: list[Leg], changed: asyncio.Event) -> None:
        """The legs hear each other until something changes."""
        self._together = frozenset(leg.id for leg in legs)
        try:
            async with self._d.phone.bridge(legs[0], legs[1], *legs[2:]):
                self.talked = True
                await changed.wait()
        except HungUp:
            pass  # its seat is about to be left
        except TelephonyAway as error:
            log.warning("a talk could not be put together yet", ticket=self.ticket, error=str(error))
            await asyncio.sleep(AWAY_PAUSE_SECONDS)
        finally:
            self._together = frozenset()
            self._let_go.set()
            self._let_go = asyncio.Event()

    async def _wait(self, here: list[_Seat], changed: asyncio.Event) -> None:
        """Whoever waits hears music; who waits for somebody that is being rung, the ringing tone. The operator who holds: nothing."""
        sound = RINGING if len(here) < 2 else self._music
        listening = [
            asyncio.create_task(listen(seat.leg, sound), name=f"hold {seat.leg.id}")
            for seat in here
            if (self._dialling if len(here) < 2 else not seat.operator)
        ]
        self._together = frozenset(seat.leg.id for seat in here)
        patience = COMING_SECONDS if len(here) < 2 and not self._dialling else None
        try:
            async with asyncio.timeout(patience):
                await changed.wait()
        except TimeoutError:
            self._coming = 0
        finally:
            await stop(*listening)
            self._together = frozenset()
            self._let_go.set()
            self._let_go = asyncio.Event()

    def _change(self) -> None:
        self._changed.set()
