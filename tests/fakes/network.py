"""A telephone network in memory: people with phones, residents who call, and the channels in between.

People are scripted with the same verbs as the real softphones (`engine.demo.script`), so one test can be run on both:

    network = FakeNetwork()
    network.phone("+79000000001").rings(0.5).answers().presses("7", after=1)
    network.phone("+79000000002").busy().then.answers()
    call = network.resident("+79160000042").calls("+74950000112")

Time is the event loop's and nothing else is waited for, so a loop with virtual time runs it in no time.
"""

from __future__ import annotations

import asyncio
import itertools
import wave
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from engine.demo.script import (
    NOT_FOUND,
    UNAVAILABLE,
    Answer,
    HangUp,
    Hear,
    HearPause,
    Hold,
    Ignore,
    NoMore,
    Press,
    PressAcceptKey,
    Refuse,
    Ring,
    Say,
    Script,
    Step,
    TakesCalls,
)
from engine.ports import Cause, Dial, EndedBy, Sound

NO_RESPONSE_SECONDS = 6.4  # 64 × SIP's T1, as the real trunk is configured
EPSILON = 1e-6  # clocks are floats
CAUSE_OF_CODE = {486: 17, 603: 21, 403: 21, 404: 1, 410: 22, 480: 19, 408: 18, 503: 34, 500: 41}


class Hung(Exception):
    """The call is over: a script ends because the other side hung up."""


class Bell:
    """Wakes whoever waits for a change."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], object], timeout: float | None = None) -> None:
        """Raises TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout):
            while not condition():
                waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiters.add(waiter)
                try:
                    await waiter
                finally:
                    self._waiters.discard(waiter)


class FakeCall:
    """One channel, with the far end's verbs. What is played into it is in `heard` (begun) and `speech_seconds`."""

    def __init__(
        self, network: FakeNetwork, id: str, number: str, *, did: str | None, caller: str | None
    ) -> None:
        self.id = id
        self.number = number
        self.did = did
        self.caller = caller
        self.caller_name = ""
        self.began_at = asyncio.get_running_loop().time()
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.rang = False
        self.cause: int | None = None
        self.ended_by: EndedBy = "us"
        self.code: int | None = None
        self.trouble: str | None = None
        self.handed_over = False
        """Given to the dialplan's fallback."""
        self.heard: list[Sound] = []
        self.bell = Bell()
        self.on_key: Callable[[str], None] | None = None
        """Where the engine listens; None while no engine does."""
        self._network = network
        self._finished_speech = 0.0
        self._speaking_since: float | None = None
        self._quiet_since: float | None = None

    @property
    def up(self) -> bool:
        return self.answered_at is not None and self.cause is None

    @property
    def over(self) -> bool:
        return self.cause is not None

    @property
    def speech_seconds(self) -> float:
        since = self._speaking_since
        return self._finished_speech + (0.0 if since is None else self._now() - since)

    # The near end's side

    def answer(self) -> None:
        if self.answered_at is None:
            self.answered_at = self._now()
            self.bell.ring()

    def end(self, cause: int, code: int | None = None, by: EndedBy = "caller") -> None:
        if self.cause is None:
            self.ended_by = by
            self.cause, self.code, self.ended_at = cause, code, self._now()
            self._network.ended(self)
            self.bell.ring()

    def begins_to_hear(self, sound: Sound) -> None:
        self.heard.append(sound)
        self._speaking_since, self._quiet_since = self._now(), None
        self.bell.ring()

    def stops_hearing(self) -> None:
        self._finished_speech, self._speaking_since = self.speech_seconds, None
        self._quiet_since = self._now()
        self.bell.ring()

    # The far end's verbs, as on a real softphone

    async def answered(self, timeout: float | None = None) -> FakeCall:
        return await self._until(lambda: self.answered_at is not None, timeout)

    async def ended(self, timeout: float | None = None) -> FakeCall:
        await self.bell.until(lambda: self.over, timeout)
        return self

    async def presses(self, keys: str, *, after: float = 0.0, gap: float = 0.3) -> FakeCall:
        for position, key in enumerate(keys):
            await self.holds(gap if position else after)
            if self.over:
                raise Hung
            if self.on_key is not None:
                self.on_key(key)
        return self

    async def holds(self, seconds: float) -> FakeCall:
        try:
            return await self._until(lambda: False, seconds) if seconds > 0 else self
        except TimeoutError:
            return self

    async def hears(self, what: float | Path | str = 0.5, *, timeout: float | None = None) -> FakeCall:
        """Seconds of speech, or a sound with that text (or file name) in its URI."""
        if isinstance(what, float | int):
            async with asyncio.timeout(timeout):
                while (missing := what - self.speech_seconds) > EPSILON:
                    if self._speaking_since is None:
                        await self._until(lambda: self._speaking_since is not None, None)
                    else:
                        with suppress(TimeoutError):
                            await self._until(lambda: self._speaking_since is None, missing)
            return self
        text = what.stem if isinstance(what, Path) else what
        return await self._until(lambda: any(text in sound for sound in self.heard), timeout)

    async def hears_pause(self, seconds: float = 0.8, *, timeout: float | None = None) -> FakeCall:
        async with asyncio.timeout(timeout):
            while True:
                await self._until(lambda: self._quiet_since is not None, None)
                assert self._quiet_since is not None
                if (left := self._quiet_since + seconds - self._now()) <= EPSILON:
                    return self
                await self.holds(left)

    async def hangs_up(self) -> FakeCall:
        self.end(Cause.NORMAL, 200 if self.answered_at is not None else 487)
        return self

    def breaks_off(self) -> None:
        """Their sound has stopped, and the station gives the call up."""
        self.end(Cause.NO_SOUND, by="network")

    def give_up(self) -> None:
        """The station stops ringing; answered: nothing."""
        if self.answered_at is None:
            self.end(19, 487, by="network")

    async def _until(self, condition: Callable[[], object], timeout: float | None) -> FakeCall:
        await self.bell.until(lambda: condition() or self.over, timeout)
        if not condition():
            raise Hung
        return self

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class FakePhone(TakesCalls):
    """A person's phone. A verb on it begins a new script, in force from the next call on; the last one repeats."""

    def __init__(self, number: str, name: str) -> None:
        self.number = number
        self.name = name
        self.history: list[FakeCall] = []
        self._script: Script | None = None
        self._bell = Bell()
        self._asked = 0

    async def rang(self, timeout: float | None = None) -> FakeCall:
        """The next call that this method has not returned yet."""
        await self._bell.until(lambda: len(self.history) > self._asked, timeout)
        self._asked += 1
        return self.history[self._asked - 1]

    def takes(self, call: FakeCall) -> Script | None:
        self.history.append(call)
        self._bell.ring()
        script = self._script
        if script is not None and script.following is not None:
            self._script = script.following
        return script

    def _open(self) -> Script:
        self._script = Script()
        return self._script


class FakeResident:
    """Someone who calls the hotline."""

    def __init__(self, network: FakeNetwork, number: str) -> None:
        self.number = number
        self._network = network

    def calls(self, did: str) -> FakeCall:
        """Place a call; it rings until the engine answers."""
        return self._network.call_in(self.number, did)


class FakeNetwork:
    """Everybody with a phone. `unexpected` lists calls that no script allowed for, `troubles` what scripts met.

    `accept_key(attempt)` answers `presses_accept_key()`. As a context manager it ends every script on leaving.
    """

    def __init__(self, *, accept_key: Callable[[str], str] | None = None) -> None:
        self.accept_key = accept_key
        self.calls: list[FakeCall] = []
        self.live: dict[str, FakeCall] = {}
        self.bridges: set[frozenset[str]] = set()
        self.unexpected: list[FakeCall] = []
        self.troubles: list[str] = []
        self.on_inbound: Callable[[FakeCall], None] | None = None
        self.on_answer: Callable[[FakeCall], None] | None = None
        self._phones: dict[str, FakePhone] = {}
        self._scripts: dict[str, asyncio.Task[None]] = {}
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> FakeNetwork:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._scripts.values():
            task.cancel()
        await asyncio.gather(*self._scripts.values(), return_exceptions=True)

    def phone(self, number: str, name: str = "") -> FakePhone:
        """The phone with this number; the same object each time."""
        return self._phones.setdefault(number, FakePhone(number, name or number))

    def resident(self, number: str) -> FakeResident:
        return FakeResident(self, number)

    def call_in(self, number: str, did: str) -> FakeCall:
        call = self._new(f"in-{next(self._numbers)}", did, did=did, caller=number)
        if self.on_inbound is not None:
            self.on_inbound(call)
        return call

    def call_out(self, dial: Dial, give_up_after: float) -> FakeCall:
        """Ring a phone; unanswered, the station gives up after so many seconds, whether an engine lives or not."""
        number = dial.phone or dial.number
        call = self._new(dial.attempt, number, did=None, caller=dial.caller_id)
        call.caller_name = dial.caller_name or ""
        phone = self._phones.get(number)
        script = phone.takes(call) if phone is not None else None
        if script is None or (script.steps and isinstance(script.steps[0], NoMore)):
            self.unexpected.append(call)
            script = Script().rejects(NOT_FOUND if phone is None else UNAVAILABLE)
        asyncio.get_running_loop().call_later(give_up_after, call.give_up)
        self._scripts[call.id] = asyncio.create_task(
            self._perform(call, script), name=f"fake phone {call.id}"
        )
        return call

    def ended(self, call: FakeCall) -> None:
        self.live.pop(call.id, None)

    def _new(self, id: str, number: str, *, did: str | None, caller: str | None) -> FakeCall:
        call = self.live[id] = FakeCall(self, id, number, did=did, caller=caller)
        self.calls.append(call)
        return call

    async def _perform(self, call: FakeCall, script: Script) -> None:
        for step in script.steps:
            try:
                await self._do(call, step)
            except Hung:
                return
            except TimeoutError:
                call.trouble = f"{call.number}: {step}: not in time"
                self.troubles.append(call.trouble)
                return

    async def _do(self, call: FakeCall, step: Step) -> None:
        match step:
            case Ring(seconds):
                call.rang = True
                call.bell.ring()
                await call.holds(seconds)
            case Refuse(code):
                call.end(CAUSE_OF_CODE.get(code, 127), code)
            case Ignore():
                await call.holds(NO_RESPONSE_SECONDS)
                call.end(18, 408)
            case Answer():
                call.answer()
                if self.on_answer is not None:
                    self.on_answer(call)
            case Hear(what, timeout):
                await call.hears(what, timeout=timeout)
            case HearPause(seconds, timeout):
                await call.hears_pause(seconds, timeout=timeout)
            case Press(keys, after, gap):
                await call.presses(keys, after=after, gap=gap)
            case PressAcceptKey(after):
                if self.accept_key is None:
                    raise AssertionError("give FakeNetwork an accept_key to script presses_accept_key()")
                await call.holds(max(after, 0.2))  # nobody presses a key that was not named yet
                await call.presses(self.accept_key(call.id))
            case Say(wav):
                await call.holds(_seconds_of(wav))
            case Hold(seconds):
                await call.holds(seconds)
            case HangUp():
                await call.hangs_up()
            case NoMore():
                return


def _seconds_of(wav: Path) -> float:
    with wave.open(str(wav)) as audio:
        return audio.getnframes() / audio.getframerate()
