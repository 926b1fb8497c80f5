"""Silence in the recording of a call, not in the call: MixMonitor's mute, which keeps both legs' length. `ports.Muting`."""

from __future__ import annotations

import asyncio
from types import TracebackType

import structlog

from engine.domain.errors import NotKnown, TelephonyAway

from .ami import Ami, AmiAway, AmiFailed
from .ari import events, model
from .ari.client import AriClient
from .ari.errors import AriError
from .errands import Errands

log = structlog.get_logger()

CLOSE_SECONDS = 1.0
AGAIN_SECONDS = 0.5
MOVES = tuple(
    events.kind(kind)
    for kind in (model.ChannelEnteredBridge, model.ChannelLeftBridge, model.ChannelDestroyed)
)


class RecordingMute:
    """Mutes what the dialplan records of a channel, and of those that share a bridge with it: they hear the same words.

    Used as `async with`. Who is put through later is muted then; who leaves the bridge, or outlives the call, is recorded again.
    """

    def __init__(self, ari: AriClient, ami: Ami) -> None:
        self._ari, self._ami = ari, ami
        self._paused: set[str] = set()
        self._muted: set[str] = set()
        self._turn = asyncio.Lock()
        self._errands = Errands()

    async def __aenter__(self) -> RecordingMute:
        self._unlisten = self._ari.listen(self._file, *MOVES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unlisten()
        await self._errands.close(CLOSE_SECONDS)

    async def mute(self, call: str, muted: bool) -> None:
        """See `ports.Muting`. A channel that hangs up meanwhile is no matter, unless it is the call's own."""
        if muted:
            self._paused.add(call)
        else:
            self._paused.discard(call)
            async with self._turn:  # whom an earlier engine muted, we do not know
                self._muted |= {call, *self._together(call, await self._bridges())}
        try:
            await self._settle(call)
        except (NotKnown, TelephonyAway):
            self._paused.discard(call)
            raise

    def _file(self, event: events.Event) -> None:
        if not self._paused and not self._muted:
            return
        match event:
            case model.ChannelEnteredBridge() | model.ChannelLeftBridge():
                self._errands.begin(self._follow(), "mute-who-came")
            case model.ChannelDestroyed(channel=gone) if gone.id in self._paused | self._muted:
                self._paused.discard(gone.id)
                self._muted.discard(gone.id)
                self._errands.begin(self._follow(), "mute-nobody-for-it")

    async def _follow(self) -> None:
        """Again until it is done: whoever was put through must not be recorded for longer than Asterisk is away."""
        while True:
            try:
                return await self._settle()
            except TelephonyAway as error:
                log.error("who is not to be recorded cannot be muted yet", reason=str(error))
                await asyncio.sleep(AGAIN_SECONDS)

    async def _settle(self, call: str | None = None) -> None:
        """Mute whom it is to be, and nobody else. Raises `NotKnown` if `call` is not recorded, `TelephonyAway`."""
        async with self._turn:
            bridges = await self._bridges()
            wanted = self._paused.union(*(self._together(paused, bridges) for paused in self._paused))
            for channel in sorted(
                wanted ^ self._muted | ({call} if call else set()), key=lambda id: id != call
            ):
                muted = channel in wanted
                try:
                    fields = {"Channel": channel, "Direction": "both", "State": "1" if muted else "0"}
                    await self._ami.action("MixMonitorMute", fields)
                except AmiAway as error:
                    raise TelephonyAway(str(error)) from error
                except AmiFailed as error:
                    self._muted.discard(channel)
                    if channel == call:
                        raise NotKnown(f"there is no call {call} that is recorded ({error})") from error
                else:
                    (self._muted.add if muted else self._muted.discard)(channel)

    async def _bridges(self) -> list[tuple[str, ...]]:
        try:
            return [bridge.channels for bridge in await self._ari.bridges.list()]
        except AriError as error:
            raise TelephonyAway(str(error)) from error

    def _together(self, call: str, bridges: list[tuple[str, ...]]) -> set[str]:
        """Whom it is bridged with."""
        return {channel for bridge in bridges if call in bridge for channel in bridge if channel != call}
