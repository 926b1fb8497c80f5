"""Silence, sent to a phone to which nothing else is sent.

MixMonitor writes a moment down when a frame of sound comes or goes. While a key is held no frame comes (RFC 4733), and none from a phone
that is on mute: without anything going out such a moment would be missing in the recording, 0.2 s for each key. In a bridge the
silence would drown the other party, so it ends before a talk and begins again after; the bridge has a clock of its own (`bridges`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from .ari.client import AriClient
from .ari.errors import AriError
from .errands import Errands

LINGER_SECONDS = 0.1
"""Most often the next prompt follows at once, and no silence is needed between."""


class Quiet:
    """The silence of one channel. `wanted` says whether the channel is one that could be sent anything."""

    def __init__(
        self, ari: AriClient, errands: Errands, channel: str, wanted: Callable[[], bool] = lambda: True
    ) -> None:
        self._ari, self._errands, self._channel, self._wanted = ari, errands, channel, wanted
        self._users = 0
        self._follows = False
        self._turn = asyncio.Lock()

    def begin(self) -> None:
        """Let silence be heard from now on, unless something else is. Twice is once."""
        if not self._users and self._wanted():
            self._errands.begin(self._begin(), "begin-silence")

    async def _begin(self) -> None:
        await asyncio.sleep(LINGER_SECONDS)
        async with self._turn:
            if not self._users and self._wanted():
                with suppress(AriError):  # a channel that has gone, or left us, needs none
                    await self._ari.channels.startSilence(self._channel)

    @contextmanager
    def broken(self) -> Iterator[None]:
        """Something is played meanwhile, which ends the silence by itself; it begins anew afterwards, unless it follows by itself."""
        self._follows = False
        self.rest()
        try:
            yield
        finally:
            self._users -= 1
            if not self._follows:
                self.begin()

    async def follow(self) -> None:
        """Ask for it behind what has just been asked to be played: it begins then even if no engine lives any more."""
        async with self._turn:
            with suppress(AriError):
                await self._ari.channels.startSilence(self._channel)
                self._follows = True

    def rest(self) -> None:
        """Begin no silence until `resume`."""
        self._users += 1

    def resume(self) -> None:
        """What it rested for is over."""
        self._users -= 1
        self.begin()

    async def end(self) -> None:
        """Before a talk: end the silence of a channel that is at rest. Raises `AriError`.

        Asterisk does a channel's commands in the order in which they came, so what is asked of it after this finds no silence.
        """
        async with self._turn:
            await self._ari.channels.stopSilence(self._channel)
