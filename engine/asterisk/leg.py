"""One channel as a flow sees it: awaitables that raise `HungUp` as soon as the far end is gone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from typing import Any

import structlog

from engine.domain.errors import HungUp, TelephonyAway
from engine.ports import Cause, EndedBy, Sound

from . import amd
from .ari import events, model
from .ari.client import AriClient
from .ari.errors import AriError, Conflict, NotFound, Unavailable, WrongState
from .errands import Errands
from .quiet import Quiet

log = structlog.get_logger(__name__)

PLAYBACK_IDS = 4
"""The playbacks of a channel are called after it, in turns, so that the next engine knows what the last one may have begun."""
HUSH_SECONDS = 1.0
"""For the end of an earlier engine's playback, which must not be taken for that of our own of the same name."""

HEAR_OF_END_SECONDS = 1.0  # a REST call may learn of the end before the websocket brings it
DESTROY_SECONDS = 2.0
NORMAL_CLEARING = int(Cause.NORMAL)
FALLBACK_CONTEXT = "fallback"
GONE = (NotFound, Conflict, WrongState)  # no such channel, not in Stasis, not up: not ours any more


class AsteriskLeg:
    """`engine.ports.Leg` on a channel of Asterisk. Made, fed and forgotten by `AsteriskTelephony`.

    It files the channel's events from the first instant, so that keys pressed early are there when asked for.
    """

    def __init__(
        self,
        ari: AriClient,
        errands: Errands,
        id: str,
        *,
        number: str | None,
        did: str | None,
        forget: Callable[[AsteriskLeg], None],
    ) -> None:
        self.id = id
        self.number = number
        self.did = did
        self.adopted = False
        self.answered = False
        self.hung_up: int | None = None
        self.ended_by: EndedBy = "us"
        self.rang = False
        self.entered: set[str] = set()
        """The first arguments of the `StasisStart`s seen: «inbound»; «dialled», then «recorded»."""
        self.tech_cause: int | None = None
        self.destroyed = False
        self.lost = False
        """The end fell into a gap of the events: its cause is not known."""
        self.request: asyncio.Task[Any] | None = None
        """The originate that makes this channel."""
        self.quiet = Quiet(ari, errands, id, lambda: self.answered and self.hung_up is None)
        self._ari = ari
        self._errands = errands
        self._forget = forget
        self._our_cause: int | None = None
        self._keys: deque[str] = deque()
        self._plays, self._hushed = count(), False
        self._playing: dict[str, str | None] = {}  # playback's id -> final state, None while it plays
        self._waiters: set[asyncio.Future[None]] = set()
        self._unlisten = ari.listen(self._file, events.channel(id))

    # What the websocket brings

    def _file(self, event: events.Event) -> None:
        match event:
            case model.StasisStart(args=args, channel=channel):
                self.entered.add(args[0] if args else "")
                self.met(channel)
                if "recorded" in args[:1]:
                    self.quiet.begin()
            case model.ChannelStateChange(channel=channel):
                self.met(channel)
            case model.Dial(dialstatus="RINGING"):
                self.rang = True
            case model.ChannelDtmfReceived(digit=digit):
                self._keys.append(digit)
            case model.ChannelHangupRequest(cause=cause, soft=soft) if self.answered or self.did is not None:
                # A soft one is Asterisk's doing, at our wish or because the sound has stopped; its number is not of Q.850.
                if not soft:
                    self._ends("caller", cause)
                elif self._our_cause is None:
                    self._ends("network", int(Cause.NO_SOUND))
                else:
                    self._ends("us", self._our_cause)
            case model.ChannelDestroyed(cause=cause, tech_cause=tech_cause):
                self.gone(cause, tech_cause)
            case model.StasisEnd() if self.did is not None:
                self.gone(None)  # a dialled leg leaves Stasis once, to be recorded, and comes back
        self._wake()

    def met(self, channel: model.Channel) -> None:
        """Take the state of the channel as Asterisk describes it."""
        self.answered = self.answered or channel.state == "Up"
        self.rang = self.rang or channel.state in ("Ring", "Ringing")

    def we_end_it(self, cause: Cause) -> None:
        """What ends from now on is our doing."""
        self._our_cause = int(cause)

    def _ends(self, by: EndedBy, cause: int | None) -> None:
        if self.hung_up is None:
            self.ended_by, self.hung_up = by, cause or NORMAL_CLEARING

    def gone(self, cause: int | None, tech_cause: int | None = None) -> None:
        """The channel is no more."""
        by: EndedBy = "network" if self.lost else "caller" if self._our_cause is None else "us"
        self._ends(by, cause)
        self.tech_cause = tech_cause
        self.destroyed = True
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds; it is looked at after each event of this channel."""
        while not condition():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    async def _until_or_hung_up(self, condition: Callable[[], object]) -> None:
        await self.until(lambda: condition() or self.hung_up is not None)
        if not condition() and self.hung_up is not None:
            raise HungUp(self.hung_up)

    # What a flow does

    async def answer(self) -> None:
        if self.answered and self.hung_up is None:
            return
        async with self._asking():
            await self._ari.channels.answer(self.id)
        self.answered = True
        self.quiet.begin()

    async def play(self, *sounds: Sound) -> None:
        self._raise_if_hung_up()
        if not sounds:
            return
        if self.adopted and not self._hushed:
            await self._hush()
        playback = f"{self.id}~{next(self._plays) % PLAYBACK_IDS}"
        with self.quiet.broken(), self._listening(playback):
            asked = self._errands.begin(self._ask_to_play(sounds, playback), "play")
            try:
                async with self._asking():
                    await asyncio.shield(asked)
                await self._until_or_hung_up(lambda: self._playing[playback])
            finally:
                if self._playing[playback] is None and self.hung_up is None:
                    await self._errands.finish(self._stop(playback, asked), "stop-playback")
            if self._playing[playback] == "failed":
                await self._played_badly(sounds)

    async def _ask_to_play(self, sounds: Sequence[Sound], playback: str) -> None:
        await self._ari.channels.play(self.id, media=sounds, playbackId=playback)
        await self.quiet.follow()

    async def _hush(self) -> None:
        """Stop what an earlier engine was saying: else our first word would wait for its end."""
        self._hushed = True
        for playback in (f"{self.id}~{place}" for place in range(PLAYBACK_IDS)):
            with self._listening(playback), suppress(AriError, TimeoutError):
                await self._ari.playbacks.stop(playback)
                async with asyncio.timeout(HUSH_SECONDS):
                    await self._until_or_hung_up(lambda id=playback: self._playing[id])  # type: ignore[misc]

    @contextmanager
    def _listening(self, playback: str) -> Iterator[None]:
        """Subscribe first, then act: the end of a short sound cannot be missed."""
        self._playing[playback] = None
        unlisten = self._ari.listen(self._file_playback, events.playback(playback))
        try:
            yield
        finally:
            unlisten()
            del self._playing[playback]

    def _file_playback(self, event: events.Event) -> None:
        if isinstance(event, model.PlaybackFinished) and event.playback.id in self._playing:
            self._playing[event.playback.id] = event.playback.state
            self._wake()

    async def _stop(self, playback: str, asked: asyncio.Future[Any]) -> None:
        """Stop a playback, not before Asterisk has heard of it: else it would begin after all."""
        await asyncio.wait({asked})
        with suppress(AriError):  # it is over already, or Asterisk is away and plays nothing that matters
            await self._ari.playbacks.stop(playback)

    async def _played_badly(self, sounds: tuple[Sound, ...]) -> None:
        """A playback also fails when the far end hangs up; otherwise the sound is at fault, and the call goes on."""
        await self.hear_of_end(0.1)
        self._raise_if_hung_up()
        log.error("sound could not be played", call=self.id, sounds=sounds)

    async def key(self, timeout: float) -> str | None:
        # A key that was pressed counts, even if the far end has hung up since.
        try:
            async with asyncio.timeout(timeout if not self._keys else None):
                await self._until_or_hung_up(lambda: self._keys)
        except TimeoutError:
            return self._keys.popleft() if self._keys else None
        return self._keys.popleft()

    def forget_keys(self) -> None:
        self._keys.clear()

    async def ended(self) -> int:
        await self.until(lambda: self.hung_up is not None)
        assert self.hung_up is not None
        return self.hung_up

    async def machine(self) -> str | None:
        return await amd.suspicion(self._ari, self._errands, self.id)

    async def hang_up(self, cause: Cause = Cause.NORMAL) -> None:
        """End the leg and wait until the channel is gone. Asterisk being away, it is ended as soon as it is back."""
        if not self.destroyed:
            await self._errands.finish(self._end(cause), "hang-up")

    async def _end(self, cause: Cause) -> None:
        if self.request is not None:
            await asyncio.wait({self.request})
            if not self.request.cancelled() and isinstance(self.request.exception(), Conflict):
                self.destroyed = True  # somebody else's channel has this id: not ours to end
                return
        self.we_end_it(cause)
        try:
            await self._ari.channels.hangup(self.id, reason_code=str(int(cause)))
        except NotFound:
            self.destroyed = True
        except AriError as error:
            log.warning("leg could not be ended yet", call=self.id, reason=str(error))
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(DESTROY_SECONDS):
                    await self.until(lambda: self.destroyed)
        self._ends("us", int(cause))
        self._wake()

    async def hand_over(self) -> None:
        async with self._asking():
            self.quiet.rest()
            await self.quiet.end()
            await self._ari.channels.continueInDialplan(
                self.id, context=FALLBACK_CONTEXT, extension="s", priority=1
            )
        self.we_end_it(Cause.NORMAL)
        self.gone(None)  # of us: the channel lives on

    async def __aenter__(self) -> AsteriskLeg:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.end()

    async def end(self, cause: Cause = Cause.NORMAL) -> None:
        """Hang up and let go: after this no event is filed any more."""
        try:
            await self.hang_up(cause)
        finally:
            self._unlisten()
            self._forget(self)

    # After a gap in the events

    async def catch_up(self, channel: model.Channel, args: list[str]) -> None:
        """The channel is there, in the application with `args` (none: elsewhere): take what was missed from it."""
        self.entered.update(args[:1])
        self.met(channel)
        for playback in [id for id, state in self._playing.items() if state is None]:
            with suppress(AriError):
                await self._still_plays(playback)
        self._wake()

    async def _still_plays(self, playback: str) -> None:
        try:
            await self._ari.playbacks.get(playback)
        except NotFound:
            if playback in self._playing:
                self._playing[playback] = "done"

    def missed_end(self) -> None:
        """The channel is not there any more, and why, nobody has seen."""
        if not self.destroyed:
            self.lost = True
            self.gone(int(Cause.LOST))

    # Errors

    def _raise_if_hung_up(self) -> None:
        if self.hung_up is not None:
            raise HungUp(self.hung_up)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        """A request about this leg: ARI's errors become `HungUp` or `TelephonyAway`."""
        self._raise_if_hung_up()
        try:
            yield
        except AriError as error:
            if not isinstance(error, Unavailable):
                await self.hear_of_end()
            if self.hung_up is not None or isinstance(error, GONE):
                raise HungUp(self.hung_up or NORMAL_CLEARING) from error
            raise TelephonyAway(str(error)) from error

    async def hear_of_end(self, seconds: float = HEAR_OF_END_SECONDS) -> None:
        """Asterisk would not do it, most likely because the far end is gone: give the event time to say so."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.until(lambda: self.hung_up is not None)
