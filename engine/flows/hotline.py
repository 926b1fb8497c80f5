"""One inbound call, from the first ring to the hang-up. `engine.domain.dialogue` decides what is said and asked; this acts.

It starts no walk itself: `app` walks every open escalation, at boot as in service. Every answer is on the timeline; so a call that an
earlier engine had begun, and one that broke off and was rung back, goes through its answers again and on from there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from engine.domain.company import Company
from engine.domain.dialogue import talk
from engine.domain.dialogue_moves import Heard, Setting
from engine.domain.errors import HungUp, StoreFailed, TelephonyAway
from engine.domain.events import (
    CallAnswered,
    CallEnded,
    CallResumed,
    CallStarted,
    Event,
    KeyPressed,
    NothingPressed,
    TicketOpened,
)
from engine.domain.model import CallKind, Line, Premises
from engine.domain.ticket import Ticket
from engine.domain.wording_hotline import words
from engine.flows import verbs
from engine.flows.conversation import Conversation
from engine.flows.deps import Deps
from engine.flows.residents import services
from engine.flows.residents.acts import Acts
from engine.flows.residents.board import View
from engine.flows.staff import connect
from engine.ports import Cause, Leg

log = structlog.get_logger()

CALL_SECONDS = 1800.0
"""The longest that a call to the hotline may last before it is ended politely; an endless one would hold a line for ever."""
VIEW_SECONDS = 1.0
"""A board that cannot be read by then is left out: the caller comes first."""


async def answer(leg: Leg, company: Company, line: Line, d: Deps) -> None:
    """Serve the call. Whatever the caller does or fails to do, a ticket and a recording are left, and no channel.

    Whatever goes wrong with us, the caller is not lost: the dialplan's fallback takes the call.
    """
    async with leg:
        try:
            call = await Call.begin(leg, company, line, d)
        except Exception:
            log.exception("a call could not be begun and is handed to the dialplan", call=leg.id)
            await _hand_over(leg)
            return
        await serve(call)


async def serve(call: Call) -> None:
    """Hold the talk to its end. The leg is ended by whoever opened it."""
    leg, d, handed = call.leg, call.d, False
    try:
        async with asyncio.timeout(CALL_SECONDS):
            with d.lobby.seat(call.ticket, leg) as seat:
                await seat.unless_called(call.talk())
    except HungUp:
        log.info("the caller hung up", call=leg.id, ticket=call.ticket)
    except TimeoutError:
        log.warning("a call lasted too long and was ended", call=leg.id, ticket=call.ticket)
    except Exception:
        log.exception("a call broke and is handed to the dialplan", call=leg.id, ticket=call.ticket)
        handed = await _hand_over(leg)
    finally:
        await asyncio.shield(call.end(handed))


async def _hand_over(leg: Leg) -> bool:
    """To the dialplan. False: the caller is gone, or Asterisk is."""
    if leg.did is None:
        return False  # we rang them: there is no fallback for a number that was not dialled
    try:
        await leg.hand_over()
    except (HungUp, TelephonyAway) as error:
        log.warning("a call could not be handed over", call=leg.id, error=repr(error))
        return False
    return True


class Call:
    """A resident's call and its ticket."""

    def __init__(self, leg: Leg, company: Company, ticket: int, line: Line, d: Deps) -> None:
        self.leg, self.company, self.ticket, self.line, self.d = leg, company, ticket, line, d
        self.caller = leg.number
        self.conversation = Conversation(leg, d.voice, line.language)
        self.continues: frozenset[str] = frozenset((leg.id,))
        """The calls whose answers count for this one: itself, and those that it takes up."""
        self.rings_back = False
        self.crowded = False
        self._replay: deque[KeyPressed | NothingPressed] = deque()
        self._up_since: float | None = None

    @classmethod
    async def begin(cls, leg: Leg, company: Company, line: Line, d: Deps) -> Call:
        """The ticket exists from the call's first second; a call that is taken up again finds the one it had, and one of several at
        once from one number the one of the others."""
        now = d.clock.now()
        started = CallStarted(at=now, call=leg.id, kind=CallKind.RESIDENT, number=leg.number, did=line.did)
        async with d.callers.turn(company.id, leg.number) as shared:
            ticket = await d.store.ticket_of_call(leg.id) if leg.adopted else None
            if ticket is None and shared is not None:
                ticket = shared
                await d.store.append(ticket, [started])
            if ticket is None:
                ticket = await d.store.open_ticket([_opened(leg, company, line, d), started], key=leg.id)
            call = cls(leg, company, ticket, line, d)
            call.crowded = d.callers.arrive(company.id, leg.number, leg.id, ticket, now)
        d.reached("hotline.ticket_opened")
        return call

    async def talk(self) -> None:
        """Pick up, then do what the dialogue decides, move by move."""
        await self._pick_up()
        self._replay.extend(
            event
            for event in await self.history()
            if isinstance(event, KeyPressed | NothingPressed) and event.call in self.continues
        )
        dialogue, acts = talk(await self._setting()), Acts(self)
        heard: Heard = None
        while True:
            try:
                move = dialogue.send(heard)
            except StopIteration:
                return
            heard = await acts.act(move)

    # --- answers, kept and found again ---------------------------------------------------------------------------------------------

    @property
    def replaying(self) -> bool:
        """Whether there are answers of before that have not been gone through: nothing is said meanwhile."""
        return bool(self._replay)

    def answered_before(self, question: str) -> KeyPressed | NothingPressed | None:
        """The answer of before; None if there is none left. A talk that has taken another turn is not replayed any further."""
        if self._replay and self._replay[0].question == question:
            return self._replay.popleft()
        self._replay.clear()
        return None

    async def heard(self, question: str, key: str | None) -> None:
        """Put an answer on the timeline."""
        await self.note(self.pressed(question, key))
        self.d.reached("hotline.asked")

    def pressed(self, question: str, key: str | None) -> KeyPressed | NothingPressed:
        """The answer as a fact."""
        now = self.d.clock.now()
        if key is None:
            return NothingPressed(at=now, call=self.leg.id, question=question)
        return KeyPressed(at=now, call=self.leg.id, key=key or "#", question=question)

    # --- the call itself -----------------------------------------------------------------------------------------------------------

    async def _pick_up(self) -> None:
        if not self.leg.adopted:
            await self.leg.answer()
        self._up_since = asyncio.get_running_loop().time()
        history = await self.history() if self.leg.adopted else ()
        mine = (e for e in history if isinstance(e, CallAnswered) and e.call == self.leg.id)
        if (since := next(mine, None)) is None:  # only now, or while no engine was there to greet them
            await self.note(CallAnswered(at=self.d.clock.now(), call=self.leg.id))
            self.d.reached("hotline.answered")
            return
        self._up_since -= (self.d.clock.now() - since.at).total_seconds()
        await self.note(CallResumed(at=self.d.clock.now(), call=self.leg.id))
        if connect.bridged(history, self.leg.id) is not None:
            await asyncio.sleep(connect.TAKE_OVER_SECONDS)  # until the member of staff calls us away again
        if services.talking(history) is None:  # two who are bridged notice nothing
            await self.conversation.introduce(words(self.line.language).back_again)

    async def _setting(self) -> Setting:
        """What is known now. A board that cannot be read costs the caller nothing but the news."""
        history = await self.history()
        opened = history[0]
        assert isinstance(opened, TicketOpened)
        try:
            async with asyncio.timeout(VIEW_SECONDS):
                view = await self.d.board.view(self.company, self.d.store)
        except (StoreFailed, TimeoutError) as error:
            log.error("the board could not be read", call=self.leg.id, error=repr(error))
            view = View(notices=self.company.notices)
        return Setting(
            words=words(self.line.language),
            company=self.company,
            ticket=self.ticket,
            opened=opened.at,
            now=self.d.clock.now(),
            premises=opened.premises,
            greeting=self.line.greeting,
            incidents=view.incidents,
            notices=view.notices,
            operators=self.d.operators is not None and self.d.operators.on_duty(self.company, self.line.did),
            crowded=self.crowded,
            rings_back=self.rings_back,
        )

    async def end(self, handed_over: bool = False) -> None:
        """Put the end of the call on the timeline, whoever ended it; the dialplan's own notes tell of one that it has now."""
        self.d.callers.leave(self.company.id, self.caller, self.leg.id, self.d.clock.now())
        if handed_over:
            return
        up = asyncio.get_running_loop().time() - self._up_since if self._up_since is not None else 0.0
        by, cause = self.leg.ended_by, self.leg.hung_up or Cause.NORMAL
        await self.leg.hang_up()  # before it is said: a recording is whole only when its channel is gone
        ended = CallEnded(
            at=self.d.clock.now(), call=self.leg.id, cause=int(cause), by=by, seconds=round(up, 3)
        )
        await self.note(ended)
        self.d.reached("hotline.ended")

    async def history(self) -> Sequence[Event]:
        """The ticket's timeline."""
        return await self.d.store.history(self.ticket)

    async def state(self) -> Ticket:
        """The ticket as it stands."""
        return Ticket.of(await self.history())

    async def note(self, *events: Event) -> None:
        """A store that cannot write must not cost the caller the call: it goes on, loudly."""
        try:
            await self.d.store.append(self.ticket, events)
        except StoreFailed as error:
            log.error("a fact of a call was lost", call=self.leg.id, ticket=self.ticket, error=str(error))


def _opened(leg: Leg, company: Company, line: Line, d: Deps) -> TicketOpened:
    resident = company.residents.get(leg.number or "")
    premises = verbs.premises_of(company, resident.house, resident.flat) if resident else Premises()
    return TicketOpened(
        at=d.clock.now(),
        company=company.id,
        channel="phone",
        phone=leg.number,
        did=line.did,
        premises=premises,
        applicant=resident.name if resident else None,
    )
