"""Silence in the recording of a call, not in the call: MixMonitor's mute, which keeps both legs' length. `ports.Muting`."""

from __future__ import annotations

from engine.domain.errors import NotKnown, TelephonyAway

from .ami import Ami, AmiAway, AmiFailed
from .ari.client import AriClient
from .ari.errors import AriError


class RecordingMute:
    """Mutes what the dialplan records of a channel, and of those that share a bridge with it: they hear the same words."""

    def __init__(self, ari: AriClient, ami: Ami) -> None:
        self._ari, self._ami = ari, ami

    async def mute(self, call: str, muted: bool) -> None:
        """See `ports.Muting`. A channel that hangs up meanwhile is no matter, unless it is the call's own."""
        for channel in await self._together(call):
            fields = {"Channel": channel, "Direction": "both", "State": "1" if muted else "0"}
            try:
                await self._ami.action("MixMonitorMute", fields)
            except AmiAway as error:
                raise TelephonyAway(str(error)) from error
            except AmiFailed as error:
                if channel == call:
                    raise NotKnown(f"there is no call {call} that is recorded ({error})") from error

    async def _together(self, call: str) -> list[str]:
        """The call first, then whom it is bridged with."""
        try:
            bridges = await self._ari.bridges.list()
        except AriError as error:
            raise TelephonyAway(str(error)) from error
        others = {channel for bridge in bridges if call in bridge.channels for channel in bridge.channels}
        return [call, *sorted(others - {call})]
