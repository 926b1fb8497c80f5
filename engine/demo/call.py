"""One call of a softphone: what happened in it, and the verbs with which a script or a test conducts it."""

from __future__ import annotations

import asyncio
import time
import wave
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.demo.child import Event, SoftphoneError
from engine.demo.pool import Worker
from engine.demo.script import HEARING_SECONDS
from engine.demo.switchboard import Invite

SIGNAL_SECONDS = 10.0
"""How long a SIP transaction on loopback may take before it counts as an error."""
KEY_SECONDS = 0.26
"""pjmedia sends a digit for 200 ms and its end three times; a BYE before that would swallow it."""
LOOK_AGAIN_SECONDS = 0.25
"""How often a growing recording is searched for a prompt; pjmedia writes it in pieces of that length."""


class CallOverError(SoftphoneError):
    """The other side ended the call while this one still had something to do."""


class Bell:
    """Wakes every waiter at each change; the waiter looks for itself whether it is the change it wants."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, true: Callable[[], bool], timeout: float | None) -> None:
        """Raises `TimeoutError` after `timeout` seconds."""
        async with asyncio.timeout(timeout):
            while not true():
                await self._event.wait()


@dataclass(frozen=True, slots=True)
class Moment:
    """A change of the call: SIP state (`EARLY`, `CONFIRMED`, `DISCONNECTED` …) with the code that made it; monotonic time."""

    at: float
    state: str
    code: int
    reason: str


class Exchange(Protocol):
    """What a call needs of the network it is in."""

    async def accept_key_of(self, call: Call) -> str: ...

    async def prompt_of(self, text: str) -> Path: ...


class Call:
    """A call to a phone, or a resident's call to the hotline. Times are `time.monotonic()`, None until they have come.

    `number` is what was dialled, `caller` and `caller_name` are who calls as the called side sees it, `headers` are the
    INVITE's own (incoming calls only). `keys` are the DTMF digits received, `speech_seconds` how much speech was heard and
    `said_seconds` how much was spoken,
    `wav` everything that was heard, complete once the call has ended. `code` is the final SIP code: 200 after an answered
    call, None while it lasts, after `silent()`, and if the softphone itself died (`reason` is then "lost").
    """

    def __init__(
        self, exchange: Exchange, name: str, number: str, caller: str, invite: Invite | None = None
    ) -> None:
        self.name = name
        self.number = number
        self.caller = caller
        self.caller_name = invite.caller_name if invite else ""
        self.headers = invite.headers if invite else {}
        self.incoming = invite is not None
        self.began_at = time.monotonic()
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.code: int | None = None
        self.reason = ""
        self.hung_up_by_us = False
        self.log: list[Moment] = []
        self.keys = ""
        self.key_times: list[float] = []
        self.speech_seconds = 0.0
        self.said_seconds = 0.0
        self.spoke_at: float | None = None
        self.wav: Path | None = None
        self.trouble: str | None = None
        self.sip_call_id = name if invite else ""
        self._exchange = exchange
        self._worker: Worker | None = None
        self._bell = Bell()
        self._media_up = False
        self._reached = False
        self._left_at: float | None = None

    # -- what is known ----------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Answered and not over."""
        return self.answered_at is not None and self.ended_at is None

    @property
    def over(self) -> bool:
        return self.ended_at is not None

    @property
    def seconds(self) -> float:
        """From the answer to the end (or until now); 0 when it was never answered."""
        return 0.0 if self.answered_at is None else (self.ended_at or time.monotonic()) - self.answered_at

    async def answered(self, timeout: float = SIGNAL_SECONDS) -> Call:
        """Wait for the 200 of this call; `CallOverError` when it ends without."""
        return await self._until(lambda: self.answered_at is not None and self._media_up, timeout)

    async def ended(self, timeout: float = SIGNAL_SECONDS) -> Call:
        """Wait for the end; afterwards `wav` is complete."""
        await self._bell.until(lambda: self.over, timeout)
        return self

    async def hears_key(self, key: str, timeout: float = SIGNAL_SECONDS) -> Call:
        """Wait until the other side has pressed `key`."""
        return await self._until(lambda: key in self.keys, timeout)

    async def reached(self, timeout: float = SIGNAL_SECONDS) -> Call:
        """Wait until the INVITE has arrived in the process that plays the phone."""
        return await self._until(lambda: self._reached, timeout)

    # -- what is done -----------------------------------------------------------------------------------------

    def responds(self, code: int) -> None:
        """Send a SIP response to an incoming call: 180, 200, or a refusal."""
        self._tell("respond", code=code)

    async def answers(self) -> Call:
        self.responds(200)
        return await self.answered()

    async def hears(self, what: float | Path | str = 0.5, *, timeout: float = HEARING_SECONDS) -> Call:
        """Wait for seconds of speech, or until the prompt (a WAV, or a text the network can speak) has been heard whole."""
        if isinstance(what, (int, float)):
            return await self._until(lambda: self.speech_seconds >= what, timeout)
        prompt = what if isinstance(what, Path) else await self._exchange.prompt_of(what)
        return await self._hears_prompt(prompt, timeout)

    hears_something = hears

    async def hears_pause(self, seconds: float = 0.8, *, timeout: float = HEARING_SECONDS) -> Call:
        """Wait until the other side has spoken and then been quiet for `seconds`."""
        async with asyncio.timeout(timeout):
            await self._until(lambda: self.spoke_at is not None, None)
            while (left := (self.spoke_at or 0.0) + seconds - time.monotonic()) > 0:
                await self.holds(left)
        return self

    async def presses(self, keys: str, *, after: float = 0.0, gap: float = 0.3, info: bool = False) -> Call:
        """Keys one after another; comes back when the last one has been released, whether or not the call outlives that."""
        await self.holds(after)
        for number, key in enumerate(keys):
            if number:
                await self.holds(gap - KEY_SECONDS)
            self._tell("press", keys=key, info=info)
            await self._passes(KEY_SECONDS)
        return self

    async def presses_accept_key(self, *, after: float = 0.0, info: bool = False) -> Call:
        """The key that this call draws, as the network's `accept_key` tells it."""
        return await self.presses(await self._exchange.accept_key_of(self), after=after, info=info)

    async def says(self, wav: Path) -> Call:
        """Speak a WAV (16-bit PCM) to its end."""
        with wave.open(str(wav)) as audio:
            seconds = audio.getnframes() / audio.getframerate()
        self._tell("say", wav=str(wav), loop=False)
        self.said_seconds += seconds
        return await self.holds(seconds)

    async def holds(self, seconds: float) -> Call:
        """Stay on the line; `CallOverError` when the other side leaves meanwhile."""
        try:
            return await self._until(lambda: False, seconds) if seconds > 0 else self
        except TimeoutError:
            return self

    async def hangs_up(self, timeout: float = SIGNAL_SECONDS) -> Call:
        """BYE (or CANCEL, or 603 before the answer), and wait until it is over. Nothing happens to a call that is."""
        if not self.over:
            self.hung_up_by_us = True
            self._tell("hang_up")
        return await self.ended(timeout)

    # -- inside -----------------------------------------------------------------------------------------------

    async def _until(self, true: Callable[[], bool], timeout: float | None) -> Call:
        await self._bell.until(lambda: true() or self.over, timeout)
        if not true():
            raise CallOverError(f"the call to {self.number} ended with {self.code} {self.reason}")
        return self

    async def _hears_prompt(self, prompt: Path, timeout: float) -> Call:
        from engine.demo.hearing import Listener  # numpy is needed for this alone

        listener = await asyncio.to_thread(Listener, prompt)
        async with asyncio.timeout(timeout):
            await self._until(lambda: self.wav is not None, None)
            while True:
                over, wav = self.over, self.wav
                if wav is not None and await asyncio.to_thread(listener.heard, wav):
                    return self
                if over:
                    raise CallOverError(f"the call to {self.number} ended before {prompt.name} was heard")
                await self._passes(LOOK_AGAIN_SECONDS)

    async def _passes(self, seconds: float) -> None:
        try:
            await self._bell.until(lambda: self.over, seconds)
        except TimeoutError:
            return

    def _tell(self, do: str, **fields: object) -> None:
        if self._worker is not None:
            self._worker.tell(do, self.name, **fields)

    @property
    def worker(self) -> int | None:
        """The process that carries the call."""
        return self._worker.process.pid if self._worker is not None else None

    def serve(self, worker: Worker) -> None:
        """This worker carries the call."""
        self._worker = worker

    def take(self, event: Event) -> None:
        """An event of the worker that carries this call."""
        at = event["at"]
        match event["event"]:
            case "state":
                self.log.append(Moment(at, event["state"], event["code"], event["reason"]))
                if event["state"] == "DISCONNECTED":
                    self._left_at = at
                if event["state"] == "CONFIRMED" and self.answered_at is None:
                    self.answered_at = at
            case "media":
                self._media_up, self.wav = True, Path(event["wav"])
            case "incoming":
                self._reached = True
            case "dialled":
                self.sip_call_id = event["sip_call_id"]
            case "key":
                self.keys += event["key"]
                self.key_times.append(at)
            case "speech":
                self.speech_seconds, self.spoke_at = event["seconds"], at
            case "trouble":
                self.trouble = event["text"]
            case "ended":
                self.end(at, event["code"], event["reason"])
        self._bell.ring()

    def end(self, at: float, code: int | None, reason: str) -> None:
        """The call is over: by its worker's word, or because no worker will ever carry it."""
        self.code, self.reason, self.ended_at = code, reason, self._left_at or at
        self._bell.ring()

    def __repr__(self) -> str:
        state = "up" if self.up else f"over {self.code}" if self.over else "ringing"
        return f"<Call {self.caller} to {self.number}: {state}>"


AcceptKey = Callable[[Call], Awaitable[str]]
