"""A phone that sends nothing: each second of its call is recorded all the same, in a talk, in a prompt, and while no engine lives."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.asterisk.ari.client import AriAddress, AriClient
from engine.asterisk.server import AsteriskServer
from engine.asterisk.telephony import AsteriskTelephony
from engine.ports import Dial, Sound
from engine.recordings.legs import read_leg
from tests.contract.worlds import tone
from tests.crash.far_end import Dialog, FarEnd
from tests.e2e.harness import PREFIX, asterisk_settings
from tests.ports import free_base_port

ANNA, BORIS = "+79001000001", "+79001000002"
TOLERANCE_SECONDS = 0.3
pytestmark = pytest.mark.skipif(
    not PREFIX.exists(), reason="no Asterisk in .cache/asterisk: run `make setup`"
)


class Muted(FarEnd):
    """Everybody answers at once, and no phone sends any sound."""

    async def _take(self, dialog: Dialog) -> None:
        self.answer(dialog)


@dataclass
class Station:
    """A real Asterisk; `engine()` is one life of an engine's telephony."""

    server: AsteriskServer
    engines: AsyncExitStack

    async def engine(self) -> tuple[AriClient, AsteriskTelephony]:
        s = self.server.settings
        address = AriAddress("127.0.0.1", s.ari_port, s.ari_user, s.ari_password)
        ari = await self.engines.enter_async_context(AriClient(address))
        phone = AsteriskTelephony(ari, trunks=("trunk",), close_seconds=0.2)
        return ari, await self.engines.enter_async_context(phone)

    async def recorded(self, leg: str, up_since: float, until: float) -> None:
        """The leg that was up from then until then has both its sides, each as long."""
        files = list(self.server.settings.live_dir.rglob(f"{leg}-*.wav"))
        assert len(files) == 2
        for file in files:
            async with asyncio.timeout(5):  # it is closed a moment after the call
                while abs(read_leg(file).seconds - (until - up_since)) > TOLERANCE_SECONDS:
                    await asyncio.sleep(0.1)


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    server = AsteriskServer(asterisk_settings(tmp_path / "var", free_base_port()), dies_with_parent=True)
    async with (
        server,
        await Muted.on(server.settings.base_port + 50, random.Random(112)),
        AsyncExitStack() as engines,
    ):
        yield Station(server, engines)


async def test_a_talk_in_which_nobody_speaks(station: Station) -> None:
    loop = asyncio.get_running_loop()
    _, phone = await station.engine()
    async with phone.dial(Dial("1-1", ANNA, 10)) as anna:
        anna_since = loop.time()
        async with phone.dial(Dial("1-2", BORIS, 10)) as boris:
            boris_since = loop.time()
            async with phone.bridge(anna, boris):
                await asyncio.sleep(2)
            await asyncio.sleep(0.5)
            until = loop.time()
    await station.recorded("1-1", anna_since, until)
    await station.recorded("1-2", boris_since, until)


async def test_the_engine_dies_in_the_midst_of_a_prompt(station: Station, tmp_path: Path) -> None:
    """What it was saying is said to its end; then nobody says anything, until another engine ends the call."""
    loop = asyncio.get_running_loop()
    tone(tmp_path / "prompt.wav", 0.5)
    ari, phone = await station.engine()
    dialling = phone.dial(Dial("1-1", ANNA, 10))
    leg = await dialling.__aenter__()  # and never left: the engine dies
    since = loop.time()
    playing = asyncio.create_task(leg.play(Sound(f"sound:{tmp_path / 'prompt'}")))
    await asyncio.sleep(0.2)
    await ari.close()
    playing.cancel()
    await asyncio.sleep(2.5)
    _, later = await station.engine()
    await later.hang_up("1-1")
    until = loop.time()
    await station.recorded("1-1", since, until)
