"""`timers`: 10,000 open escalations that wait. How soon they all have a walker, what waiting costs, how late the due ones are.

The real store, service, walkers and watchdog; nobody is on duty, so that nothing but the walk itself is measured.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.lines import Line, line, quantile
from engine.domain.company import Company
from engine.domain.events import (
    Classified,
    EscalationExhausted,
    EscalationStarted,
    StepStarted,
    TicketOpened,
)
from engine.domain.model import Urgency
from engine.domain.policy import Exhaustion, Policy, Step, Target, TargetKind
from engine.flows.deps import Deps
from engine.flows.watch.alarm import Alarms
from engine.flows.watch.watchdog import Watchdog
from engine.service import Service
from engine.store.store import Store
from tests.fakes.network import FakeNetwork
from tests.fakes.telephony import FakeTelephony
from tests.fakes.town import NoRecordings, Notes, Outbox
from tests.fakes.voice import FakeVoice

ESCALATIONS = 10_000
EVERY = timedelta(minutes=30)
DUE_WITHIN_SECONDS = 10.0
IDLE_SECONDS, QUICK_IDLE_SECONDS = 70.0, 10.0
"""Longer than the walkers' nap, so that every one of them has looked at the clock once."""
START_SECONDS = 60.0


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def policy() -> Policy:
    """One step that names nobody: round after round."""
    step = Step("nobody", (Target(TargetKind.TEAM, "nobody"),))
    return Policy("idle", "Ожидание", Urgency.EMERGENCY, (step,), when_exhausted=Exhaustion(every=EVERY))


async def run(quick: bool) -> list[Line]:
    """Start, idle, memory and lateness; `failed` counts walks that did not go on when they were due."""
    many = ESCALATIONS // 10 if quick else ESCALATIONS
    idle = QUICK_IDLE_SECONDS if quick else IDLE_SECONDS
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{Path(folder) / 'dozvon.sqlite'}"
        due_from = datetime.now(UTC) + timedelta(seconds=idle + (30 if quick else 60))
        due = await _populate(url, many, due_from)
        gc.collect()
        before = _resident()
        async with Store.open(url) as store, FakeNetwork() as network:
            company = Company(id="demo", title="Демо", policies=(policy(),))
            d = Deps(
                store=store,
                phone=FakeTelephony(network),
                voice=FakeVoice(),
                recordings=NoRecordings(),
                texts=Outbox(),
                clock=SystemClock(),
                companies=lambda: (company,),
            )
            service = Service(d, Notes())
            began = time.perf_counter()
            tasks = [
                asyncio.create_task(service.run(), name="service"),
                asyncio.create_task(Watchdog(d, service, Alarms(d)).run(), name="watchdog"),
            ]
            try:
                async with asyncio.timeout(START_SECONDS):
                    while sum(one.state.length > 0 for one in service._walkers.values()) < many:
                        await asyncio.sleep(0.01)
                started = time.perf_counter() - began
                share = await _idle(idle)
                memory = (_resident() - before) / 2**20
                late = await _lateness(store, due, due_from)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
    lost = many - len(late)
    return [
        line("timers start", started, None, "s", many, 0),
        line("timers idle", share * 100, None, "% of a core", many, 0),
        line("timers memory", memory, None, "MB", many, 0, 1),
        line("timers late p50", quantile(late, 0.5) * 1000, None, "ms", many, lost),
        line("timers late p99", quantile(late, 0.99) * 1000, None, "ms", many, lost),
    ]


async def _populate(url: str, many: int, due_from: datetime) -> dict[int, datetime]:
    """So many tickets whose next round is due one after the other, from `due_from` on."""
    frozen, due = policy(), {}
    async with Store.open(url) as store:

        async def one(number: int) -> None:
            at = due_from + timedelta(seconds=DUE_WITHIN_SECONDS * number / many)
            then = at - EVERY
            ticket = await store.open_ticket(
                [
                    TicketOpened(at=then, company="demo", channel="api"),
                    Classified(at=then, urgency=Urgency.EMERGENCY),
                    EscalationStarted(at=then, policy="idle", frozen=replace(frozen)),
                    StepStarted(at=then, round=1, index=0, step="nobody", people=()),
                    EscalationExhausted(at=then, round=1),
                ]
            )
            due[ticket] = at

        await asyncio.gather(*(one(number) for number in range(many)))
    return due


async def _idle(seconds: float) -> float:
    """The part of a core that is used while nothing happens."""
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    return (time.process_time() - cpu) / (time.perf_counter() - wall)


async def _lateness(store: Store, due: dict[int, datetime], due_from: datetime) -> list[float]:
    """How long after its instant each walk went on."""
    left = (due_from - datetime.now(UTC)).total_seconds() + DUE_WITHIN_SECONDS + 5.0
    await asyncio.sleep(max(0.0, left))
    late = []
    for ticket, at in due.items():
        for event in await store.history(ticket):
            if isinstance(event, StepStarted) and event.round == 2:
                late.append((event.at - at).total_seconds())
                break
    return late


def _resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
