"""One engine of a database is on duty. Another on the same PostgreSQL stands by, and takes over when the lease has run out.

Two that walk the same emergencies would each take the other's calls for lost, and ring people twice. An engine that can no longer renew
its lease because the database is away commits nothing, and so begins nothing, until it is back: then it learns whether it still has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import structlog

from engine.domain.errors import DozvonError, StoreFailed
from engine.ports import Store

log = structlog.get_logger()


class DutyLost(DozvonError):
    """Another engine has taken over meanwhile."""


@dataclass(frozen=True, slots=True)
class Duty:
    """The lease of the engine that is called `engine`; a restarted one has it at once. All durations are seconds.

    `alive` is called at each try: who stands by for weeks has not frozen.
    """

    store: Store
    engine: str
    alive: Callable[[], None] = lambda: None
    lease: float = 10.0
    renewed_every: float = 2.0
    asked_every: float = 1.0

    async def taken(self, stopping: asyncio.Event) -> bool:
        """Wait until this engine is the one on duty. False: it was stopped before."""
        standing_by = False
        while not stopping.is_set():
            self.alive()
            try:
                if await self._claim():
                    if standing_by:
                        log.warning("the engine that was on duty is gone: this one takes over")
                    return True
            except StoreFailed as error:
                log.warning("the database does not answer", error=str(error))
            else:
                if not standing_by:
                    log.warning("another engine of this database is on duty: this one stands by")
                standing_by = True
            try:
                await asyncio.wait_for(stopping.wait(), self.asked_every)
            except TimeoutError:
                continue
        return False

    async def kept(self) -> NoReturn:
        """Renew the lease for ever. Raises `DutyLost` if another engine has taken it, after we were frozen or cut off for long."""
        while True:
            await asyncio.sleep(self.renewed_every)
            try:
                if not await self._claim():
                    raise DutyLost(
                        "another engine of this database has taken over; this one stands by from now on"
                    )
            except StoreFailed as error:
                log.warning("the duty could not be renewed", error=str(error))

    async def _claim(self) -> bool:
        return await self.store.claim("engine", self.engine, self.lease)
