"""`dozvon up`: an installation in the foreground. Starts Asterisk and the engine, restarts what dies, stops both.

They are separate processes: an engine that dies takes no call with it, and a spare one that has everything loaded takes its place
at once; Asterisk goes on answering meanwhile. It even survives the death of this supervisor, until the next one replaces it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from engine.asterisk.call_file import CallFiles
from engine.asterisk.server import (
    AsteriskFailed,
    AsteriskServer,
    AsteriskSettings,
    DeskPhone,
    PortTaken,
    Trunk,
    demo_trunk,
)
from engine.config import Settings
from engine.secrets import Secrets, load_or_create_secrets
from engine.sentry import Addressees, tell

ENGINE = (sys.executable, "-m", "engine", "run")
SPARE = (sys.executable, "-m", "engine.spare")
HEART_FILE, ALARM_FILE = "heartbeat", "alarm.json"
"""In the data directory: how old the engine's last sign of life is, and whom to alarm if there is none."""
LINK_FILE = "console-link"  # in the data directory: the engine writes the administrator's one-time link there
UNUSABLE = 2  # an engine that ends so says that its arguments or its configuration cannot be used

FIRST_PAUSE_SECONDS = 0.5  # before the second try: the first one is at once
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0  # who lived that long is restarted at once again
STOP_ENGINE_SECONDS = 15.0
SPARE_AFTER_SECONDS = 3.0  # it is loaded when the engine has had the processor for itself to start with
LONGEST_SPARE_PAUSE_SECONDS = 60.0
SILENT_SECONDS = 30.0
"""An engine that shows no sign of life for so long is frozen: its own sentry would have ended it."""
HEART_POLL_SECONDS = 2.0
READY_POLL_SECONDS = 0.1
READY_PATIENCE_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1

Say = Callable[[str], None]


def asterisk_settings(
    settings: Settings, secrets: Secrets, fallback_numbers: Mapping[str, tuple[str, ...]] | None = None
) -> AsteriskSettings:
    """How our Asterisk is to be set up. Without a trunk of its own an installation has the demo company's."""
    asterisk = settings.asterisk
    trunks = tuple(
        Trunk(
            t.name, t.host, t.port, t.username, t.password, t.register_us, t.max_channels, tuple(t.calls_from)
        )
        for t in asterisk.trunks
    )
    return AsteriskSettings(
        prefix=asterisk.prefix.absolute(),
        run_dir=settings.inside("asterisk"),
        base_port=settings.base_port,
        ari_password=secrets.ari_password,
        ami_password=secrets.ami_password,
        live_dir=settings.recordings,
        sounds_dir=settings.inside("sounds"),
        trunks=trunks or (demo_trunk(settings.base_port),),
        desk_phones=tuple(DeskPhone(name, secrets.desk_phones[name]) for name in asterisk.desk_phones),
        fallback_numbers=fallback_numbers or {},
        sip_host=asterisk.sip_host,
    )


async def up(
    settings: Settings, *, say: Say, engine: Sequence[str] = ENGINE, spare: Sequence[str] = SPARE
) -> int:
    """Run the installation until SIGINT, SIGTERM or SIGHUP; return the exit code (0 after a signal).

    What cannot even start (a taken port, no Asterisk, an unusable configuration) is said in words, with code 1 or 2. A `spare` is a
    command that becomes the engine when it is given a line.
    """
    try:
        secrets = load_or_create_secrets(settings.inside("secrets.json"), settings.asterisk.desk_phones)
        asterisk_settings(settings, secrets)
    except (OSError, ValueError) as error:
        say(f"cannot start: {error}")
        return UNUSABLE
    installation = _Installation(settings, secrets, tuple(engine), tuple(spare), say)
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, installation.stopping.set)
    try:
        return await installation.run()
    except (PortTaken, AsteriskFailed, FileNotFoundError) as error:
        say(f"cannot start: {error}")
        return 1
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@dataclass
class _Installation:
    settings: Settings
    secrets: Secrets
    engine_command: tuple[str, ...]
    spare_command: tuple[str, ...]
    say: Say
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    was_ready: bool = False
    code: int = 0
    asterisk: AsteriskServer | None = None
    engine: asyncio.subprocess.Process | None = None
    spare: asyncio.subprocess.Process | None = None
    spare_taken: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> int:
        begun = time.monotonic()
        settings = self.settings
        with contextlib.suppress(FileNotFoundError):
            settings.inside(LINK_FILE).unlink()  # an old link must not be taken for the new one
        try:
            if settings.asterisk.manage:
                await self._start_asterisk()
                self.say(f"Asterisk is up after {time.monotonic() - begun:.1f} s; starting the engine")
            await self._start_engine()
            async with asyncio.TaskGroup() as tasks:
                keepers = [
                    tasks.create_task(self._keep("the engine", self._engine_ended, self._start_engine))
                ]
                if settings.asterisk.manage:
                    keep = self._keep("Asterisk", self._asterisk_ended, self._start_asterisk)
                    keepers.append(tasks.create_task(keep, name="keep Asterisk"))
                keepers.append(tasks.create_task(self._tell_when_ready(begun), name="tell when ready"))
                keepers.append(tasks.create_task(self._watch_heart(), name="watch the heart"))
                keepers.append(tasks.create_task(self._keep_a_spare(), name="keep a spare"))
                await self.stopping.wait()
                for keeper in keepers:
                    keeper.cancel()
        finally:
            await self._stop()
        return self.code

    # ------------------------------------------------------------------------------------- the two processes

    async def _start_asterisk(self) -> None:
        self.asterisk = AsteriskServer(asterisk_settings(self.settings, self.secrets))
        await self.asterisk.start()

    async def _asterisk_ended(self) -> int:
        assert self.asterisk is not None
        return await self.asterisk.wait()

    async def _start_engine(self) -> None:
        """The spare, if there is one."""
        spare, self.spare = self.spare, None
        self.spare_taken.set()
        if spare is None or spare.returncode is not None:
            self.engine = await self._run(*self.engine_command, stdin=asyncio.subprocess.DEVNULL)
            return
        assert spare.stdin is not None
        self.engine = spare
        spare.stdin.write(b"\n")
        spare.stdin.close()

    async def _keep_a_spare(self) -> None:
        """Load another one whenever the last was needed, or has died; later each time while none can be had: the engine needs none."""
        pause = SPARE_AFTER_SECONDS
        while True:
            await asyncio.sleep(pause)
            self.spare_taken.clear()
            try:
                self.spare = spare = await self._run(*self.spare_command, stdin=asyncio.subprocess.PIPE)
            except OSError as error:
                self.say(f"no engine can be held in reserve: {error}")
            else:
                if await self._taken(spare):
                    pause = SPARE_AFTER_SECONDS
                    continue
                self.say(f"the engine in reserve ended with code {spare.returncode}")
            pause = min(2 * pause, LONGEST_SPARE_PAUSE_SECONDS)

    async def _taken(self, spare: asyncio.subprocess.Process) -> bool:
        """Wait until the spare is the engine, or was put away for a fresh one. False: it has ended by itself."""
        ended = asyncio.create_task(spare.wait(), name="end of the spare")
        taken = asyncio.create_task(self.spare_taken.wait(), name="the spare is taken")
        try:
            await asyncio.wait({ended, taken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ended, taken):
                task.cancel()
        return self.spare is not spare

    async def _drop_spare(self) -> None:
        spare, self.spare = self.spare, None
        if spare is not None:
            with contextlib.suppress(ProcessLookupError):
                spare.kill()
            await spare.wait()

    async def _run(self, *command: str, stdin: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=stdin,
            start_new_session=True,  # Ctrl-C is ours to pass on, in the right order
            preexec_fn=_die_with_parent,  # two engines on one store must not be
        )

    async def _engine_ended(self) -> int:
        assert self.engine is not None
        code = await self.engine.wait()
        if code == UNUSABLE and not self.was_ready:
            self.code = UNUSABLE
            self.stopping.set()
        if code == 0:
            # In order, as before an upgrade: the spare has loaded what may have been replaced since.
            await self._drop_spare()
        return code

    async def _keep(
        self, name: str, ended: Callable[[], Awaitable[int]], start: Callable[[], Awaitable[None]]
    ) -> None:
        """Start it again whenever it ends, for ever: at once, then after a pause that doubles while it keeps dying young."""
        pause, begun = 0.0, time.monotonic()
        while not self.stopping.is_set():
            reason = f"ended with code {await ended()}"
            while not self.stopping.is_set():
                if time.monotonic() - begun > STEADY_SECONDS:
                    pause = 0.0
                self.say(f"{name} {reason}; starting it again" + (f" in {pause:g} s" if pause else ""))
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS) or FIRST_PAUSE_SECONDS
                begun = time.monotonic()
                try:
                    await start()
                    break
                except (OSError, AsteriskFailed) as error:
                    reason = f"did not start: {error}"

    async def _watch_heart(self) -> None:
        """End an engine that lives and shows no sign of it. Its sentry does so from inside, unless the whole process is frozen."""
        heart, seen, since = self.settings.inside(HEART_FILE), 0, time.monotonic()
        engine = self.engine
        while True:
            await asyncio.sleep(HEART_POLL_SECONDS)
            try:
                beat = heart.stat().st_mtime_ns
            except OSError:
                beat = 0  # it has not begun yet, or has ended in order
            if beat != seen or beat == 0 or engine is not self.engine:
                seen, since, engine = beat, time.monotonic(), self.engine
            elif time.monotonic() - since > SILENT_SECONDS and engine and engine.returncode is None:
                self.say(f"the engine has shown no sign of life for {SILENT_SECONDS:.0f} s; ending it")
                since = time.monotonic()
                with contextlib.suppress(ProcessLookupError):
                    engine.kill()
                await asyncio.to_thread(self._alarm)

    def _alarm(self) -> None:
        """Tell that the engine was frozen, by ways that need no engine."""
        spool, trunks = self.settings.inside("asterisk", "spool"), self.settings.asterisk.trunks
        calls = CallFiles(spool, trunks[0].name if trunks else demo_trunk(self.settings.base_port).name)
        whom = Addressees.read(self.settings.inside(ALARM_FILE))
        tell("engine_silent", "", whom, calls, self.secrets.webhook_secret)

    async def _stop(self) -> None:
        """The engine first, so that it can take its leave of Asterisk; each by its own process id."""
        if self.engine is not None and self.engine.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.engine.terminate()
            try:
                async with asyncio.timeout(STOP_ENGINE_SECONDS):
                    await self.engine.wait()
            except TimeoutError:
                self.say(f"the engine did not end within {STOP_ENGINE_SECONDS:.0f} s; killing it")
                self.engine.kill()
                await self.engine.wait()
        await self._drop_spare()
        if self.asterisk is not None:
            await self.asterisk.stop()

    # --------------------------------------------------------------------------------------- what is printed

    async def _tell_when_ready(self, begun: float) -> None:
        components: dict[str, Any] = {}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            warned = False
            while True:
                ready, found = await self._ask_ready(session)
                components = found or components
                if ready:
                    break
                if not warned and time.monotonic() - begun > READY_PATIENCE_SECONDS:
                    warned = True
                    self.say("the engine is not ready yet; still waiting" + _lacking(components))
                await asyncio.sleep(READY_POLL_SECONDS)
        self.was_ready = True
        self.say(self._welcome(time.monotonic() - begun) + _lacking(components))

    async def _ask_ready(self, session: aiohttp.ClientSession) -> tuple[bool, dict[str, Any]]:
        url = f"http://{self.settings.console.host}:{self.settings.console_port}/readyz"
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
            async with session.get(url) as answer:
                body = await answer.json(content_type=None)
                return answer.status == 200, body.get("components", {}) if isinstance(body, dict) else {}
        return False, {}

    def _welcome(self, seconds: float) -> str:
        settings, base = self.settings, self.settings.base_port
        lines = ["", f"Dozvon is ready after {seconds:.1f} s."]
        if not settings.asterisk.trunks:
            far_end = demo_trunk(base)
            lines += [
                f"  call as a resident     sip:+74950000112@127.0.0.1:{base}  (any softphone; your user name is the caller's",
                "                         number, e.g. +79160000042)",
                f"  the staff's phones     what the engine dials arrives at sip:NUMBER@{far_end.host}:{far_end.port}",
            ]
        for name in settings.asterisk.desk_phones:
            where = f"SIP server {settings.asterisk.sip_host}:{base}"
            lines.append(
                f"  an operator's phone    user {name}, password {self.secrets.desk_phones[name]}, {where}"
            )
        lines.append(f"  console                {self._link()}")
        lines.append("  stop                   Ctrl-C")
        return "\n".join(lines)

    def _link(self) -> str:
        """The engine's one-time link of the administrator; the plain address if there is none (any more)."""
        try:
            return (
                f"{self.settings.inside(LINK_FILE).read_text().strip()}  (opens once, for the administrator)"
            )
        except OSError:
            return self.settings.console_url


def _lacking(components: Mapping[str, Any]) -> str:
    """A line for every component that is not there, with how to get it."""
    lines = [
        f"  {name:<22} {part.get('state', 'missing')}" + (f": {part['detail']}" if part.get("detail") else "")
        for name, part in components.items()
        if isinstance(part, dict) and (not part.get("ready") or part.get("detail"))
    ]
    return "\nnot (fully) there:\n" + "\n".join(lines) if lines else ""


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
