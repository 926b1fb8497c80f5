"""The installation that is measured: a real Asterisk, `dozvon run` beside it on fresh data, and an API token."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from bench import company, cpu
from engine import config, up
from engine.asterisk.server import AsteriskServer
from engine.console import auth
from engine.domain import wording
from engine.files.watch import import_company
from engine.secrets import load_or_create_secrets
from engine.share import share_dir
from engine.speech.engines import find_engines
from engine.speech.voice import SpokenVoice
from engine.store.store import Store

ROOT = Path(__file__).parents[1]
FIRST_PORT, LAST_PORT = 30500, 32000  # below what the kernel hands out to clients
READY_SECONDS = 40.0
STOP_SECONDS = 10.0
QUIET_SECONDS = 30.0
_POLL_SECONDS = 0.05

CONFIG = """\
base_port: {base_port}
data_dir: {data_dir}
asterisk:
  trunks:
    - {{name: trunk, host: 127.0.0.1, port: {far_end}, calls_from: [127.0.0.0/8], max_channels: 2000, calls_a_second: 1000}}
"""


class BenchFailed(RuntimeError):
    """The bench could not be carried out; the text says why."""


@dataclass
class Rig:
    """What is up. Ours are calls that go to `DID`; the baseline's go to what `dialplan` was given."""

    asterisk: AsteriskServer
    settings: config.Settings
    engine: asyncio.subprocess.Process
    token: str
    client: aiohttp.ClientSession
    folder: Path

    @property
    def sip_port(self) -> int:
        return self.settings.base_port

    @property
    def far_end(self) -> int:
        """The port that the trunk's INVITEs go to."""
        return self.settings.base_port + 50

    # --- what it costs -------------------------------------------------------------------------------------------------------------

    def asterisk_ms(self) -> float:
        """CPU milliseconds of Asterisk."""
        return cpu.process_ms(self.asterisk.pid)

    def engine_ms(self) -> float:
        """CPU milliseconds of the engine's own process."""
        return cpu.process_ms(self.engine.pid)

    def workers_ms(self) -> float:
        """CPU milliseconds of the engine's helpers: speech, and joining and encoding of recordings."""
        return cpu.tree_ms(self.engine.pid) - self.engine_ms()

    # --- what it did ---------------------------------------------------------------------------------------------------------------

    def counts(self, since: int = 0) -> Mapping[str, int]:
        """How many events of each type are on disk, on tickets with a greater number than `since`."""
        return dict(self._ask("SELECT type, count(*) FROM events WHERE ticket > ? GROUP BY type", since))

    def last_ticket(self) -> int:
        """The greatest number of a ticket; 0 before the first."""
        return int(self._ask("SELECT coalesce(max(ticket), 0) FROM events")[0][0])

    def _ask(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        file = self.settings.inside("dozvon.sqlite")
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as store:
            return store.execute(question, values).fetchall()

    def flaws(self, since: int, *, but: str = "") -> int:
        """How many recordings have a flaw (`but` that one), on tickets with a greater number than `since`."""
        found = self._ask(
            "SELECT count(*) FROM events WHERE ticket > ? AND type = 'RecordingAttached'"
            " AND coalesce(json_extract(data, '$.flaw'), ?2) != ?2",
            since,
            but,
        )
        return int(found[0][0])

    async def until_counted(
        self, since: int, kind: str, count: int, seconds: float = QUIET_SECONDS
    ) -> Mapping[str, int]:
        """Wait until there are so many events of this type on tickets with a greater number; the counts then, complete or not."""
        deadline = time.monotonic() + seconds
        while (found := self.counts(since)).get(kind, 0) < count and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS * 4)
        return found

    async def quiet(self, seconds: float = QUIET_SECONDS) -> int:
        """Wait until no channel is up; how many still are after `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := await self.asterisk.channels_count()) and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS * 4)
        return left

    # --- what it is told -----------------------------------------------------------------------------------------------------------

    async def api(self, method: str, path: str, body: object | None = None) -> Any:
        """One API request; the decoded answer. Raises `BenchFailed` on a status from 400."""
        async with self.client.request(method, f"{self.settings.console_url}{path}", json=body) as answer:
            said = await answer.json(content_type=None)
            if answer.status >= 400:
                raise BenchFailed(f"{method} {path}: {answer.status} {said}")
            return said

    async def open_ticket(self, chain: int, cause: str) -> int:
        """An emergency in that house; its walk has begun when this returns."""
        body = {
            "company": "bench",
            "house": f"h{chain}",
            "cause": f"{cause}.bench",
            "urgency": "emergency",
            "title": "Прорыв стояка",
        }
        return int((await self.api("POST", "/api/v1/tickets", body))["number"])

    async def close_tickets(self, tickets: Sequence[int]) -> None:
        """End the walks, and with them whatever rings."""
        await asyncio.gather(
            *(self.api("POST", f"/api/v1/tickets/{ticket}/close", {"reason": "bench"}) for ticket in tickets)
        )

    async def dialplan(self, text: str) -> None:
        """Add the baseline's extensions to this Asterisk; the product's own configuration knows nothing of them."""
        etc = self.asterisk.settings.config_file.parent
        (etc / "bench.conf").write_text(text)
        with (etc / "extensions.conf").open("a") as file:
            file.write("\n#include bench.conf\n")
        await self.asterisk.cli("dialplan reload")

    async def sounds(self, *texts: str) -> list[str]:
        """The sounds that say the texts, as a dialplan names them; from the same cache as the engine's."""
        async with _voice(self.settings).open() as voice:
            return [str(await voice.speak(text)).removeprefix("sound:") for text in texts]


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """Everything up and quiet; everything ended, by its own process id, on leaving."""
    with tempfile.TemporaryDirectory(prefix="dozvon-bench-") as name:
        folder = Path(name)
        settings = _settings(folder)
        await _prepare(settings, folder)
        secrets = load_or_create_secrets(settings.inside("secrets.json"), settings.asterisk.desk_phones)
        async with AsteriskServer(up.asterisk_settings(settings, secrets), dies_with_parent=True) as asterisk:
            token = await _token(settings)
            headers = {"Authorization": f"Bearer {token}"}
            async with _engine(folder) as engine, aiohttp.ClientSession(headers=headers) as client:
                made = Rig(asterisk, settings, engine, token, client, folder)
                await _ready(made)
                yield made


def _settings(folder: Path) -> config.Settings:
    port = _free_port()
    file = folder / "dozvon.yaml"
    file.write_text(CONFIG.format(base_port=port, data_dir=folder / "var", far_end=port + 50))
    return config.load(file, {}).model_copy(update={"base_port": port})


def _free_port() -> int:
    """A base port with room for RTP above it, and SIPp's above that."""
    for port in range(FIRST_PORT, LAST_PORT, 100):
        with ExitStack() as probes:
            try:
                for offset, kind in (
                    (0, socket.SOCK_DGRAM),
                    (1, socket.SOCK_STREAM),
                    (2, socket.SOCK_STREAM),
                    (3, socket.SOCK_STREAM),
                    (50, socket.SOCK_DGRAM),
                ):
                    probes.enter_context(socket.socket(socket.AF_INET, kind)).bind(
                        ("127.0.0.1", port + offset)
                    )
            except OSError:
                continue
            return port
    raise BenchFailed(f"no free ports from {FIRST_PORT} to {LAST_PORT}")


async def _prepare(settings: config.Settings, folder: Path) -> None:
    """The company, and the sentences that the engine would otherwise render while it is measured; they are kept for the next run."""
    kept = ROOT / ".cache" / "bench" / "sounds"
    kept.mkdir(parents=True, exist_ok=True)
    settings.inside().mkdir(parents=True)
    settings.inside("sounds").symlink_to(kept)
    company.write(folder / "company")
    loaded = import_company(folder / "company", settings.companies, share_dir() / "escalation_policies")
    if loaded.company is None:
        raise BenchFailed("\n".join(finding.line_of_text() for finding in loaded.findings))
    async with _voice(settings).open() as voice:
        await voice.prepare([wording.greeting(loaded.company), *wording.fixed_parts()])


def _voice(settings: config.Settings) -> SpokenVoice:
    engines = find_engines(ROOT / settings.voice.prefix, settings.voice.name)
    return SpokenVoice(engines, settings.inside("sounds", "spoken"))


async def _token(settings: config.Settings) -> str:
    async with Store.open(settings.database) as store:
        return await auth.add_token(store.accounts, "bench", datetime.now(UTC), ("read", "act"))


@asynccontextmanager
async def _engine(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DOZVON_")}
    with (folder / "engine.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "engine", "run"),
            cwd=ROOT,
            env={**inherited, "DOZVON_CONFIG": str(folder / "dozvon.yaml")},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    try:
        yield process
    finally:
        if keep := os.environ.get("DOZVON_BENCH_KEEP"):  # to look into what went wrong
            shutil.copytree(folder / "var" / "asterisk" / "log", Path(keep) / "asterisk", dirs_exist_ok=True)
            shutil.copy(folder / "engine.log", keep)
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _ready(rig: Rig) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if rig.engine.returncode is not None:
            break
        try:
            async with rig.client.get(f"{rig.settings.console_url}/readyz") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(_POLL_SECONDS)
    words = (rig.folder / "engine.log").read_text(errors="replace").splitlines()[-15:]
    raise BenchFailed("\n    ".join(["the engine did not get ready:", *words]))


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
