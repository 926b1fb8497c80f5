"""`reaction`: from a callee's final response, or hang-up, to the next INVITE, both taken from the wire, with a hundred live escalations.

Ours are a hundred emergencies that walk through their house's people; the baseline is a hundred calls whose dialplan says `Dial` after
`Dial` with the same numbers. The same telephones ring for the same drawn times and then are busy, decline, or answer and hang up.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bench.company import CHAINS, PLACES, number_of, place_of
from bench.lines import Line, line, quantile, say
from bench.rig import Rig, rig
from bench.wire import Call, Network

BUSY, DECLINE, HANG_UP = "486 Busy Here", "603 Decline", "hang-up"
RING_SECONDS = (2.0, 5.0)
TALK_SECONDS = (0.3, 0.8)
LOST_AFTER_SECONDS = 5.0
BASELINE_DID = "+70001"

DIALPLAN = """\
[incoming]
exten => _{did}XXX,1,Set(CHAIN=${{EXTEN:-3}})
{dials} same => n,Hangup()
"""


@dataclass
class Phones:
    """The staff of all houses. Keeps, for each house, when its last call ended, until the next one rings."""

    net: Network
    seed: int
    waiting: dict[int, tuple[int, str]] = field(default_factory=dict)
    taken: dict[str, list[float]] = field(default_factory=lambda: {BUSY: [], DECLINE: [], HANG_UP: []})
    wrong: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    live: dict[int, Call] = field(default_factory=dict)
    over: bool = False
    cpu_ms: float = 0.0
    """What Asterisk and, for ours, the engine used meanwhile."""

    def __post_init__(self) -> None:
        self.net.on_invite = self._rung
        self.net.on_cancel = self._gone

    def _rung(self, call: Call) -> None:
        chain, place = place_of(call.number)
        if chain in self.live and not self.over:
            self.wrong += 1  # two at once in a tree that rings one by one
        self.live[chain] = call
        if (last := self.waiting.pop(chain, None)) is not None:
            self.taken[last[1]].append((call.begun_at - last[0]) / 1e6)
        call.rings()
        task = asyncio.create_task(self._behave(call, chain, place), name=f"phone {call.number}")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _behave(self, call: Call, chain: int, place: int) -> None:
        draw = random.Random(f"{self.seed}-{chain}-{place}")
        try:
            async with asyncio.timeout(draw.uniform(*RING_SECONDS)):
                await call.ended.wait()
                return
        except TimeoutError:
            pass
        how = (BUSY, DECLINE, HANG_UP)[(chain + place) % 3]
        if how is HANG_UP:
            call.answers()
            await call.answered.wait()
            await asyncio.sleep(draw.uniform(*TALK_SECONDS))
            if call.ended.is_set():
                return
        del self.live[chain]
        ended = call.hangs_up() if how is HANG_UP else call.refuses(how)
        self.waiting[chain] = (ended, how)

    def _gone(self, call: Call) -> None:
        if not self.over:
            self.wrong += 1  # nobody had told it to stop ringing
        self.live.pop(place_of(call.number)[0], None)

    async def stop(self) -> None:
        """End all telephones' scripts; what waits too long for its next call is counted as wrong."""
        now = asyncio.get_running_loop().time()
        while self.waiting and asyncio.get_running_loop().time() < now + LOST_AFTER_SECONDS:
            await asyncio.sleep(
                0.01
            )  # the scripts go on, so this ends when all are rung at one moment, or in vain
            if all(not self._overdue(ended) for ended, _ in self.waiting.values()):
                break
        self.over = True
        self.wrong += sum(self._overdue(ended) for ended, _ in self.waiting.values())
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _overdue(self, ended: int) -> bool:
        return time.time_ns() - ended > LOST_AFTER_SECONDS * 1e9


async def ours(built: Rig, net: Network, seed: int, seconds: float) -> Phones:
    """A hundred emergencies."""
    phones = Phones(net, seed)
    tickets = await asyncio.gather(*(built.open_ticket(chain, "chain") for chain in range(CHAINS)))

    async def end() -> None:
        await built.close_tickets(tickets)

    return await _let_ring(built, phones, seconds, end)


async def baseline(built: Rig, net: Network, seed: int, seconds: float) -> Phones:
    """A hundred calls whose dialplan dials."""
    phones = Phones(net, seed)
    callers = [net.call(f"{BASELINE_DID}{chain:03d}", "+4930100") for chain in range(CHAINS)]

    async def end() -> None:
        for caller in callers:
            if not caller.ended.is_set():
                caller.hangs_up()

    return await _let_ring(built, phones, seconds, end)


async def _let_ring(built: Rig, phones: Phones, seconds: float, end: Callable[[], Awaitable[None]]) -> Phones:
    before = built.asterisk_ms() + built.engine_ms()
    await asyncio.sleep(seconds)
    phones.cpu_ms = built.asterisk_ms() + built.engine_ms() - before
    await phones.stop()
    await end()
    phones.wrong += await built.quiet(10.0)
    return phones


async def run(quick: bool) -> list[Line]:
    """Median and p99 over all endings, and the medians of each."""
    rounds, seconds = (2, 6.0) if quick else (6, 11.0)  # shorter than the shortest walk through all people
    dials = "".join(
        f" same => n,Dial(PJSIP/+7900${{CHAIN}}{place:04d}@trunk,60,g)\n" for place in range(PLACES)
    )
    assert number_of(1, 2) == "+79000010002"
    ours_done: list[Phones] = []
    baseline_done: list[Phones] = []
    async with rig() as built:
        await built.dialplan(DIALPLAN.format(did=BASELINE_DID, dials=dials))
        with Network(built.far_end, built.sip_port).open() as net:
            for seed in range(rounds):
                ours_done.append(await ours(built, net, seed, seconds))
                baseline_done.append(await baseline(built, net, seed, seconds))
    return _lines(ours_done, baseline_done)


def _lines(ours_done: list[Phones], baseline_done: list[Phones]) -> list[Line]:
    def all_of(done: list[Phones], *kinds: str) -> list[float]:
        return [one for phones in done for kind in kinds for one in phones.taken[kind]]

    failed = sum(phones.wrong for phones in ours_done)
    if wrong := sum(phones.wrong for phones in baseline_done):
        say(f"reaction: {wrong} wrong in the baseline")
    found = []
    for name, kinds, part in (
        ("reaction median", (BUSY, DECLINE, HANG_UP), 0.5),
        ("reaction p99", (BUSY, DECLINE, HANG_UP), 0.99),
        ("reaction 486 median", (BUSY,), 0.5),
        ("reaction 603 median", (DECLINE,), 0.5),
        ("reaction hang-up median", (HANG_UP,), 0.5),
    ):
        mine, theirs = all_of(ours_done, *kinds), all_of(baseline_done, *kinds)
        found.append(line(name, quantile(mine, part), quantile(theirs, part), "ms", len(mine), failed))
        failed = 0

    def cpu(done: list[Phones]) -> float:
        return sum(phones.cpu_ms for phones in done) / max(1, len(all_of(done, BUSY, DECLINE, HANG_UP)))

    n = len(all_of(ours_done, BUSY, DECLINE, HANG_UP))
    return [*found, line("reaction CPU", cpu(ours_done), cpu(baseline_done), "CPU-ms/call", n, 0)]
