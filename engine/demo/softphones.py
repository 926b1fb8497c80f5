"""Scripted SIP softphones for asyncio: residents who call, staff who are called.

::

    async with PhoneNetwork(port, recordings=tmp_path) as network:     # everything dialled goes to sip:NUMBER@127.0.0.1:port
        anna = network.phone("+79000000001", name="anna")
        anna.rings(0.5).answers().hears(1.0).presses_accept_key()      # from the first call on
        anna.busy().then.declines_call().then.answers().presses("1")   # a call after another; the last one repeats
        call = await anna.rang()                                       # the next call that she has not been asked about
        await call.ended()
        call.wav, call.keys, call.caller, call.seconds, anna.history

        resident = network.resident("+79160000042")
        call = await resident.calls("sip:+74950000112@127.0.0.1:5060")
        await call.hears(1.0)
        await call.presses("1")
        await call.hangs_up()

SIP and audio are pjsip's, in worker processes (`worker`, `pool`), behind one address (`switchboard`, `exchange`). A phone without a script
refuses with 480, a number without a phone with 404; both are in `unexpected`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.demo.call import AcceptKey, Bell, Call, CallOverError, Moment
from engine.demo.child import Event, SoftphoneError
from engine.demo.exchange import Exchange
from engine.demo.pool import Pool, Worker
from engine.demo.script import (
    NOT_FOUND,
    UNAVAILABLE,
    Answer,
    HangUp,
    Hear,
    HearPause,
    Hold,
    Ignore,
    Meet,
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
from engine.demo.switchboard import Invite, caller_of

__all__ = ["Call", "CallOverError", "Moment", "Phone", "PhoneNetwork", "Resident", "Script", "SoftphoneError"]

RANG_SECONDS = 15.0
REGISTER_SECONDS = 10.0
WORKERS_READY = 2


class Phone(TakesCalls):
    """A person's phone. A verb on it (`busy`, `answers` …) begins a new script, in force from the next call on."""

    def __init__(self, number: str, name: str) -> None:
        self.number = number
        self.name = name
        self.history: list[Call] = []
        self._script: Script | None = None
        self._asked = 0
        self._bell = Bell()

    @property
    def expected(self) -> bool:
        """Whether a script says how this phone takes calls."""
        return self._script is not None

    def plays(self, *scripts: Script) -> None:
        """Set the scripts of the next call, the one after it, and so on; the last repeats."""
        for script, following in itertools.pairwise(scripts):
            script.following = following
        self._script = scripts[0] if scripts else None

    async def rang(self, timeout: float = RANG_SECONDS) -> Call:
        """Wait for the next call not yet returned by this method. Raises `TimeoutError`."""
        await self._bell.until(lambda: len(self.history) > self._asked, timeout)
        self._asked += 1
        return self.history[self._asked - 1]

    def forgets(self) -> None:
        """No script, no history."""
        self._script, self._asked = None, 0
        self.history = []

    def takes(self, call: Call) -> Script | None:
        """Note the call and say how it is taken; the script of the following call comes into force."""
        self.history.append(call)
        self._bell.ring()
        script = self._script
        if script is not None and script.following is not None:
            self._script = script.following
        return script

    def _open(self) -> Script:
        self._script = Script()
        return self._script

    def __repr__(self) -> str:
        return f"<Phone {self.name}>"


class Resident:
    """Someone who calls. One resident may have several calls at once."""

    def __init__(self, network: PhoneNetwork, number: str, name: str) -> None:
        self.number = number
        self.name = name
        self.history: list[Call] = []
        self._network = network

    async def calls(
        self, uri: str, *, caller: str | None = None, answered: bool = True, timeout: float = RANG_SECONDS
    ) -> Call:
        """Place a call to `uri`, showing `caller` (by default the resident's own number), and wait until it is answered
        or refused: `call.up`, or `call.code`. With `answered=False` it is given back at once."""
        call = await self._network.dial(uri, self.number if caller is None else caller, self.name)
        self.history.append(call)
        if answered:
            with contextlib.suppress(CallOverError):  # refused: an outcome, to be read from the call
                await call.answered(timeout)
        return call


class PhoneNetwork:
    """The telephone network beyond the trunk: an async context manager.

    `port` (0: any, see `port` afterwards) is where the subject sends its calls; `recordings` gets a WAV of each call;
    `rtp_port` 0 lets the system choose. `accept_key` answers `presses_accept_key()`, `prompts` gives the WAV of a text for
    `hears("…")`. `unexpected` lists calls that no script allowed for, `troubles` what went wrong with the phones or their scripts.
    """

    def __init__(
        self,
        port: int,
        rtp_port: int = 0,
        *,
        recordings: Path,
        workers: int = WORKERS_READY,
        accept_key: AcceptKey | None = None,
        prompts: Callable[[str], Awaitable[Path]] | None = None,
    ) -> None:
        self.port = port
        self.accept_key = accept_key
        self.prompts = prompts
        self.calls: list[Call] = []
        self.unexpected: list[Call] = []
        self.troubles: list[str] = []
        self._phones: dict[str, Phone] = {}
        self._live: dict[str, Call] = {}
        self._past: set[str] = set()
        """The Call-IDs of before the last `reset`."""
        self._scripts: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, asyncio.Task[None]] = {}
        """Calls whose worker still starts."""
        self._dialled = itertools.count(1)
        self._registered: dict[str, Worker] = {}
        self._registering: dict[str, asyncio.Future[int]] = {}
        self._pool = Pool(recordings, rtp_port, workers, self._on_event)
        self._recordings = recordings
        self._exchange = Exchange(self._on_invite, self._on_dead_exchange)

    async def __aenter__(self) -> Self:
        self._recordings.mkdir(parents=True, exist_ok=True)
        address = ("127.0.0.1", self.port)
        _, self.port = await self._exchange.open(address, self._recordings / "switchboard.log")
        try:
            await self._pool.open()
        except BaseException:
            await self._exchange.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_scripts()
        for waits in self._waiting.values():
            waits.cancel()
        await self._pool.close()
        await self._exchange.close()

    def phone(self, number: str, name: str = "") -> Phone:
        """The phone with this number; the same object each time."""
        return self._phones.setdefault(number, Phone(number, name or number))

    def resident(self, number: str, name: str = "") -> Resident:
        return Resident(self, number, name)

    async def desk_phone(self, name: str, password: str, registrar: str, name_shown: str = "") -> Phone:
        """A phone that registers at `registrar` («127.0.0.1:15060») and is called there; scripted like any other.

        Raises `SoftphoneError` if it is not let in.
        """
        phone = self.phone(name, name_shown)
        worker = self._registered.get(name)
        if worker is None:
            worker = self._registered[name] = await self._pool.take_soon(f"registration of {name}")
        told = self._registering[name] = asyncio.get_running_loop().create_future()
        worker.tell("register", phone=name, password=password, registrar=registrar)
        async with asyncio.timeout(REGISTER_SECONDS):
            code = await told
        if code != 200:
            raise SoftphoneError(f"the desk phone {name} was not let in: {code}")
        return phone

    async def dials(self, phone: Phone, uri: str) -> Call:
        """The desk phone itself calls somebody, with its own name and password."""
        call = Call(self, f"out-{next(self._dialled)}", uri.partition(":")[2].partition("@")[0], phone.number)
        self.calls.append(call)
        self._live[call.name] = call
        worker = self._registered[phone.number]
        worker.calls.add(call.name)
        call.serve(worker)
        worker.tell("dial", call.name, to=uri, caller="", phone=phone.number)
        return call

    def unplug(self, phone: Phone) -> None:
        """The desk phone goes away: calls to it are refused from now on. `desk_phone` plugs it in again."""
        self._registered[phone.number].tell("unregister", phone=phone.number)

    async def reset(self) -> None:
        """Between tests: hang up everything, forget scripts, histories and complaints. The workers stay."""
        await self.hang_up()
        for phone in self._phones.values():
            phone.forgets()
        self._past.update(call.name for call in self.calls)
        self.calls, self.unexpected, self.troubles = [], [], []

    async def hang_up(self) -> None:
        """Everybody stops what they are doing and hangs up."""
        await self._stop_scripts()
        for call in self.live:
            if (waits := self._waiting.pop(call.name, None)) is not None:  # its INVITE found no worker yet
                waits.cancel()
                del self._live[call.name]
                call.end(time.monotonic(), None, "never reached")
        await asyncio.gather(*(call.hangs_up() for call in self.live))

    @property
    def phones(self) -> list[Phone]:
        return list(self._phones.values())

    @property
    def processes(self) -> list[int]:
        """All helper processes, for those who want to see them gone."""
        return [*self._pool.processes, *self._exchange.processes]

    @property
    def live(self) -> list[Call]:
        """Calls that ring or are up."""
        return list(self._live.values())

    async def dial(self, uri: str, caller: str, name: str = "") -> Call:
        """Place a call; `Resident.calls` is the comfortable way."""
        call = Call(self, f"out-{next(self._dialled)}", uri.partition(":")[2].partition("@")[0], caller)
        self.calls.append(call)
        self._live[call.name] = call
        worker = await self._pool.take_soon(call.name)
        call.serve(worker)
        shown = f'"{name}" ' if name else ""
        worker.tell("dial", call.name, to=uri, caller=f"{shown}<sip:{caller}@127.0.0.1>")
        return call

    async def accept_key_of(self, call: Call) -> str:
        if self.accept_key is None:
            raise SoftphoneError("this network has no accept_key to ask; pass one to PhoneNetwork")
        return await self.accept_key(call)

    async def prompt_of(self, text: str) -> Path:
        if self.prompts is None:
            raise SoftphoneError(
                "this network cannot turn a text into a prompt; pass prompts to PhoneNetwork, or a Path"
            )
        return await self.prompts(text)

    def _on_invite(self, invite: Invite) -> None:
        if invite.call_id in self._past or any(call.name == invite.call_id for call in self.calls):
            return  # repeated: to a silent phone (for 6.4 s, into the next test), or because its worker still starts
        call = Call(self, invite.call_id, invite.number, invite.caller, invite)
        self.calls.append(call)
        script = self._script_of(call)
        if script.steps and isinstance(script.steps[-1], Ignore):
            call.end(time.monotonic(), None, "silent")
            return
        self._live[call.name] = call
        self._perform(call, script)
        if (worker := self._pool.take(call.name)) is not None:
            self._connect(call, worker)
        else:
            self._waiting[call.name] = asyncio.create_task(
                self._connect_soon(call), name=f"softphones: {call.name} waits"
            )

    async def _connect_soon(self, call: Call) -> None:
        self._connect(call, await self._pool.take_soon(call.name))
        del self._waiting[call.name]

    def _connect(self, call: Call, worker: Worker) -> None:
        call.serve(worker)
        self._exchange.route(call.name, worker.port)

    def _on_dead_exchange(self) -> None:
        self.troubles.append("the switchboard's process died")

    def _script_of(self, call: Call) -> Script:
        phone = self._phones.get(call.number)
        script = phone.takes(call) if phone is not None else None
        if script is not None and not (script.steps and isinstance(script.steps[0], NoMore)):
            return script
        self.unexpected.append(call)
        return Script().rejects(NOT_FOUND if phone is None else UNAVAILABLE)

    def _perform(self, call: Call, script: Script) -> None:
        task = asyncio.create_task(self._play(call, script), name=f"softphones: {call.name}")
        self._scripts[call.name] = task

    async def _play(self, call: Call, script: Script) -> None:
        step: Step | None = None
        try:
            await call.reached()
            for step in script.steps:
                await _do(call, step)
        except CallOverError:
            return  # the other side left first; how the call went is in its log
        except (TimeoutError, SoftphoneError, OSError) as error:
            call.trouble = f"{call.number}: {step}: {error or 'not in time'}"
            self.troubles.append(call.trouble)

    async def _stop_scripts(self) -> None:
        for task in self._scripts.values():
            task.cancel()
        await asyncio.gather(*self._scripts.values(), return_exceptions=True)
        self._scripts.clear()

    def _on_event(self, worker: Worker, event: Event) -> None:
        if event["event"] == "registered":
            told = self._registering.get(event["phone"])
            if told is not None and not told.done():
                told.set_result(event["code"])
            return
        if event["event"] == "incoming" and "phone" in event:
            self._at_desk(worker, event)
        call = self._live.get(event["call"])
        if call is None:
            return
        if event["event"] == "trouble" or (event["event"] == "ended" and event["code"] is None):
            self.troubles.append(f"{call.number}: {event.get('text', 'its softphone process died')}")
        if event["event"] == "ended":
            del self._live[call.name]
            self._exchange.release(call.name)
        call.take(event)

    def _at_desk(self, worker: Worker, event: Event) -> None:
        """A registered phone is called at its own address, past the switchboard."""
        caller, name = caller_of(event["caller"])
        invite = Invite(event["call"], event["phone"], caller, name, {})
        call = Call(self, invite.call_id, invite.number, caller, invite)
        self.calls.append(call)
        self._live[call.name] = call
        worker.calls.add(call.name)
        call.serve(worker)
        self._perform(call, self._script_of(call))


async def _do(call: Call, step: Step) -> None:
    match step:
        case Ring(seconds):
            call.responds(180)
            await call.holds(seconds)
        case Refuse(code):
            call.responds(code)
        case Answer():
            await call.answers()
        case Meet(meeting, timeout):
            await asyncio.wait_for(meeting.wait(), timeout)
        case Hear(what, timeout):
            await call.hears(what, timeout=timeout)
        case HearPause(seconds, timeout):
            await call.hears_pause(seconds, timeout=timeout)
        case Press(keys, after, gap, info):
            await call.presses(keys, after=after, gap=gap, info=info)
        case PressAcceptKey(after, info):
            await call.presses_accept_key(after=after, info=info)
        case Say(wav):
            await call.says(wav)
        case Hold(seconds):
            await call.holds(seconds)
        case HangUp():
            await call.hangs_up()
        case Ignore() | NoMore():
            return
