"""Stories of operators. Each has a company of its own, so that its callers stand in a queue of their own, and a desk phone.

The company is the demo company with other numbers and fewer words. Its operator signs in for it alone::

    story = Offices()

    @story
    async def is_put_through(s: Office) -> None:
        s.desk.answers()
        await s.signs_in()
        caller = await s.asks_for_operator()
        await caller.until("PartiesConnected")
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.demo.softphones import Call, Phone
from tests.e2e.harness import DESK_PHONES, DID, Json, People, russian_prompt
from tests.e2e.meeting import Meeting
from tests.e2e.stories import EVENT_SECONDS, LOOK_SECONDS, Stories, Story, Tale, Timeline

SOON = 40.0
HEARD_SECONDS = 10.0
SPEECH = russian_prompt("vm-goodbye")
GREETING = "Здравствуйте."
NUMBER = re.compile(r"\+7\d{10}")


@dataclass(eq=False)
class Caller(Timeline):
    """Somebody who called the hotline, and what the timeline of their ticket says."""

    call: Call


@dataclass(eq=False)
class Office(Story):
    """A story of an operator: the desk phone, the callers, and the staff of the company."""

    meeting: Meeting = field(default_factory=Meeting)
    callers: list[Caller] = field(default_factory=list, init=False)

    @property
    def company(self) -> str:
        return f"office{self.index + 1}"

    @property
    def title(self) -> str:
        return _title(self.index)

    @property
    def house(self) -> str:
        return "lenina15"

    @property
    def people(self) -> People:
        return People.on(self.network, lambda number: _own(number, self.index))

    @property
    def staff(self) -> Sequence[Phone]:
        people = self.people
        return (
            people.plumber,
            people.plumber_reserve,
            people.second_plumber,
            people.supervisor,
            people.director,
        )

    @property
    def resident_number(self) -> str:
        """Of the one whom the company knows."""
        return self.people.resident.number

    @property
    def neighbour_number(self) -> str:
        return f"{self.resident_number[:-1]}3"

    # -- the desk phone --------------------------------------------------------------------------------------

    @property
    def desk(self) -> Phone:
        return self.network.phone(DESK_PHONES[self.index])

    @property
    def registrar(self) -> str:
        return f"127.0.0.1:{self.installation.base_port}"

    async def plugs_in(self) -> None:
        """The desk phone registers by digest, with the password of secrets.json."""
        secrets = json.loads((self.installation.data_dir / "secrets.json").read_text())
        await self.network.desk_phone(
            self.desk.number, secrets["desk_phones"][self.desk.number], self.registrar
        )

    async def signs_in(self) -> Json:
        """Ольга plugs in her phone and serves the callers of this company."""
        await self.plugs_in()
        body = {"operator": "Ольга", "skills": {self.company: []}}
        shown: Json = await self.installation.post(f"/api/v1/desks/{self.desk.number}/sign-in", body)
        return shown

    async def desk_state(self) -> Json:
        desks = (await self.installation.get("/api/v1/desks"))["desks"]
        return next(desk for desk in desks if desk["desk"] == self.desk.number)

    # -- those who call and are called -----------------------------------------------------------------------

    async def asks_for_operator(self, number: str = "") -> Caller:
        """The resident (or that number) calls and keys their way to an operator."""
        resident = self.network.resident(number or self.resident_number)
        call = await resident.calls(f"sip:{_own(DID, self.index)}@{self.registrar}")
        caller = Caller(self.name, self.installation, call)
        self.callers.append(caller)
        caller.about(await self._ticket_of(resident.number))
        await call.presses("20", after=0.5, info=True)  # a held key would cost its recording a little
        return caller

    async def emergency(self, **fields: Any) -> None:
        """A ticket of the resident's comes in by the API."""
        await super().emergency(**{"company": self.company, "phone": self.resident_number, **fields})

    async def accept_key(self, call: Call) -> str:
        return await self.installation.accept_key(call)

    async def talk_together(self, parties: int) -> None:
        """So many talk with each other about the ticket."""

        def connected() -> bool:
            talks = self.all("PartiesConnected")
            return bool(talks) and len(talks[-1]["calls"]) == parties

        await self._found(connected, f"talk of {parties}", SOON)

    async def hear_each_other(self, one: Call, other: Call) -> None:
        """What either says, the other hears."""
        for speaker, listener in ((one, other), (other, one)):
            heard = listener.speech_seconds
            await speaker.says(SPEECH)
            await listener.hears(heard + 0.3, timeout=HEARD_SECONDS)

    async def _ticket_of(self, number: str) -> int:
        async with asyncio.timeout(EVENT_SECONDS):
            while True:
                for ticket in await self.installation.tickets():
                    if ticket["phone"] == number:
                        return int(ticket["number"])
                await asyncio.sleep(LOOK_SECONDS)

    # -- what happens to all ---------------------------------------------------------------------------------

    async def engine_is_killed(self) -> None:
        """SIGKILL, when all who want to live through it have come so far, and every other story has been told."""
        await self.meeting.then(self.installation.kill)

    async def engine_is_back(self) -> None:
        """Started again, when all of them have seen what they wanted to see meanwhile."""
        await self.meeting.then(self.installation.start)

    # -- how it ended ----------------------------------------------------------------------------------------

    async def all_recorded(self) -> None:
        """Every call has ended, and has its recording if it was up: on a busy machine that takes a while."""
        for timeline in (self, *self.callers):
            for started in timeline.all("CallStarted"):
                ended = await timeline.until("CallEnded", SOON, call=started["call"])
                if ended["seconds"] > 0:
                    await timeline.until("RecordingAttached", SOON, call=started["call"])

    @property
    def told(self) -> str:
        return "\n".join([super().told, *(caller.told for caller in self.callers)])

    async def close(self) -> None:
        for caller in self.callers:
            await caller.close()
        await super().close()


class Offices(Stories):
    """The stories of a module, each in an office of its own, all of one installation. Those with a kill come last."""

    at_once = 7
    """So that they begin when some others are over, and do not wait long in a call for the rest."""

    def __init__(self) -> None:
        super().__init__()
        self._meeting = Meeting()

    def add(self, name: str, tale: Tale) -> None:
        async def told(office: Office) -> None:
            try:
                await tale(office)
                await office.all_recorded()
            finally:
                await self._meeting.leave()

        super().add(name, told)
        self._meeting.expected += 1

    def kind(self, *of: Any) -> Office:
        return Office(*of, self._meeting)

    def write_company(self, companies: Path) -> None:
        """A company for each story, beside the demo company."""
        for index in range(len(self.names)):
            _open(companies / "demo", companies / f"office{index + 1}", index)


def _open(demo: Path, folder: Path, index: int) -> None:
    shutil.copytree(demo, folder)
    for path in (path for path in folder.rglob("*") if path.is_file()):
        path.write_text(NUMBER.sub(lambda found: _own(found[0], index), path.read_text()))
    about = (folder / "company.yaml").read_text()
    for key, value in {"id": folder.name, "title": _title(index), "greeting": GREETING}.items():
        about = re.sub(rf"^{key}: .*$", f"{key}: {value}", about, flags=re.MULTILINE)
    (folder / "company.yaml").write_text(about)


def _own(number: str, index: int) -> str:
    """The demo company's number, as that office has it: +7 900 00 00001 is +7 900 03 00001 of the third."""
    return f"{number[:5]}{index + 1:02}{number[7:]}"


def _title(index: int) -> str:
    return f"УК «Демо {index + 1}»"
