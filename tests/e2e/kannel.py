"""Kannel as ordinary processes: bearerbox, smsbox, and the fake SMSC that comes with it, on free ports of loopback."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes

import aiohttp

from tests.forks import die_with_parent
from tests.ports import free_ports

BEARERBOX, SMSBOX = "/usr/sbin/bearerbox", "/usr/sbin/smsbox"
FAKESMSC = "/usr/lib/kannel/test/fakesmsc"
MISSING = [program for program in (BEARERBOX, SMSBOX, FAKESMSC) if not Path(program).exists()]
READY_SECONDS = 15.0
STOP_SECONDS = 8.0
POLL_SECONDS = 0.05

_CONF = """\
group = core
admin-port = {admin}
admin-interface = "127.0.0.1"
admin-password = adm
status-password = st
smsbox-port = {box}
smsbox-interface = "127.0.0.1"
store-type = file
store-location = {folder}/store.log
dlr-storage = sqlite3
sms-resend-freq = 1
sms-resend-retry = 5
sms-combine-concatenated-mo = true
log-file = {folder}/bearerbox.log
log-level = 0

group = sqlite3-connection
id = dlrdb
database = {folder}/dlr.sqlite

group = dlr-db
id = dlrdb
table = dlr
field-smsc = smsc
field-timestamp = ts
field-destination = destination
field-source = source
field-service = service
field-url = url
field-mask = mask
field-status = status
field-boxc-id = boxc

group = smsc
smsc = fake
smsc-id = fake1
port = {smsc}
connect-allow-ip = "127.0.0.1"
allowed-smsc-id = "fake1"

group = smsc
smsc = fake
smsc-id = fake2
port = {mo}
connect-allow-ip = "127.0.0.1"
allowed-smsc-id = "fake2"

group = smsbox
smsbox-id = box1
bearerbox-host = 127.0.0.1
sendsms-port = {send}
sendsms-interface = "127.0.0.1"
mo-recode = true
http-request-retry = 20
http-queue-delay = 1
log-file = {folder}/smsbox.log
log-level = 0

group = smsbox-route
smsbox-id = box1
smsc-id = "fake1;fake2"

group = sendsms-user
username = dozvon
password = secret
max-messages = 10
concatenation = true

group = sms-service
keyword = default
catch-all = true
max-messages = 0
omit-empty = true
get-url = "{hook}&from=%p&to=%P&body=%a&id=%I"
"""
_TABLE = (
    "CREATE TABLE IF NOT EXISTS dlr (smsc TEXT, ts TEXT, destination TEXT, source TEXT, service TEXT, url TEXT, "
    "mask INTEGER, status INTEGER, boxc TEXT)"
)


@dataclass
class Kannel:
    """A gateway and the network behind it. `hook` is our address, with its key, for texts that come in."""

    folder: Path
    hook: str = "http://127.0.0.1:9/x?key=k"
    ports: list[int] = field(default_factory=lambda: free_ports(5))
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where messages are handed over."""
        return f"http://127.0.0.1:{self.ports[3]}"

    async def start(self) -> None:
        """All three, each when the one before is ready."""
        admin, box, smsc, send, mo = self.ports
        conf = self.folder / "kannel.conf"
        conf.write_text(
            _CONF.format(
                admin=admin, box=box, smsc=smsc, send=send, mo=mo, folder=self.folder, hook=self.hook
            )
        )
        with contextlib.closing(sqlite3.connect(self.folder / "dlr.sqlite")) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute(_TABLE)
            database.commit()
        await self._run("bearerbox", BEARERBOX, str(conf))
        await self._listening(box)
        await self.start_smsbox()
        await self._run_network()

    async def start_smsbox(self) -> None:
        """The box that talks HTTP."""
        await self._run("smsbox", SMSBOX, str(self.folder / "kannel.conf"))
        await self._listening(self.ports[3])

    async def restart_bearerbox(self) -> None:
        """`kill -9`, and all of it again on the same store, at once."""
        for name in ("bearerbox", "smsbox", "fakesmsc"):
            await self.kill(name)
        await self.start()

    async def _run_network(self) -> None:
        """The fake SMSC as a mere receiver: it is told to send nothing of its own, and stays."""
        await self._run(
            "fakesmsc", FAKESMSC, "-H", "127.0.0.1", "-r", str(self.ports[2]), "-m", "0", "x y text z"
        )
        deadline = time.monotonic() + READY_SECONDS
        while "fake1]    FAKE" not in (said := await self.status()) or "(online" not in said:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the fake SMSC did not come up: {await self.status()}")
            await asyncio.sleep(POLL_SECONDS)

    async def writes(self, number: str, body: str) -> None:
        """Somebody texts us (a second fake SMSC says it, in UCS-2, and goes)."""
        hexed = "".join(f"%{byte:02x}" for byte in body.encode("utf-16-be"))
        message = f"{number} 7999 ucs2 {hexed}"
        said = self.folder / "writer.log"
        before = said.read_text().count("sent message") if said.exists() else 0
        await self._run(
            "writer", FAKESMSC, "-H", "127.0.0.1", "-r", str(self.ports[4]), "-i", "0.1", "-m", "1", message
        )
        deadline = time.monotonic() + READY_SECONDS
        while said.read_text().count("sent message") == before:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the fake SMSC could not write: {said.read_text()[-300:]}")
            await asyncio.sleep(POLL_SECONDS)
        await self.kill("writer")

    async def status(self) -> str:
        """What the bearerbox says of itself."""
        url = f"http://127.0.0.1:{self.ports[0]}/status.txt?password=st"
        async with aiohttp.ClientSession() as client:
            try:
                async with client.get(url) as answer:
                    return await answer.text()
            except aiohttp.ClientError:
                return ""

    def parts(self) -> list[Part]:
        """Every part that reached the network, in order."""
        log = self.folder / "fakesmsc.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return [_part(found[1]) for line in lines if (found := _GOT.search(line))]

    def arrived(self) -> list[tuple[str, str]]:
        """(number, text) of every message that reached the network whole, in the order of their last parts."""
        whole: list[tuple[str, str]] = []
        joined: dict[tuple[str, int], dict[int, str]] = {}
        for part in self.parts():
            pieces = joined.setdefault((part.to, part.reference), {})
            pieces[part.place] = part.text
            if part.of == 1:
                whole.append((part.to, part.text))
            elif len(pieces) == part.of:
                whole.append((part.to, "".join(pieces[place] for place in sorted(pieces))))
                del joined[part.to, part.reference]
        return whole

    async def kill(self, name: str) -> None:
        """SIGKILL, by its own pid. Nothing if it is dead already."""
        process = self.processes.pop(name, None)
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()

    async def stop(self) -> None:
        """End all, the last first."""
        for name in reversed(list(self.processes)):
            process = self.processes.pop(name)
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), STOP_SECONDS)
                except TimeoutError:
                    process.kill()
                    await process.wait()

    async def _run(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out, (self.folder / f"{name}.log").open("ab") as err:
            quiet = err if name in ("fakesmsc", "writer") else out  # the boxes keep logs of their own
            self.processes[name] = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=quiet,
                preexec_fn=die_with_parent,
            )

    async def _listening(self, port: int) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"nothing listens on {port}") from None
                await asyncio.sleep(POLL_SECONDS)


_GOT = re.compile(r"Got message \d+: <(.*)>")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message, as the network saw it."""

    sender: str
    to: str
    text: str
    reference: int = 0
    place: int = 1
    of: int = 1


def _part(line: str) -> Part:
    """«from to udh %05… data %04%10…», or «from to text words», as the fake SMSC prints it."""
    sender, to, kind, rest = line.split(" ", 3)
    if kind == "udh":
        header, kind, rest = rest.split(" ", 2)
        udh = unquote_to_bytes(header)
        return Part(
            sender, to, unquote_to_bytes(rest.replace("+", " ")).decode("utf-16-be"), udh[3], udh[5], udh[4]
        )
    return Part(
        sender,
        to,
        unquote_to_bytes(rest.replace("+", " ")).decode("latin1" if kind == "text" else "utf-16-be"),
    )


@asynccontextmanager
async def running(folder: Path, hook: str) -> AsyncIterator[Kannel]:
    """Up for the length of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    kannel = Kannel(folder, hook)
    try:
        await kannel.start()
        yield kannel
    finally:
        await kannel.stop()
