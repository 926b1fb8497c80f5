"""The parent's end of the softphone processes: as many workers as the calls need, each with at most four."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CALLS_PER_WORKER = 4
"""The wheel is compiled with PJSUA_MAX_CALLS=4, whatever `uaConfig.maxCalls` asks for."""
READY_SECONDS = 15.0
QUIT_SECONDS = 3.0
RTP_PORTS_PER_WORKER = 20

Event = dict[str, Any]


class SoftphoneError(RuntimeError):
    """The softphones themselves do not work: not an outcome of a call."""


@dataclass(eq=False)
class Worker:
    """One subprocess of `engine.demo.worker`."""

    process: asyncio.subprocess.Process
    port: int
    calls: set[str] = field(default_factory=set)
    reader: asyncio.Task[None] | None = None

    def tell(self, do: str, call: str = "", **fields: Any) -> None:
        """Send one command; a worker that has died says so through its calls' `ended`, not here."""
        assert self.process.stdin is not None
        if not self.process.stdin.is_closing():
            self.process.stdin.write(json.dumps({"do": do, "call": call, **fields}).encode() + b"\n")


class Pool:
    """Keeps a few calls' worth of workers ready, so that a ring never waits for a process to start.

    `on_event` gets every event of every worker, on the event loop; a worker that dies ends each of its calls with an
    event `ended` whose code is None.
    """

    def __init__(
        self, recordings: Path, rtp_port: int, ready: int, on_event: Callable[[Worker, Event], None]
    ) -> None:
        self._recordings = recordings
        self._rtp_port = rtp_port
        self._ready = ready
        self._on_event = on_event
        self._workers: list[Worker] = []
        self._started = 0
        self._starting: set[asyncio.Task[None]] = set()
        self._grown = asyncio.Event()
        self._closing = False
        self.lost = 0

    @property
    def processes(self) -> list[int]:
        return [worker.process.pid for worker in self._workers]

    async def open(self) -> None:
        self._recordings.mkdir(parents=True, exist_ok=True)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._ready):
                    group.create_task(self._start())
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Hang up and end every worker; one that does not quit in time is killed."""
        self._closing = True
        await asyncio.gather(*self._starting, return_exceptions=True)
        for worker in self._workers:
            worker.tell("quit")
        for worker in list(self._workers):
            try:
                await asyncio.wait_for(worker.process.wait(), QUIT_SECONDS)
            except TimeoutError:
                worker.process.kill()
                await worker.process.wait()
            assert worker.reader is not None
            await worker.reader

    def take(self, call: str) -> Worker | None:
        """The least busy worker, now charged with `call`; None when all are full (one more is then starting)."""
        free = [worker for worker in self._workers if len(worker.calls) < CALLS_PER_WORKER]
        worker = min(free, key=lambda each: len(each.calls), default=None)
        if worker is not None:
            worker.calls.add(call)
        self._grow_if_short()
        return worker

    async def take_soon(self, call: str) -> Worker:
        """As `take`, waiting for a worker to start. Cancel to give up."""
        while (worker := self.take(call)) is None:
            self._grown.clear()
            await self._grown.wait()
        return worker

    def _grow_if_short(self) -> None:
        slots = sum(CALLS_PER_WORKER - len(worker.calls) for worker in self._workers)
        if slots + CALLS_PER_WORKER * len(self._starting) < CALLS_PER_WORKER and not self._closing:
            task = asyncio.create_task(self._start(), name="softphones: start a worker")
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self) -> None:
        rtp = self._rtp_port + RTP_PORTS_PER_WORKER * self._started if self._rtp_port else 0
        self._started += 1
        path = self._recordings / f"worker-{self._started}.log"
        with path.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-m",
                    "engine.demo.worker",
                    str(self._recordings),
                    str(rtp),
                    str(os.getpid()),
                ),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert process.stdout is not None
        try:
            first = await asyncio.wait_for(process.stdout.readline(), READY_SECONDS)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        if not first:
            await process.wait()
            said = path.read_text(errors="replace").strip().splitlines()[-20:]
            raise SoftphoneError(
                "\n    ".join(["a softphone did not start (is 'dozvon[demo]' installed?):", *said])
            )
        worker = Worker(process, json.loads(first)["port"])
        worker.reader = asyncio.create_task(self._read(worker), name=f"softphones: worker {process.pid}")
        self._workers.append(worker)
        self._grown.set()

    async def _read(self, worker: Worker) -> None:
        assert worker.process.stdout is not None
        async for line in worker.process.stdout:
            event: Event = json.loads(line)
            if event["event"] == "ended":
                worker.calls.discard(event["call"])
                self._grown.set()
            self._on_event(worker, event)
        await worker.process.wait()
        self._workers.remove(worker)
        if not self._closing:
            self.lost += 1
        now = asyncio.get_running_loop().time()
        for call in list(worker.calls):
            self._on_event(
                worker,
                {"event": "ended", "call": call, "at": now, "code": None, "reason": "lost", "wav": None},
            )
        worker.calls.clear()
