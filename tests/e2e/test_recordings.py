"""Recordings of real calls: who said what is on their leg alone, a pause is a pause, a bad network costs no second, nor do 100 calls."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import struct
import time
import wave
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import obstore
import pytest
import pytest_asyncio

from engine.asterisk.server import NICENESS, AsteriskServer
from engine.demo.hearing import heard
from engine.demo.softphones import Call
from engine.recordings.folder import RecordingFolder
from tests.crash.test_recordings import DID, asterisk, folder, needs_asterisk, the_call
from tests.e2e import wire
from tests.e2e.fixtures import put_away
from tests.e2e.harness import ApiError, Installation, Json, People, russian_prompt
from tests.fakes.legs import RATE
from tests.fakes.s3 import BUCKET, KEY, PREFIX, Server, serving

__all__ = ["asterisk", "folder"]  # fixtures
SOUNDS = russian_prompt("hello-world").parent
LOUD = 1000
MIXMONITOR_WAITS_SECONDS = 0.1


def words(name: str, start: float, seconds: float, into: Path) -> Path:
    """A few seconds of real speech, as a WAV."""
    with wave.open(str(SOUNDS / f"{name}.wav")) as file:
        file.setpos(int(start * RATE))
        said = file.readframes(int(seconds * RATE))
    with wave.open(str(into), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(said)
    return into


async def leg(installation: Installation, recording: str, side: str) -> Path:
    """What was recorded on one side."""
    path = installation.data_dir.parent / f"{recording}-{side}.wav"
    path.write_bytes(await installation.get(f"/api/v1/recordings/{recording}?leg={side}&format=wav"))
    return path


async def only_ticket(installation: Installation) -> Json:
    number = await installation.wait_ticket()
    return await installation.ticket(number)


async def call_id(installation: Installation, number: int, kind: str) -> str:
    return str((await installation.wait_event(number, "CallStarted", kind=kind))["call"])


async def test_what_each_side_said_is_on_its_leg_and_not_on_the_other(
    installation: Installation, people: People, tmp_path: Path
) -> None:
    """The plumber asks for the resident by the key 4; each says something else, and both calls are recorded."""
    theirs = words("demo-congrats", 1.0, 4.0, tmp_path / "resident.wav")
    ours = words("demo-instruct", 10.0, 4.0, tmp_path / "plumber.wav")
    people.plumber.answers().hears(1.0).presses("4").holds(60)
    people.network.phone(people.resident.number).busy()
    resident = await people.call_the_hotline(installation.base_port)
    number = (await only_ticket(installation))["number"]
    await installation.wait_event(number, "RecordingAnnounced")
    await resident.presses("1")
    plumber = await people.plumber.rang()
    await connected(installation, plumber, resident)
    await asyncio.gather(resident.says(theirs), plumber.says(ours))
    await asyncio.sleep(0.5)  # what was said last is on its way
    await installation.post(
        f"/api/v1/tickets/{number}/accept", {"contact": "plumber1"}
    )  # nobody else is rung
    await plumber.hangs_up()
    await resident.hangs_up()
    robocall = (await installation.wait_event(number, "DialStarted"))["attempt"]
    hotline = await call_id(installation, number, "resident")
    for recording, far, near in ((hotline, theirs, ours), (robocall, ours, theirs)):
        attached = await installation.wait_event(number, "RecordingAttached", recording=recording)
        assert attached["flaw"] is None
        assert (
            attached["right"] == f"dozvon, {'plumber1' if recording == hotline else people.resident.number}"
        )
        left, right = await leg(installation, recording, "in"), await leg(installation, recording, "out")
        assert heard(left, far), "what the far end said is missing on its leg"
        assert heard(right, near), "what the far end heard is missing on our leg"
        assert not heard(left, near)
        assert not heard(right, far)


async def connected(installation: Installation, *calls: Call) -> None:
    """Wait until a bridge holds that many channels."""
    async with asyncio.timeout(40):
        while not any(len(b["channels"]) == len(calls) for b in await installation.ari("/bridges")):
            await asyncio.sleep(0.05)


@pytest.fixture
def s3() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def copying(
    session_installation: Installation, people: People, s3: Server
) -> AsyncIterator[Installation]:
    """An engine that copies its recordings to S3 and lets go of what lies here as soon as it may."""
    s3_part = {"BUCKET": BUCKET, "ENDPOINT": s3.url, "ACCESS_KEY": KEY, "SECRET_KEY": KEY, "PREFIX": PREFIX}
    s3_part["KEEP_LOCAL_FOR"] = "1s"
    await session_installation.begin(
        **{f"DOZVON_RECORDING_S3_{name}": value for name, value in s3_part.items()}
    )
    yield session_installation
    await put_away(session_installation, people)


async def test_what_is_said_in_a_pause_is_not_on_the_disk(
    copying: Installation, people: People, s3: Server, tmp_path: Path
) -> None:
    """Nor in the store of copies, from which it is heard when nothing lies here any more."""
    installation = copying
    before, secret, after = (
        words("demo-instruct", at, 2.5, tmp_path / f"{at}.wav") for at in (2.0, 20.0, 40.0)
    )
    people.network.phone(people.resident.number).busy()
    resident = await people.call_the_hotline(installation.base_port)
    number = (await only_ticket(installation))["number"]
    await installation.wait_event(number, "CallAnswered")
    call = await call_id(installation, number, "resident")
    path = f"/api/v1/calls/{call}/recording"
    await resident.says(before)
    await asyncio.sleep(0.3)  # what was said last is on its way
    assert await installation.post(path, {"do": "pause"}) == {"call": call, "paused": True}
    await resident.says(secret)
    await asyncio.sleep(0.3)
    assert await installation.post(path, {"do": "resume"}) == {"call": call, "paused": False}
    await resident.says(after)
    await asyncio.sleep(0.3)
    await resident.hangs_up()
    attached = await installation.wait_event(number, "RecordingAttached")
    assert attached["seconds"] == pytest.approx(resident.seconds, abs=0.3), "the pause has shortened it"
    with pytest.raises(ApiError, match="409"):
        await installation.post(path, {"do": "pause"})
    left = await leg(installation, call, "in")
    assert heard(left, before)
    assert heard(left, after)
    assert not heard(left, secret)
    ((since, until),) = json.loads(json.dumps(await installation.get(f"/api/v1/recordings/{call}/peaks")))[
        "gaps"
    ]
    with wave.open(str(left)) as file:
        samples = np.abs(np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(int))
    quiet = samples[int((since + 0.3) * RATE) : int((until - 0.3) * RATE)]
    assert quiet.max() < 100, "the marked gap is not silent"
    assert until - since == pytest.approx(3.0, abs=0.8)
    kinds = [event["type"] for event in await installation.events(number)]
    assert kinds.index("RecordingPaused") < kinds.index("RecordingResumed")
    installation.open_tickets_allowed = True
    await copied_and_let_go(installation, s3, call)
    again = await leg(installation, call, "in")
    assert heard(again, before)
    assert not heard(again, secret)


async def copied_and_let_go(installation: Installation, s3: Server, call: str) -> None:
    """Sealed, uploaded, read back; the next look, which a start begins with, lets go of the sound here and of nothing else."""
    kept = installation.server.settings.live_dir
    async with asyncio.timeout(20):
        while not list(kept.rglob(f"{call}.away")):
            await asyncio.sleep(0.05)
        (sound,) = kept.rglob(f"{call}.opus")
        facts = json.loads(sound.with_suffix(".json").read_text())
        (there,) = [path for path in s3.paths() if path.endswith(sound.name)]
        held = bytes(obstore.get(s3.store(), there).bytes())
        assert hashlib.sha256(held).hexdigest() == facts["sha256"]
        await asyncio.to_thread(s3.stop)  # an outage: what is here is all there is, and is not let go
        await installation.stop()
        await installation.start()
        assert (await leg(installation, call, "both")).stat().st_size > len(held)
        assert sound.exists()
        await asyncio.to_thread(s3.start)
        while sound.exists():
            await asyncio.sleep(0.05)


# --- against an Asterisk without an engine -------------------------------------------------------------------------------------------


class Pacer:
    """Sends the RTP of many telephones on time, from one task: a late sender would look like a lost recording.

    `worst`: by how many seconds it was late itself, once, because the machine had no time for it. `stood_still`: for how long in all it
    was so late that nobody could take the frames for one stream; MixMonitor begins anew after 100 ms.
    """

    def __init__(self) -> None:
        self.worst = self.stood_still = 0.0
        self._lines: dict[wire.Phone, tuple[tuple[str, int], int]] = {}

    def talk(self, phone: wire.Phone, peer: tuple[str, int]) -> None:
        self._lines[phone] = (peer, 0)

    def hush(self, phone: wire.Phone) -> None:
        self._lines.pop(phone, None)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            late = loop.time() - due
            self.worst = max(self.worst, late)
            self.stood_still += late if late > MIXMONITOR_WAITS_SECONDS else 0.0
            for phone, (peer, number) in list(self._lines.items()):
                header = struct.pack("!BBHII", 0x80, 8, number & 0xFFFF, number * 160, 112)
                phone.rtp.sendto(header + phone.frame(number), peer)
                self._lines[phone] = (peer, number + 1)
            due += wire.FRAME_SECONDS
            await asyncio.sleep(max(0.0, due - loop.time()))


class Deaf(asyncio.DatagramProtocol):
    """Hears nothing: a hundred telephones' worth of packets need not be kept."""


@contextlib.asynccontextmanager
async def paced(
    pacer: Pacer, number: str, *, loss: float = 0.0, jitter: float = 0.0
) -> AsyncIterator[PacedPhone]:
    """A telephone whose sound goes by the pacer, through a network that loses and delays."""
    loop = asyncio.get_running_loop()
    transport, inbox = await loop.create_datagram_endpoint(wire._Inbox, ("127.0.0.1", 0))
    rtp, _ = await loop.create_datagram_endpoint(Deaf, ("127.0.0.1", 0))
    bad = BadNetwork(rtp, loss, jitter) if loss or jitter else rtp
    phone = PacedPhone(number, transport, inbox, bad, inbox)  # type: ignore[arg-type]
    phone.pacer = pacer
    try:
        yield phone
    finally:
        pacer.hush(phone)
        phone.close()


class BadNetwork:
    """An RTP socket that loses some packets and delays the others, so that they also overtake each other."""

    def __init__(self, socket: asyncio.DatagramTransport, loss: float, jitter: float) -> None:
        self._socket, self._loss, self._jitter = socket, loss, jitter
        self._random = random.Random(7)
        self.sent = self.lost = 0

    def sendto(self, data: bytes, peer: tuple[str, int]) -> None:
        self.sent += 1
        if self._random.random() < self._loss:
            self.lost += 1
            return
        delay = self._random.random() * self._jitter
        asyncio.get_running_loop().call_later(delay, self._deliver, data, peer)

    def _deliver(self, data: bytes, peer: tuple[str, int]) -> None:
        if not self._socket.is_closing():
            self._socket.sendto(data, peer)

    def get_extra_info(self, name: str) -> object:
        return self._socket.get_extra_info(name)

    def close(self) -> None:
        self._socket.close()


class PacedPhone(wire.Phone):
    pacer: Pacer
    __hash__ = object.__hash__

    def frame(self, number: int) -> bytes:
        """20 ms of A-law: speech-like bursts of noise, half a second long."""
        return wire._NOISE if number // 25 % 2 == 0 else wire._SILENCE

    def _start_media(self, sdp: str) -> None:
        port = int(sdp.partition("m=audio ")[2].split()[0])
        self.pacer.talk(self, ("127.0.0.1", port))

    def hangs_up(self) -> None:
        self.pacer.hush(self)
        super().hangs_up()


@pytest.fixture
async def pacer() -> AsyncIterator[Pacer]:
    made = Pacer()
    running = asyncio.create_task(made.run(), name="pacer")
    yield made
    running.cancel()
    await asyncio.wait({running})


@needs_asterisk
async def test_a_bad_network_costs_no_second(
    asterisk: AsteriskServer, folder: RecordingFolder, pacer: Pacer
) -> None:
    """5 % of the packets lost, the others up to 40 ms late."""
    async with paced(pacer, "+79160000042", loss=0.05, jitter=0.04) as resident:
        assert await resident.calls(DID, asterisk.settings.sip_port) == 200
        begun = time.monotonic()
        call = await the_call(asterisk)
        await asyncio.sleep(10.0)  # a talk has to last
        resident.hangs_up()
        seconds = time.monotonic() - begun
        network = resident.rtp
    assert isinstance(network, BadNetwork)
    assert 0.02 < network.lost / network.sent < 0.09
    kept = await folder.finish("demo", call, seconds - pacer.worst)
    assert kept is not None
    assert kept.flaw is None
    assert kept.seconds == pytest.approx(seconds, abs=0.3 + pacer.worst)
    with wave.open(str((await folder.listen(call, "in")).path)) as file:
        samples = np.abs(np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(int))
    bursts = samples[: len(samples) // 4000 * 4000].reshape(-1, 4000).max(axis=1) > LOUD
    assert bursts.mean() > 0.45 - pacer.worst / seconds, "what was said is missing"


@needs_asterisk
@pytest.mark.alone
async def test_a_hundred_calls_at_once_keep_their_seconds(
    asterisk: AsteriskServer, folder: RecordingFolder, pacer: Pacer
) -> None:
    calls, seconds = 100, 15.0
    answered: list[float] = []

    async def one(number: int) -> None:
        await asyncio.sleep(number * 0.04)
        async with paced(pacer, f"+7916{number:07d}") as resident:
            assert await resident.calls(DID, asterisk.settings.sip_port) == 200
            begun = time.monotonic()
            await asyncio.sleep(seconds)
            resident.hangs_up()
            answered.append(time.monotonic() - begun)
            await asyncio.sleep(0.2)  # until the BYE is answered

    with first_in_line() as quick:
        await asyncio.gather(*(one(number) for number in range(calls)))
    ids = await folder.orphans()
    assert len(ids) == calls
    began = time.monotonic()
    kept = [one for one in await asyncio.gather(*(folder.finish("demo", id, seconds) for id in ids)) if one]
    took = time.monotonic() - began
    assert len(kept) == calls
    due = seconds - wire.FRAME_SECONDS  # in the last frame the call is hung up
    share = sum(min(one.seconds, due) for one in kept) / (due * calls)
    worst = 1000 * pacer.worst
    print(
        f"\nkept {100 * share:.3f} % of answered seconds, shortest {min(one.seconds for one in kept):.2f} s of {seconds}, "
        f"joined in {took:.1f} s; the telephones were late by {worst:.0f} ms at most, by {pacer.stood_still:.1f} s in all"
    )
    assert max(answered) < seconds + 1.0
    assert share >= (0.999 if quick else 0.95) - pacer.stood_still / seconds
    assert not [one for one in kept if one.flaw == "missing"]


@contextlib.contextmanager
def first_in_line() -> Iterator[bool]:
    """The telephones are not on the machine that is measured: nobody here may delay them. False: we may not say so (nor may Asterisk)."""
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, usual)
