"""`first-ring`: how soon the first phone rings: from the API's 201, and from the key with which a resident says that it is an emergency.

The INVITE's instant is the kernel's; the 201's is when the client has read it, the key's when the first RTP packet that ends it leaves.
"""

from __future__ import annotations

import asyncio
import time

from bench.company import CHAINS, DID
from bench.lines import Line, line, quantile
from bench.rig import Rig, rig
from bench.wire import Call, Network

RESIDENT = "+79160000042"
EMERGENCY_KEY = "1"
PATIENCE_SECONDS = 8.0
QUESTION_SECONDS = 0.3  # into the question: a key pressed earlier waits for it
BETWEEN_SECONDS = 0.1


class Rings:
    """Hands each ringing phone to whoever waits for it; one at a time."""

    def __init__(self, net: Network) -> None:
        self._rung: asyncio.Queue[Call] = asyncio.Queue()
        net.on_invite = self._take

    def _take(self, call: Call) -> None:
        call.rings()
        self._rung.put_nowait(call)

    async def next(self) -> Call | None:
        """The next phone that rings; None if none does in time."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._rung.get()
        except TimeoutError:
            return None


async def from_api(built: Rig, rings: Rings, chain: int) -> float | None:
    """Milliseconds from the 201 to the INVITE (0 if it was there first); None: nobody was rung."""
    ticket = await built.open_ticket(chain, "one")
    told = time.time_ns()
    call = await rings.next()
    await built.close_tickets([ticket])
    if call is None:
        return None
    await call.ended.wait()
    return max(0.0, (call.begun_at - told) / 1e6)


async def from_key(built: Rig, net: Network, rings: Rings) -> float | None:
    """Milliseconds from the resident's key to the INVITE; None: nobody was rung."""
    since = built.last_ticket()
    resident = net.call(DID, RESIDENT)
    await built.until_counted(since, "RecordingAnnounced", 1, PATIENCE_SECONDS)
    await asyncio.sleep(QUESTION_SECONDS)
    pressed = resident.presses(EMERGENCY_KEY)
    rung = await rings.next()
    resident.hangs_up()
    await built.close_tickets([built.last_ticket()])
    if rung is None:
        return None
    await rung.ended.wait()
    return (rung.begun_at - pressed) / 1e6


async def run(quick: bool) -> list[Line]:
    """p99 and median of both."""
    from_201: list[float | None] = []
    from_keys: list[float | None] = []
    async with rig() as built:
        with Network(built.far_end, built.sip_port).open() as net:
            rings = Rings(net)
            for chain in range(50 if quick else 300):
                from_201.append(await from_api(built, rings, chain % CHAINS))
                await asyncio.sleep(BETWEEN_SECONDS)
            for _ in range(8 if quick else 60):
                from_keys.append(await from_key(built, net, rings))
                await asyncio.sleep(BETWEEN_SECONDS)
            left = await built.quiet()
    found = []
    for name, all_of in (("from 201", from_201), ("from key", from_keys)):
        taken = [one for one in all_of if one is not None]
        failed = len(all_of) - len(taken) + left
        found.append(line(f"first-ring {name} median", quantile(taken, 0.5), None, "ms", len(taken), failed))
        found.append(line(f"first-ring {name} p99", quantile(taken, 0.99), None, "ms", len(taken), 0))
        left = 0
    return found
