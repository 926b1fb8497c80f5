"""Sends a text by each provider now and then, to a number where it does no harm: does it arrive?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog

from engine.domain.errors import StoreFailed
from engine.domain.wording import PROBE_TEXT
from engine.flows.deps import Deps
from engine.flows.texts.quiet import Ears
from engine.ports import Handed, Message

log = structlog.get_logger()

PROBE_PHASE = timedelta(hours=9)
"""After midnight UTC: a daily probe rings nobody's telephone at night in Russia."""


class Prober:
    """Knows whose turn it is; the same turn for all engines of a database, however often they restart."""

    def __init__(self, d: Deps, ears: Ears) -> None:
        self._d = d
        self._ears = ears
        self._last: int | None = None

    def turn(self, now: datetime) -> int | None:
        """The number of the probe that is to be sent now; None mostly, and at the start."""
        if self._d.texting.probe_to is None:
            return None
        turn = int((now - datetime.fromtimestamp(0, UTC) - PROBE_PHASE) // self._d.texting.probe_every)
        before, self._last = self._last, turn
        return turn if before is not None and before != turn else None

    async def probe(self, turn: int, providers: Sequence[str]) -> None:
        """Send them. What becomes of each is told to the ears; nothing is raised."""
        for name in providers:
            try:
                await self._probe(turn, name, [other for other in providers if other != name])
            except (ConnectionError, LookupError, ValueError, StoreFailed) as error:
                self._ears.probe_failed(name, str(error))
            except Exception as error:
                log.exception("a probe broke", provider=name)
                self._ears.probe_failed(name, repr(error))

    async def _probe(self, turn: int, name: str, others: Sequence[str]) -> None:
        d, id = self._d, f"probe-{name}-{turn}"
        assert d.texting.probe_to is not None
        if await d.store.claim(id, d.engine, d.texting.probe_every.total_seconds()):
            self._ears.probing(
                name, id, d.clock.now()
            )  # before it is sent: a report can be faster than an answer
            handed = await self._send(Message(id, d.texting.probe_to, PROBE_TEXT, ""), others)
            self._ears.probed(name, handed.references, handed.reports)

    async def _send(self, message: Message, others: Sequence[str]) -> Handed:
        """Hand it to the one provider that is left, for whichever company it sends."""
        for company in self._d.companies():
            try:
                return await self._d.texts.send(replace(message, company=company.id), avoid=others)
            except LookupError:
                continue
        raise LookupError("он не отправляет SMS ни одной компании")
