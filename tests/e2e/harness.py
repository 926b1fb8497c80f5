"""A whole installation for tests: real Asterisk, the engine as a subprocess, people with softphones.

One Asterisk and one telephone network serve a test session; the engine gets fresh data for every test. The data directory stays the
same, because Asterisk's run tree and the secrets lie in it: `Installation.begin` empties the rest.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp

from engine import config, up
from engine.asterisk.server import AsteriskServer
from engine.asterisk.settings import AsteriskSettings
from engine.demo.softphones import Call, Phone, PhoneNetwork, Resident
from engine.secrets import load_or_create_secrets
from tests.forks import EngineProcess

ROOT = Path(__file__).parents[2]
PREFIX = ROOT / ".cache" / "asterisk"
VOICES = ROOT / ".cache" / "rhvoice"
DID = "+74950000112"
DESK_PHONES = tuple(f"operator{number}" for number in range(1, 13))
"""Whom Asterisk lets in; an engine that is told nothing serves the first of them."""


def russian_prompt(name: str) -> Path:
    """One of Asterisk's own Russian prompts, under whatever name its package keeps them."""
    folders = sorted((PREFIX / "share" / "sounds").glob("ru*"))
    return (folders[0] if folders else PREFIX) / f"{name}.wav"


READY_SECONDS = 20.0
STOP_SECONDS = 8.0
EVENT_SECONDS = 15.0
POLL_SECONDS = 0.04
SAME_LENGTH_SECONDS = 0.3
"""How much shorter or longer than its call a recording may be, whatever was killed meanwhile."""
RTP_PORTS = 500
SHORT_FALLBACK = {
    "fallback_silence_seconds": 1,
    "fallback_message_seconds": 10,
    "fallback_ring_seconds": 3,
    "fallback_confirm_seconds": 2,
    "fallback_rounds": 1,
}
"""The dialplan by itself is more patient than a test can be."""
KEPT = {"asterisk", "secrets.json", "sounds", "recordings"}
"""What of the data directory outlives a test: Asterisk's tree, the secrets, the prompts (slow to speak), and the folder in
which Asterisk begins its recordings, though nothing in it."""

Json = dict[str, Any]


class EngineFailedError(RuntimeError):
    """The engine did not start, or is not there any more; the text ends with the last lines of its log."""


class ApiError(RuntimeError):
    """The API refused: `status`, and `body`, which is the decoded problem details."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status} {body}")
        self.status, self.body = status, body


@dataclass(frozen=True)
class People:
    """Everyone of the demo company, as contract.md has it, on one simulated telephone network."""

    network: PhoneNetwork
    plumber: Phone
    plumber_reserve: Phone
    second_plumber: Phone
    electrician: Phone
    supervisor: Phone
    director: Phone
    resident: Resident

    @classmethod
    def on(cls, network: PhoneNetwork, theirs: Callable[[str], str] = str) -> Self:
        """`theirs` makes another company's number of the demo company's."""
        return cls(
            network=network,
            plumber=network.phone(theirs("+79000000001"), "plumber"),
            plumber_reserve=network.phone(theirs("+79000000011"), "plumber's reserve"),
            second_plumber=network.phone(theirs("+79000000002"), "second plumber"),
            electrician=network.phone(theirs("+79000000005"), "electrician"),
            supervisor=network.phone(theirs("+79000000003"), "supervisor"),
            director=network.phone(theirs("+79000000004"), "director"),
            resident=network.resident(theirs("+79160000042")),
        )

    async def call_the_hotline(self, base_port: int, **how: Any) -> Call:
        """The resident of flat 42 phones the demo company."""
        return await self.resident.calls(f"sip:{DID}@127.0.0.1:{base_port}", **how)


def asterisk_settings(data_dir: Path, base_port: int) -> AsteriskSettings:
    """The Asterisk of a demo installation in `data_dir`, as `dozvon up` would start it."""
    environment = {
        "DOZVON_BASE_PORT": str(base_port),
        "DOZVON_DATA_DIR": str(data_dir),
        "DOZVON_ASTERISK_DESK_PHONES": ",".join(DESK_PHONES),
    }
    settings = config.load(environment=environment)
    secrets = load_or_create_secrets(settings.inside("secrets.json"), settings.asterisk.desk_phones)
    made = up.asterisk_settings(settings, secrets)
    return dataclasses.replace(made, prefix=PREFIX, rtp_ports=RTP_PORTS, **SHORT_FALLBACK)


@dataclass
class Installation:
    """The engine beside a running Asterisk. `begin` gives it fresh data; `kill`, `restart` do what they say.

    `environment` adds to (or overrides) what the engine is started with, failpoints for instance. A token with every scope is
    made once, and the store that holds it is what `begin` puts back.
    """

    server: AsteriskServer
    data_dir: Path
    base_port: int
    environment: dict[str, str] = field(default_factory=dict)
    process: EngineProcess | None = None
    token: str = ""
    log_file: Path | None = None
    """Where the engine's log goes; by default beside the data."""
    open_tickets_allowed: bool = False
    """Set by a test that ends with an emergency still walking; tear-down then stops the engine before it looks."""

    @property
    def console(self) -> str:
        return f"http://127.0.0.1:{self.base_port + 3}"

    @property
    def log(self) -> Path:
        return self.log_file or self.data_dir.parent / "engine.log"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    # -- the process -----------------------------------------------------------------------------------------

    async def begin(
        self, prepare: Callable[[Path], None] | None = None, *, running: bool = True, **environment: str
    ) -> None:
        """Fresh data, and a running engine. `prepare` may edit the folder of companies first; `environment` is of this beginning on."""
        await self.stop()
        template = self.data_dir.parent / "template"
        for path in self.data_dir.iterdir():
            if path.name not in KEPT:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in self.server.settings.live_dir.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.open_tickets_allowed = False
        self.environment.clear()
        if not self.token:
            await self.start()
            made = self.data_dir.parent / "token.json"
            await EngineProcess(self.surroundings, made, "token", "add", "e2e", "--json").wait()
            self.token = json.loads(made.read_text())["token"]
            await self.stop()
            shutil.copytree(self.data_dir, template, ignore=shutil.ignore_patterns(*KEPT))
        shutil.copytree(template, self.data_dir, dirs_exist_ok=True)
        if prepare is not None:
            prepare(self.data_dir / "companies")
        self.environment |= environment
        if running:
            await self.start()

    async def start(self) -> None:
        """Start the engine and wait until it says that it is ready. Raises `EngineFailedError`."""
        self.process = EngineProcess(self.surroundings, self.log)
        began = time.monotonic()
        async with aiohttp.ClientSession() as client:
            while time.monotonic() - began < READY_SECONDS:
                if not self.running:
                    raise EngineFailedError(
                        f"the engine ended with {self.process.returncode}{self.last_words()}"
                    )
                with contextlib.suppress(aiohttp.ClientError):
                    async with client.get(f"{self.console}/readyz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(POLL_SECONDS)
        raise EngineFailedError(f"the engine was not ready after {READY_SECONDS:.0f} s{self.last_words()}")

    async def kill(self) -> None:
        """SIGKILL: as the power going off, for the engine alone."""
        await self._signal(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, as Ctrl-C does; one that takes longer than `STOP_SECONDS` is killed, which fails the test."""
        try:
            await asyncio.wait_for(self._signal(signal.SIGTERM), STOP_SECONDS)
        except TimeoutError:
            await self.kill()
            raise EngineFailedError(
                f"the engine did not stop in {STOP_SECONDS:.0f} s{self.last_words()}"
            ) from None

    async def restart(self, *, kill: bool = False) -> None:
        """Stop (or kill) and start on the same data."""
        await (self.kill() if kill else self.stop())
        await self.start()

    async def died(self, timeout: float = STOP_SECONDS) -> int:
        """Wait until the engine has ended by itself (a failpoint); its exit code."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), timeout)

    async def command(self, *arguments: str) -> str:
        """Run `dozvon …` against this installation; what it printed. Raises `EngineFailedError` on another exit than 0."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "engine", *arguments),
            cwd=ROOT,
            env=self.surroundings,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode:
            raise EngineFailedError(f"dozvon {' '.join(arguments)}: {process.returncode}\n{err.decode()}")
        return out.decode()

    def last_words(self, lines: int = 30) -> str:
        text = self.log.read_text(errors="replace").splitlines()[-lines:] if self.log.exists() else []
        return "".join(f"\n    {line}" for line in text)

    @property
    def surroundings(self) -> Mapping[str, str]:
        """The environment of every process of this installation."""
        ours = {"DOZVON_BASE_PORT": str(self.base_port), "DOZVON_DATA_DIR": str(self.data_dir)}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DOZVON_")}
        return {**inherited, "PYTHONUNBUFFERED": "1", **ours, **self.environment}

    async def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            await self.process.wait()

    # -- what it says ----------------------------------------------------------------------------------------

    async def request(self, method: str, path: str, body: Json | None = None, **headers: str) -> Any:
        """One API request; the decoded answer. Raises `ApiError` on a status from 400."""
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        async with (
            aiohttp.ClientSession(headers=headers) as client,
            client.request(method, f"{self.console}{path}", json=body) as answer,
        ):
            said = await answer.json() if answer.content_type.endswith("json") else await answer.read()
            if answer.status >= 400:
                raise ApiError(answer.status, said)
            return said

    async def get(self, path: str) -> Any:
        return await self.request("GET", path)

    async def post(self, path: str, body: Json | None = None) -> Any:
        return await self.request("POST", path, body)

    async def tickets(self) -> list[Json]:
        return _items(await self.get("/api/v1/tickets?limit=200"))

    async def ticket(self, number: int | str) -> Json:
        found: Json = await self.get(f"/api/v1/tickets/{number}")
        return found

    async def events(self, number: int | str) -> list[Json]:
        return _items(await self.get(f"/api/v1/tickets/{number}/events"))

    async def texts(self) -> list[Json]:
        return _items(await self.get("/api/v1/texts"))

    async def wait_event(
        self, number: int | str, type: str, timeout: float = EVENT_SECONDS, *, after: int = 0, **fields: Any
    ) -> Json:
        """The first event of this type with these fields whose `seq` is greater than `after`."""

        def wanted(event: Json) -> bool:
            return (
                event["type"] == type
                and event["seq"] > after
                and all(event.get(name) == value for name, value in fields.items())
            )

        seen: list[Json] = []
        try:
            async with asyncio.timeout(timeout), contextlib.aclosing(self.timeline(number)) as timeline:
                async for event in timeline:
                    if wanted(event):
                        return event
                    seen.append(event)
                raise AssertionError("a timeline never ends")
        except TimeoutError:
            kinds = [event["type"] for event in seen]
            raise TimeoutError(
                f"no {type} {fields} on ticket {number} in {timeout} s; there was {kinds}{self.last_words(10)}"
            ) from None

    async def timeline(self, number: int | str) -> AsyncGenerator[Json, None]:
        """Every event of the ticket from its beginning, as it comes; an engine that is away is waited for. Never ends."""
        seq = 0
        url = f"{self.console}/api/v1/tickets/{number}/events"
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "text/event-stream"}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as client:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with client.get(url, headers={**headers, "Last-Event-ID": str(seq)}) as stream:
                        async for line in stream.content:
                            if line.startswith(b"data:") and line[5:].strip().startswith(b"{"):
                                event: Json = json.loads(line[5:])
                                if event.get("seq") == seq + 1:
                                    seq += 1
                                    yield event
                await asyncio.sleep(2 * POLL_SECONDS)

    async def wait_ticket(self, timeout: float = EVENT_SECONDS, *, not_among: tuple[Any, ...] = ()) -> Any:
        """The number of the first ticket that is not among those."""
        found = await self._poll(
            self.tickets, lambda ticket: ticket["number"] not in not_among, timeout, "a new ticket"
        )
        return found["number"]

    async def accept_key(self, call: Call) -> str:
        """The key that the robocall on this softphone has drawn, for `PhoneNetwork.accept_key`."""
        async with asyncio.timeout(EVENT_SECONDS):
            while True:
                with contextlib.suppress(aiohttp.ClientError):  # the engine may be dead just now
                    for ticket in await self.tickets():
                        if key := _drawn_key(await self.events(ticket["number"]), call.number):
                            return key
                await asyncio.sleep(POLL_SECONDS)

    async def ari(self, path: str) -> Any:
        """GET a resource of Asterisk's own interface."""
        settings = self.server.settings
        word = base64.b64encode(f"{settings.ari_user}:{settings.ari_password}".encode()).decode()
        async with (
            aiohttp.ClientSession(
                headers={"Authorization": f"Basic {word}"}, raise_for_status=True
            ) as client,
            client.get(f"{settings.ari_url}{path}") as answer,
        ):
            return await answer.json()

    async def _poll(
        self, ask: Callable[[], Any], wanted: Callable[[Json], bool], timeout: float, what: str
    ) -> Json:
        seen: list[Json] = []
        try:
            async with asyncio.timeout(timeout):
                while True:
                    seen = await ask()
                    for item in seen:
                        if wanted(item):
                            return item
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            kinds = [item.get("type", item.get("number")) for item in seen]
            raise TimeoutError(f"no {what} in {timeout} s; there was {kinds}{self.last_words(10)}") from None


def _drawn_key(events: list[Json], number: str) -> str | None:
    """The accept key of the attempt that is up at `number`, if one is."""
    attempts = {
        event["attempt"] for event in events if event["type"] == "DialStarted" and event["number"] == number
    }
    attempts -= {event["attempt"] for event in events if event["type"] == "DialEnded"}
    for event in events:
        if event["type"] == "RobocallAnswered" and event["attempt"] in attempts:
            return str(event["accept_key"])
    return None


def _items(body: Any) -> list[Json]:
    """A list, bare or in a page."""
    if isinstance(body, list):
        return body
    for name in ("items", "tickets", "events", "texts"):
        if name in body:
            return list(body[name])
    raise ValueError(f"no list in {sorted(body)}")
