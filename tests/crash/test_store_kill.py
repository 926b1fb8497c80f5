"""What was acknowledged is there after `kill -9`; what could not be written is not there by half."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.domain.errors import StoreFailed, StoreInUse
from engine.domain.events import Noted, TicketOpened
from engine.store import Store

ROUNDS = 10
APPENDER = Path(__file__).with_name("appender.py")


def note(text: str) -> Noted:
    return Noted(at=datetime.now(UTC), by="test", text=text)


async def open_ticket(store: Store) -> int:
    return await store.open_ticket([TicketOpened(at=datetime.now(UTC), company="demo", channel="api")])


def append_until_killed(url: str, seconds: float) -> dict[int, dict[int, str]]:
    """Run the appender and kill it `seconds` after its first acknowledgement. By ticket and seq, the notes it was told are on disk."""
    process = subprocess.Popen([sys.executable, APPENDER, url], stdout=subprocess.PIPE, bufsize=0)
    assert process.stdout is not None
    first = process.stdout.readline()
    try:
        process.communicate(timeout=seconds)
        raise AssertionError("the appender ended by itself")
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    told: dict[int, dict[int, str]] = {}
    for line in (first + rest[: rest.rfind(b"\n") + 1]).decode().splitlines():
        ticket, seq, text = line.split()
        told.setdefault(int(ticket), {})[int(seq)] = text
    return told


async def test_every_acknowledged_event_survives_kill_9(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/dozvon.sqlite"
    seed = random.randrange(2**32)
    instants = random.Random(seed)
    acknowledged = 0
    for round_ in range(ROUNDS):
        told = append_until_killed(url, instants.uniform(0.0, 0.25))
        acknowledged += sum(map(len, told.values()))
        async with Store.open(url) as store:  # the dead one's lock went with it
            for ticket, notes in told.items():
                history = await store.history(ticket)
                for seq, text in notes.items():
                    assert history[seq - 1].text == text, (
                        f"seed {seed}, round {round_}: {ticket}/{seq} is lost"
                    )
                assert await store.read.ticket(ticket) is not None, (
                    f"seed {seed}, round {round_}: half-written"
                )
        with sqlite3.connect(tmp_path / "dozvon.sqlite") as database:
            gaps = database.execute(
                "SELECT ticket FROM events GROUP BY ticket HAVING max(seq) <> count(*)"
            ).fetchall()
            assert gaps == []
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
    assert acknowledged > ROUNDS * 10


async def test_a_second_engine_on_the_file_is_refused_until_the_first_dies(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/dozvon.sqlite"
    process = subprocess.Popen([sys.executable, APPENDER, url], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(StoreInUse, match=f"process {process.pid}.*stop that one first"):
            async with Store.open(url):
                pass
        async with Store.open(url, guest=True) as guest:
            assert len(await guest.read.tickets()) > 0
            await guest.accounts.add_token("hash", "ci", ["tickets"], None, datetime.now(UTC))
            assert await guest.accounts.token("hash") is not None
            with pytest.raises(StoreInUse):
                await open_ticket(guest)
    finally:
        process.kill()
        process.communicate()
    async with Store.open(url) as store:
        assert await store.accounts.token("hash") is not None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("a small disk can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_fails_the_append_whole_and_space_heals_it(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/dozvon.sqlite"
    async with Store.open(url) as store:
        ticket, other = await open_ticket(store), await open_ticket(store)
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(2_000_000))
        written = 1
        failure = None
        while failure is None:
            try:
                await store.append(ticket, [note("x" * 20_000), note("y" * 20_000)], expect=written)
                written += 2
            except StoreFailed as error:
                failure = error
        assert "make room" in str(failure)
        assert len(await store.history(ticket)) == written, "nothing half-written"
        failed = await asyncio.gather(
            *(store.append(other, [note("z" * 300_000)]) for _ in range(5)), return_exceptions=True
        )
        assert all(isinstance(error, StoreFailed) for error in failed)
        ballast.unlink()
        assert await store.append(ticket, [note("room again")], expect=written)
        assert await store.append(other, [note("here too")], expect=1)
    async with Store.open(url) as store:
        assert len(await store.history(ticket)) == written + 1
        assert len(await store.history(other)) == 2


async def test_a_file_size_limit_fails_the_append_whole(tmp_path: Path) -> None:
    """The same where nothing can be mounted: the kernel refuses to let the files grow."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, APPENDER, f"sqlite:///{tmp_path}/dozvon.sqlite", "--limit", "1000000"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "failed whole, then healed"
