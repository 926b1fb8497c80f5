"""The softphones themselves, on a real Asterisk that a few lines of plain ARI conduct instead of the engine."""

from __future__ import annotations

import asyncio
import base64
import itertools
import math
import os
import signal
import struct
import sys
import time
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from engine.asterisk.server import AsteriskServer
from engine.demo.hearing import heard, heard_at, speech_seconds
from engine.demo.softphones import CallOverError, PhoneNetwork
from tests.e2e.harness import DID, People, russian_prompt

PATIENCE_SECONDS = 10.0
HELLO = russian_prompt("hello-world")
GOODBYE = russian_prompt("vm-goodbye")


class Conductor:
    """Plays the engine's part: originates, plays, presses, and listens, by ARI."""

    def __init__(
        self, server: AsteriskServer, client: aiohttp.ClientSession, events: asyncio.Queue[Any]
    ) -> None:
        self.server = server
        self.base_port = server.settings.base_port
        self._client = client
        self._events = events
        self._seen: list[Any] = []
        self._numbers = itertools.count(1)

    def forgets(self) -> None:
        """What was heard so far was about another test."""
        self._seen.clear()
        while not self._events.empty():
            self._events.get_nowait()

    async def rings(self, number: str, *, seconds: int = 8, caller: str = "112") -> str:
        channel = f"test-{os.getpid()}-{next(self._numbers)}"
        endpoint = self.server.settings.dial_string(number)
        await self.post(
            "/channels",
            endpoint=endpoint,
            app="dozvon",
            channelId=channel,
            callerId=caller,
            timeout=str(seconds),
        )
        return channel

    async def post(self, path: str, **query: str) -> None:
        async with self._client.post(f"{self.server.settings.ari_url}{path}", params=query) as answer:
            answer.raise_for_status()

    async def ends(self, channel: str) -> None:
        async with self._client.delete(f"{self.server.settings.ari_url}/channels/{channel}") as answer:
            assert answer.status in (204, 404)

    async def event(self, type: str, channel: str = "") -> Any:
        """The first event of this type (on this channel); looks at each only once."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    for event in self._seen:
                        if event["type"] == type and (not channel or event["channel"]["id"] == channel):
                            self._seen.remove(event)
                            return event
                    self._seen.append(await self._events.get())
        except TimeoutError:
            raise AssertionError(
                f"no {type} of {channel} among {[each['type'] for each in self._seen]}"
            ) from None


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def connection(session_asterisk: AsteriskServer) -> AsyncIterator[Conductor]:
    """One for all tests: Asterisk may notice the end of an app's socket after its successor has come, and silence both."""
    settings = session_asterisk.settings
    word = base64.b64encode(f"{settings.ari_user}:{settings.ari_password}".encode()).decode()
    events: asyncio.Queue[Any] = asyncio.Queue()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Basic {word}"}) as client,
        client.ws_connect(f"{settings.ari_url}/events?app=dozvon&subscribeAll=true") as socket,
    ):

        async def read() -> None:
            async for message in socket:
                events.put_nowait(message.json())

        reader = asyncio.create_task(read(), name="test: ARI events")
        yield Conductor(session_asterisk, client, events)
        reader.cancel()


@pytest_asyncio.fixture(loop_scope="session")
async def conductor(connection: Conductor, people: People) -> AsyncIterator[Conductor]:
    connection.forgets()
    yield connection
    await people.network.hang_up()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await connection.server.channels_count():
            await asyncio.sleep(0.05)
    assert people.network.troubles == []


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Three seconds that are like nothing else: a voice-like chirp."""
    path = tmp_path / "speech.wav"
    with wave.open(str(path), "wb") as audio:
        audio.setparams((1, 2, 8000, 0, "NONE", ""))
        audio.writeframes(
            b"".join(
                struct.pack("<h", int(9000 * math.sin(at * (0.2 + at / 60000)) * math.sin(at / 700)))
                for at in range(24000)
            )
        )
    return path


@pytest.mark.parametrize(
    ("outcome", "cause", "tech_cause", "states"),
    [
        ("busy", 17, 486, ["INCOMING", "DISCONNECTED"]),
        ("declines_call", 21, 603, ["INCOMING", "EARLY", "DISCONNECTED"]),
        ("not_found", 1, 404, ["INCOMING", "DISCONNECTED"]),
        ("unavailable", 19, 480, ["INCOMING", "DISCONNECTED"]),
        ("broken", 34, 503, ["INCOMING", "DISCONNECTED"]),
    ],
)
async def test_a_refusal_arrives_as_its_code(
    people: People, conductor: Conductor, outcome: str, cause: int, tech_cause: int, states: list[str]
) -> None:
    codes = {"not_found": 404, "unavailable": 480, "broken": 503}
    if outcome in codes:
        people.plumber.rejects(codes[outcome])
    else:
        getattr(people.plumber, outcome)()
    channel = await conductor.rings(people.plumber.number)
    call = await people.plumber.rang()
    await call.ended()
    destroyed = await conductor.event("ChannelDestroyed", channel)
    assert (destroyed["cause"], destroyed["tech_cause"]) == (cause, tech_cause)
    assert (call.code, call.answered_at, call.wav) == (tech_cause, None, None)
    assert (call.number, call.caller) == (people.plumber.number, "112")
    assert [moment.state for moment in call.log] == states


async def test_nobody_answers(people: People, conductor: Conductor) -> None:
    people.plumber.rings_out()
    channel = await conductor.rings(people.plumber.number, seconds=1)
    call = await (await people.plumber.rang()).ended()
    assert (call.code, call.answered_at) == (487, None)
    assert (await conductor.event("ChannelDestroyed", channel))["cause"] == 19


async def test_a_silent_phone_says_nothing_at_all(people: People, conductor: Conductor) -> None:
    people.plumber.silent()
    channel = await conductor.rings(people.plumber.number, seconds=1)
    call = await people.plumber.rang()
    assert (await conductor.event("ChannelDestroyed", channel))["cause"] == 19
    assert (call.code, call.log, len(people.plumber.history)) == (None, [], 1)
    await people.network.reset()
    await asyncio.sleep(1)  # the INVITE is repeated meanwhile, and is no new call
    assert not people.network.calls


async def test_a_cancelled_ring_ends(people: People, conductor: Conductor) -> None:
    people.plumber.rings_out()
    channel = await conductor.rings(people.plumber.number)
    call = await people.plumber.rang()
    await conductor.ends(channel)
    assert (await call.ended()).code == 487


async def test_a_call_ends_when_it_ends_however_busy_we_are(people: People, conductor: Conductor) -> None:
    people.plumber.answers()
    channel = await conductor.rings(people.plumber.number)
    call = await people.plumber.rang()
    await call.answered()
    asked = time.monotonic()
    await conductor.ends(channel)
    time.sleep(1.0)  # we are held up, not the phones
    await call.ended()
    assert call.ended_at is not None
    assert call.ended_at - asked < 0.5


async def test_a_call_after_another_goes_as_written(people: People, conductor: Conductor) -> None:
    people.plumber.busy().then.declines_call().then.answers().hangs_up().then.no_more()
    codes = []
    for _ in range(4):
        await conductor.rings(people.plumber.number)
        codes.append((await (await people.plumber.rang()).ended()).code)
    assert codes == [486, 603, 200, 480]
    assert people.network.unexpected == people.plumber.history[3:]


async def test_a_number_without_a_script_is_unexpected(people: People, conductor: Conductor) -> None:
    first = await conductor.rings(people.director.number)
    await conductor.event("ChannelDestroyed", first)
    second = await conductor.rings("+79990000000")
    assert (await conductor.event("ChannelDestroyed", second))["tech_cause"] == 404
    assert [call.number for call in people.network.unexpected] == [people.director.number, "+79990000000"]


@pytest.mark.parametrize("early", [False, True], ids=["after the prompt", "early"])
async def test_keys_and_prompts_on_the_robocall(people: People, conductor: Conductor, early: bool) -> None:
    script = people.plumber.rings(0.3).answers()
    (script if early else script.hears(HELLO)).presses("7").presses("*0", after=0.2).hears_pause(
        0.5
    ).hangs_up()
    channel = await conductor.rings(people.plumber.number)
    await conductor.event("StasisStart", channel)
    await conductor.post(f"/channels/{channel}/play", media="sound:hello-world")
    keys = [(await conductor.event("ChannelDtmfReceived", channel))["digit"] for _ in range(3)]
    assert keys == ["7", "*", "0"]
    call = await (await people.plumber.rang()).ended()
    assert call.wav is not None
    assert call.hung_up_by_us
    assert call.log[0].at + 0.3 <= (call.answered_at or 0.0)
    assert heard(call.wav, HELLO)
    assert not heard(call.wav, GOODBYE)
    with wave.open(str(call.wav)) as audio:
        assert audio.getnframes() / audio.getframerate() == pytest.approx(call.seconds, abs=0.3)


async def test_the_drawn_key_is_asked_for_when_it_is_needed(people: People, conductor: Conductor) -> None:
    async def drawn(call: Any) -> str:
        return {people.plumber.number: "9"}[call.number]

    people.network.accept_key = drawn
    people.plumber.answers().presses_accept_key(after=0.1).hangs_up(after=0.3)
    channel = await conductor.rings(people.plumber.number)
    assert (await conductor.event("ChannelDtmfReceived", channel))["digit"] == "9"
    await (await people.plumber.rang()).ended()


async def test_a_resident_speaks_presses_and_hears(
    people: People, conductor: Conductor, speech: Path
) -> None:
    calling = asyncio.create_task(people.call_the_hotline(conductor.base_port, caller="+79991234567"))
    start = await conductor.event("StasisStart")
    channel = start["channel"]["id"]
    assert (start["args"], start["channel"]["caller"]["number"]) == (["inbound", DID], "+79991234567")
    await conductor.post(f"/channels/{channel}/answer")
    call = await calling
    assert call.up
    await conductor.post(f"/channels/{channel}/play", media="sound:hello-world")
    await call.hears_something(0.3)
    await call.presses("1")
    assert (await conductor.event("ChannelDtmfReceived", channel))["digit"] == "1"
    await call.presses("2", info=True)
    assert (await conductor.event("ChannelDtmfReceived", channel))["digit"] == "2"
    await conductor.post(f"/channels/{channel}/dtmf", dtmf="5")
    await call.hears_key("5")
    await call.says(speech)
    await call.hangs_up()
    assert (await conductor.event("ChannelDestroyed", channel))["cause"] in (0, 16)
    assert call.wav is not None
    assert heard(call.wav, HELLO)
    (far,) = conductor.server.settings.live_dir.rglob(f"{channel}-in.wav")
    (ours,) = conductor.server.settings.live_dir.rglob(f"{channel}-out.wav")
    assert heard_at(far, speech) is not None, "Asterisk's recording has what the resident said"
    assert speech_seconds(ours) > 0.3


async def test_a_refused_resident_is_an_outcome(people: People, conductor: Conductor) -> None:
    calling = asyncio.create_task(people.call_the_hotline(conductor.base_port))
    channel = (await conductor.event("StasisStart"))["channel"]["id"]
    await conductor.ends(channel)
    call = await calling
    assert (call.up, call.over) == (False, True)
    assert (call.code or 0) >= 400
    with pytest.raises(CallOverError):
        await call.hears(0.1)


async def test_eight_phones_ring_at_once(people: People, conductor: Conductor) -> None:
    phones = [people.network.phone(f"+7900000010{each}") for each in range(8)]
    for phone in phones:
        phone.answers(after=0.5)
    channels = [await conductor.rings(phone.number) for phone in phones]
    calls = [await phone.rang() for phone in phones]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*(call.answered() for call in calls))
    assert all(call.up for call in calls)
    last_began, first_answered = (
        max(call.began_at for call in calls),
        min(call.answered_at or 0.0 for call in calls),
    )
    assert last_began < first_answered, "they all rang at the same time"
    await asyncio.gather(*(conductor.ends(channel) for channel in channels))
    await asyncio.gather(*(call.ended() for call in calls))
    assert {call.code for call in calls} == {200}


async def test_twenty_calls_are_carried_by_as_many_workers_as_they_need(
    people: People, conductor: Conductor
) -> None:
    phones = [people.network.phone(f"+790000002{each:02}") for each in range(20)]
    for phone in phones:
        phone.rings(0.2).answers()
    channels = [await conductor.rings(phone.number) for phone in phones]
    calls = [await phone.rang() for phone in phones]
    await asyncio.gather(*(call.answered() for call in calls))
    assert len(people.network.live) == 20
    await asyncio.gather(*(conductor.ends(channel) for channel in channels))
    await asyncio.gather(*(call.ended() for call in calls))


async def test_a_worker_that_dies_ends_its_calls_and_is_replaced(
    people: People, conductor: Conductor
) -> None:
    people.plumber.answers()
    channels = [await conductor.rings(people.plumber.number)]
    call = await (await people.plumber.rang()).answered()
    assert call.worker is not None
    os.kill(call.worker, signal.SIGKILL)
    await call.ended()
    assert (call.code, call.reason) == (None, "lost")
    assert people.network.troubles.pop() == f"{people.plumber.number}: its softphone process died"
    channels.append(await conductor.rings(people.plumber.number))
    await (await people.plumber.rang()).answered()
    await asyncio.gather(*(conductor.ends(channel) for channel in channels))


async def test_no_process_is_left(tmp_path: Path) -> None:
    async with PhoneNetwork(0, recordings=tmp_path, workers=3) as network:
        processes = network.processes
        assert len(processes) == 3 + 1
    assert not any(alive(process) for process in processes)


async def test_they_die_with_whoever_started_them(tmp_path: Path) -> None:
    program = """
import asyncio, pathlib, sys
from engine.demo.softphones import PhoneNetwork
async def main():
    async with PhoneNetwork(0, recordings=pathlib.Path(sys.argv[1])) as network:
        print(*network.processes, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    processes = [int(word) for word in (await parent.stdout.readline()).split()]
    assert len(processes) == 2 + 1
    assert all(alive(process) for process in processes)
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(alive(process) for process in processes):
            await asyncio.sleep(0.02)


def alive(process: int) -> bool:
    """Whether it runs; one that its parent has not yet reaped does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
