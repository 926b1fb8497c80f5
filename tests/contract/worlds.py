"""The two worlds in which the telephony contract is tested: a network in memory, and a real Asterisk with softphones."""

from __future__ import annotations

import asyncio
import contextlib
import wave
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from engine.asterisk.ari.client import AriClient
from engine.asterisk.ari.rest import AriAddress
from engine.asterisk.server import AsteriskServer, AsteriskSettings, Trunk, demo_trunk
from engine.asterisk.telephony import AsteriskTelephony
from engine.demo.script import TakesCalls
from engine.ports import Sound, Telephony
from engine.recordings.legs import read_leg
from tests.fakes.network import FakeNetwork
from tests.fakes.telephony import FakeTelephony
from tests.ports import free_base_port

PREFIX = Path(__file__).parents[2] / ".cache" / "asterisk"
DID = "+74950000112"


class FarCall(Protocol):
    """What the contract needs of a far end's call; a softphone's and a fake one's both fit."""

    @property
    def over(self) -> bool: ...
    async def presses(self, keys: str, *, after: float = 0.0, gap: float = 0.3) -> object: ...
    async def hears(self, what: float = 0.5, *, timeout: float = 20.0) -> object: ...
    async def hangs_up(self) -> object: ...
    async def ended(self, timeout: float = 10.0) -> object: ...


class FarPhone(Protocol):
    history: list[FarCall]

    async def rang(self, timeout: float = 15.0) -> FarCall: ...


class World(Protocol):
    telephony: Telephony

    def phone(self, number: str) -> TakesCalls: ...
    async def calls(self, number: str) -> FarCall: ...
    def sound(self, seconds: float) -> Sound: ...
    async def bridges(self) -> int: ...
    def recorded(self, leg: str) -> float | None:
        """Seconds on the shorter side of a leg's recording; None in a world where nothing is recorded."""
        ...

    async def engine_restarts(self) -> None:
        """The engine is killed, its channels stay; `telephony` is that of a new one."""
        ...

    async def forget(self) -> None:
        """Between tests: everybody hangs up, nobody has a script."""
        ...


class FakeWorld:
    def __init__(self) -> None:
        self.network = FakeNetwork()
        self.telephony = self._new()

    def _new(self) -> FakeTelephony:
        return FakeTelephony(self.network, sound_seconds=lambda sound: float(sound.rpartition("-")[2]))

    def phone(self, number: str) -> TakesCalls:
        return self.network.phone(number)

    async def calls(self, number: str) -> FarCall:
        return self.network.resident(number).calls(DID)

    def sound(self, seconds: float) -> Sound:
        return Sound(f"sound:tone-{seconds}")

    async def bridges(self) -> int:
        return len(self.network.bridges)

    def recorded(self, leg: str) -> None:
        return None

    async def engine_restarts(self) -> None:
        self.telephony.dies()
        self.telephony = self._new()

    async def forget(self) -> None:
        async with self.network:
            pass
        self.__init__()  # type: ignore[misc]


class AsteriskWorld:
    def __init__(self, server: AsteriskServer, network: object, folder: Path) -> None:
        self.server = server
        self.network = network
        self._folder = folder
        self._engine = AsyncExitStack()
        self.ari: AriClient
        self.telephony: AsteriskTelephony

    @property
    def address(self) -> AriAddress:
        settings = self.server.settings
        return AriAddress("127.0.0.1", settings.ari_port, settings.ari_user, settings.ari_password)

    async def engine_starts(
        self, address: AriAddress | None = None, trunks: tuple[str, ...] = ("trunk",)
    ) -> None:
        self._engine = AsyncExitStack()
        self.ari = await self._engine.enter_async_context(AriClient(address or self.address, heartbeat=1.0))
        self.telephony = await self._engine.enter_async_context(
            AsteriskTelephony(self.ari, trunks=trunks, close_seconds=0.2)
        )

    async def engine_stops(self) -> None:
        await self._engine.aclose()

    async def engine_restarts(self) -> None:
        await self.ari.close()  # first, so that nothing that the old one still does has an effect
        await self.engine_stops()
        await self.engine_starts()

    def phone(self, number: str) -> TakesCalls:
        return self.network.phone(number)

    async def calls(self, number: str) -> FarCall:
        uri = f"sip:{DID}@127.0.0.1:{self.server.settings.sip_port}"
        return await self.network.resident(number).calls(uri, answered=False)

    def sound(self, seconds: float) -> Sound:
        path = self._folder / f"tone-{seconds:g}.wav"
        if not path.exists():
            tone(path, seconds)
        return Sound(f"sound:{path.with_suffix('')}")

    async def bridges(self) -> int:
        return len(await self.ari.bridges.list())

    def recorded(self, leg: str) -> float:
        return min(read_leg(path).seconds for path in self.server.settings.live_dir.rglob(f"{leg}-*.wav"))

    async def forget(self) -> None:
        await self.network.reset()


def tone(path: Path, seconds: float) -> None:
    """A 1 kHz tone, 8 kHz mono."""
    with wave.open(str(path), "wb") as audio:
        audio.setparams((1, 2, 8000, 0, "NONE", ""))
        audio.writeframes(
            b"\x00\x00\x82\x2d\x00\x40\x82\x2d\x00\x00\x7e\xd2\x00\xc0\x7e\xd2" * int(1000 * seconds)
        )


class Wire:
    """A TCP line to Asterisk that can be cut, go silent without being closed, or open a websocket on which nothing is ever said."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._deafening = False
        self._server: asyncio.Server

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        self.cut()
        self._open.set()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def fall_silent(self) -> None:
        self._open.clear()

    def speak_again(self) -> None:
        self.cut()
        self._open.set()

    def deafen_the_next(self) -> None:
        """The next websocket opens, and stays open, but no event comes through it."""
        self._deafening = True

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer, down=True))
        self._writers -= {writer, far_writer}

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool = False
    ) -> None:
        deaf = False
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._open.wait()
                if deaf:
                    continue
                if down and self._deafening and data.startswith(b"HTTP/1.1 101"):
                    self._deafening, deaf = False, True
                    data = data[: data.index(b"\r\n\r\n") + 4]
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def asterisk_alone(folder: Path, *more_trunks: Trunk) -> AsyncIterator[AsteriskServer]:
    """A private Asterisk on ports of its own."""
    if not (PREFIX / "bin" / "asterisk").exists():
        pytest.skip("no Asterisk in .cache/asterisk: run `make setup`")
    base = free_base_port()
    settings = AsteriskSettings(
        prefix=PREFIX,
        run_dir=folder / "asterisk",
        base_port=base,
        ari_password="ari-secret",
        ami_password="ami-secret",
        live_dir=folder / "live",
        sounds_dir=folder / "sounds",
        trunks=(demo_trunk(base), *more_trunks),
        rtp_ports=600,
    )
    async with AsteriskServer(settings, dies_with_parent=True) as server:
        yield server


@asynccontextmanager
async def asterisk_world(folder: Path, *more_trunks: Trunk) -> AsyncIterator[AsteriskWorld]:
    """A private Asterisk with a telephone network of softphones beyond its trunk."""
    softphones = pytest.importorskip("engine.demo.softphones")
    pytest.importorskip("pjsua2")
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(asterisk_alone(folder, *more_trunks))
        far_end = server.settings.base_port + 50
        network = await stack.enter_async_context(softphones.PhoneNetwork(far_end, recordings=folder / "far"))
        yield AsteriskWorld(server, network, folder)
