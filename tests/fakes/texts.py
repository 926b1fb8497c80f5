"""A text gateway in memory that passes the same contract suite as the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from engine.ports import Delivery, Handed, Heard, Incoming, Message, Report


class Outbox:
    """`ports.Texts` that keeps what was sent. Told so, it is away, refuses a number, or is slow; reports come when told."""

    def __init__(self, *providers: str) -> None:
        self.providers = providers or ("outbox",)
        self.sent: list[Message] = []
        self.sent_by: list[str] = []
        self.away: set[str] = set()
        self.refused: set[str] = set()
        self.seconds = 0.0
        """How long handing over takes."""
        self.reports = False
        self._heard: Heard | None = None
        self._serving = asyncio.Event()

    async def send(self, message: Message, avoid: Collection[str] = ()) -> Handed:
        left = [name for name in self.providers if name not in avoid]
        if not left:
            raise LookupError("every provider was tried")
        if self.seconds:
            await asyncio.sleep(self.seconds)
        up = [name for name in left if name not in self.away]
        if not up:
            raise ConnectionError("the gateway is away")
        if message.number in self.refused:
            raise ValueError("the number is refused")
        self.sent.append(message)
        self.sent_by.append(up[0])
        return Handed(up[0], (f"{up[0]}/{message.id}",), self.reports)

    async def probe(self) -> Mapping[str, str | None]:
        return {name: "away" if name in self.away else None for name in self.providers}

    async def serve(self, heard: Heard) -> None:
        self._heard = heard
        self._serving.set()
        await asyncio.Event().wait()

    async def report(
        self, message: Message, state: Delivery = Delivery.DELIVERED, by: str | None = None
    ) -> None:
        """The network reports on a message."""
        provider = by or self.providers[0]
        await self.hears(Report(provider, state, reference=f"{provider}/{message.id}"))

    async def writes(self, number: str, body: str, reference: str | None = None) -> None:
        """Somebody texts us."""
        await self.hears(Incoming(self.providers[0], number, body, reference=reference))

    async def hears(self, what: Report | Incoming) -> None:
        await self._serving.wait()
        assert self._heard is not None
        await self._heard(what)
