"""The parent's end of the softphone processes: as many workers as the calls need, each with at most four."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from engine.demo.child import Child, Event

CALLS_PER_WORKER = 4
"""The wheel is compiled with PJSUA_MAX_CALLS=4, whatever `uaConfig.maxCalls` asks for."""
SPARE_SLOTS = 6
"""With fewer left another worker starts, which takes a second."""
RTP_PORTS_PER_WORKER = 20


class Worker(Child):
    """One subprocess of `engine.demo.worker`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        super().__init__(process)
        self.calls: set[str] = set()
        self.reader: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Where it takes SIP."""
        return int(self.ready["port"])


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
        await asyncio.gather(*(worker.quit() for worker in self._workers))
        await asyncio.gather(*(worker.reader for worker in self._workers if worker.reader is not None))

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
        if slots + CALLS_PER_WORKER * len(self._starting) < SPARE_SLOTS and not self._closing:
            task = asyncio.create_task(self._start(), name="softphones: start a worker")
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self) -> None:
        rtp = self._rtp_port + RTP_PORTS_PER_WORKER * self._started if self._rtp_port else 0
        self._started += 1
        log = self._recordings / f"worker-{self._started}.log"
        worker = await Worker.start("engine.demo.worker", self._recordings, rtp, log=log)
        worker.reader = asyncio.create_task(
            self._read(worker), name=f"softphones: worker {worker.process.pid}"
        )
        self._workers.append(worker)
        self._grown.set()

    async def _read(self, worker: Worker) -> None:
        async for event in worker.events():
            if event["event"] == "ended":
                worker.calls.discard(event["call"])
                self._grown.set()
            self._on_event(worker, event)
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
