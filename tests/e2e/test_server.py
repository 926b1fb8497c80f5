"""A real Asterisk from our templates: it starts, refuses strangers, and serves a resident while the engine is away."""

import asyncio
import base64
import contextlib
import os
import pickle
import signal
import socket
import sys
import wave
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from engine.asterisk.server import (
    AsteriskFailed,
    AsteriskServer,
    AsteriskSettings,
    DeskPhone,
    PortTaken,
    Trunk,
    demo_trunk,
)
from tests.e2e.wire import Phone, phone
from tests.ports import free_base_port

PREFIX = Path(__file__).parents[2] / ".cache" / "asterisk"
DID = "+74950000112"
PATIENCE_SECONDS = 20.0

Events = Callable[[str], Awaitable[dict[str, Any]]]

pytestmark = pytest.mark.skipif(
    not PREFIX.exists(), reason="no Asterisk in .cache/asterisk: run `make setup`"
)


def settings(tmp_path: Path, base_port: int, **changes: object) -> AsteriskSettings:
    values: dict[str, object] = {
        "prefix": PREFIX,
        "run_dir": tmp_path / "asterisk",
        "base_port": base_port,
        "ari_password": "ari-secret",
        "ami_password": "ami-secret",
        "live_dir": tmp_path / "live",
        "sounds_dir": tmp_path / "sounds",
        "trunks": (demo_trunk(base_port),),
        "desk_phones": (DeskPhone("operator1", "desk-secret"),),
        "fallback_numbers": {DID: ("+79000000001", "+79000000002")},
        "fallback_silence_seconds": 1,
        "fallback_ring_seconds": 3,
        "fallback_confirm_seconds": 1,
        "rtp_ports": 200,
        **changes,
    }
    for name in ("fallback-greeting", "fallback-hold", "fallback-confirm"):  # shorter than Asterisk's own
        tone(tmp_path / "sounds" / f"{name}.wav", 0.5)
    return AsteriskSettings(**values)  # type: ignore[arg-type]


def tone(path: Path, seconds: float) -> None:
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as audio:
        audio.setparams((1, 2, 8000, 0, "NONE", ""))
        audio.writeframes(b"\x00\x20\x00\xe0" * int(4000 * seconds))


@pytest.fixture
async def asterisk(tmp_path: Path) -> AsyncIterator[AsteriskServer]:
    async with AsteriskServer(settings(tmp_path, free_base_port()), dies_with_parent=True) as server:
        yield server
        assert await no_channels(server), "a channel was left behind"


async def no_channels(server: AsteriskServer) -> bool:
    for _ in range(100):
        if await server.channels_count() == 0:
            return True
        await asyncio.sleep(0.05)
    return False


def sidecar(server: AsteriskServer) -> list[tuple[str, str]]:
    (path,) = server.settings.live_dir.glob("*.fallback")
    return [(key, value) for key, _, value in (line.partition("=") for line in path.read_text().splitlines())]


def leg_of(live: Path, name: str) -> Path:
    """Where the dialplan records: COMPANY/YYYY/MM/DD, `_` for a company that it does not know."""
    (found,) = live.glob(f"_/*/*/*/{name}.wav")
    return found


async def closed(path: Path) -> float:
    """How long a recording is, in seconds, once Asterisk has closed it: a little after the channel is gone."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not seconds(path):
            await asyncio.sleep(0.05)
    return seconds(path)


def seconds(path: Path) -> float:
    with contextlib.suppress(EOFError), wave.open(str(path)) as audio:
        return audio.getnframes() / audio.getframerate()
    return 0.0


async def until_ended(server: AsteriskServer) -> dict[str, str]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "ended" not in dict(sidecar(server)):
            await asyncio.sleep(0.05)
    return dict(sidecar(server))


async def speaks(resident: Phone, seconds: float) -> None:
    """Talk for a while into the recording of the message, which begins after the greeting, then be silent."""
    await asyncio.sleep(seconds)
    resident.talking = False


async def test_a_resident_is_served_without_the_engine(asterisk: AsteriskServer) -> None:
    port = asterisk.settings.sip_port
    async with phone("+79160000042") as resident, phone("staff", port + 50) as staff, asyncio.timeout(60):
        assert await resident.calls(DID, port) == 200
        talk = asyncio.create_task(speaks(resident, 2.5))
        assert await staff.rings() == "+79000000001"
        staff.refuses()
        assert await staff.rings() == "+79000000002"
        staff.answers()
        await asyncio.sleep(0.5)
        staff.presses("1")
        await asyncio.sleep(2)
        heard = staff.frames
        await asyncio.sleep(0.5)
        assert staff.frames > heard, "the resident and the staff are not connected"
        resident.hangs_up()
        await staff.is_hung_up()
        await talk
    facts = await until_ended(asterisk)
    assert (facts["did"], facts["caller"]) == (DID, "+79160000042")
    assert (facts["outcome"], facts["accepted"]) == ("accepted", "+79000000002")
    assert [value for key, value in sidecar(asterisk) if key == "rang"] == ["+79000000001", "+79000000002"]
    assert await no_channels(asterisk)
    live = asterisk.settings.live_dir
    for call in (facts["call"], facts["leg"]):
        heard_in, heard_out = [await closed(leg_of(live, f"{call}-{leg}")) for leg in ("in", "out")]
        assert heard_in > 2
        assert abs(heard_in - heard_out) < 0.1
    assert await closed(live / f"{facts['message']}.wav") > 0.5


@contextlib.asynccontextmanager
async def engine(server: AsteriskServer) -> AsyncIterator[tuple[aiohttp.ClientSession, Events]]:
    """The least that can be called an engine: one websocket, and the events that come from it."""
    made = server.settings
    password = base64.b64encode(f"{made.ari_user}:{made.ari_password}".encode()).decode()
    auth = {"Authorization": f"Basic {password}"}
    async with (
        aiohttp.ClientSession(made.ari_url + "/", headers=auth) as ari,
        ari.ws_connect("events?app=dozvon") as socket,
    ):

        async def event(kind: str) -> dict[str, Any]:
            while True:
                if (found := await socket.receive_json())["type"] == kind:
                    return found

        yield ari, event


async def test_the_engine_gets_calls_recorded_both_ways(asterisk: AsteriskServer) -> None:
    """In: recorded before Stasis. Out: a leg that was sent to `dozvon-record` comes back recorded."""
    port, live = asterisk.settings.sip_port, asterisk.settings.live_dir
    async with (
        asyncio.timeout(30),
        phone("+79160000042") as resident,
        phone("staff", port + 50) as staff,
        engine(asterisk) as (ari, event),
    ):
        calling = asyncio.create_task(resident.calls(DID, port))
        start = await event("StasisStart")
        call = start["channel"]["id"]
        assert start["args"] == ["inbound", DID]
        assert start["channel"]["channelvars"] == {"CALLID": call, "ROLE": "resident"}
        await ari.post(f"channels/{call}/answer")
        assert await calling == 200

        originate = {
            "endpoint": asterisk.settings.dial_string("+79000000001"),
            "app": "dozvon",
            "channelId": "attempt-1",
            "callerId": DID,
            "variables": {"CALLID": call, "ROLE": "staff"},
        }
        assert (await ari.post("channels", json=originate)).status == 200
        assert await staff.rings() == "+79000000001"
        staff.answers()
        assert (await event("StasisStart"))["channel"]["id"] == "attempt-1"
        await ari.post(
            "channels/attempt-1/continue", json={"context": "dozvon-record", "extension": "s", "priority": 1}
        )
        again = await event("StasisStart")
        assert again["args"] == ["recorded", call, "staff"]
        staff.presses("7")
        assert (await event("ChannelDtmfReceived"))["digit"] == "7"
        await asyncio.sleep(2)  # these phones are of our own process, and late with it
        assert (await ari.delete("channels/attempt-1")).status == 204
        assert (await ari.delete(f"channels/{call}")).status == 204
        await staff.is_hung_up()
        await resident.is_hung_up()
    assert await no_channels(asterisk)
    for name in (call, "attempt-1"):
        assert await closed(leg_of(live, f"{name}-in")) > 0.8
    assert not list(live.glob("*.fallback"))


async def test_a_call_stays_when_the_engine_dies_and_the_next_one_is_served(asterisk: AsteriskServer) -> None:
    port = asterisk.settings.sip_port
    async with asyncio.timeout(30), phone("+79160000042") as first, phone("+79160000043") as second:
        async with engine(asterisk) as (ari, event):
            calling = asyncio.create_task(first.calls(DID, port))
            call = (await event("StasisStart"))["channel"]["id"]
            await ari.post(f"channels/{call}/answer")
            assert await calling == 200
        assert await second.calls(DID, port) == 200
        assert await asterisk.channels_count() == 2
        first.hangs_up()
        second.hangs_up()
    assert (await until_ended(asterisk))["caller"] == "+79160000043"


async def test_a_voicemail_does_not_accept(asterisk: AsteriskServer) -> None:
    """Somebody answers and presses nothing: the next number is rung, and the engine's numbers replace the settings'."""
    port = asterisk.settings.sip_port
    await asterisk.cli(f"database put dozvon/fallback/{DID} 1 +79000000003")
    await asterisk.cli(f"database put dozvon/fallback/{DID} 2 +79000000004")
    async with phone("+79160000042") as resident, phone("staff", port + 50) as staff, asyncio.timeout(60):
        assert await resident.calls(DID.lstrip("+"), port) == 200
        resident.talking = False
        assert await staff.rings() == "+79000000003"
        assert DID.lstrip("+") in staff.caller
        assert "9160000042" not in staff.caller, "only the company's own number may be shown"
        staff.answers()
        await staff.is_hung_up()
        assert await staff.rings() == "+79000000004"
        resident.hangs_up()
    facts = await until_ended(asterisk)
    assert facts["outcome"] == "message"
    assert "accepted" not in facts


async def test_a_disk_that_is_full_keeps_the_call(tmp_path: Path) -> None:
    made = settings(tmp_path, free_base_port())
    async with AsteriskServer(made, dies_with_parent=True) as server:
        made.live_dir.rmdir()
        made.live_dir.write_text("not a directory: nothing can be recorded")
        async with phone("+79160000042") as resident, asyncio.timeout(30):
            assert await resident.calls(DID, made.sip_port) == 200
            await asyncio.sleep(1.0)
            assert resident.frames > 15, "the caller hears nothing"
            resident.hangs_up()
            assert await no_channels(server)


async def test_strangers_and_hostile_callers(asterisk: AsteriskServer) -> None:
    port = asterisk.settings.sip_port
    async with phone("operator1") as impostor, asyncio.timeout(10):
        assert await impostor.calls(DID, port) == 401
    async with phone("+7$(touch)&'(42),x") as hostile, asyncio.timeout(20):
        assert await hostile.calls(DID, port) == 200
        hostile.hangs_up()
        assert await no_channels(asterisk)
    facts = await until_ended(asterisk)
    assert set(facts["caller"]) <= set("+0123456789")


async def test_a_taken_port_is_named_with_its_setting(tmp_path: Path) -> None:
    base = free_base_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
        squatter.bind(("127.0.0.1", base))
        with pytest.raises(PortTaken, match=rf"port {base} .*SIP.*DOZVON_BASE_PORT"):
            await AsteriskServer(settings(tmp_path, base)).start()


async def test_a_leftover_of_the_same_tree_is_replaced(tmp_path: Path) -> None:
    """Its owner was killed, so nobody holds the tree any more; its Asterisk makes room for ours."""
    made = settings(tmp_path, free_base_port())
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", START_AND_DIE, stdin=PIPE, stdout=PIPE)
    said, _ = await owner.communicate(pickle.dumps(made))
    assert owner.returncode == -signal.SIGKILL
    leftover = int(said)
    assert b"asterisk" in command_line(leftover)
    async with AsteriskServer(made, dies_with_parent=True) as second:
        assert second.pid != leftover
        assert not command_line(leftover)
        with pytest.raises(AsteriskFailed, match="another dozvon is running"):
            await AsteriskServer(made).start()
        assert await second.channels_count() == 0


def command_line(pid: int) -> bytes:
    """Empty for a process that has ended, whether or not somebody has fetched its exit code yet."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


START_AND_DIE = """
import asyncio, os, pickle, signal, sys
from engine.asterisk.server import AsteriskServer
async def main():
    server = AsteriskServer(pickle.load(sys.stdin.buffer))
    await server.start()
    print(server.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


async def test_a_wrong_set_up_is_told_in_its_own_words(tmp_path: Path) -> None:
    broken = settings(tmp_path, free_base_port(), trunks=(Trunk("dozvon", "127.0.0.1"),), rtp_ports=2)
    server = AsteriskServer(broken, dies_with_parent=True)
    await server.start()
    os.kill(server.pid, signal.SIGKILL)
    assert await server.wait() == -signal.SIGKILL
    with pytest.raises(AsteriskFailed):
        await server.cli("core show uptime")
