"""Helper processes for what would stall the loop or could take it along: synthesis, joining, encoding.

A worker is `python -m MODULE` whose `main` calls `serve`. It gets one errand at a time as a line of JSON on stdin and answers with
one line on stdout. It is niced, dies with its parent, is killed when an errand takes too long, and is started again for the next.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

Errand = Mapping[str, Any]
Answer = dict[str, Any]

NICENESS = 10
URGENT, USUAL, IDLE = 0, 10, 20
"""Priorities: a call that waits goes before what nobody waits for."""


class WorkerFailed(RuntimeError):
    """The errand failed, its worker died of it, or its time ran out (`TimeoutError` is then the cause). Another one may succeed."""


class _Process:
    """One helper process, started when it is first needed."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, errand: Errand, timeout: float) -> Answer:
        request = json.dumps(errand, ensure_ascii=False).encode() + b"\n"
        try:
            async with asyncio.timeout(timeout):
                try:
                    line = await self._exchange(request)
                except (
                    ConnectionError
                ):  # it may have died earlier, of something else: a fresh one gets a chance
                    await self.kill()
                    line = await self._exchange(request)
        except (TimeoutError, ConnectionError) as trouble:
            await self.kill()
            raise WorkerFailed(f"{self._module}: {trouble or f'no answer within {timeout} s'}") from trouble
        except asyncio.CancelledError:
            await self.kill()  # its answer would be taken for that of the next errand
            raise
        answer: Answer = json.loads(line)
        if error := answer.get("error"):
            raise WorkerFailed(f"{self._module}: {error}")
        return answer

    async def _exchange(self, request: bytes) -> bytes:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", self._module),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C is for the engine, which then ends its workers, and what they run, itself
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(request)
        await stdin.drain()
        if not (line := await stdout.readline()):
            raise ConnectionError(f"the worker died (exit code {await self._process.wait()})")
        return line

    async def kill(self) -> None:
        if process := self._process:
            self._process = None
            with suppress(ProcessLookupError):
                os.killpg(
                    process.pid, signal.SIGKILL
                )  # with the programs that it runs, which might go on writing
            await process.wait()


class Workers:
    """A few like workers and the errands that wait for one, the urgent first."""

    def __init__(self, module: str, processes: int) -> None:
        self._module = module
        self._processes = processes
        self._waiting: asyncio.PriorityQueue[tuple[int, int, Errand, float, asyncio.Future[Answer]]]
        self._waiting = asyncio.PriorityQueue()
        self._order = itertools.count()

    async def ask(self, errand: Errand, *, timeout: float, priority: int = USUAL) -> Answer:
        """Have an errand done; `timeout` (seconds) runs from its start. Raises `WorkerFailed`."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((priority, next(self._order), errand, timeout, future))
        return await future

    @property
    def backlog(self) -> int:
        """How many errands wait for a free worker."""
        return self._waiting.qsize()

    async def _work(self) -> None:
        process = _Process(self._module)
        try:
            while True:
                *_, errand, timeout, future = await self._waiting.get()
                if future.done():  # whoever asked has gone
                    continue
                try:
                    answer = await process.ask(errand, timeout)
                except asyncio.CancelledError:
                    future.cancel()
                    raise
                except Exception as failed:  # whatever it is, it is the asker's; this worker goes on
                    if not future.done():
                        future.set_exception(failed)
                else:
                    if not future.done():
                        future.set_result(answer)
        finally:
            await process.kill()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Workers]:
        """Accept errands while the block lasts; what still waits at its end is cancelled."""
        tasks = [
            asyncio.create_task(self._work(), name=f"{self._module} worker {n}")
            for n in range(self._processes)
        ]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            while not self._waiting.empty():
                self._waiting.get_nowait()[-1].cancel()


def serve(do: Callable[[Errand], Answer]) -> None:
    """The worker's side: do errands until stdin ends. An exception becomes an error answer."""
    _die_with_parent()
    with suppress(OSError):
        os.nice(NICENESS)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # a library that prints must not spoil the answers
    for line in sys.stdin:
        try:
            answer = do(json.loads(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        try:
            answers.write(json.dumps(answer, ensure_ascii=False) + "\n")
        except BrokenPipeError:
            return  # nobody waits for it any more


def _die_with_parent() -> None:
    """Ask Linux for SIGKILL when the parent dies; elsewhere the end of stdin must do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
