"""A whole town in memory: the demo company, its people and residents, and the engine's service at work among them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from engine.domain.company import Company
from engine.domain.errors import StoreFailed
from engine.domain.events import DialEnded, DialStarted, Event, RobocallAnswered
from engine.domain.model import Contact, House, Line, Resident, Urgency
from engine.domain.policy import Exhaustion, Policy, Step, Target, TargetKind
from engine.domain.roster import Duty
from engine.flows import verbs
from engine.flows.deps import Deps
from engine.ports import Gap, Kept, StoodInCall
from engine.service import Service
from tests.fakes.network import FakeNetwork, FakePhone
from tests.fakes.store import MemoryStore
from tests.fakes.telephony import FakeTelephony
from tests.fakes.texts import Outbox
from tests.fakes.time import VirtualClock
from tests.fakes.voice import FakeVoice

DID = "+74950000112"
FIRST, SECOND, SUPERVISOR, DIRECTOR = "+79000000001", "+79000000002", "+79000000003", "+79000000004"
RESIDENT = "+79160000042"
Kind = TypeVar("Kind", bound=Event)


class Always:
    """A roster on which the same people are always on duty."""

    def __init__(self, *contacts: str) -> None:
        self.contacts = contacts

    def on_duty(self, at: object) -> Duty:
        return Duty(self.contacts)


def water_policy(**brigade: object) -> Policy:
    """The example of behaviour.md, with the demo's short times; `brigade` changes its first step."""
    first = Step(
        "brigade",
        (Target(TargetKind.ON_CALL, "plumbers"),),
        ring_for=timedelta(seconds=6),
        calls=2,
        again_after=timedelta(seconds=2),
        give_up_after=timedelta(minutes=3),
    )
    step = replace(first, ring=(), calls=1)
    return Policy(
        name="water",
        title="Аварии водоснабжения",
        urgency=Urgency.EMERGENCY,
        steps=(
            replace(first, **brigade),  # type: ignore[arg-type]
            replace(step, name="supervisor", ring=(Target(TargetKind.ROLE, "house.supervisor"),)),
            replace(step, name="director", ring=(Target(TargetKind.ROLE, "company.director"),)),
        ),
        when_exhausted=Exhaustion(
            every=timedelta(minutes=2), alarm=(Target(TargetKind.ROLE, "company.director"),)
        ),
    )


def demo_company(*policies: Policy) -> Company:
    people = {
        "plumber1": Contact("plumber1", "Пётр", (FIRST,)),
        "plumber2": Contact("plumber2", "Борис", (SECOND,)),
        "supervisor": Contact("supervisor", "Анна", (SUPERVISOR,)),
        "director": Contact("director", "Иван Иванович", (DIRECTOR,)),
    }
    house = House(
        "lenina15", "Москва", "улица Ленина", "15", flats=(1, 80), roles={"supervisor": "supervisor"}
    )
    return Company(
        id="demo",
        title="Демо",
        lines=(Line(DID),),
        houses={house.id: house},
        contacts=people,
        roles={"director": "director"},
        rosters={"plumbers": Always("plumber1", "plumber2")},  # type: ignore[dict-item]
        policies=policies or (water_policy(),),
        residents={RESIDENT: Resident(RESIDENT, "lenina15", "42")},
    )


class NoRecordings:
    """Keeps nothing; every call has a recording as long as itself."""

    async def finish(
        self, company: str, call: str, seconds: float | None, gaps: Sequence[Gap] = ()
    ) -> Kept | None:
        return Kept(call, seconds or 0.0, None)

    async def orphans(self) -> Sequence[str]:
        return ()


class Notes:
    """`ports.StandIn`: the calls that the dialplan took."""

    def __init__(self) -> None:
        self.left: list[StoodInCall] = []

    async def calls(self) -> Sequence[StoodInCall]:
        return tuple(self.left)

    async def forget(self, call: str) -> None:
        self.left = [one for one in self.left if one.id != call]

    async def keep(self, did: str, company: str, numbers: Sequence[str]) -> None:
        return


class MortalStore:
    """The store as one engine sees it: what it still writes when it was killed has no effect."""

    def __init__(self, store: MemoryStore) -> None:
        self.dead = False
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def append(self, *args: object, **options: object) -> bool:
        self._alive()
        return await self._store.append(*args, **options)  # type: ignore[arg-type]

    async def open_ticket(self, *args: object, **options: object) -> int:
        self._alive()
        return await self._store.open_ticket(*args, **options)  # type: ignore[arg-type]

    def _alive(self) -> None:
        if self.dead:
            raise StoreFailed("this engine was killed")


class Town:
    """`async with Town.at_work() as town:` and the service runs; `restart()` kills it and starts another one on the same store."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.clock = VirtualClock()
        self.store = MemoryStore()
        self.network = FakeNetwork(accept_key=self._accept_key)
        self.voice = FakeVoice()
        self.outbox = Outbox()
        self.notes = Notes()
        self.keys = iter(lambda: "7", None)
        self.telephony: FakeTelephony
        self.service: Service
        self.d: Deps
        self._running: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def at_work(cls, *policies: Policy) -> AsyncIterator[Town]:
        town = cls(demo_company(*policies))
        async with town.network:
            town.start()
            try:
                yield town
            finally:
                await town.stop()

    def start(self) -> None:
        self.telephony = FakeTelephony(self.network)
        self.mortal = MortalStore(self.store)
        self.d = Deps(
            store=self.mortal,  # type: ignore[arg-type]
            phone=self.telephony,
            voice=self.voice,
            recordings=NoRecordings(),
            texts=self.outbox,
            clock=self.clock,
            companies=lambda: (self.company,),
            draw_key=lambda: next(self.keys),
        )
        self.d = self.world(self.d)
        self.service = Service(self.d, self.notes)
        self._running = asyncio.create_task(self.service.run(), name="service")

    def world(self, d: Deps) -> Deps:
        """What the service is given; a town with more in it adds to it."""
        return d

    async def stop(self) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.wait({self._running})
        if not self._running.cancelled() and (error := self._running.exception()):
            raise error

    async def restart(self) -> None:
        """`kill -9`, and a new engine at once."""
        self.telephony.dies()
        self.mortal.dead = True
        await self.stop()
        self.start()

    def phone(self, number: str) -> FakePhone:
        return self.network.phone(number)

    async def emergency(self) -> int:
        return await verbs.open_ticket(
            self.d,
            self.company,
            channel="api",
            urgency=Urgency.EMERGENCY,
            cause="water.riser",
            title="Прорыв стояка холодной воды",
            house="lenina15",
            flat="42",
        )

    def events(self, ticket: int, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.store.timelines[ticket] if isinstance(event, kind)]

    async def until(self, ticket: int, kind: type[Kind], count: int = 1, timeout: float = 3600) -> Kind:
        """The `count`-th event of that type, waited for."""
        async with asyncio.timeout(timeout):
            while len(self.events(ticket, kind)) < count:
                await self.store.changed(ticket, len(self.store.timelines[ticket]), None)
        return self.events(ticket, kind)[count - 1]

    def dials(self, ticket: int) -> list[tuple[str, str]]:
        """(number, outcome) of each attempt, in order of the dials; «running» if it has not ended."""
        ended = {event.attempt: str(event.outcome) for event in self.events(ticket, DialEnded)}
        return [(e.number, ended.get(e.attempt, "running")) for e in self.events(ticket, DialStarted)]

    def heard(self, call: int) -> str:
        """All that was said on the network's n-th call, as text."""
        return " ".join(self.voice.heard(self.network.calls[call].heard))

    def _accept_key(self, attempt: str) -> str:
        for timeline in self.store.timelines.values():
            for event in timeline:
                if isinstance(event, RobocallAnswered) and event.attempt == attempt:
                    return event.accept_key
        raise LookupError(attempt)


__all__ = ["DID", "DIRECTOR", "FIRST", "RESIDENT", "SECOND", "SUPERVISOR", "Town", "water_policy"]
