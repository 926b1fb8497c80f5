"""`engine.ports.Telephony` on Asterisk: legs in, legs out, and nothing left behind."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field

import phonenumbers
import structlog

from engine.domain.errors import AttemptExists, TelephonyAway
from engine.domain.model import Outcome
from engine.ports import Cause, Dial, DialFailed, Leg

from . import amd
from .ari import events, model
from .ari.client import AriClient
from .ari.errors import AriError, Conflict, NotFound, Unavailable, WrongState
from .bridges import Bridges
from .errands import Errands
from .leg import AsteriskLeg
from .outcomes import outcome_of

log = structlog.get_logger(__name__)

RECORD_CONTEXT = "dozvon-record"
RECORD_SECONDS = 5.0  # from the answer to the running recording; it takes some ten milliseconds
ADOPT_SECONDS = 15.0  # how long an answered leg of an earlier engine waits to be adopted
SPARE_RING_SECONDS = 2  # Asterisk stops the ringing by itself if we have not done so by then
RETRY_SECONDS = 1.0
CLOSE_SECONDS = 5.0
NOISE = [{"type": "ChannelDialplan"}, {"type": "ChannelVarset"}]  # two thirds of all events, of no use to us
PLAIN_NUMBER = re.compile(r"\+?[0-9]{2,15}")  # nothing else may reach a dial string
PHONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class Orphan:
    """An answered leg of an earlier engine."""

    leg: AsteriskLeg
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Adopted; or we end, and leave it to whoever comes next."""


class AsteriskTelephony:
    """Use it as `async with AriClient(…) as ari, AsteriskTelephony(ari, trunks=("trunk",)) as telephony:`.

    `trunks` are PJSIP endpoints, the first one being the default; `region` reads numbers written the national way.
    """

    def __init__(
        self,
        ari: AriClient,
        *,
        trunks: Sequence[str],
        region: str = "RU",
        close_seconds: float = CLOSE_SECONDS,
    ) -> None:
        self._ari = ari
        self._trunks = tuple(trunks)
        self._region = region
        self._close_seconds = close_seconds
        self._errands = Errands()
        self._legs: dict[str, AsteriskLeg] = {}
        self._left_behind: dict[str, Orphan] = {}
        self._bridges = Bridges(ari, self._errands, self._surely)
        self._inbound: asyncio.Queue[AsteriskLeg] = asyncio.Queue()
        self._unlisten = ari.listen(self._file, events.kind(model.StasisStart), events.kind(events.Connected))

    async def __aenter__(self) -> AsteriskTelephony:
        if self._ari.connected:
            await self._rebuild()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Channels stay as they are: Asterisk outlives us. What was begun to clear up is finished first."""
        self._unlisten()
        for orphan in self._left_behind.values():
            orphan.settled.set()
        await self._errands.close(self._close_seconds)

    @property
    def legs(self) -> int:
        """How many legs ring or are up."""
        return len(self._legs)

    # Legs in

    async def inbound(self) -> AsyncIterator[Leg]:
        while True:
            yield await self._inbound.get()

    def adopt(self, attempt: str) -> Leg | None:
        orphan = self._left_behind.get(attempt)
        if orphan is None or orphan.leg.hung_up is not None:
            return None  # what is left of a dead one is put away when its time to be adopted is over
        orphan.settled.set()
        return self._left_behind.pop(attempt).leg

    def _file(self, event: events.Event) -> None:
        match event:
            case model.StasisStart(args=args, channel=channel):
                self._enters(channel, args)
            case events.Connected():
                self._errands.begin(self._rebuild(), "rebuild")

    def _enters(self, channel: model.Channel, args: Sequence[str]) -> None:
        """A channel came to us that is not one of our dials: a new call, or a dial that nobody remembers."""
        if channel.id in self._legs:
            return
        match args:
            case ["inbound", did, *_]:
                leg = self._leg(channel.id, number=self._e164(channel.caller.number), did=did)
                leg.met(channel)
                leg.adopted = leg.answered
                self._inbound.put_nowait(leg)
            case ["desk", code, phone, *_]:
                leg = self._leg(channel.id, number=phone, did=code)
                leg.met(channel)
                leg.adopted = leg.answered
                self._inbound.put_nowait(leg)
            case ["dialled" | "recorded" as stage, *_]:
                leg = self._leg(channel.id, number=None)
                leg.met(channel)
                leg.adopted = True
                leg.entered.add(stage)
                orphan = self._left_behind[leg.id] = Orphan(leg)
                self._errands.begin(self._await_adoption(orphan), "await-adoption")
            case [amd.LISTENING | amd.SAID, *_]:
                return  # `amd.suspicion` listens to it itself
            case _:
                log.warning("channel entered without a known purpose", call=channel.id, args=args)

    def _leg(self, id: str, number: str | None, did: str | None = None) -> AsteriskLeg:
        leg = AsteriskLeg(self._ari, self._errands, id, number=number, did=did, forget=self._forget)
        self._legs[id] = leg
        return leg

    def _forget(self, leg: AsteriskLeg) -> None:
        if self._legs.get(leg.id) is leg:
            del self._legs[leg.id]
        if not leg.destroyed:
            self._errands.begin(self._surely(lambda: self._ari.channels.hangup(leg.id)), "hang-up-again")

    async def _await_adoption(self, orphan: Orphan) -> None:
        """Nobody may want it: the walk that dialled it may be over."""
        leg = orphan.leg
        if "recorded" not in leg.entered:
            with suppress(DialFailed, TelephonyAway):
                await self._record(leg)
        with suppress(TimeoutError):
            await asyncio.wait_for(orphan.settled.wait(), ADOPT_SECONDS)
            return
        if self._left_behind.pop(leg.id, None) is not None:
            log.warning("leg of an earlier engine was not adopted, ended", call=leg.id)
            await leg.end()
            await self._bridges.sweep()

    def _e164(self, number: str) -> str | None:
        """E.164 if it can be read so, else as it came; None if withheld."""
        if not any(map(str.isdigit, number)):
            return None
        with suppress(phonenumbers.NumberParseException):
            parsed = phonenumbers.parse(number, self._region)
            if phonenumbers.is_possible_number(parsed):
                return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        return number

    # Legs out

    @asynccontextmanager
    async def dial(self, dial: Dial) -> AsyncIterator[Leg]:
        if dial.attempt in self._legs:
            raise AttemptExists(f"attempt {dial.attempt} is up already")
        leg = self._leg(dial.attempt, number=dial.number)
        try:
            await self._ring(leg, dial)
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            await leg.end(Cause.ANSWERED_ELSEWHERE if cancelled else Cause.NORMAL)
            raise
        async with leg:
            yield leg

    async def _ring(self, leg: AsteriskLeg, dial: Dial) -> None:
        """Returns when the leg is up and recorded (or was up and is gone again). Raises as `dial` does."""
        await self._originate(leg, dial)
        with suppress(TimeoutError):
            async with asyncio.timeout(dial.ring_seconds):
                await leg.until(lambda: leg.answered or leg.destroyed)
        if leg.answered:
            await self._record(leg)
        elif leg.lost:
            raise DialFailed(Outcome.LOST)
        elif leg.destroyed:
            outcome = outcome_of(leg.hung_up, leg.tech_cause, leg.rang)
            raise DialFailed(outcome, leg.hung_up, leg.tech_cause)
        else:
            raise DialFailed(Outcome.NO_ANSWER if leg.rang else Outcome.UNREACHABLE)

    async def _originate(self, leg: AsteriskLeg, dial: Dial) -> None:
        endpoint = self._endpoint(dial)
        if endpoint is None:
            leg.gone(None)
            log.error("not a number that can be dialled", attempt=dial.attempt)
            raise DialFailed(Outcome.UNREACHABLE)
        request = self._ari.channels.originate(
            endpoint=endpoint,
            app=self._ari.app,
            appArgs="dialled",
            callerId=_caller_id(dial),
            channelId=dial.attempt,
            timeout=math.ceil(dial.ring_seconds) + SPARE_RING_SECONDS,
            variables={"CALLID": dial.attempt, "ROLE": "staff", "COMPANY": dial.company or ""},
        )
        leg.request = self._errands.begin(request, "originate")
        try:
            await asyncio.shield(leg.request)
        except Conflict as error:
            raise AttemptExists(f"attempt {dial.attempt} is up already") from error
        except Unavailable as error:
            if not await self._exists(dial.attempt):
                raise TelephonyAway(str(error)) from error
        except AriError as error:
            leg.gone(None)
            if dial.phone is not None:  # Asterisk makes no channel to a phone that is not registered
                raise DialFailed(Outcome.UNREACHABLE) from error
            log.error("trunk cannot be dialled", trunk=self._trunk(dial), reason=str(error))
            raise DialFailed(Outcome.FAILED) from error

    def _endpoint(self, dial: Dial) -> str | None:
        """What Asterisk is to ring; None for what may not reach a dial string."""
        if dial.phone is not None:
            return f"PJSIP/{dial.phone}" if PHONE_NAME.fullmatch(dial.phone) else None
        return f"PJSIP/{dial.number}@{self._trunk(dial)}" if PLAIN_NUMBER.fullmatch(dial.number) else None

    def _trunk(self, dial: Dial) -> str:
        return self._trunks[dial.trunk % len(self._trunks)]

    async def _exists(self, channel: str) -> bool:
        try:
            await self._ari.channels.get(channel)
        except AriError:
            return False
        return True

    async def _record(self, leg: AsteriskLeg) -> None:
        """Send the answered leg through the dialplan, which starts the recording and gives it back."""
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                await leg.until(lambda: leg.entered or leg.hung_up is not None)
                if leg.hung_up is None and "recorded" not in leg.entered:
                    await self._ari.channels.continueInDialplan(
                        leg.id, context=RECORD_CONTEXT, extension="s", priority=1
                    )
                await leg.until(lambda: "recorded" in leg.entered or leg.hung_up is not None)
        except (NotFound, Conflict, WrongState):
            await leg.hear_of_end()
        except TimeoutError as error:
            log.error("answered leg did not come back from the dialplan", call=leg.id, context=RECORD_CONTEXT)
            raise DialFailed(Outcome.FAILED) from error
        except AriError as error:
            raise TelephonyAway(str(error)) from error

    # Any channel

    async def hang_up(self, channel: str, cause: Cause = Cause.NORMAL) -> None:
        if (leg := self._legs.get(channel)) is not None:
            if leg.request is not None:
                await asyncio.wait({leg.request})
            leg.we_end_it(cause)
        try:
            await self._errands.finish(
                self._ari.channels.hangup(channel, reason_code=str(int(cause))), "hang-up"
            )
        except NotFound:
            return
        except AriError as error:
            raise TelephonyAway(str(error)) from error

    async def alive(self) -> frozenset[str]:
        try:
            return frozenset(channel.id for channel in await self._ari.channels.list())
        except AriError as error:
            raise TelephonyAway(str(error)) from error

    def bridge(self, one: Leg, other: Leg, *more: Leg) -> AbstractAsyncContextManager[None]:
        return self._bridges.together((one, other, *more))

    async def _surely(self, clear_up: Callable[[], Awaitable[None]]) -> bool:
        """Do it, again and again while Asterisk is away: nothing may be left behind. False: it was gone before."""
        while True:
            try:
                await clear_up()
                return True
            except NotFound:
                return False
            except AriError as error:
                log.warning("cannot clear up yet", reason=str(error))
            await asyncio.sleep(RETRY_SECONDS)

    # After a gap in the events nothing is replayed

    async def _rebuild(self) -> None:
        """Look at what is there, and tell each leg what it missed."""
        held = [leg for leg in self._legs.values() if leg.request is None or leg.request.done()]
        try:
            await self._ari.applications.filter(self._ari.app, filter={"disallowed": NOISE})
            channels = {channel.id: channel for channel in await self._ari.channels.list()}
            talking = {channel for bridge in await self._ari.bridges.list() for channel in bridge.channels}
        except AriError as error:
            log.warning("channels could not be listed", reason=str(error))
            await asyncio.sleep(RETRY_SECONDS)
            return await self._rebuild()
        self._errands.begin(self._bridges.sweep(), "sweep-bridges")
        for leg in held:
            if leg.id in channels:
                await leg.catch_up(channels[leg.id], self._arguments(channels[leg.id]))
            else:
                leg.missed_end()
        for channel in channels.values():
            args = self._arguments(channel)
            if args and args[0] in (amd.LISTENING, amd.SAID):
                self._errands.begin(amd.end(self._ari, channel.id), "end-amd")  # nobody waits for its opinion
            elif args:
                self._enters(channel, args)
        for leg in self._legs.values():
            if leg.id not in talking:
                leg.quiet.begin()
        return None

    def _arguments(self, channel: model.Channel) -> list[str]:
        """With which arguments a channel is in our application now; none if it is not."""
        app, *args = channel.dialplan.app_data.split(",")
        return args if channel.dialplan.app_name == "Stasis" and app == self._ari.app else []


def _caller_id(dial: Dial) -> str | None:
    """`"Name" <number>`, the name cleaned of what would end it."""
    if dial.caller_name is None:
        return dial.caller_id
    name = re.sub(r'["<>\\\x00-\x1f]', "", dial.caller_name)
    return f'"{name}" <{dial.caller_id or ""}>'
