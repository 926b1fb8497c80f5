"""What goes wrong around the engine: a port that is taken, a password that is refused, a mistake in a file, a disk that is full."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from engine.asterisk.server import AsteriskServer
from engine.demo.softphones import PhoneNetwork
from tests.e2e.harness import DID, POLL_SECONDS, ROOT, Installation, People, asterisk_settings
from tests.ports import free_base_port

UNUSABLE = 2
PATIENCE_SECONDS = 20.0
WATER = {
    "company": "demo",
    "house": "lenina15",
    "urgency": "emergency",
    "cause": "water.riser",
    "text": "Прорыв",
}
DISK_MEGABYTES = 96
RESERVE_MEGABYTES = 8


async def ends(installation: Installation) -> tuple[int, str]:
    """Start the engine, which must end by itself: its code, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engine", "run"),
        cwd=ROOT,
        env=installation.surroundings,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode() + err.decode()


async def says(installation: Installation, words: str) -> str:
    """The line of the engine's log that has these words, once it is there."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            for line in installation.log.read_text().splitlines():
                if words in line:
                    return line
            await asyncio.sleep(POLL_SECONDS)


# --- what keeps it from starting is said in words ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("secret", "file"), [("ari_password", "ari.conf"), ("ami_password", "manager.conf")])
async def test_a_refused_password_is_said_at_once(secret: str, file: str, installation: Installation) -> None:
    await installation.stop()
    secrets = installation.data_dir / "secrets.json"
    right = secrets.read_text()
    secrets.write_text(json.dumps({**json.loads(right), secret: "not-the-right-one"}))
    try:
        code, said = await ends(installation)
    finally:
        secrets.write_text(right)
    assert code == UNUSABLE, said
    assert file in said
    assert "Traceback" not in said
    assert "not-the-right-one" not in said, "a secret is no one's business"


async def test_a_taken_port_is_named_with_the_setting_that_moves_it(installation: Installation) -> None:
    await installation.stop()
    port = installation.base_port + 3
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        code, said = await ends(installation)
    assert code == UNUSABLE, said
    assert str(port) in said
    assert "DOZVON_BASE_PORT" in said
    assert "Traceback" not in said


# --- a mistake in a file -------------------------------------------------------------------------------------------------------------


async def test_a_mistake_in_a_policy_stops_nothing(installation: Installation, people: People) -> None:
    """While it runs, and when it is started with the mistake there: the walk is the one that the last good file says."""
    file = installation.data_dir / "companies" / "demo" / "policies" / "water.yaml"
    good = file.read_text()
    line = good.splitlines().index("    ring_for: 6s") + 1
    people.plumber.answers().hears(0.5).presses_accept_key()
    await asyncio.to_thread(file.write_text, good.replace("ring_for: 6s", "ring_for: soon", 1))
    said = await says(installation, f"policies/water.yaml:{line}:15")
    assert "error" in said
    for start_again in (False, True):
        if start_again:
            await installation.restart(kill=True)
        number = (await installation.post("/api/v1/tickets", WATER))["number"]
        started = await installation.wait_event(number, "DialStarted")
        assert started["ring_seconds"] == 6
        await installation.wait_event(number, "DialEnded", outcome="accepted")
        companies = (await installation.get("/readyz"))["components"]["companies"]
        assert companies["ready"]
        assert "dozvon check" in companies["detail"]
    await asyncio.to_thread(file.write_text, good.replace("ring_for: 6s", "ring_for: 5s", 1))
    await says(installation, "a company was read")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await installation.get("/readyz"))["components"]["companies"].get("detail"):
            await asyncio.sleep(POLL_SECONDS)


# --- a disk that is full -------------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own, so that it can be filled."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take every byte that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for block in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(b"\0" * block)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return filler


@asynccontextmanager
async def installed_on(disk: Path, sounds: Path, phones: Path) -> AsyncIterator[tuple[Installation, People]]:
    """An installation whose data lies on that disk, all but the spoken sentences."""
    data_dir, base_port = disk / "var", free_base_port()
    data_dir.mkdir()
    (data_dir / "sounds").symlink_to(sounds)
    settings = asterisk_settings(data_dir, base_port)
    async with (
        AsteriskServer(settings, dies_with_parent=True) as server,
        PhoneNetwork(base_port + 50, recordings=phones) as network,
    ):
        installation = Installation(server, data_dir, base_port, log_file=phones / "engine.log")
        installation.environment["DOZVON_RECORDING_RESERVE_MB"] = str(RESERVE_MEGABYTES)
        try:
            await installation.start()
            installation.token = json.loads(await installation.command("token", "add", "e2e", "--json"))[
                "token"
            ]
            network.accept_key = installation.accept_key
            yield installation, People.on(network)
        finally:
            await network.hang_up()
            await installation.stop()


async def test_a_full_disk_keeps_the_call_and_loses_no_ticket(
    tmp_path: Path, asterisk: AsteriskServer
) -> None:
    """The caller is answered and spoken to; somebody is reached; and at the latest when there is room again, there is the ticket."""
    phones = tmp_path / "phones"
    phones.mkdir()
    with small_disk(tmp_path / "disk") as disk:
        async with installed_on(disk, asterisk.settings.sounds_dir, phones) as (installation, people):
            people.plumber.answers().hears(3).presses("1").presses_accept_key(after=4)
            people.plumber_reserve.busy()
            people.network.phone(people.resident.number).busy()
            filler = await asyncio.to_thread(fill, disk)
            call = await people.call_the_hotline(installation.base_port)
            assert call.up, "a full disk cost the caller the call"
            await call.hears(3)
            await call.presses("1")
            rung = await people.plumber.rang(60)
            await call.hangs_up()
            await rung.ended(60)
            filler.unlink()
            ticket = await installation.wait_ticket(60)
            opened = await installation.wait_event(ticket, "TicketOpened")
            assert opened["channel"] in ("phone", "fallback")
            assert opened["did"] in (DID, None), "of the dialplan's notes only the last may have found room"
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await installation.server.channels_count():
                    await asyncio.sleep(POLL_SECONDS)
