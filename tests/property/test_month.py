"""A month in a minute: the service, its walkers and flows under a virtual clock, with people who do as they like.

Thirty days, five hundred emergencies, engines that are killed, trunks that fail, an Asterisk that goes away: from a seed. Every
timeline is then held against the rules (`tests.fakes.journal`), and replayed decision by decision.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from engine.demo.script import Script
from engine.domain.events import Accepted, DialEnded, DialStarted, EscalationExhausted, RobocallAnswered
from engine.domain.model import Purpose, Urgency, Via
from engine.domain.policy import AfterAccepting, How, Policy, Sms
from engine.domain.ticket import Ticket
from engine.domain.walk import Walk
from engine.flows import verbs
from engine.flows.texts import texting
from tests.fakes.journal import complaints
from tests.fakes.network import FakeCall, FakePhone
from tests.fakes.time import virtual
from tests.fakes.town import DIRECTOR, FIRST, SECOND, SUPERVISOR, Town, water_policy

DAYS, EMERGENCIES = 30, 500
DAY = 86_400.0
PEOPLE = {FIRST: "plumber1", SECOND: "plumber2", SUPERVISOR: "supervisor", DIRECTOR: "director"}
CPU_SECONDS = 60.0


class Moody(FakePhone):
    """A person's phone: what becomes of each call is drawn."""

    def __init__(self, number: str, month: Month) -> None:
        super().__init__(number, PEOPLE[number])
        self.month = month

    def takes(self, call: FakeCall) -> Script:
        super().takes(call)
        rng = self.month.rng
        if self.month.outage:
            return Script().rejects(503)
        ringing = rng.uniform(0.5, 5.0)
        if self.month.purpose(call.id) is not Purpose.ACCEPT:
            key = rng.choice(["1", "1", "2", "3", "9"])
            talks = Script().answers(ringing).presses(key, after=rng.uniform(0.5, 6))
            return rng.choice([talks, talks, talks, Script().rings_out(), Script().busy()])
        after = rng.uniform(0.3, 9.0)
        takes_it = lambda: Script().answers(ringing).presses_accept_key(after=after)  # noqa: E731
        moods = [
            (28, takes_it),
            (14, Script().busy),
            (20, Script().rings_out),
            (8, lambda: Script().declines_call(ringing)),
            (6, Script().silent),
            (2, lambda: Script().rejects(404)),
            (2, lambda: Script().rejects(503)),
            (6, lambda: Script().answers(ringing)),  # a machine
            (5, lambda: Script().answers(ringing).holds(after).hangs_up()),
            (4, lambda: Script().answers(ringing).presses("1", after=after).presses_accept_key(after=3)),
            (
                9,
                lambda: (
                    Script().answers(ringing).presses("2", after=after).presses(rng.choice("123"), after=2)
                ),
            ),
        ]
        return rng.choices([make for _, make in moods], [weight for weight, _ in moods])[0]()


@dataclass(eq=False)
class Month:
    """What happens in it."""

    town: Town
    rng: random.Random
    outage: bool = False
    tickets: list[int] = field(default_factory=list)
    kills: int = 0

    async def passes(self) -> None:
        """Everything that the seed has in store; ends when the last ticket is closed and nobody walks any more."""
        for number in PEOPLE:
            self.town.network._phones[number] = Moody(number, self)
        self.town.network.accept_key = self._accept_key
        begins = sorted(self.rng.uniform(0, DAYS * DAY) for _ in range(EMERGENCIES))
        async with asyncio.TaskGroup() as life:
            troubles = [life.create_task(self._outages()), life.create_task(self._kills())]
            tickets = [life.create_task(self._emergency(at)) for at in begins]
            await asyncio.wait(tickets)
            for trouble in troubles:
                trouble.cancel()
        await asyncio.sleep(600)

    async def _emergency(self, at: float) -> None:
        await asyncio.sleep(at)
        cause = self.rng.choice(["water.riser", "heating.radiator", "lift.person"])
        ticket = await verbs.open_ticket(
            self.town.d,
            self.town.company,
            channel="api",
            urgency=Urgency.EMERGENCY,
            cause=cause,
            house=self.rng.choice(["lenina15", None]),
            flat="42",
        )
        self.tickets.append(ticket)
        if self.rng.random() < 0.25:
            await self._meddle(ticket)
        while Ticket.of(self.town.store.timelines[ticket]).is_open:
            await self._work(ticket)

    async def _meddle(self, ticket: int) -> None:
        """Somebody takes it, refuses it or closes it by another way, while phones ring."""
        await asyncio.sleep(self.rng.uniform(0.0, 40.0))
        contact, via = (
            self.rng.choice(list(PEOPLE.values())),
            self.rng.choice([Via.SMS, Via.CONSOLE, Via.API]),
        )
        match self.rng.randrange(4):
            case 0:
                await verbs.decline(self.town.d, ticket, contact, via, "cannot_go")
            case 1:
                until = self.town.clock.now() + timedelta(hours=self.rng.uniform(0.1, 3))
                await verbs.decline(self.town.d, ticket, contact, via, "no_coverage", until)
            case 2:
                await verbs.close(self.town.d, ticket, "operator", "ложный вызов")
            case _:
                takers = self.rng.sample(list(PEOPLE.values()), 3)
                won = await asyncio.gather(*(verbs.accept(self.town.d, ticket, who, via) for who in takers))
                assert len(set(won)) == 1, "everybody is told the same winner"

    async def _work(self, ticket: int) -> None:
        """From an acceptance to the end of the work, or to the next acceptance."""
        store = self.town.store
        walk = Walk.of(ticket, store.timelines[ticket])
        if walk.accepted is None:
            await store.changed(ticket, walk.length, None)
            return
        who = walk.accepted.contact
        await asyncio.sleep(self.rng.uniform(300, 2700))
        if self.rng.random() < 0.6:
            await verbs.report(self.town.d, ticket, who, Via.SMS, self.rng.choice(["arrived", "on_the_way"]))
        await asyncio.sleep(self.rng.uniform(600, 9000))
        if self.rng.random() < 0.1:
            await verbs.decline(self.town.d, ticket, who, Via.SMS, "cannot_go")
            return
        walk = Walk.of(ticket, store.timelines[ticket])
        if walk.accepted is not None:
            await verbs.report(self.town.d, ticket, walk.accepted.contact, Via.SMS, "done")
            await verbs.close(self.town.d, ticket, "operator")

    async def _outages(self) -> None:
        """The trunk fails for some minutes, or Asterisk itself is away."""
        while True:
            await asyncio.sleep(self.rng.uniform(0.3, 3) * DAY)
            telephony = self.town.telephony
            if self.rng.random() < 0.5:
                self.outage = True
            else:
                telephony.away = True
            await asyncio.sleep(self.rng.uniform(60, 1800))
            self.outage = telephony.away = False

    async def _kills(self) -> None:
        """Mostly while something goes on."""
        while True:
            await asyncio.sleep(self.rng.uniform(0.01, 0.3) * DAY)
            wanted = self.town.network.live if self.rng.random() < 0.8 else self.town.service.walking
            while not wanted:
                await asyncio.sleep(self.rng.uniform(0.1, 30))
                wanted = wanted if wanted is self.town.network.live else self.town.service.walking
            await asyncio.sleep(self.rng.expovariate(1 / 2))
            away = self.town.telephony.away
            await self.town.restart()
            self.town.telephony.away = away
            self.kills += 1

    def purpose(self, attempt: str) -> Purpose:
        return self._started(attempt).purpose

    def _started(self, attempt: str) -> DialStarted:
        timeline = self.town.store.timelines[int(attempt.partition("-")[0])]
        return next(e for e in reversed(timeline) if isinstance(e, DialStarted) and e.attempt == attempt)

    def _accept_key(self, attempt: str) -> str:
        timeline = self.town.store.timelines[int(attempt.partition("-")[0])]
        return next(
            e.accept_key for e in timeline if isinstance(e, RobocallAnswered) and e.attempt == attempt
        )


def policies() -> tuple[Policy, ...]:
    """One by one, all at once, and a text before; with the clocks that start at an acceptance."""
    clocks = AfterAccepting(timedelta(minutes=30), timedelta(hours=2))
    water = replace(water_policy(), causes=("water.*",), after_accepting=clocks)
    heating = replace(
        water_policy(how=How.ALL_AT_ONCE, sms=Sms.AFTER),
        name="heating",
        causes=("heating.*",),
        after_accepting=clocks,
    )
    lift = replace(
        water_policy(sms=Sms.BEFORE, calls=3), name="lift", causes=("lift.*",), after_accepting=clocks
    )
    return water, heating, lift


@pytest.mark.parametrize("seed", [int(os.environ.get("DOZVON_SEED", "112"))])
def test_a_month_in_a_minute(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        texting, "TICK_SECONDS", 60.0
    )  # half a million looks at nothing are most of a month's work
    began = time.process_time()
    found: list[Month] = []

    @virtual
    async def story() -> None:
        async with Town.at_work(*policies()) as town:
            month = Month(town, random.Random(seed))
            town.keys = iter(lambda: month.rng.choice("56789"), None)
            await month.passes()
            assert not town.service.walking
            assert not town.network.live
            found.append(month)

    story()
    simulated = time.process_time() - began
    month = found[0]
    timelines = month.town.store.timelines
    wrong = [each for ticket, timeline in timelines.items() for each in complaints(ticket, timeline)]
    rung_unintended = {call.id for call in month.town.network.calls} - {
        event.attempt
        for timeline in timelines.values()
        for event in timeline
        if isinstance(event, DialStarted)
    }
    print(_figures(month, simulated))
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:20])
    assert not rung_unintended
    assert len(month.tickets) == EMERGENCIES
    assert simulated < CPU_SECONDS, "the month took more than a minute of a processor"


def _figures(month: Month, seconds: float) -> str:
    events = [event for timeline in month.town.store.timelines.values() for event in timeline]
    outcomes = Counter(str(event.outcome) for event in events if isinstance(event, DialEnded))
    accepted = sum(isinstance(event, Accepted) for event in events)
    exhausted = sum(isinstance(event, EscalationExhausted) for event in events)
    return (
        f"{DAYS} days, {len(month.tickets)} emergencies, {len(events)} events, {month.kills} kills, "
        f"{accepted} acceptances, {exhausted} rounds in vain, {dict(outcomes)} in {seconds:.1f} s of a processor"
    )
