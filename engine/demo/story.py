"""`make demo`: a resident phones, the staff is rung, the walk is printed as it happens. Real softphones, the running installation."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from engine.demo.softphones import Call, PhoneNetwork

DID, RESIDENT = "+74950000112", "+79160000042"
FIRST, SECOND, SUPERVISOR, DIRECTOR = "+79000000001", "+79000000002", "+79000000003", "+79000000004"
NAMES = {
    RESIDENT: "жилец",
    FIRST: "первый сантехник",
    "+79000000011": "первый сантехник, резервный",
    SECOND: "второй сантехник",
    SUPERVISOR: "начальник участка",
    DIRECTOR: "директор",
}
STORY_SECONDS = 180.0
QUESTION_SECONDS = 20.0
SPEAKS_SECONDS = 6.0
RECORDINGS_SECONDS = 20.0
OUTCOMES = {
    "accepted": "принял заявку",
    "declined": "отказался",
    "busy": "занято",
    "no_answer": "не отвечает",
    "unreachable": "недоступен",
    "machine": "никто не нажал клавишу",
    "failed": "не соединилось",
    "cancelled": "отбой",
    "lost": "связь потеряна",
}

Json = dict[str, Any]
Say = Callable[[str], None]


class DemoFailed(Exception):
    """The story did not go as it should; the text says where."""


@dataclass
class Story:
    """One telling of it: against the installation at `base_port`, whose API answers at `console` to `token`."""

    base_port: int
    console: str
    token: str
    say: Say
    began: float = field(default_factory=time.monotonic)

    async def tell(self) -> int:
        """Play it to the end; the ticket's number. Raises `DemoFailed` if it does not end with the director's acceptance."""
        with tempfile.TemporaryDirectory(prefix="dozvon-demo-") as folder:
            async with self._api() as api:
                network = PhoneNetwork(
                    self.base_port + 50, recordings=Path(folder), accept_key=lambda call: self._key(api, call)
                )
                try:
                    async with network, asyncio.timeout(STORY_SECONDS):
                        return await self._play(api, network)
                except TimeoutError as error:
                    raise DemoFailed(f"не уложились в {STORY_SECONDS:.0f} секунд") from error
                except OSError as error:
                    raise DemoFailed(
                        f"порт {self.base_port + 50} занят ({error}): телефоны персонала уже кто-то изображает"
                    ) from error

    async def _play(self, api: aiohttp.ClientSession, network: PhoneNetwork) -> int:
        network.phone(FIRST, "plumber").busy()
        network.phone("+79000000011", "reserve").busy()
        network.phone(SECOND, "second plumber").answers(after=1).hears(4).presses("2").hears_pause().hangs_up(
            1
        )
        network.phone(SUPERVISOR, "supervisor").rings_out()
        network.phone(DIRECTOR, "director").answers(after=1).hears(6).presses_accept_key()
        before = {ticket["number"] for ticket in await self._tickets(api)}

        self._line("жилец звонит на горячую линию")
        call = await network.resident(RESIDENT, "resident").calls(f"sip:{DID}@127.0.0.1:{self.base_port}")
        if not call.up:
            raise DemoFailed(f"горячая линия не ответила: SIP {call.code}")
        ticket = await self._new_ticket(api, before)
        self._line(f"заявка №{ticket} открыта, разговор записывается")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._resident(call), name="resident")
            accepted = await self._print_walk(api, ticket)
        if accepted["contact"] != "director":
            raise DemoFailed(f"заявку принял {accepted['name']}, а должен был директор")
        await self._recordings(api, ticket)
        self._line(f"всё: {self.console}/tickets/{ticket}")
        return ticket

    async def _resident(self, call: Call) -> None:
        """Listens, presses 1, tells what happened, hangs up."""
        await call.hears(2.0, timeout=QUESTION_SECONDS)
        await call.hears_pause(timeout=QUESTION_SECONDS)
        await call.presses("1")
        self._line("жилец нажал 1: авария")
        await call.hears(4.0, timeout=QUESTION_SECONDS)
        await call.hears_pause(timeout=QUESTION_SECONDS)
        await call.holds(SPEAKS_SECONDS)
        await call.hangs_up()
        self._line("жилец рассказал, что случилось, и положил трубку")

    async def _print_walk(self, api: aiohttp.ClientSession, ticket: int) -> Json:
        """Each event as a line, until the acceptor's call has ended; returns the acceptance."""
        accepted: Json = {}
        numbers: dict[str, str] = {}
        async for event in self._events(api, ticket):
            match event["type"]:
                case "EscalationStarted":
                    self._line(f"обзвон начат по дереву «{event['policy']}»")
                case "StepStarted":
                    self._line(f"ступень «{event['step']}», круг {event['round']}")
                case "DialStarted":
                    numbers[event["attempt"]] = event["number"]
                    self._line(f"  звоним: {NAMES.get(event['number'], event['number'])} {event['number']}")
                case "RobocallAnswered":
                    who = NAMES.get(numbers[event["attempt"]], "")
                    self._line(f"  {who} снял трубку; клавиша этого звонка: {event['accept_key']}")
                case "DialEnded":
                    who = NAMES.get(numbers[event["attempt"]], "")
                    self._line(f"  {who}: {OUTCOMES[event['outcome']]}")
                    if accepted and event["attempt"] == accepted["attempt"]:
                        return accepted
                case "Accepted":
                    accepted = event
                case "TextSent":
                    self._line("  отправлено сообщение")
        raise DemoFailed("лента событий оборвалась")

    async def _recordings(self, api: aiohttp.ClientSession, ticket: int) -> None:
        """Wait until the recording of every call that was up is attached, and say how long each is."""
        try:
            async with asyncio.timeout(RECORDINGS_SECONDS):
                while True:
                    events = await self._get(api, f"/api/v1/tickets/{ticket}/events")
                    ended = {e["call"]: e["seconds"] for e in events if e["type"] == "CallEnded"}
                    kept = {e["call"]: e for e in events if e["type"] == "RecordingAttached"}
                    if ended and ended.keys() <= kept.keys():
                        break
                    await asyncio.sleep(0.2)
        except TimeoutError as error:
            raise DemoFailed("записи не прикреплены к заявке") from error
        for call, recording in kept.items():
            self._line(f"запись {call}: {recording['seconds']:.1f} с (разговор {ended[call]:.1f} с)")

    # --- the API -------------------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _api(self) -> AsyncIterator[aiohttp.ClientSession]:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:
            yield session

    async def _get(self, api: aiohttp.ClientSession, path: str) -> list[Json]:
        async with api.get(f"{self.console}{path}") as answer:
            body = await answer.json()
        return body if isinstance(body, list) else next(v for v in body.values() if isinstance(v, list))

    async def _tickets(self, api: aiohttp.ClientSession) -> list[Json]:
        return await self._get(api, "/api/v1/tickets")

    async def _new_ticket(self, api: aiohttp.ClientSession, before: set[int]) -> int:
        while True:
            for ticket in await self._tickets(api):
                if ticket["number"] not in before:
                    return int(ticket["number"])
            await asyncio.sleep(0.05)

    async def _key(self, api: aiohttp.ClientSession, call: Call) -> str:
        """The key that was drawn for the call on this phone: a person hears it, a softphone looks it up."""
        while True:
            for ticket in (await self._tickets(api))[:3]:
                events = await self._get(api, f"/api/v1/tickets/{ticket['number']}/events")
                live = {
                    e["attempt"] for e in events if e["type"] == "DialStarted" and e["number"] == call.number
                }
                live -= {e["attempt"] for e in events if e["type"] == "DialEnded"}
                for event in events:
                    if event["type"] == "RobocallAnswered" and event["attempt"] in live:
                        return str(event["accept_key"])
            await asyncio.sleep(0.05)

    async def _events(self, api: aiohttp.ClientSession, ticket: int) -> AsyncIterator[Json]:
        """The ticket's timeline from its beginning, as it grows (Server-Sent Events)."""
        url = f"{self.console}/api/v1/tickets/{ticket}/events"
        timeout = aiohttp.ClientTimeout(total=None)
        async with api.get(url, headers={"Accept": "text/event-stream"}, timeout=timeout) as stream:
            async for line in stream.content:
                if line.startswith(b"data:"):
                    with contextlib.suppress(msgspec.DecodeError):
                        event = msgspec.json.decode(line[5:].strip())
                        if isinstance(event, dict) and "type" in event:
                            yield event

    def _line(self, text: str) -> None:
        clock = datetime.now().astimezone().strftime("%H:%M:%S")
        self.say(f"{clock} +{time.monotonic() - self.began:5.1f} с  {text}")
