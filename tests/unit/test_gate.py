"""The gate of a trunk, in virtual time: so many a second, so many at once, emergencies first, and nothing leaks."""

from __future__ import annotations

import asyncio
import random

import pytest

from engine.domain.model import Urgency
from engine.flows.staff.gate import Gate, Gates
from tests.fakes.time import virtual

EMERGENCY, URGENT, NORMAL = Urgency.EMERGENCY, Urgency.URGENT, Urgency.NORMAL


class Line:
    """Calls through a gate; keeps when each of them began."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.began: list[tuple[float, str]] = []
        self.up = self.most = 0

    async def call(self, name: str, urgency: Urgency = EMERGENCY, seconds: float = 0.0) -> None:
        async with self.gate.slot(urgency):
            self.began.append((round(asyncio.get_running_loop().time(), 6), name))
            self.up += 1
            self.most = max(self.most, self.up)
            try:
                await asyncio.sleep(seconds)
            finally:
                self.up -= 1


@virtual
async def test_a_burst_passes_at_once_and_then_so_many_a_second() -> None:
    line = Line(Gate(rate=2.0, burst=3, channels=100))
    await asyncio.gather(*(line.call(str(n)) for n in range(7)))
    assert [at for at, _ in line.began] == [0.0, 0.0, 0.0, 0.5, 1.0, 1.5, 2.0]


@virtual
async def test_tokens_gather_while_nobody_calls_but_no_more_than_a_burst() -> None:
    line = Line(Gate(rate=10.0, burst=2, channels=100))
    await asyncio.gather(*(line.call("a") for _ in range(2)))
    await asyncio.sleep(3600)
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(line.call("b") for _ in range(3)))
    assert [round(at - began, 3) for at, name in line.began if name == "b"] == [0.0, 0.0, 0.1]


@virtual
async def test_no_more_channels_than_were_sold() -> None:
    line = Line(Gate(rate=1000.0, burst=1000, channels=3))
    await asyncio.gather(*(line.call(str(n), seconds=1.0) for n in range(9)))
    assert line.most == 3
    assert [at for at, _ in line.began] == [0.0] * 3 + [1.0] * 3 + [2.0] * 3


@virtual
async def test_emergencies_go_first_then_who_came_first() -> None:
    line = Line(Gate(rate=1.0, burst=1, channels=100))
    order = [("u1", URGENT), ("n1", NORMAL), ("u2", URGENT), ("e1", EMERGENCY), ("e2", EMERGENCY)]
    first = asyncio.create_task(line.call("first"))
    await asyncio.sleep(0)
    await asyncio.gather(first, *(line.call(name, urgency) for name, urgency in order))
    assert [name for _, name in line.began] == ["first", "e1", "e2", "u1", "u2", "n1"]


@virtual
async def test_an_emergency_that_comes_later_overtakes_two_hundred_that_wait() -> None:
    line = Line(Gate(rate=1.0, burst=1, channels=100))
    waiting = [asyncio.create_task(line.call(str(n), URGENT)) for n in range(200)]
    await asyncio.sleep(10.5)
    assert line.gate.waiting == 189
    await line.call("emergency")
    assert line.began[-1] == (11.0, "emergency")
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert line.gate.waiting == 0


@virtual
async def test_who_gives_up_waiting_or_talking_leaves_the_line_to_others() -> None:
    line = Line(Gate(rate=1000.0, burst=1000, channels=1))
    talking = asyncio.create_task(line.call("talks", seconds=100))
    await asyncio.sleep(1)
    gives_up = asyncio.create_task(line.call("gives up"))
    await asyncio.sleep(1)
    gives_up.cancel()
    await asyncio.sleep(1)
    talking.cancel()
    await asyncio.gather(talking, gives_up, return_exceptions=True)
    await line.call("next")
    assert line.began[-1] == (3.0, "next")


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_no_slot_is_lost(seed: int) -> None:
    """Calls that begin, end, give up at any moment: afterwards every channel is free, and the limits were kept throughout."""

    @virtual
    async def story() -> None:
        rng = random.Random(seed)
        line = Line(Gate(rate=5.0, burst=3, channels=4))
        tasks = []
        for n in range(150):
            urgency = rng.choice([EMERGENCY, URGENT, NORMAL])
            tasks.append(asyncio.create_task(line.call(str(n), urgency, rng.uniform(0, 2))))
            await asyncio.sleep(rng.uniform(0, 0.4))
            if rng.random() < 0.4:
                rng.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert line.most <= 4
        assert line.gate.waiting == 0
        assert line.gate._busy == 0
        times = [at for at, _ in line.began]
        for first, last in zip(times, times[8:], strict=False):
            assert last - first > (9 - 3 - 1) / 5.0 - 1e-6, "more calls than rate and burst allow"

    story()


def test_a_dials_trunk_finds_its_gate_counting_round() -> None:
    one, other = Gate(), Gate()
    gates = Gates(one, other)
    assert [gates.of(n) for n in range(5)] == [one, other, one, other, one]
