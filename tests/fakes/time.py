"""Virtual time: an event loop whose clock jumps to the next timer as soon as nothing else is to be done."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(2026, 11, 21, 0, 0, tzinfo=UTC)
STUCK = "nothing can ever happen any more: every task waits for something that nobody will do"


class _JumpingSelector(selectors.DefaultSelector):  # type: ignore[valid-type,misc]
    """Never waits: the loop's clock moves instead."""

    jump: Callable[[float], None]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError(STUCK)
        if not ready and timeout:
            self.jump(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at 0; `EPOCH + time()` is the instant that `VirtualClock` tells."""

    def __init__(self) -> None:
        self._virtual = 0.0
        selector = _JumpingSelector()
        selector.jump = self._jump
        super().__init__(selector)

    def _jump(self, seconds: float) -> None:
        self._virtual += seconds

    def time(self) -> float:
        return self._virtual


class VirtualClock:
    """`ports.Clock` on the running loop; `skew` is what somebody did to the computer's clock."""

    def __init__(self, epoch: datetime = EPOCH) -> None:
        self.epoch = epoch
        self.skew = timedelta(0)

    def now(self) -> datetime:
        return self.epoch + self.skew + timedelta(seconds=asyncio.get_running_loop().time())


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test in virtual time. Any task left over is a failure of the test, as anywhere."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(_await(test(*args, **kwargs)))

    return run


async def _await(work: Awaitable[None]) -> None:
    await work
