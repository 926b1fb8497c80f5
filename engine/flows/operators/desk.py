"""The operators' side of the house: who sits at which desk phone, who is brought to them, and the calls that they make from a ticket."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import structlog

from engine.domain import wording_operators as wording
from engine.domain.company import Company
from engine.domain.errors import AttemptExists, HungUp, NotKnown, TelephonyAway
from engine.domain.events import (
    CallBackPromised,
    CallStarted,
    Event,
    NumberTold,
    OperatorAnswered,
    OperatorRang,
    QueueJoined,
    QueueLeft,
)
from engine.domain.model import CallKind, Line
from engine.domain.queueing import Desk, Promise, Rules, Waiting, Why
from engine.domain.ticket import Ticket
from engine.domain.wording import CONNECTING, your_number
from engine.flows.conversation import Conversation
from engine.flows.deps import Deps
from engine.flows.operators import callback
from engine.flows.operators.hold import HOLD
from engine.flows.operators.party import Party, claim, note, rung
from engine.flows.operators.queue import Hall, Wanted, desk_party, need_of, wait
from engine.flows.operators.room import Room
from engine.flows.operators.table import Table
from engine.flows.operators.takeover import TakeOver
from engine.ports import DialFailed, Leg, Sound

log = structlog.get_logger()

SIGN_IN_CODE, SIGN_OUT_CODE = "*1", "*0"


class SignIns(Protocol):
    """Keeps who is signed in over a restart."""

    def load(self) -> Sequence[Desk]: ...

    def save(self, desks: Sequence[Desk]) -> None: ...


class Caller(Protocol):
    """The hotline's call, as far as operators need it."""

    @property
    def ticket(self) -> int: ...
    @property
    def company(self) -> Company: ...
    @property
    def line(self) -> Line: ...


@dataclass(frozen=True, slots=True)
class DeskState:
    """A desk phone as the console shows it. `desk` None: nobody sits there. `call` and `ticket`: the talk that goes on there."""

    phone: str
    desk: Desk | None
    busy: bool
    ticket: int | None = None
    call: str | None = None
    held: bool = False


class DeskInUse(ValueError):
    """The desk phone rings or talks."""


class Operators:
    """One to an engine: build it, give it to the flows, `run` it. `phones` are the desk phones that can register with us."""

    def __init__(
        self,
        d: Deps,
        phones: Sequence[str],
        keeps: SignIns | None = None,
        rules: Rules | None = None,
        music: Sound = HOLD,
    ) -> None:
        self._d, self._keeps, self._phones = d, keeps, tuple(phones)
        self._rules = rules or Rules()
        self._room = Room(d.clock, self._rules)
        self._hall = Hall(d, self._own, self._rules, self._room, music)
        self._group: asyncio.TaskGroup | None = None
        self._talks = TakeOver(self._hall)
        self._promises: set[int] = set()
        self._last: dict[str, Desk] = {}
        """Who sat down at each phone last."""

    async def run(self) -> None:
        """Serve until cancelled; first take up what an earlier engine left."""
        booted = self._d.clock.now()
        for desk in self._keeps.load() if self._keeps else ():
            if desk.phone in self._phones:
                self._room.sign_in(replace(desk, idle_since=booted))
        async with asyncio.TaskGroup() as self._group:
            self._own(self._talks.run(booted), "operators: take over")
            self._own(self._open_promises(), "operators: promises")
            await asyncio.get_running_loop().create_future()  # until cancelled

    # --- who is there ----------------------------------------------------------------------------------------------------------------

    def sign_in(self, phone: str, operator: str, skills: Mapping[str, frozenset[str]] | None = None) -> None:
        """`operator` sits down at the desk phone, for those companies with those skills (none: for all). Raises `NotKnown`."""
        self._known(phone)
        desk = self._last[phone] = Desk(phone, operator, self._d.clock.now(), skills or {})
        self._room.sign_in(desk)
        self._save()
        log.info("an operator signed in", desk=phone, operator=operator)

    async def dialled(self, leg: Leg) -> bool:
        """A desk phone that dialled a code: sign in or out, whoever sat there last. False: the leg is of another kind."""
        if leg.did not in (SIGN_IN_CODE, SIGN_OUT_CODE):
            return False
        phone, comes = leg.number or "", leg.did == SIGN_IN_CODE
        try:
            self._known(phone)
            async with leg:
                await leg.answer()
                await Conversation(leg, self._d.voice).say(wording.SIGNED_IN if comes else wording.SIGNED_OUT)
        except (NotKnown, HungUp, TelephonyAway) as error:
            log.info("a desk phone's code was cut short", desk=phone, reason=str(error))
        if phone in self._phones and comes:  # now that its line is free to be rung
            last = self._room.desks.get(phone) or self._last.get(phone)
            self.sign_in(phone, last.operator if last else phone, last.skills if last else None)
        elif phone in self._phones:
            self.sign_out(phone)
        return True

    def sign_out(self, phone: str) -> None:
        """Nobody sits there any more; a talk that goes on is not touched. Raises `NotKnown`."""
        self._known(phone)
        if self._room.sign_out(phone):
            self._save()
            log.info("an operator signed out", desk=phone)

    def desks(self) -> Sequence[DeskState]:
        """Every desk phone."""
        talks = {table.desk: (table.ticket, call, table.held) for call, table in self._hall.tables.items()}
        room = self._room
        return [
            DeskState(phone, room.desks.get(phone), phone in room.busy, *talks.get(phone, ()))
            for phone in self._phones
        ]

    def waiting(self) -> Sequence[Waiting]:
        """The queue."""
        return self._room.waiting

    def on_duty(self, company: Company, did: str | None) -> bool:
        """Whether somebody is signed in who could serve a call on that line."""
        return self._group is not None and self._room.staffed(need_of(company, did))

    # --- the hotline -----------------------------------------------------------------------------------------------------------------

    async def serve(self, talk: Conversation, call: Caller) -> bool:
        """Find an operator for the caller. True: they have talked, or a call back was promised; False: a message is to be taken.

        Raises `HungUp` when the caller is gone.
        """
        d, ticket, leg = self._d, call.ticket, talk.leg
        history = await d.store.history(ticket)
        if (settled := _settled(history, leg.id)) is not None:
            return settled
        need, since = need_of(call.company, call.line.did), _first_ring(history, d.clock.now())
        waiting = Waiting(leg.id, need, since)
        if self._group is None or not self._room.staffed(waiting.need):
            return False
        if not any(isinstance(event, QueueJoined) and event.call == leg.id for event in history):
            await note(d, ticket, QueueJoined(at=d.clock.now(), call=leg.id, since=waiting.since))
        choice = await wait(self._hall, talk, Wanted(ticket, call.company, leg.number, waiting))
        match choice:
            case "talked":
                return True
            case "callback":
                await self._promise(talk, ticket, waiting)
                return True
            case "no_operator":
                await talk.say(wording.OPERATORS_LEFT)
        return False

    async def consult(self, talk: Conversation, ticket: int, company: Company) -> bool:
        """Let a colleague on the line, who is called about the ticket, speak with an operator. False: there is none.

        Raises `HungUp` when the colleague is gone.
        """
        if not self.on_duty(company, None):
            return False
        waiting = Waiting(talk.leg.id, need_of(company, None), self._d.clock.now())
        wanted = Wanted(ticket, company, talk.leg.number, waiting, Why.STAFF)
        return await wait(self._hall, talk, wanted) != "no_operator"

    async def join(self, talk: Conversation, ticket: int) -> bool:
        """Let a colleague on the line sit down with the ticket's resident and the operator who talk. False: they do not.

        Returns when the talk is over for the colleague. Raises `HungUp` when the colleague is gone.
        """
        history = await self._d.store.history(ticket)
        number, begun = Ticket.of(history).phone, [e for e in history if isinstance(e, CallStarted)]
        theirs = {e.call for e in begun if e.kind is CallKind.RESIDENT or (number and e.number == number)}
        for table in tuple(self._hall.tables.values()):
            if table.ticket == ticket and not table.over and theirs & table.sitting:
                await talk.say(CONNECTING)
                await table.join(talk.leg)
                return True
        return False

    async def rejoin(self, talk: Conversation) -> bool:
        """After a restart: let a colleague on the line go on with an operator as before. False: they did not talk."""
        return await self._talks.rejoin(talk.leg)

    async def _promise(self, talk: Conversation, ticket: int, waiting: Waiting) -> None:
        """Promise to call back: the fact first, then the words."""
        d, leg = self._d, talk.leg
        assert leg.number is not None
        due = waiting.since + self._rules.call_back_within
        promised = CallBackPromised(
            at=d.clock.now(), call=leg.id, number=leg.number, since=waiting.since, due=due
        )
        await d.store.append(ticket, [promised])
        self.promised(ticket)
        await talk.say(wording.WILL_CALL_BACK, your_number(ticket))
        await note(d, ticket, NumberTold(at=d.clock.now(), call=leg.id))

    def promised(self, ticket: int) -> None:
        """The ticket promises a call back: see that it is kept. Twice: once."""
        if ticket not in self._promises:
            self._promises.add(ticket)
            self._own(self._keep(ticket), f"promise {ticket}")

    async def _keep(self, ticket: int) -> None:
        try:
            await self._talks.done.wait()
            await callback.keep(ticket, self._hall)
        finally:
            self._promises.discard(ticket)

    # --- calls from a ticket ---------------------------------------------------------------------------------------------------------

    async def call(self, ticket: int, phone: str, party: Party, company: Company, by: str) -> str:
        """Ring the desk phone, then the party, and let them talk. Returns at once, with the id of the operator's leg.

        Raises `NotKnown` for the phone, `DeskInUse`.
        """
        self._known(phone)
        if not self._room.take(phone):
            raise DeskInUse(f"телефон «{phone}» занят другим разговором")
        try:
            desk = desk_party(phone, company, party.number, self._rules)
            leg = await claim(
                ticket,
                desk,
                self._d,
                lambda call, now: OperatorRang(at=now, call=call, attempt=call, desk=phone, operator=by),
            )
            task = self._own(self._call(ticket, desk, leg, party), f"desk call {leg}")
        except BaseException:
            self._room.free(phone)
            raise
        task.add_done_callback(lambda _: self._freed(phone, leg))
        return leg

    async def _call(self, ticket: int, desk: Party, call: str, party: Party) -> None:
        table = self._hall.tables[call] = Table(
            ticket, self._d, self._own, desk=desk.number, coming=1, music=self._hall.music
        )
        try:
            async with rung(ticket, desk, self._d, call) as leg:
                talk = Conversation(leg, self._d.voice)
                await talk.say(wording.CALLING)
                table.bring(party)
                self._own(table.run(), f"table of {call}")
                await table.sit(leg, operator=True)
                if not table.talked:
                    await talk.say(wording.NO_ANSWER)
        except (DialFailed, HungUp, AttemptExists, TelephonyAway) as error:
            log.info("a desk call ended", ticket=ticket, call=call, reason=str(error))

    def table(self, ticket: int, call: str) -> Table:
        """The talk of that operator's leg. Raises `NotKnown` when there is none (any more)."""
        table = self._hall.tables.get(call)
        if table is None or table.ticket != ticket or table.over:
            raise NotKnown(f"разговора «{call}» по заявке {ticket} сейчас нет")
        return table

    # --- after a restart -------------------------------------------------------------------------------------------------------------

    async def resume(self, leg: Leg) -> bool:
        """Take up a caller who was talking with an operator when an earlier engine died; they notice nothing. False: they were not."""
        return await self._talks.resume(leg)

    async def _open_promises(self) -> None:
        """Every promise of an earlier engine."""
        for company in self._d.companies():
            for ticket in await self._d.store.open_tickets(company.id):
                promise = Promise.of(await self._d.store.history(ticket))
                if promise is not None and not promise.over:
                    self.promised(ticket)

    # --- small things ----------------------------------------------------------------------------------------------------------------

    def _freed(self, phone: str, call: str) -> None:
        self._hall.tables.pop(call, None)
        self._room.free(phone)

    def _known(self, phone: str) -> None:
        if phone not in self._phones:
            raise NotKnown(f"телефона «{phone}» нет; есть: {', '.join(self._phones) or 'ни одного'}")

    def _save(self) -> None:
        if self._keeps is not None:
            self._keeps.save(list(self._room.desks.values()))

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run it as a task of ours. Whatever it raises is logged and ends nothing else."""
        assert self._group is not None, "operators are not at work yet"
        return self._group.create_task(_guarded(work, name), name=name)


async def _guarded(work: Coroutine[Any, Any, None], name: str) -> None:
    try:
        await work
    except Exception:
        log.exception("a task broke", task=name)


def _first_ring(history: Sequence[Event], now: datetime) -> datetime:
    """Of the caller's first call about the ticket: one that broke off and was rung back keeps its place and its clock."""
    calls = (e.at for e in history if isinstance(e, CallStarted) and e.kind is CallKind.RESIDENT)
    return next(calls, now)


def _settled(history: Sequence[Event], call: str) -> bool | None:
    """What had come of the caller's wish for an operator before a restart; None: nothing yet, they wait on."""
    for event in reversed(history):
        match event:
            case OperatorAnswered() | CallBackPromised() if event.call == call:
                return True
            case QueueLeft(reason="message" | "no_operator") if event.call == call:
                return False
            case _:
                pass
    return None
