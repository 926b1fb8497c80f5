"""Legs that talk with each other, in a bridge whose name follows from theirs: so an engine that takes a talk over finds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from engine.domain.errors import HungUp, TelephonyAway
from engine.ports import Leg

from .ari import events, model
from .ari.client import AriClient
from .ari.errors import AriError, BadRequest, Conflict, NotFound, Unprocessable
from .ari.events import Subscription
from .errands import Errands
from .leg import AsteriskLeg

log = structlog.get_logger(__name__)

LET_GO_SECONDS = 1.0
PREFIX = "bridge-"
MIXED = "mixing,video_sfu"
"""Always mixed, and never merely passed on. The mixer sends everybody a frame each 20 ms, and so MixMonitor records two who both send
nothing, too: it has no clock but the frames (bridge_create_common in Asterisk's res/res_stasis.c, softmix_mixing_loop)."""
Surely = Callable[[Callable[[], Awaitable[None]]], Awaitable[bool]]


class Bridges:
    """The bridges of one engine. `surely` clears something up, however long Asterisk is away; False: it was gone before."""

    def __init__(self, ari: AriClient, errands: Errands, surely: Surely) -> None:
        self._ari, self._errands, self._surely = ari, errands, surely
        self._ours: set[str] = set()

    @asynccontextmanager
    async def together(self, legs: Sequence[Leg]) -> AsyncIterator[None]:
        """See `Telephony.bridge`."""
        id = PREFIX + "+".join(sorted(leg.id for leg in legs))
        self._ours.add(id)
        for leg in _channels(legs):
            leg.quiet.rest()
        made = self._errands.begin(self._make(id, legs), "make-bridge")
        try:
            await asyncio.shield(made)
            yield
        finally:
            await self._errands.finish(self._unmake(id, made, legs), "unmake-bridge")

    async def _make(self, id: str, legs: Sequence[Leg]) -> None:
        try:
            there: Sequence[str] = ()
            try:
                await self._ari.bridges.create(type=MIXED, bridgeId=id)
            except Conflict:
                there = (await self._ari.bridges.get(id)).channels
            missing = [leg.id for leg in legs if leg.id not in there]
            for leg in _channels(legs):
                if leg.id in missing:
                    await leg.quiet.end()
            if missing:
                await self._ari.bridges.addChannel(id, channel=missing)
        except (NotFound, BadRequest, Conflict, Unprocessable) as error:
            for leg in _channels(legs):
                await leg.hear_of_end()
                if leg.hung_up is not None:
                    raise HungUp(leg.hung_up) from error
            raise TelephonyAway(str(error)) from error
        except AriError as error:
            raise TelephonyAway(str(error)) from error

    async def _unmake(self, id: str, made: asyncio.Task[None], legs: Sequence[Leg]) -> None:
        """Returns when the bridge has let go of its channels, so that they can be played to, or when nobody is left to be."""
        await asyncio.wait({made})
        try:
            await self._destroy(id, legs)
        finally:
            for leg in _channels(legs):
                leg.quiet.resume()

    async def _destroy(self, id: str, legs: Sequence[Leg]) -> None:
        with self._ari.subscribe(events.bridge(id)) as news:
            gone = not await self._surely(lambda: self._ari.bridges.destroy(id))
            self._ours.discard(id)
            if gone:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(LET_GO_SECONDS):
                    await _left(news, legs)

    async def sweep(self) -> None:
        """End the bridges that an earlier engine left behind and in which nobody talks any more."""
        with suppress(AriError):
            for bridge in await self._ari.bridges.list():
                if bridge.id.startswith(PREFIX) and bridge.id not in self._ours and len(bridge.channels) < 2:
                    log.info("a bridge of an earlier engine was ended", bridge=bridge.id)
                    await self._surely(lambda id=bridge.id: self._ari.bridges.destroy(id))  # type: ignore[misc]


def _channels(legs: Sequence[Leg]) -> list[AsteriskLeg]:
    return [leg for leg in legs if isinstance(leg, AsteriskLeg)]


async def _left(news: Subscription, legs: Sequence[Leg]) -> None:
    """Until all that live have left. Of the end of a bridge that nobody is in any more Asterisk does not tell us."""
    inside = {leg.id for leg in legs if leg.hung_up is None}
    with suppress(AriError):
        while inside:
            match await news.get():
                case model.ChannelLeftBridge(channel=gone):
                    inside.discard(gone.id)
                case _:
                    pass
