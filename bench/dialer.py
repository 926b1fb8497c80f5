"""`dialer`: outbound calls a second, none failed, while two hundred recorded calls are up.

The two hundred are SIPp's, with sound, held by a bare dialplan on both sides. Ours are tickets from the API, each of which rings one
person who answers and hangs up half a second later; the baseline is a loop of ARI originates into a dialplan that records and waits for
the same person. A call fails if its phone did not ring within 2 s of being asked for, or was not recorded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from bench.company import CHAINS, number_of
from bench.ladder import climb
from bench.lines import Line, line
from bench.rig import Rig, rig
from bench.sipp import residents
from bench.wire import Call, Network

HELD = 200
HOLD_ARRIVALS_A_SECOND = 40.0
LATE_SECONDS = 2.0
TALK_SECONDS = 0.5
HOLD_DID = "+70004000000"
LADDER = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0)
QUICK_LADDER = (5.0, 10.0, 20.0)

DIALPLAN = """\
[incoming]
exten => {did},1,Answer()
 same => n,MixMonitor(,r({folder}/held-${{CHANNEL(uniqueid)}}-in.wav)t({folder}/held-${{CHANNEL(uniqueid)}}-out.wav))
 same => n,Wait(600)

[bench-out]
exten => s,1,MixMonitor(,r({folder}/${{CHANNEL(uniqueid)}}-in.wav)t({folder}/${{CHANNEL(uniqueid)}}-out.wav))
 same => n,Wait(60)
"""

Ask = Callable[[int], Awaitable[object]]
"""Ask for one call to somebody of that house."""


class Answering:
    """The people: each answers at once and hangs up after a while. Keeps when each phone rang."""

    def __init__(self, net: Network) -> None:
        self.rang: list[int] = []
        self._talks: set[asyncio.Task[None]] = set()
        net.on_invite = self._take

    def _take(self, call: Call) -> None:
        self.rang.append(call.begun_at)
        call.answers()
        talk = asyncio.create_task(self._talk(call), name=f"phone {call.number}")
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(self, call: Call) -> None:
        await call.answered.wait()
        await asyncio.sleep(TALK_SECONDS)
        if not call.ended.is_set():
            call.hangs_up()


async def dial(people: Answering, ask: Ask, rate: float, seconds: float) -> tuple[int, int]:
    """Ask for calls at that rate for so long: (calls, those that rang late or never)."""
    people.rang.clear()
    calls = int(rate * seconds)
    asked: list[int] = []
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(calls):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            asked.append(time.time_ns())
            group.create_task(_asked(ask, number % CHAINS), name=f"ask {number}")
    deadline = time.monotonic() + LATE_SECONDS
    while len(people.rang) < calls and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    late = sum(
        (rung - begun) / 1e9 > LATE_SECONDS for begun, rung in zip(asked, sorted(people.rang), strict=False)
    )
    return calls, late + abs(calls - len(people.rang))


async def _asked(ask: Ask, chain: int) -> None:
    await ask(chain)


async def ours(built: Rig, people: Answering, rate: float, seconds: float) -> tuple[int, int]:
    """By tickets."""
    since = built.last_ticket()
    tickets: list[int] = []

    async def ask(chain: int) -> None:
        tickets.append(await built.open_ticket(chain, "one"))

    calls, failed = await dial(people, ask, rate, seconds)
    found = await built.until_counted(since, "RecordingAttached", calls)
    await built.close_tickets(tickets)
    flaws = built.flaws(since, but="silent")  # they say nothing, and may be gone before our first word
    return calls, max(failed, calls - found.get("RecordingAttached", 0), flaws)


async def baseline(
    built: Rig, people: Answering, folder: Path, rate: float, seconds: float
) -> tuple[int, int]:
    """By originates."""
    settings = built.asterisk.settings
    user = aiohttp.BasicAuth(settings.ari_user, settings.ari_password)
    async with aiohttp.ClientSession(auth=user, connector=aiohttp.TCPConnector(limit=40)) as client:

        async def ask(chain: int) -> None:
            query = {
                "endpoint": settings.dial_string(number_of(chain, 0)),
                "context": "bench-out",
                "extension": "s",
                "priority": "1",
            }
            async with client.post(f"{settings.ari_url}/channels", params=query) as answer:
                answer.raise_for_status()

        calls, failed = await dial(people, ask, rate, seconds)
    await asyncio.sleep(2 * TALK_SECONDS)
    recorded = [file for file in folder.glob("*-in.wav") if not file.name.startswith("held-")]
    for file in recorded:
        file.unlink()
    return calls, max(failed, calls - len(recorded))


async def run(quick: bool) -> list[Line]:
    """The highest rate of the ladder on both sides."""
    ladder, seconds = (QUICK_LADDER, 3.0) if quick else (LADDER, 8.0)
    async with rig() as built:
        folder = built.folder / "bare"
        folder.mkdir()
        await built.dialplan(DIALPLAN.format(did=HOLD_DID, folder=folder))
        with Network(built.far_end, built.sip_port).open() as net:
            people = Answering(net)
            hold = 2 * len(ladder) * (seconds + 12.0) + HELD / HOLD_ARRIVALS_A_SECOND
            held = asyncio.create_task(
                residents(
                    built.folder,
                    built.sip_port,
                    HOLD_DID,
                    rate=HOLD_ARRIVALS_A_SECOND,
                    calls=HELD,
                    talk_seconds=hold,
                ),
                name="the held calls",
            )
            try:
                await asyncio.sleep(HELD / HOLD_ARRIVALS_A_SECOND + 1.0)
                up = await built.asterisk.channels_count()
                theirs, _ = await climb(
                    "dialer, baseline", ladder, lambda rate: baseline(built, people, folder, rate, seconds)
                )
                mine, calls = await climb("dialer", ladder, lambda rate: ours(built, people, rate, seconds))
                still = await built.asterisk.channels_count()
            finally:
                held.cancel()
                await asyncio.wait({held})
    failed = max(0, HELD - min(up, still))
    return [line("dialer", mine, theirs, "calls/s", calls, failed, 0)]
