"""The two commands: `dozvon up` (what `make run` runs), and `dozvon demo-call` (what `make demo` runs) beside it."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import sys
import wave
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.asterisk.server import AsteriskServer
from tests.e2e.harness import (
    PREFIX,
    ROOT,
    SAME_LENGTH_SECONDS,
    Installation,
    asterisk_settings,
)
from tests.ports import free_base_port

READY_SECONDS = 90.0
STOP_SECONDS = 20.0
MOST_ROBOCALLS = 5

pytestmark = pytest.mark.skipif(
    not PREFIX.exists(), reason="no Asterisk in .cache/asterisk: run `make setup`"
)


@asynccontextmanager
async def up(data_dir: Path) -> AsyncIterator[Installation]:
    """An installation as a user has it, with an API token; ended as by Ctrl-C, which must leave nothing."""
    pytest.importorskip("pjsua2", reason="no softphones: pip install -e '.[demo]'")
    base_port = free_base_port()
    installation = Installation(AsteriskServer(asterisk_settings(data_dir, base_port)), data_dir, base_port)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engine", "up"),
        cwd=ROOT,
        env=installation.surroundings,
        stdout=PIPE,
        stderr=STDOUT,
    )
    assert process.stdout is not None
    said = []
    try:
        async with asyncio.timeout(READY_SECONDS):
            while "Dozvon is ready" not in (line := (await process.stdout.readline()).decode()):
                said.append(line)
                assert line, "".join(said)
        draining = asyncio.create_task(process.stdout.read(), name="what up says")
        installation.token = json.loads(await installation.command("token", "add", "e2e", "--json"))["token"]
        yield installation
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), STOP_SECONDS) == 0
        await draining
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


async def test_the_demo_ends_with_the_directors_acceptance(tmp_path: Path) -> None:
    async with up(tmp_path / "var") as installation:
        told = json.loads(await installation.command("demo-call", "--json"))
        ticket = told["ticket"]
        assert told["url"] == f"{installation.console}/tickets/{ticket}"
        events = await installation.events(ticket)
        of = {
            kind: [event for event in events if event["type"] == kind] for kind in {e["type"] for e in events}
        }

        assert [(one["contact"], one["via"]) for one in of["Accepted"]] == [("director", "call")]
        assert len(of["DialStarted"]) <= MOST_ROBOCALLS
        outcomes = [one["outcome"] for one in of["DialEnded"]]
        assert sorted({*outcomes}) == ["accepted", "busy", "declined", "no_answer"]

        kept = {one["call"]: one for one in of["RecordingAttached"]}
        assert len(kept) == len(of["CallEnded"]) == 3, "the resident, who declined, and the director"
        for ended in of["CallEnded"]:
            recording = kept[ended["call"]]
            assert recording["seconds"] == pytest.approx(ended["seconds"], abs=SAME_LENGTH_SECONDS)
            assert recording["flaw"] is None
            audio = await installation.get(f"/api/v1/recordings/{recording['recording']}?format=wav")
            with wave.open(io.BytesIO(audio)) as played:
                assert played.getnchannels() == 2
                length = played.getnframes() / played.getframerate()
            assert length == pytest.approx(recording["seconds"], abs=0.1)
        assert await installation.server.channels_count() == 0
