"""Many stories told at once to one engine. Each has a house of its own, with two people who are rung one after the other, and a resident.

A test module collects its stories, tells all of them side by side, and reports each as a test of its own::

    story = Stories()

    @story
    async def busy(s: Story) -> None:
        s.first.busy().then.answers().hears(0.5).presses_accept_key()
        await s.emergency()
        assert await s.dials() == [("first", "busy"), ("first", "accepted")]
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.demo.hearing import heard
from engine.demo.softphones import Call, Phone, PhoneNetwork, Resident
from engine.files.company import load_company
from tests.e2e.harness import DID, ROOT, Installation, Json

EVENT_SECONDS = 25.0
SETTLE_SECONDS = 40.0
LOOK_SECONDS = 0.1
BETWEEN_SECONDS = 0.2
"""Nobody begins in the very moment in which another does."""
DIRECTOR = "+79000000004"
PLACE = "house-"
POLICIES = ROOT / "escalation_policies"

Tale = Callable[[Any], Awaitable[None]]
"""Takes its `Story`."""


@dataclass(eq=False)
class Timeline:
    """What a ticket's timeline says so far (`events`), kept fresh by itself from `about` on."""

    name: str
    installation: Installation
    number: int = field(default=0, init=False)
    """The ticket."""
    events: list[Json] = field(default_factory=list, init=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _following: asyncio.Task[None] | None = field(default=None, init=False)

    def about(self, ticket: int) -> None:
        """The story is about this ticket: follow its timeline."""
        self.number = ticket
        self._following = asyncio.create_task(self._follow(), name=f"timeline of {self.name}")

    async def until(self, type: str, timeout: float = EVENT_SECONDS, *, nth: int = 1, **fields: Any) -> Json:
        """The first event (or the `nth`) of this type with these fields."""
        found = await self._found(
            lambda: self.all(type, **fields)[nth - 1 :], f"{type} {fields} {nth}", timeout
        )
        return found[0]

    def all(self, type: str, **fields: Any) -> list[Json]:
        """Every event of this type with these fields, so far."""
        return [
            event
            for event in self.events
            if event["type"] == type and all(event.get(name) == value for name, value in fields.items())
        ]

    async def settles(self) -> None:
        """Until somebody has taken the ticket, every attempt and call is over, and every call that was up has its recording."""
        await self._found(self._settled, "the end of every attempt, call and recording", SETTLE_SECONDS)

    @property
    def told(self) -> str:
        """The timeline in a line each, for whoever has to find out."""
        skip = {"seq", "type", "at", "frozen", "people", "body"}
        lines = [
            f"  {event['seq']:3} {event['at'][14:23]} {event['type']} "
            + " ".join(f"{k}={v}" for k, v in event.items() if k not in skip and v is not None)
            for event in self.events
        ]
        return "\n".join([f"ticket {self.number} of {self.name}:", *lines])

    def _outcomes(self) -> dict[str, str]:
        return {one["attempt"]: one["outcome"] for one in self.all("DialEnded")}

    def _settled(self) -> bool:
        started, ended = {one["attempt"] for one in self.all("DialStarted")}, self._outcomes()
        calls = {one["call"] for one in self.all("CallStarted")}
        over = {one["call"]: one["seconds"] for one in self.all("CallEnded")}
        kept = {one["call"] for one in self.all("RecordingAttached")}
        recorded = {call for call, seconds in over.items() if seconds > 0} <= kept
        taken = bool(self.all("Accepted") if self.all("EscalationStarted") else over)
        return taken and started <= ended.keys() and calls <= over.keys() and recorded

    async def _found(self, look: Callable[[], Any], what: str, timeout: float) -> Any:
        try:
            async with asyncio.timeout(timeout):
                while not (found := look()):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"no {what} in {timeout:.0f} s") from None
        return found

    async def _follow(self) -> None:
        async with contextlib.aclosing(self.installation.timeline(self.number)) as timeline:
            async for event in timeline:
                self.events.append(event)
                self._news.set()

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})


@contextlib.asynccontextmanager
async def timeline_of(ticket: int, installation: Installation) -> AsyncIterator[Timeline]:
    """For a test that is no story."""
    timeline = Timeline(f"ticket {ticket}", installation)
    timeline.about(ticket)
    try:
        yield timeline
    except Exception as error:
        error.add_note(timeline.told)
        raise
    finally:
        await timeline.close()


@dataclass(eq=False)
class Story(Timeline):
    """One story: its people, and its ticket's timeline."""

    index: int
    network: PhoneNetwork

    @property
    def house(self) -> str:
        return f"{PLACE}{self.index}"

    @property
    def first(self) -> Phone:
        """Who is rung first."""
        return self.network.phone(f"+7900100{self.index:02}01", f"{self.name}: first")

    @property
    def second(self) -> Phone:
        return self.network.phone(f"+7900100{self.index:02}02", f"{self.name}: second")

    @property
    def staff(self) -> Sequence[Phone]:
        """Whose accept key is this story's."""
        return (self.first, self.second)

    @property
    def resident(self) -> Resident:
        return self.network.resident(self.resident_number, self.name)

    @property
    def resident_number(self) -> str:
        return f"+7916100{self.index:02}00"

    # -- how it begins ---------------------------------------------------------------------------------------

    async def emergency(self, **fields: Any) -> None:
        """A ticket comes in by the API; its walk begins."""
        body = {"company": "demo", "house": self.house, "premises": "42", "urgency": "emergency"}
        opened = await self.installation.post(
            "/api/v1/tickets", {**body, "text": "Прорыв", "cause": "water.riser", **fields}
        )
        self.about(opened["number"])

    async def phones(self, *, did: str = DID, caller: str | None = None) -> Call:
        """The resident calls the hotline; the call, answered, and its ticket being followed."""
        call, ticket = await self.calls(did=did, caller=caller)
        self.about(ticket)
        return call

    async def calls(self, *, did: str = DID, caller: str | None = None) -> tuple[Call, int]:
        """The resident calls the hotline; the call, answered, and its ticket."""
        uri = f"sip:{did}@127.0.0.1:{self.installation.base_port}"
        known = {ticket["number"] for ticket in await self.installation.tickets()}
        call = await self.resident.calls(uri, caller=caller)
        assert call.up, f"{call} was not answered"
        shown = self.resident_number if caller is None else caller
        async with asyncio.timeout(EVENT_SECONDS):
            while True:
                for ticket in await self.installation.tickets():
                    if (ticket["phone"] or "anonymous") == shown and ticket["number"] not in known:
                        return call, ticket["number"]
                await asyncio.sleep(LOOK_SECONDS)

    # -- how it went -----------------------------------------------------------------------------------------

    async def dials(self) -> list[tuple[str, str]]:
        """Who was rung and how it ended, in the order of the ringing, once everything is over."""
        await self.settles()
        names = {self.first.number: "first", self.second.number: "second", DIRECTOR: "director"}
        started, ended = self.all("DialStarted"), self._outcomes()
        return [(names.get(one["number"], one["number"]), ended[one["attempt"]]) for one in started]

    async def accept_key(self, call: Call) -> str:
        """The key that the robocall on this phone has drawn."""

        def drawn() -> list[str]:
            live = {one["attempt"] for one in self.all("DialStarted", number=call.number)}
            live -= self._outcomes().keys()
            return [one["accept_key"] for one in self.all("RobocallAnswered") if one["attempt"] in live]

        return (await self._found(drawn, f"a key for {call}", EVENT_SECONDS))[0]

    async def heard(self, call: Call, words: str) -> bool:
        """Whether the words were said in that call, which must be over."""
        assert call.wav is not None
        prompt = await self.network.prompt_of(words)
        return await asyncio.to_thread(heard, call.wav, prompt)


class Stories:
    """The stories of a module, in the order in which they are written."""

    kind: Callable[..., Story] = Story
    at_once = 8
    """So many stories are told at the same time: more would wait for each other on two cores."""

    def __init__(self) -> None:
        self._tales: dict[str, Tale] = {}

    def __call__(self, tale: Tale) -> Tale:
        self.add(tale.__name__, tale)
        return tale

    def add(self, name: str, tale: Tale) -> None:
        """A story that differs from others in a value only."""
        assert name not in self._tales
        self._tales[name] = tale

    @property
    def names(self) -> list[str]:
        return list(self._tales)

    def write_company(self, companies: Path) -> None:
        """Give the demo company a house, two people and a resident for each story, and a tree that is quickly walked."""
        folder = companies / "demo"
        counted = range(len(self._tales))
        with (folder / "contacts.yaml").open("a") as contacts:
            contacts.writelines(_person(i, n) for i in counted for n in (1, 2))
        with (folder / "houses.yaml").open("a") as houses:
            houses.writelines(_house(i) for i in counted)
        with (folder / "residents.csv").open("a") as residents:
            residents.writelines(f"+7916100{i:02}00,{PLACE}{i},42,Жилец {i}\n" for i in counted)
        with (folder / "meters.csv").open("a") as meters:
            meters.writelines(_meters(i) for i in counted)
        about, director = (folder / "company.yaml").read_text(), "\n  director: director"
        roles = f"\n  supervisor: supervisor\n  first: director\n  second: director{director}"  # of a house that is not known
        (folder / "company.yaml").write_text(about.replace(director, roles, 1))
        (folder / "policies" / "water.yaml").write_text(_policy("water", "one_by_one", '"*"'))
        (folder / "policies" / "heating.yaml").write_text(_policy("heating", "all_at_once", "heating.*"))
        wrong = [one.line_of_text() for one in load_company(folder, POLICIES).errors]
        assert not wrong, "\n".join(wrong)

    @contextlib.asynccontextmanager
    async def tell(
        self, installation: Installation, network: PhoneNetwork
    ) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
        """Tell all of them at once; await a task to know how its story went."""
        stories = [self.kind(name, installation, index, network) for index, name in enumerate(self._tales)]
        by_number = {phone.number: one for one in stories for phone in one.staff}

        async def accept_key(call: Call) -> str:
            """Of the story whose phone it is; the director's, who has no house, of whichever story is rung there."""
            if call.number in by_number:
                return await by_number[call.number].accept_key(call)
            while True:
                for one in stories:
                    if one.all("DialStarted", number=call.number):
                        return await one.accept_key(call)
                await asyncio.sleep(LOOK_SECONDS)

        network.accept_key = accept_key
        turns, door = asyncio.Semaphore(self.at_once), asyncio.Lock()
        tasks = {
            one.name: asyncio.create_task(self._tell(one, turns, door), name=one.name) for one in stories
        }
        try:
            yield tasks
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.wait(tasks.values())
            for one in stories:
                await one.close()

    async def _tell(self, story: Story, turns: asyncio.Semaphore, door: asyncio.Lock) -> None:
        async with turns:
            async with door:
                await asyncio.sleep(BETWEEN_SECONDS)
            try:
                await self._tales[story.name](story)
            except Exception as error:
                error.add_note(story.told)
                raise


def shorten_greeting(folder: Path) -> None:
    """A company that says no more than «hello» before its callers learn that they are recorded."""
    about = folder / "company.yaml"
    lines = (line for line in about.read_text().splitlines() if not line.startswith("greeting:"))
    about.write_text("\n".join(["greeting: Алло!", *lines, ""]))


def gap(earlier: Json, later: Json) -> float:
    """Seconds from one event to another."""
    return (datetime.fromisoformat(later["at"]) - datetime.fromisoformat(earlier["at"])).total_seconds()


def _person(index: int, which: int) -> str:
    return (
        f"\nstaff-{index}-{which}:\n  name: Сотрудник {index} {which}\n"
        f"  numbers: [+7900100{index:02}{which:02}]\n"
    )


def _house(index: int) -> str:
    return (
        f"\n{PLACE}{index}:\n  city: Москва\n  street: улица Ленина\n  number: 15\n"
        f"  roles: {{first: staff-{index}-1, second: staff-{index}-2}}\n"
    )


def _meters(index: int) -> str:
    return "".join(
        f"{PLACE}{index},42,{kind},5,10452{index:02}{n},{last},2026-10-25\n"
        for n, (kind, last) in enumerate({"cold": 124, "hot": 87}.items())
    )


def _policy(name: str, how: str, causes: str) -> str:
    people = {
        "one_by_one": ["[{role: house.first}]", "[{role: house.second}]"],
        "all_at_once": ["[{role: house.first}, {role: house.second}]"],
    }[how]
    steps = "".join(
        f"  - {{name: step-{n}, ring: {ring}, how: {how}, ring_for: 3s, again_after: 1s, give_up_after: 1m}}\n"
        for n, ring in enumerate(people)
    )
    return (
        f"version: 1\nname: {name}\ntitle: {name}\nfor: {{urgency: emergency, causes: [{causes}]}}\nsteps:\n{steps}"
        "  - {name: director, ring: {role: company.director}, ring_for: 3s, again_after: 1s}\n"
        "when_exhausted: {repeat: forever, every: 10s, alarm: [{role: company.director}]}\n"
    )
