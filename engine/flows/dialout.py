"""Ring a person and ask them to accept. Busy and no answer are values; only the drawn key is an acceptance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from engine.domain import wording, wording_operators
from engine.domain.errors import AttemptExists, HungUp, NotKnown, TelephonyAway, TicketIsClosed, VoiceFailed
from engine.domain.escalation import Ring, may_ring
from engine.domain.events import (
    CallAnswered,
    CallEnded,
    CallStarted,
    DialEnded,
    KeyPressed,
    MachineSuspected,
    RobocallAnswered,
)
from engine.domain.model import CallKind, Outcome, Purpose, Urgency, Via
from engine.domain.ticket import Ticket
from engine.flows import verbs
from engine.flows.conversation import Conversation
from engine.flows.deps import Deps, Operators
from engine.flows.staff import connect
from engine.ports import Cause, Dial, DialFailed, Leg

log = structlog.get_logger()

KEY_WAIT_SECONDS = 6.0
SETTLE_SECONDS = 0.3
"""Between putting down what an earlier engine left ringing and ringing that phone anew: a CANCEL and an INVITE may overtake each other."""
ASKINGS = 3
ANY_KEY = "0123456789*#"
REASON_WAIT_SECONDS = 4.0
NO_COVERAGE_FOR = timedelta(hours=1)
"""How long a person who keyed «no coverage» is left alone, unless they say otherwise."""


@dataclass(eq=False)
class Attempt:
    """One attempt to reach a person, from its intent (already on disk) to its end. Run it once; `stop` it from outside."""

    ticket: int
    ring: Ring
    company: str
    caller_id: str | None = None
    urgency: Urgency = Urgency.EMERGENCY
    _scope: asyncio.Timeout | None = field(default=None, init=False)
    _limit: asyncio.Timeout | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)

    def stop(self) -> None:
        """A phone that rings falls silent; a person who listens is told who took the ticket. Returns at once."""
        self._stopped = True
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def run(self, d: Deps) -> DialEnded | None:
        """Ring, brief, hear the answer. Returns what became of it (None: that is on the timeline already)."""
        if not self._allowed(d):
            log.error("a number that may not be dialled was not dialled", attempt=self.ring.attempt)
            return self._ended(d, Outcome.UNREACHABLE, reason="not_allowed")
        dial = Dial(
            self.ring.attempt,
            self.ring.number,
            self.ring.ring_for.total_seconds(),
            caller_id=self.caller_id,
            trunk=self.ring.trunk,
            company=self.company,
        )
        try:
            async with self._voice_ready(d), AsyncExitStack() as stack:
                async with self._stoppable():
                    await stack.enter_async_context(d.gates.of(self.ring.trunk).slot(self.urgency))
                    leg = await stack.enter_async_context(d.phone.dial(dial))
                return await self._talk(leg, d)
        except DialFailed as end:
            return self._ended(d, end.outcome, end.cause, end.tech_cause)
        except TimeoutError:
            return self._ended(d, Outcome.CANCELLED)
        except AttemptExists:
            await d.phone.hang_up(self.ring.attempt)
            await asyncio.sleep(SETTLE_SECONDS)
            return self._ended(d, Outcome.LOST)
        except TelephonyAway:
            return self._ended(d, Outcome.FAILED)

    async def resume(self, leg: Leg, d: Deps) -> DialEnded | None:
        """Go on with a leg that an earlier engine had dialled: one sentence, and the question again."""
        async with leg:
            return await self._talk(leg, d)

    async def _talk(self, leg: Leg, d: Deps) -> DialEnded | None:
        """The talk itself, with its place on the timeline. A hang-up in it is an outcome, not an error."""
        loop = asyncio.get_running_loop()
        up_since = loop.time() - await self._up_before(leg, d)
        d.reached("dialout.answered")
        key = await self._key_of_this_call(leg, d)
        outcome, cause = Outcome.MACHINE, 16
        try:
            outcome = await self._converse(Conversation(leg, d.voice), key, leg.adopted, d)
        except HungUp as end:
            cause = end.cause
            if cause == Cause.LOST:  # not their doing: rung again at once, free of charge
                outcome = Outcome.LOST
        except TelephonyAway:
            outcome, cause = Outcome.FAILED, int(Cause.LOST)
        by = leg.ended_by
        await leg.hang_up()
        seconds = round(loop.time() - up_since, 3)
        ended = CallEnded(at=d.clock.now(), call=leg.id, cause=cause, by=by, seconds=seconds)
        await d.store.append(self.ticket, [ended])
        d.reached("dialout.ended")
        return await self._unless_told(d, outcome, cause)

    async def _up_before(self, leg: Leg, d: Deps) -> float:
        """For how many seconds the leg has been up: for an earlier engine, if for anybody."""
        history = await d.store.history(self.ticket) if leg.adopted else ()
        mine = (event for event in history if isinstance(event, CallAnswered) and event.call == leg.id)
        since = next(mine, None)
        return (d.clock.now() - since.at).total_seconds() if since is not None else 0.0

    async def _key_of_this_call(self, leg: Leg, d: Deps) -> str:
        """The key drawn for this call alone; on the timeline before it is spoken, so that a restart asks for the same one."""
        for event in await d.store.history(self.ticket):
            if isinstance(event, RobocallAnswered) and event.attempt == leg.id:
                return event.accept_key
        now, key, who = d.clock.now(), d.draw_key(), self.ring.callee
        started = CallStarted(
            at=now, call=leg.id, kind=CallKind.ROBOCALL, number=self.ring.number, contact=who.contact
        )
        answered = RobocallAnswered(at=now, attempt=leg.id, accept_key=key)
        await d.store.append(self.ticket, [started, CallAnswered(at=now, call=leg.id), answered])
        d.reached("dialout.key_drawn")
        return key

    async def _converse(self, talk: Conversation, key: str, again: bool, d: Deps) -> Outcome:
        """Brief and ask; if somebody else takes the ticket meanwhile, say who did."""
        ask = self._ask_to_accept if self.ring.purpose is Purpose.ACCEPT else self._ask_progress
        try:
            async with self._stoppable(), asyncio.timeout(d.robocall_seconds) as self._limit:
                if again and not await self._talked_on(talk, d):
                    await talk.introduce(wording.BACK_AGAIN)
                return await ask(talk, key, d)
        except TimeoutError:
            if not self._stopped:
                return Outcome.MACHINE
        return await self._as_it_stands(talk, d)

    async def _as_it_stands(self, talk: Conversation, d: Deps) -> Outcome:
        """There is nothing to ask any more: say whose the ticket is."""
        state = Ticket.of(await d.store.history(self.ticket))
        if not state.is_open:
            await talk.say(wording.TICKET_CLOSED)
        elif state.accepted is not None and state.accepted.attempt == self.ring.attempt:
            await talk.say(wording.ACCEPTED)
            return Outcome.ACCEPTED
        elif state.accepted is not None:
            await talk.say(*wording.taken_by(state.accepted.name))
        return Outcome.CANCELLED

    async def _ask_to_accept(self, talk: Conversation, key: str, d: Deps) -> Outcome:
        """«Аварийная заявка … Чтобы принять, нажмите семь.»"""
        async with self._suspecting(talk.leg, d) as machine:
            return await self._ask_for_key(talk, key, machine, d)

    async def _ask_for_key(self, talk: Conversation, key: str, machine: asyncio.Event, d: Deps) -> Outcome:
        """Up to three askings; a suspected machine is asked once: who is only silent still hears all of it and can press.

        Any key shows that somebody is there, so a wrong one is answered and uses up no asking.
        """
        silences, keyed = 0, False
        while silences < (1 if machine.is_set() and not keyed else ASKINGS):
            ticket = Ticket.of(await d.store.history(self.ticket))
            if (
                ticket.accepted is not None or not ticket.is_open
            ):  # perhaps by this very call, before a restart
                return await self._as_it_stands(talk, d)
            parts = (*wording.briefing(self.ticket, ticket), wording.accept_prompt(key), wording.MENU)
            if self._operators(d) is not None:
                parts = (*parts, wording_operators.OPERATOR_KEY)
            pressed = await talk.ask(*parts, keys=ANY_KEY, wait=KEY_WAIT_SECONDS)
            if pressed != key:
                await self._note_key(pressed, "accept", d)
            keyed = keyed or pressed is not None
            if pressed is None:
                silences += 1
            elif pressed == key:
                return await self._accept(talk, key, d)
            elif pressed == "2":
                return await self._decline(talk, d)
            elif pressed == "4":
                await self._connect(talk, d)
            elif pressed == "0":
                await self._consult(talk, d)
            elif pressed != "3":
                await talk.say(wording.WRONG_KEY)
        await talk.say(wording.NO_KEY)
        return Outcome.MACHINE

    async def _connect(self, talk: Conversation, d: Deps) -> None:
        """A talk between people is not limited by what a robot may say."""
        assert self._limit is not None
        self._limit.reschedule(None)
        await connect.with_resident(talk, self.ticket, d)
        self._limit.reschedule(asyncio.get_running_loop().time() + d.robocall_seconds)

    async def _talked_on(self, talk: Conversation, d: Deps) -> bool:
        """After a restart: go on with the talk with an operator or with the resident, if they were in one."""
        assert self._limit is not None
        self._limit.reschedule(None)
        talked = d.operators is not None and await d.operators.rejoin(talk)
        talked = talked or await connect.goes_on(talk, self.ticket, d)
        self._limit.reschedule(asyncio.get_running_loop().time() + d.robocall_seconds)
        return talked

    def _operators(self, d: Deps) -> Operators | None:
        """The operators' room, if somebody is there who speaks for the company."""
        company = next((one for one in d.companies() if one.id == self.company), None)
        staffed = company is not None and d.operators is not None and d.operators.on_duty(company, None)
        return d.operators if staffed else None

    async def _consult(self, talk: Conversation, d: Deps) -> None:
        """An operator, if one is on duty; then the question again."""
        assert self._limit is not None
        self._limit.reschedule(None)
        room = self._operators(d)
        if room is None or not await room.consult(talk, self.ticket, d.company(self.company)):
            await talk.say(wording_operators.NO_OPERATOR)
        self._limit.reschedule(asyncio.get_running_loop().time() + d.robocall_seconds)

    async def _accept(self, talk: Conversation, key: str, d: Deps) -> Outcome:
        """The conditional write, key and acceptance in one; then the words, which are true whoever won."""
        who, attempt = self.ring.callee, self.ring.attempt
        pressed = KeyPressed(at=d.clock.now(), call=attempt, key=key, question="accept")
        try:
            winner = await asyncio.shield(
                verbs.accept(d, self.ticket, who.contact, Via.CALL, who.name, attempt, pressed)
            )
        except TicketIsClosed:
            await self._note_key(key, "accept", d)
            await talk.say(wording.TICKET_CLOSED)
            return Outcome.CANCELLED
        d.reached("dialout.accepted")
        if winner.attempt == self.ring.attempt:
            await talk.say(wording.ACCEPTED)
            return Outcome.ACCEPTED
        await talk.say(*wording.taken_by(winner.name))
        return Outcome.CANCELLED

    async def _decline(self, talk: Conversation, d: Deps) -> Outcome:
        """The refusal counts at once, so that the next phone rings while this one is still asked why."""
        await d.store.append(self.ticket, [self._ended(d, Outcome.DECLINED)])
        why = await talk.ask(wording.DECLINED, wording.WHY_DECLINED, keys="123", wait=REASON_WAIT_SECONDS)
        if why is not None:
            reason = wording.DECLINE_REASONS[why]
            until = await self._until(talk, d) if reason == "no_coverage" else None
            await verbs.decline(d, self.ticket, self.ring.callee.contact, Via.CALL, reason, until)
            await talk.say(wording.THANK_YOU)
        return Outcome.DECLINED

    async def _until(self, talk: Conversation, d: Deps) -> datetime:
        """Until when the person is out of coverage: so many hours as the key they press; who says nothing, or has gone, an hour."""
        hours = None
        with suppress(HungUp):
            hours = await talk.ask(wording.HOW_LONG, keys="123456789", wait=REASON_WAIT_SECONDS)
        return d.clock.now() + (timedelta(hours=int(hours)) if hours else NO_COVERAGE_FOR)

    async def _ask_progress(self, talk: Conversation, key: str, d: Deps) -> Outcome:
        """Ask the acceptor about a clock that ran out: 1 yes, 2 not yet, 3 cannot."""
        arrival = self.ring.purpose is Purpose.ARRIVAL
        question = wording.arrival_question if arrival else wording.done_question
        pressed = await talk.ask(*question(self.ticket), keys="123", wait=KEY_WAIT_SECONDS, times=ASKINGS)
        await self._note_key(pressed, self.ring.purpose, d)
        contact = self.ring.callee.contact
        match pressed:
            case "1":
                await verbs.report(d, self.ticket, contact, Via.CALL, "arrived" if arrival else "done")
            case "2":
                await verbs.report(d, self.ticket, contact, Via.CALL, "on_the_way")
            case "3":
                await verbs.decline(d, self.ticket, contact, Via.CALL, "cannot_go")
            case _:
                return Outcome.MACHINE
        await talk.say(wording.THANK_YOU)
        return Outcome.ACCEPTED

    async def _note_key(self, key: str | None, question: str, d: Deps) -> None:
        if key is not None:
            pressed = KeyPressed(at=d.clock.now(), call=self.ring.attempt, key=key, question=question)
            await d.store.append(self.ticket, [pressed])
            d.reached("dialout.key_pressed")

    async def broken(self, d: Deps) -> DialEnded | None:
        """What is to be said of an attempt that broke: its call, if it was up, is over; unless the timeline tells the end already."""
        history = await d.store.history(self.ticket)
        up = any(isinstance(event, CallStarted) and event.call == self.ring.attempt for event in history)
        over = any(isinstance(event, CallEnded) and event.call == self.ring.attempt for event in history)
        if up and not over:
            ended = CallEnded(at=d.clock.now(), call=self.ring.attempt, cause=41, by="us")
            await d.store.append(self.ticket, [ended])
        return await self._unless_told(d, Outcome.FAILED, 41)

    async def _unless_told(self, d: Deps, outcome: Outcome, cause: int) -> DialEnded | None:
        """The end of the attempt, in the light of what the timeline already says of it."""
        history = await d.store.history(self.ticket)
        if any(isinstance(event, DialEnded) and event.attempt == self.ring.attempt for event in history):
            return None
        accepted = Ticket.of(history).accepted
        if accepted is not None and accepted.attempt == self.ring.attempt:
            outcome = Outcome.ACCEPTED
        return self._ended(d, outcome, cause)

    def _allowed(self, d: Deps) -> bool:
        """The last check before a phone rings: is the number on the company's list, and does the class allow it at this hour?"""
        try:
            company = d.company(self.company)
        except NotKnown:
            return True  # the company's files are gone; the decision checked the number when they were there
        now = d.clock.now()
        return company.may_dial(self.ring.number) and may_ring(self.urgency, self.ring.callee, now)

    def _ended(
        self,
        d: Deps,
        outcome: Outcome,
        cause: int | None = None,
        tech_cause: int | None = None,
        reason: str | None = None,
    ) -> DialEnded:
        return DialEnded(
            at=d.clock.now(),
            attempt=self.ring.attempt,
            outcome=outcome,
            cause=cause,
            tech_cause=tech_cause,
            reason=reason,
        )

    @asynccontextmanager
    async def _suspecting(self, leg: Leg, d: Deps) -> AsyncIterator[asyncio.Event]:
        """Let AMD listen beside the talk; the event is set once it takes the far end for a machine."""
        machine = asyncio.Event()

        async def listen() -> None:
            why = await leg.machine()
            if why is not None:
                suspected = MachineSuspected(at=d.clock.now(), attempt=self.ring.attempt, why=why)
                await d.store.append(self.ticket, [suspected])
                machine.set()

        listening = asyncio.create_task(_loudly(listen()), name=f"amd {self.ring.attempt}")
        try:
            yield machine
        finally:
            listening.cancel()
            await asyncio.wait({listening})

    @asynccontextmanager
    async def _stoppable(self) -> AsyncIterator[None]:
        """`stop` ends the block with `TimeoutError`."""
        async with asyncio.timeout(0 if self._stopped else None) as self._scope:
            try:
                yield
            finally:
                self._scope = None  # one that is over cannot be ended any more

    @asynccontextmanager
    async def _voice_ready(self, d: Deps) -> AsyncIterator[None]:
        """Render what will be said while the phone still rings."""
        ticket = Ticket.of(await d.store.history(self.ticket))
        tasks = [
            asyncio.create_task(_quietly(d.voice.speak, part), name=f"voice for {self.ring.attempt}")
            for part in wording.briefing(self.ticket, ticket)
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def _loudly(hint: Awaitable[None]) -> None:
    """A hint that cannot be had costs the call nothing."""
    try:
        await hint
    except Exception:
        log.exception("a hint about a machine could not be had")


async def _quietly(speak: Callable[[str], Awaitable[object]], part: str) -> None:
    """A voice that fails here fails again where the sentence is needed, and is reported there."""
    try:
        await speak(part)
    except VoiceFailed:
        return
