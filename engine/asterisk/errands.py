"""Short work that must come to its end even if whoever began it is cancelled: clearing up in Asterisk."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Errands:
    """The owner of such tasks. Nothing here runs for longer than its own time-outs."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def begin(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start the work; await it through `asyncio.shield`, so that it outlives the one who waits."""
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def finish(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Do the work and return its result; when cancelled, stop waiting, not working."""
        return await asyncio.shield(self.begin(work, name))

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("errand failed", errand=task.get_name(), reason=str(error))

    async def close(self, seconds: float) -> None:
        """Let what runs come to its end, and cancel what has not after `seconds`."""
        while running := set(self._running):
            _, late = await asyncio.wait(running, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.gather(*late, return_exceptions=True)
