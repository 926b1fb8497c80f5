"""`accept`: from the accepting key's RTP packet to the CANCEL of every other phone that rings.

Five people are rung at once; one answers, hears the briefing, and presses the key that was drawn for this call.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from bench.company import CHAINS, place_of
from bench.lines import Line, line, quantile
from bench.rig import Rig, rig
from bench.wire import Call, Network

PEOPLE = 5
PATIENCE_SECONDS = 8.0
POLL_SECONDS = 0.02
SETTLE_SECONDS = 0.3
AT_ONCE = 4


class Crowds:
    """The five phones of each house."""

    def __init__(self, net: Network) -> None:
        self.calls: defaultdict[int, list[Call]] = defaultdict(list)
        self._all: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)
        net.on_invite = self._take

    def _take(self, call: Call) -> None:
        call.rings()
        chain, _ = place_of(call.number)
        self.calls[chain].append(call)
        if len(self.calls[chain]) == PEOPLE:
            self._all[chain].set()

    async def ringing(self, chain: int) -> list[Call]:
        """All five, once they ring."""
        await self._all[chain].wait()
        return self.calls[chain]


async def accepted(built: Rig, crowds: Crowds, chain: int) -> float | None:
    """Milliseconds from the key to the last CANCEL; None: not all were told."""
    ticket = await built.open_ticket(chain, "crowd")
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            first, *others = await crowds.ringing(chain)
            first.answers()
            await first.answered.wait()
            key = await _key(built, ticket)
            await asyncio.sleep(SETTLE_SECONDS)
            pressed = first.presses(key)
            await asyncio.gather(*(call.ended.wait() for call in others))
    except TimeoutError:
        return None
    finally:
        await built.close_tickets([ticket])
    return max((call.cancelled_at or 0) - pressed for call in others) / 1e6


async def _key(built: Rig, ticket: int) -> str:
    while True:
        events: Any = await built.api("GET", f"/api/v1/tickets/{ticket}/events")
        for event in events["events"]:
            if event["type"] == "RobocallAnswered":
                return str(event["accept_key"])
        await asyncio.sleep(POLL_SECONDS)


async def run(quick: bool) -> list[Line]:
    """Median and p99."""
    chains = range(40 if quick else CHAINS)
    some = asyncio.Semaphore(AT_ONCE)
    async with rig() as built:
        with Network(built.far_end, built.sip_port).open() as net:
            crowds = Crowds(net)

            async def one(chain: int) -> float | None:
                async with some:
                    return await accepted(built, crowds, chain)

            found = await asyncio.gather(*(one(chain) for chain in chains))
            left = await built.quiet()
    taken = [one for one in found if one is not None]
    failed = len(found) - len(taken) + left
    return [
        line("accept median", quantile(taken, 0.5), None, "ms", len(taken), failed),
        line("accept p99", quantile(taken, 0.99), None, "ms", len(taken), 0),
    ]
