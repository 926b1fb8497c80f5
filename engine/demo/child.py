"""The helper processes of the softphones, at both ends: commands go in and events come out, one JSON object a line.

Each is a machine of its own in the world that it plays, so it goes before everybody (SCHED_RR), if it may; and it dies with its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self

READY_SECONDS = 15.0
QUIT_SECONDS = 3.0
PR_SET_PDEATHSIG = 1
NICENESS = -10

Event = dict[str, Any]
"""`event` says what, `at` when (`time.monotonic()`, which on Linux all processes share); the rest is the event's own."""


class SoftphoneError(RuntimeError):
    """The softphones themselves do not work: not an outcome of a call."""


# --- the child's end -----------------------------------------------------------------------------------------------------------------


def begin(parent: int) -> bool:
    """First thing in a child. False: the parent was gone before we could ask to die with it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return False
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    return True


def tell(output: int, event: str, **fields: Any) -> None:
    """Write one event to that file descriptor."""
    os.write(output, (json.dumps({"event": event, "at": time.monotonic(), **fields}) + "\n").encode())


class Commands:
    """What the parent says on standard input."""

    def __init__(self) -> None:
        self._rest = b""
        self.over = False
        """The parent says no more."""

    def read(self) -> list[Event]:
        """The commands that are there, waiting for one if there is none."""
        data = os.read(0, 65536)
        self.over = self.over or not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]


# --- the parent's end ----------------------------------------------------------------------------------------------------------------


class Child:
    """One helper process, by `await Child.start(…)`; then read its `events()` to their end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.ready: Event = {}
        """The event with which it began."""

    @classmethod
    async def start(cls, module: str, *arguments: object, log: Path, files: Sequence[int] = ()) -> Self:
        """`python -m MODULE ARGUMENTS PARENT_PID`, and its first event. Raises `SoftphoneError` with the end of its log."""
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, *map(str, arguments), str(os.getpid())),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                pass_fds=files,
            )
        child = cls(process)
        try:
            assert process.stdout is not None
            first = await asyncio.wait_for(process.stdout.readline(), READY_SECONDS)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        if not first:
            await process.wait()
            raise SoftphoneError(_last_words(log))
        child.ready = json.loads(first)
        return child

    def tell(self, do: str, call: str = "", **fields: Any) -> None:
        """Send one command; a child that has died says so by the end of its events, not here."""
        assert self.process.stdin is not None
        if not self.process.stdin.is_closing():
            self.process.stdin.write(json.dumps({"do": do, "call": call, **fields}).encode() + b"\n")

    async def events(self) -> AsyncIterator[Event]:
        """What it says, until it ends."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            yield json.loads(line)
        await self.process.wait()

    async def quit(self) -> None:
        """Ask it to end; one that does not in time is killed."""
        self.tell("quit")
        try:
            await asyncio.wait_for(self.process.wait(), QUIT_SECONDS)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


def _last_words(log: Path) -> str:
    said = log.read_text(errors="replace").strip().splitlines()[-20:]
    return "\n    ".join(["a softphone did not start (is 'dozvon[demo]' installed?):", *said])
