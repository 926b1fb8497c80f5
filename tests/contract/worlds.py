"""The two worlds in which the telephony contract is tested: a network in memory, and a real Asterisk with softphones."""

from __future__ import annotations

import contextlib
import os
import socket
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
from tests.fakes.network import FakeNetwork
from tests.fakes.telephony import FakeTelephony

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

    async def forget(self) -> None:
        await self.network.reset()


def tone(path: Path, seconds: float) -> None:
    """A 1 kHz tone, 8 kHz mono."""
    with wave.open(str(path), "wb") as audio:
        audio.setparams((1, 2, 8000, 0, "NONE", ""))
        audio.writeframes(
            b"\x00\x00\x82\x2d\x00\x40\x82\x2d\x00\x00\x7e\xd2\x00\xc0\x7e\xd2" * int(1000 * seconds)
        )


@asynccontextmanager
async def asterisk_world(folder: Path, *more_trunks: Trunk) -> AsyncIterator[AsteriskWorld]:
    """A private Asterisk with a telephone network beyond its trunk, and an engine's telephony on it."""
    if not (PREFIX / "bin" / "asterisk").exists():
        pytest.skip("no Asterisk in .cache/asterisk: run `make setup`")
    softphones = pytest.importorskip("engine.demo.softphones")
    pytest.importorskip("pjsua2")
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
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(AsteriskServer(settings, dies_with_parent=True))
        network = await stack.enter_async_context(
            softphones.PhoneNetwork(base + 50, recordings=folder / "far")
        )
        yield AsteriskWorld(server, network, folder)


def free_base_port() -> int:
    """A base whose SIP, AMI, ARI and far-end ports are free now."""
    first = 22000 + os.getpid() % 10 * 10
    for base in range(first, first + 100, 10):
        with contextlib.ExitStack() as probes:
            try:
                for offset, kind in ((0, socket.SOCK_DGRAM), (1, socket.SOCK_STREAM), (2, socket.SOCK_STREAM),
                                     (50, socket.SOCK_DGRAM)):  # fmt: skip
                    probe = probes.enter_context(socket.socket(socket.AF_INET, kind))
                    probe.bind(("127.0.0.1", base + offset))
            except OSError:
                continue
            return base
    raise RuntimeError("no free ports")
