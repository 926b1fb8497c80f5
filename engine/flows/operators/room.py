"""The operators at their desks, and the queue before them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import structlog

from engine.domain.queueing import Desk, Need, Rules, Waiting, expected_wait, matches, next_ready, position
from engine.ports import Clock

log = structlog.get_logger()

TALKS_MEASURED = 20


class Place:
    """A place in the queue."""

    def __init__(self, waiting: Waiting, serve: Callable[[], None], give_back: Callable[[str], None]) -> None:
        self.waiting = waiting
        self.turn: asyncio.Future[Desk | None] | None = None
        self._serve, self._give_back = serve, give_back

    async def desk(self) -> Desk | None:
        """The operator whose turn it is, kept for this place until `Room.free`. None: nobody is signed in who could serve it."""
        turn: asyncio.Future[Desk | None] = asyncio.get_running_loop().create_future()
        self.turn = turn
        self._serve()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and (desk := turn.result()) is not None:
                self._give_back(desk.phone)
            raise
        finally:
            self.turn = None


class Room:
    """The operators at their desks, and the queue before them. In memory: after a restart callers join again, with the place they had."""

    def __init__(self, clock: Clock, rules: Rules) -> None:
        self._clock, self._rules = clock, rules
        self._desks: dict[str, Desk] = {}
        self._busy: set[str] = set()
        self._places: list[Place] = []
        self._talks: deque[timedelta] = deque(maxlen=TALKS_MEASURED)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def desks(self) -> Mapping[str, Desk]:
        """Who is signed in, by desk phone."""
        return self._desks

    @property
    def busy(self) -> frozenset[str]:
        """The desk phones that ring or talk."""
        return frozenset(self._busy)

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """The queue, first come first."""
        return tuple(sorted((place.waiting for place in self._places), key=lambda one: one.order))

    def sign_in(self, desk: Desk) -> None:
        """An operator sits down; whoever sat there before is gone."""
        self._desks[desk.phone] = desk
        self._serve()

    def sign_out(self, phone: str) -> bool:
        """The desk is empty; a talk that goes on there is not touched. False: it was empty."""
        there = self._desks.pop(phone, None) is not None
        self._serve()
        return there

    def staffed(self, need: Need) -> bool:
        """Whether somebody is signed in who could serve such a call."""
        return any(desk.fits(need) for desk in self._desks.values())

    @contextmanager
    def place(self, waiting: Waiting) -> Iterator[Place]:
        """Stand in the queue for the length of the block."""
        place = Place(waiting, self._serve, self.free)
        self._places.append(place)
        try:
            yield place
        finally:
            self._places.remove(place)

    def standing(self, place: Place) -> tuple[int, int]:
        """The place's number, and about how many minutes are left to wait."""
        desks = [desk for desk in self._desks.values() if desk.fits(place.waiting.need)]
        number = position(place.waiting, self.waiting, desks)
        return number, expected_wait(number, len(desks), tuple(self._talks), self._rules)

    def take(self, phone: str) -> bool:
        """Keep a desk phone for a talk that does not come from the queue. False: it is in use."""
        if phone in self._busy:
            return False
        self._busy.add(phone)
        return True

    def free(self, phone: str, *, talked: timedelta | None = None, missed: bool = False) -> None:
        """The desk phone is silent again; `talked` for so long, or it was rung in vain."""
        self._busy.discard(phone)
        desk, now = self._desks.get(phone), self._clock.now()
        if talked is not None:
            self._talks.append(talked)
        if desk is not None and talked is not None:
            self._desks[phone] = desk.talked(now, self._rules.wrap_up)
        elif desk is not None and missed:
            after = desk.missed(now, self._rules)
            if after is None:
                log.warning("nobody answers at a desk phone: signed out", desk=phone, operator=desk.operator)
                del self._desks[phone]
            else:
                self._desks[phone] = after
        self._serve()

    def _serve(self) -> None:
        """Give desks to whose turn it is, and look again when the next one ends its rest."""
        now = self._clock.now()
        asking = {place.waiting: place for place in self._places if place.turn and not place.turn.done()}
        for waiting, desk in matches(asking, self._desks.values(), self._busy, now):
            turn = asking.pop(waiting).turn
            assert turn is not None
            self._busy.add(desk.phone)
            turn.set_result(desk)
        for waiting, place in asking.items():
            if place.turn is not None and not self.staffed(waiting.need):
                place.turn.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if asking and (at := next_ready(self._desks.values(), now)) is not None:
            self._timer = asyncio.get_running_loop().call_later((at - now).total_seconds(), self._serve)
