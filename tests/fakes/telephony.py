"""`engine.ports.Telephony` on `FakeNetwork`: what the engine sees of it.

    async with FakeNetwork() as network:
        telephony = FakeTelephony(network)

`telephony.away = True` makes Asterisk unreachable. `telephony.dies()` is the engine's `kill -9`: what it still does has no
effect, its channels stay up, and the next `FakeTelephony(network)` finds them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from engine.asterisk.outcomes import outcome_of
from engine.domain.errors import AttemptExists, HungUp, TelephonyAway
from engine.domain.model import Outcome
from engine.ports import Cause, Dial, DialFailed, EndedBy, Leg, Sound

from .network import FakeCall, FakeNetwork

SOUND_SECONDS = 1.0
SPARE_RING_SECONDS = 2.0
"""Asterisk gives an unanswered call up so long after the engine should have."""


class FakeLeg:
    """`engine.ports.Leg` on a `FakeCall`."""

    def __init__(
        self, telephony: FakeTelephony, call: FakeCall, *, number: str | None, adopted: bool
    ) -> None:
        self.id = call.id
        self.number = number
        self.did = call.did
        self.adopted = adopted
        self.handed_over = False
        self.call = call
        self._telephony = telephony
        self._keys: deque[str] = deque()
        call.on_key = self._press

    @property
    def answered(self) -> bool:
        return self.call.answered_at is not None

    @property
    def hung_up(self) -> int | None:
        return self.call.cause

    @property
    def ended_by(self) -> EndedBy:
        return self.call.ended_by

    def _press(self, key: str) -> None:
        self._keys.append(key)
        self.call.bell.ring()

    async def answer(self) -> None:
        await self._telephony.asked()
        self._raise_if_hung_up()
        self.call.answer()

    async def play(self, *sounds: Sound) -> None:
        await self._telephony.asked()
        self._raise_if_hung_up()
        for sound in sounds:
            self.call.begins_to_hear(sound)
            try:
                with suppress(TimeoutError):
                    await self._until_or_hung_up(lambda: False, self._telephony.seconds_of(sound))
            finally:
                self.call.stops_hearing()

    async def key(self, timeout: float) -> str | None:
        try:
            await self._until_or_hung_up(lambda: self._keys, timeout if not self._keys else None)
        except TimeoutError:
            return None
        return self._keys.popleft()

    def forget_keys(self) -> None:
        self._keys.clear()

    async def ended(self) -> int:
        await self.call.bell.until(lambda: self.hung_up is not None)
        assert self.hung_up is not None
        return self.hung_up

    async def machine(self) -> str | None:
        """What the test says of this number."""
        return self._telephony.machines.get(self.number or "")

    async def hang_up(self, cause: Cause = Cause.NORMAL) -> None:
        self._telephony.end(self.call, cause)

    async def hand_over(self) -> None:
        await self._telephony.asked()
        self._raise_if_hung_up()
        self.handed_over = True
        self.call.handed_over = True

    async def __aenter__(self) -> FakeLeg:
        return self

    async def __aexit__(self, *error: object) -> None:
        if not self.handed_over:
            await self.hang_up()

    async def _until_or_hung_up(self, condition: Callable[[], object], timeout: float | None) -> None:
        await self.call.bell.until(lambda: condition() or self.call.over, timeout)
        if not condition():
            self._raise_if_hung_up()

    def _raise_if_hung_up(self) -> None:
        if self.hung_up is not None:
            raise HungUp(self.hung_up)


class FakeTelephony:
    """The engine's side. `dials` lists every call out, in order; `sound_seconds` says how long a sound lasts."""

    def __init__(
        self, network: FakeNetwork, *, sound_seconds: float | Callable[[Sound], float] = SOUND_SECONDS
    ) -> None:
        self.away = False
        self.machines: dict[str, str] = {}
        """Numbers that AMD takes for a machine, and why."""
        self.dials: list[Dial] = []
        self._network = network
        self._sound_seconds = sound_seconds
        self._dead = False
        self._dialling: set[str] = set()
        self._left_behind: dict[str, FakeLeg] = {}
        self._inbound: asyncio.Queue[FakeLeg] = asyncio.Queue()
        network.on_inbound = self._comes_in
        network.on_answer = self._answers
        for call in tuple(network.live.values()):
            if call.did is not None:
                self._comes_in(call)
            elif call.up:
                self._answers(call)

    def dies(self) -> None:
        """As if the process were killed."""
        self._dead = True
        self._network.on_inbound = self._network.on_answer = None
        for call in self._network.live.values():
            call.on_key = None

    def seconds_of(self, sound: Sound) -> float:
        return self._sound_seconds(sound) if callable(self._sound_seconds) else self._sound_seconds

    async def asked(self) -> None:
        """A request takes a turn of the loop, and may find Asterisk away."""
        await asyncio.sleep(0)
        if self.away or self._dead:
            raise TelephonyAway("Asterisk is away")

    def end(self, call: FakeCall, cause: int) -> None:
        if not self._dead:
            call.end(cause, 487 if call.answered_at is None else 200, by="us")

    def _comes_in(self, call: FakeCall) -> None:
        number = call.caller if call.caller and any(map(str.isdigit, call.caller)) else None
        self._inbound.put_nowait(FakeLeg(self, call, number=number, adopted=call.up))

    def _answers(self, call: FakeCall) -> None:
        if call.id not in self._dialling:
            self._left_behind[call.id] = FakeLeg(self, call, number=None, adopted=True)

    async def inbound(self) -> AsyncIterator[Leg]:
        while True:
            yield await self._inbound.get()

    @asynccontextmanager
    async def dial(self, dial: Dial) -> AsyncIterator[Leg]:
        await self.asked()
        if dial.attempt in self._network.live:
            raise AttemptExists(f"attempt {dial.attempt} is up already")
        self.dials.append(dial)
        self._dialling.add(dial.attempt)
        call = self._network.call_out(dial, give_up_after=dial.ring_seconds + SPARE_RING_SECONDS)
        leg = FakeLeg(self, call, number=dial.number, adopted=False)
        try:
            with suppress(TimeoutError):
                await call.bell.until(lambda: leg.answered or call.over, dial.ring_seconds)
            if not leg.answered:
                raise self._failure(call)
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            self.end(call, Cause.ANSWERED_ELSEWHERE if cancelled else Cause.NORMAL)
            raise
        async with leg:
            yield leg

    def _failure(self, call: FakeCall) -> DialFailed:
        if call.over:
            return DialFailed(outcome_of(call.cause, call.code, call.rang), call.cause, call.code)
        return DialFailed(Outcome.NO_ANSWER if call.rang else Outcome.UNREACHABLE)

    def adopt(self, attempt: str) -> Leg | None:
        leg = self._left_behind.pop(attempt, None)
        return leg if leg is not None and leg.hung_up is None else None

    async def hang_up(self, channel: str, cause: Cause = Cause.NORMAL) -> None:
        await self.asked()
        if (call := self._network.live.get(channel)) is not None:
            self.end(call, cause)

    async def alive(self) -> frozenset[str]:
        await self.asked()
        return frozenset(self._network.live)

    @asynccontextmanager
    async def bridge(self, one: Leg, other: Leg, *more: Leg) -> AsyncIterator[None]:
        await self.asked()
        for leg in (one, other, *more):
            if leg.hung_up is not None:
                raise HungUp(leg.hung_up)
        pair = frozenset(leg.id for leg in (one, other, *more))
        self._network.bridges.add(pair)
        try:
            yield
        finally:
            if not self._dead:
                self._network.bridges.discard(pair)
