"""One inbound call, from the first ring to the hang-up. It starts no walk itself: `app` walks every open escalation, at boot as in service.

The flow looks at the ticket's timeline before each stage and skips what has been done; so a call that an earlier engine had begun is
taken up where it was.
"""

from __future__ import annotations

import asyncio

import structlog

from engine.domain import wording
from engine.domain.company import Company
from engine.domain.errors import HungUp, StoreFailed
from engine.domain.events import (
    CallAnswered,
    CallEnded,
    CallResumed,
    CallStarted,
    Classified,
    Event,
    KeyPressed,
    NumberTold,
    RecordingAnnounced,
    TicketOpened,
)
from engine.domain.model import CallKind, Line, Premises, Urgency
from engine.domain.ticket import Ticket
from engine.flows import verbs
from engine.flows.conversation import Conversation
from engine.flows.deps import Deps
from engine.ports import Leg

log = structlog.get_logger()

KEY_WAIT_SECONDS = 5.0
ASKINGS = 2
CALL_SECONDS = 1800.0
"""The longest that a call to the hotline may last before it is ended politely; an endless one would hold a line for ever."""
EMERGENCY_KEY, ORDINARY_KEY = "1", "2"


async def answer(leg: Leg, company: Company, line: Line, d: Deps) -> None:
    """Serve the call. Whatever the caller does or fails to do, a ticket and a recording are left, and no channel."""
    call = await Call.begin(leg, company, line, d)
    try:
        async with leg, asyncio.timeout(CALL_SECONDS):
            with d.lobby.seat(call.ticket, leg) as seat:
                await seat.unless_called(call.talk())
    except HungUp:
        log.info("the caller hung up", call=leg.id, ticket=call.ticket)
    except TimeoutError:
        log.warning("a call lasted too long and was ended", call=leg.id, ticket=call.ticket)
    finally:
        await asyncio.shield(call.end())


class Call:
    """A resident's call and its ticket."""

    def __init__(self, leg: Leg, company: Company, ticket: int, language: str, d: Deps) -> None:
        self.leg, self.company, self.ticket, self.d = leg, company, ticket, d
        self.conversation = Conversation(leg, d.voice, language)
        self._up_since: float | None = None

    @classmethod
    async def begin(cls, leg: Leg, company: Company, line: Line, d: Deps) -> Call:
        """The ticket exists from the call's first second; a call that is taken up again finds the one it had."""
        now = d.clock.now()
        resident = company.residents.get(leg.number or "")
        premises = verbs.premises_of(company, resident.house, resident.flat) if resident else Premises()
        opened = TicketOpened(
            at=now,
            company=company.id,
            channel="phone",
            phone=leg.number,
            did=line.did,
            premises=premises,
            applicant=resident.name if resident else None,
        )
        started = CallStarted(at=now, call=leg.id, kind=CallKind.RESIDENT, number=leg.number, did=line.did)
        ticket = await d.store.open_ticket([opened, started], key=leg.id)
        d.reached("hotline.ticket_opened")
        return cls(leg, company, ticket, line.language, d)

    async def talk(self) -> None:
        """The conversation, from top to bottom."""
        await self._pick_up()
        await self._announce_recording()
        urgency = await self._emergency_or_not()
        await self._tell_number(urgency)
        await self._take_message()
        await self.conversation.say(wording.THANKS)

    async def _pick_up(self) -> None:
        loop = asyncio.get_running_loop()
        if not self.leg.adopted:
            await self.leg.answer()
            self._up_since = loop.time()
            await self._note(CallAnswered(at=self.d.clock.now(), call=self.leg.id))
            self.d.reached("hotline.answered")
            return
        self._up_since = loop.time()
        since = next((e.at for e in await self._history() if isinstance(e, CallAnswered)), None)
        if since is not None:
            self._up_since -= (self.d.clock.now() - since).total_seconds()
        await self._note(CallResumed(at=self.d.clock.now(), call=self.leg.id))
        await self.conversation.say(wording.BACK_AGAIN)

    async def _announce_recording(self) -> None:
        if not await self._done(RecordingAnnounced):
            await self.conversation.say(wording.greeting(self.company), wording.RECORDED)
            await self._note(RecordingAnnounced(at=self.d.clock.now(), call=self.leg.id))
            self.d.reached("hotline.announced")

    async def _emergency_or_not(self) -> Urgency:
        """The class by one key. An emergency's walk begins with it, while the caller still speaks."""
        known = Ticket.of(await self._history()).urgency
        if known is not None:
            return known
        key = await self.conversation.ask(
            wording.EMERGENCY_OR_NOT,
            keys=EMERGENCY_KEY + ORDINARY_KEY,
            wait=KEY_WAIT_SECONDS,
            times=ASKINGS,
        )
        now = self.d.clock.now()
        urgency = Urgency.EMERGENCY if key == EMERGENCY_KEY else self._class_without(key)
        pressed = [KeyPressed(at=now, call=self.leg.id, key=key, question="emergency")] if key else []
        classified = Classified(at=now, urgency=urgency, by=self.leg.id)
        await self._note(*pressed, classified, *verbs.escalation_of(self.company, urgency, None, now))
        self.d.reached("hotline.classified")
        return urgency

    def _class_without(self, key: str | None) -> Urgency:
        """Who says «no» has an ordinary request; who says nothing is what the company decided such callers to be."""
        return Urgency.NORMAL if key == ORDINARY_KEY else self.company.unclear_is

    async def _tell_number(self, urgency: Urgency) -> None:
        if await self._done(NumberTold):
            return
        taken = wording.EMERGENCY_ACCEPTED if urgency is Urgency.EMERGENCY else wording.REQUEST_ACCEPTED
        await self.conversation.say(taken, wording.your_number(self.ticket))
        await self._note(NumberTold(at=self.d.clock.now(), call=self.leg.id))
        self.d.reached("hotline.number_told")

    async def _take_message(self) -> None:
        """The caller speaks; the recording runs anyway, so there is nothing to start or to lose."""
        await self.conversation.say(wording.LEAVE_MESSAGE)
        await self.conversation.listen(self.d.message_seconds, end_keys="#")

    async def end(self) -> None:
        """Put the end of the call on the timeline, whoever ended it."""
        up = asyncio.get_running_loop().time() - self._up_since if self._up_since is not None else 0.0
        by, cause = ("us", 16) if self.leg.hung_up is None else ("caller", self.leg.hung_up)
        await self._note(
            CallEnded(at=self.d.clock.now(), call=self.leg.id, cause=cause, by=by, seconds=round(up, 3))
        )
        self.d.reached("hotline.ended")

    async def _done(self, stage: type[Event]) -> bool:
        return any(isinstance(event, stage) for event in await self._history())

    async def _history(self) -> list[Event]:
        return list(await self.d.store.history(self.ticket))

    async def _note(self, *events: Event) -> None:
        """A store that cannot write must not cost the caller the call: it goes on, loudly."""
        try:
            await self.d.store.append(self.ticket, events)
        except StoreFailed as error:
            log.error("a fact of a call was lost", call=self.leg.id, ticket=self.ticket, error=str(error))
