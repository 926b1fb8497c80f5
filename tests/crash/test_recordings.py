"""Recordings against what kills: Asterisk by SIGKILL, the engine at each of its file operations, the worker in the midst of joining."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import wave
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from engine.asterisk.ami import Ami, AmiAddress
from engine.asterisk.server import AsteriskServer, AsteriskSettings, demo_trunk
from engine.recordings import folder as folder_module
from engine.recordings.crypt import KeyRing
from engine.recordings.folder import RecordingFolder
from engine.recordings.formats import sha256
from engine.recordings.seal import load_key
from engine.recordings.verify import verify
from engine.speech.sound import write_wav
from engine.upkeep import NO_RECORDING
from tests.crash.finish_once import AtHand, folder_of
from tests.e2e.wire import phone
from tests.fakes.legs import RATE, tone, write_leg
from tests.ports import free_base_port

HERE = Path(__file__).parents[2]
PREFIX = HERE / ".cache/asterisk"
DID = "+74950000112"
GREETING_HERTZ = 700.0

needs_asterisk = pytest.mark.skipif(
    not PREFIX.exists(), reason="no Asterisk in .cache/asterisk: run `make setup`"
)


@pytest.fixture
async def asterisk(tmp_path: Path) -> AsyncIterator[AsteriskServer]:
    """An Asterisk without an engine: its fallback answers, greets with 12 s of a tone, and records from the first moment."""
    base = free_base_port()
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    (sounds / "fallback-greeting.wav").write_bytes(write_wav(tone(GREETING_HERTZ, 12.0), RATE))
    settings = AsteriskSettings(
        prefix=PREFIX,
        run_dir=tmp_path / "asterisk",
        base_port=base,
        ari_password="ari-secret",
        ami_password="ami-secret",
        live_dir=tmp_path / "kept",
        sounds_dir=sounds,
        trunks=(demo_trunk(base),),
        rtp_ports=200,
    )
    async with AsteriskServer(settings, dies_with_parent=True) as server:
        yield server


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[RecordingFolder]:
    async with RecordingFolder(tmp_path / "kept").open() as opened:
        yield opened


async def the_call(server: AsteriskServer) -> str:
    """The id of the call that is up."""
    async with asyncio.timeout(5):
        while True:
            for leg in server.settings.live_dir.rglob("*-in.wav"):
                return leg.name.removesuffix("-in.wav")
            await asyncio.sleep(0.02)


async def both_sides(folder: RecordingFolder, call: str) -> tuple[np.ndarray, np.ndarray]:
    with wave.open(str((await folder.listen(call)).path)) as file:
        left, right = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2).T
        return left.astype(float), right.astype(float)


def power_at(samples: np.ndarray, hertz: float) -> float:
    """Share of the signal's power within 5 Hz of a tone."""
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    at = np.fft.rfftfreq(len(samples), 1 / RATE)
    return float(spectrum[np.abs(at - hertz) < 5].sum() / spectrum.sum())


@needs_asterisk
async def test_a_real_call_is_kept_whole(asterisk: AsteriskServer, folder: RecordingFolder) -> None:
    async with phone("+79160000042") as resident:
        assert await resident.calls(DID, asterisk.settings.sip_port) == 200
        begun = asyncio.get_running_loop().time()
        call = await the_call(asterisk)
        await asyncio.sleep(3.0)  # a talk has to last
        assert await folder.orphans() == [], "a call that is up is no orphan"
        live = asterisk.settings.live_dir
        lying = [path for path in live.rglob("*") if not path.name.startswith(".")]
        assert lying
        assert not [path for path in (live, *lying) if path.stat().st_mode & 0o077], "others can listen"
        resident.hangs_up()
        up = asyncio.get_running_loop().time() - begun
        kept = await folder.finish("demo", call, up)
    assert kept is not None
    assert kept.flaw is None
    assert kept.seconds == pytest.approx(up, abs=0.3)
    far, ours = await both_sides(folder, call)
    assert power_at(ours, GREETING_HERTZ) > 0.9, "what we said is not on our leg"
    assert power_at(far, GREETING_HERTZ) < 0.01, "what we said is on the far end's leg"
    assert np.abs(far).mean() > 1000, "what the far end said is missing"
    assert list(asterisk.settings.live_dir.rglob(f"{call}-*.wav")) == []


@needs_asterisk
async def test_on_a_full_disk_the_call_goes_on_unrecorded(asterisk: AsteriskServer) -> None:
    """The very last resort: the engine has told the dialplan that there is no room left."""
    settings = asterisk.settings
    address = AmiAddress("127.0.0.1", settings.base_port + 1, settings.ami_user, settings.ami_password)
    async with Ami(address) as ami:
        await ami.db_put(*NO_RECORDING, "1")
        async with phone("+79160000042") as resident:
            assert await resident.calls(DID, settings.sip_port) == 200
            async with asyncio.timeout(10):
                while resident.frames < 50:
                    await asyncio.sleep(0.02)
            assert not list(settings.live_dir.rglob("*-in.wav"))
            resident.hangs_up()
        await ami.db_put(*NO_RECORDING, "0")
    async with phone("+79160000042") as resident:
        assert await resident.calls(DID, settings.sip_port) == 200
        await the_call(asterisk)
        resident.hangs_up()


@needs_asterisk
async def test_asterisk_is_killed_in_a_call(asterisk: AsteriskServer, folder: RecordingFolder) -> None:
    async with phone("+79160000042") as resident:
        assert await resident.calls(DID, asterisk.settings.sip_port) == 200
        call = await the_call(asterisk)
        await asyncio.sleep(6.0)  # longer than the four seconds between two writes
        await asterisk.kill()
        assert await folder.orphans() == [call]
        kept = await folder.finish("demo", call, 6.0)
    assert kept is not None
    assert kept.flaw == "repaired"
    assert kept.seconds > 4.0, "what had reached the disk is lost"
    far, ours = await both_sides(folder, call)
    assert power_at(ours, GREETING_HERTZ) > 0.9
    assert np.abs(far).mean() > 1000
    assert await folder.orphans() == []


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "encrypted"])
async def test_the_engine_is_killed_at_each_file_operation(
    tmp_path: Path, encrypt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was done before it died: the next start keeps the whole recording, once, and lets go of the legs."""
    monkeypatch.setattr(folder_module, "Workers", AtHand)
    engines = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.crash.finish_once"), cwd=HERE, stdin=PIPE, stdout=PIPE
    )
    assert engines.stdin is not None
    assert engines.stdout is not None
    operation = 0
    while True:
        operation += 1
        root, live = tmp_path / f"{operation}/kept", tmp_path / f"{operation}/live"
        for side, hertz in (("in", 300.0), ("out", 700.0)):
            write_leg(live, "c", side, tone(hertz, 1.0))
        engines.stdin.write(json.dumps([operation, str(root), str(live), "c", encrypt]).encode() + b"\n")
        died = int(await engines.stdout.readline())
        assert died in (0, -signal.SIGKILL)

        key = load_key(root.parent / "key.pem")
        async with folder_of(root, live, encrypt).open() as folder:
            assert set(await folder.orphans()) <= {"c"}
            kept = await folder.finish("demo", "c", 1.0)
            assert kept is not None
            assert (kept.seconds, kept.flaw) == (1.0, None), f"after operation {operation}"
            facts = await folder.find("c")
            (day,) = root.glob("demo/*/*/*")
            names = {"c.json", facts.peaks, facts.file, "chain.jsonl"} | ({"c.keys"} if encrypt else set())
            assert {path.name for path in day.iterdir()} == names, f"after operation {operation}"
            wrong = list(verify(root, key.public_key(), ["c"], KeyRing(root.parent / "keys")))
            assert wrong == [], f"after operation {operation}"
            assert sha256(day / facts.file) == facts.sha256
            with wave.open(str((await folder.listen("c", "in")).path)) as file:
                assert file.readframes(file.getnframes()) == tone(300.0, 1.0)
            assert await folder.orphans() == []
            assert list(live.iterdir()) == []
        if died == 0:
            break
    assert operation > 12, "nothing was killed"
    engines.stdin.close()
    assert await engines.wait() == 0


async def test_the_worker_is_killed_while_it_joins(tmp_path: Path) -> None:
    live = tmp_path / "live"
    for side in ("in", "out"):
        write_leg(live, "c", side, tone(300, 120.0))
    async with RecordingFolder(tmp_path / "kept", live).open() as folder:
        finishing = asyncio.create_task(folder.finish("demo", "c", 120.0))
        async with asyncio.timeout(10):
            while not list((tmp_path / "kept").rglob(".c.part*")):
                await asyncio.sleep(0.005)
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        worker = next(
            pid
            for pid in children
            if b"engine.recordings.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        os.kill(int(worker), signal.SIGKILL)
        kept = await finishing  # a fresh worker did it
    assert kept is not None
    assert (kept.seconds, kept.flaw) == (120.0, None)
