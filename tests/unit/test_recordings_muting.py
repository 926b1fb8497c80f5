"""Who is recorded while a recording is paused: neither the call, nor anybody who hears the same words; and everybody else is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from engine.asterisk import muting
from engine.asterisk.ami import AmiAway, AmiFailed
from engine.asterisk.ari import events, model
from engine.asterisk.muting import RecordingMute
from engine.domain.errors import NotKnown
from engine.ports import Muting


class Asterisk:
    """Its bridges, its channels that are recorded, and what is told of them."""

    def __init__(self, *recorded: str) -> None:
        self.recorded, self.muted = set(recorded), set[str]()
        self.tables: dict[str, list[str]] = {}
        self.away = False
        self.bridges = self
        self._sinks: list[Callable[[Any], None]] = []

    # AriClient
    def listen(self, sink: Callable[[Any], None], *keys: events.Key) -> Callable[[], None]:
        self._sinks.append(sink)
        return lambda: self._sinks.remove(sink)

    async def list(self) -> list[Any]:
        return [SimpleNamespace(channels=tuple(channels)) for channels in self.tables.values()]

    # Ami
    async def action(self, name: str, fields: dict[str, str]) -> None:
        assert (name, fields["Direction"]) == ("MixMonitorMute", "both")
        if self.away:
            raise AmiAway("no manager interface")
        channel = fields["Channel"]
        if channel not in self.recorded:
            raise AmiFailed("No such channel")
        (self.muted.add if fields["State"] == "1" else self.muted.discard)(channel)

    # what happens
    async def enters(self, bridge: str, channel: str) -> None:
        self.tables.setdefault(bridge, []).append(channel)
        await self._tell(model.ChannelEnteredBridge, channel)

    async def leaves(self, bridge: str, channel: str) -> None:
        self.tables[bridge].remove(channel)
        await self._tell(model.ChannelLeftBridge, channel)

    async def ends(self, channel: str) -> None:
        self.recorded.discard(channel)
        self.muted.discard(channel)
        for channels in self.tables.values():
            if channel in channels:
                channels.remove(channel)
        await self._tell(model.ChannelDestroyed, channel)

    async def _tell(self, kind: Any, channel: str) -> None:
        about = dict.fromkeys(kind.__struct_fields__)
        for sink in self._sinks:
            sink(kind(**about | {"channel": SimpleNamespace(id=channel)}))
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
def asterisk() -> Asterisk:
    return Asterisk("caller", "operator", "plumber")


async def test_who_is_put_through_during_a_pause_is_not_recorded_either(asterisk: Asterisk) -> None:
    async with RecordingMute(asterisk, asterisk) as mute:  # type: ignore[arg-type]
        await asterisk.enters("desk", "caller")
        await asterisk.enters("desk", "operator")
        await mute.mute("caller", True)
        assert asterisk.muted == {"caller", "operator"}
        await asterisk.enters("desk", "plumber")
        assert asterisk.muted == {"caller", "operator", "plumber"}
        await mute.mute("caller", False)
        assert asterisk.muted == set()


async def test_who_is_put_through_while_the_manager_is_away_is_muted_when_it_is_back(
    asterisk: Asterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(muting, "AGAIN_SECONDS", 0.01)
    async with RecordingMute(asterisk, asterisk) as mute:  # type: ignore[arg-type]
        await asterisk.enters("desk", "caller")
        await mute.mute("caller", True)
        asterisk.away = True
        await asterisk.enters("desk", "operator")
        assert asterisk.muted == {"caller"}
        asterisk.away = False
        async with asyncio.timeout(5):
            while asterisk.muted != {"caller", "operator"}:
                await asyncio.sleep(0.005)


async def test_who_leaves_is_recorded_again_and_so_are_those_that_outlive_the_call(
    asterisk: Asterisk,
) -> None:
    async with RecordingMute(asterisk, asterisk) as mute:  # type: ignore[arg-type]
        await mute.mute("caller", True)
        await asterisk.enters("desk", "caller")
        await asterisk.enters("desk", "operator")
        await asterisk.enters("desk", "plumber")
        await asterisk.leaves("desk", "operator")
        assert asterisk.muted == {"caller", "plumber"}
        await asterisk.enters("another", "operator")
        assert asterisk.muted == {"caller", "plumber"}
        await asterisk.ends("caller")
        assert asterisk.muted == set()


async def test_an_engine_that_has_begun_meanwhile_ends_what_another_muted(asterisk: Asterisk) -> None:
    await asterisk.enters("desk", "caller")
    await asterisk.enters("desk", "operator")
    async with RecordingMute(asterisk, asterisk) as earlier:  # type: ignore[arg-type]
        await earlier.mute("caller", True)
    async with RecordingMute(asterisk, asterisk) as later:  # type: ignore[arg-type]
        await later.mute("caller", False)
        assert asterisk.muted == set()


async def test_a_call_that_is_not_there(asterisk: Asterisk) -> None:
    async with RecordingMute(asterisk, asterisk) as mute:  # type: ignore[arg-type]
        checked: Muting = mute
        with pytest.raises(NotKnown):
            await checked.mute("nobody", True)
        await asterisk.enters("desk", "operator")
        assert asterisk.muted == set()
