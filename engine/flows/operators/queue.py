"""A caller who waits for an operator: what they hear meanwhile, the desk phone that is rung for them, and the talk."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import structlog

from engine.domain import wording_operators as wording
from engine.domain.company import Company
from engine.domain.errors import AttemptExists, HungUp, StoreFailed, TelephonyAway
from engine.domain.events import DeadlineBroken, OperatorAnswered, OperatorMissed, OperatorRang, QueueLeft
from engine.domain.model import CallKind
from engine.domain.queueing import ANSWER_CLOCK, Desk, Need, Rules, Waiting, Why
from engine.domain.ticket import Ticket
from engine.flows.conversation import Conversation
from engine.flows.deps import Deps
from engine.flows.operators.hold import HOLD, listen_for_key, stop
from engine.flows.operators.party import Party, claim, note, rung
from engine.flows.operators.room import Place, Room
from engine.flows.operators.table import Owner, Table
from engine.ports import DialFailed, Sound

log = structlog.get_logger()

AWAY_PAUSE_SECONDS = 1.0
Choice = Literal["talked", "message", "callback", "back", "no_operator"]
CHOICES: dict[str, Choice] = {"1": "message", "2": "callback", "#": "back"}


@dataclass(eq=False)
class Hall:
    """What the operators' flows share. `tables` are the talks, by the operator's leg."""

    d: Deps
    own: Owner
    rules: Rules
    room: Room
    music: Sound = HOLD
    tables: dict[str, Table] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Somebody for whom an operator is wanted, and why; `number` is theirs."""

    ticket: int
    company: Company
    number: str | None
    waiting: Waiting
    why: Why = Why.CALLER


def need_of(company: Company, did: str | None) -> Need:
    """What a call on that line asks of an operator: to speak for the company, in the line's language."""
    line = company.line(did)
    return Need(company.id, frozenset((line.language,)) if line else frozenset())


async def wait(hall: Hall, talk: Conversation, wanted: Wanted) -> Choice:
    """Wait with the caller until an operator has talked with them, they choose otherwise, or nobody is left to wait for.

    Raises `HungUp` when the caller hangs up.
    """
    table, choice = await _stand(hall, talk, wanted)
    if table is not None:
        with hall.d.lobby.engaged(wanted.ticket, talk.leg):
            await table.sit(talk.leg)
    return choice


async def _stand(hall: Hall, talk: Conversation, wanted: Wanted) -> tuple[Table | None, Choice]:
    """Until something comes of it: the table at which an operator waits for the caller, or what was chosen instead."""
    d, leg, reason = hall.d, talk.leg, "left"
    with hall.room.place(wanted.waiting) as place:
        passing = asyncio.create_task(_pass_time(hall, talk, place, wanted), name=f"queue {leg.id}")
        reaching = asyncio.create_task(_reach(hall, place, wanted), name=f"operator for {leg.id}")
        clock = asyncio.create_task(_watch_clock(hall, wanted), name=f"clock of {leg.id}")
        try:
            await asyncio.wait({passing, reaching}, return_when=asyncio.FIRST_COMPLETED)
            if reaching.done() and (table := reaching.result()) is not None:
                reason = "answered"
                return table, "talked"
            choice: Choice = passing.result() if passing.done() else "no_operator"
            reason = choice
            return None, choice
        except HungUp:
            reason = "hung_up"
            raise
        finally:
            await stop(passing, reaching, clock)
            if reason != "answered":
                left = QueueLeft(at=d.clock.now(), call=leg.id, reason=reason)
                await asyncio.shield(note(d, wanted.ticket, left))


async def _pass_time(hall: Hall, talk: Conversation, place: Place, wanted: Wanted) -> Choice:
    """Position, expected wait and the choices; music; and again each minute."""
    loop, every = asyncio.get_running_loop(), hall.rules.offer_every.total_seconds()
    keys, menu = ("12", wording.CHOICES) if wanted.number is not None else ("1", wording.MESSAGE_ONLY)
    if wanted.why is Why.PROMISE:
        keys, menu = "1", wording.MESSAGE_ONLY
    elif wanted.why is Why.STAFF:
        keys, menu = "#", wording.GO_BACK
    while True:
        began = loop.time()
        number, minutes = hall.room.standing(place)
        key = await talk.ask(*wording.place_in_queue(number, minutes), menu, keys=keys, wait=0.0)
        if key is None:
            left = max(0.1, every - (loop.time() - began))
            key = await listen_for_key(talk.leg, hall.music, left, keys)
        if key is not None:
            return CHOICES[key]


async def _reach(hall: Hall, place: Place, wanted: Wanted) -> Table | None:
    """Ring one desk after another until somebody answers; the table at which they sit. None: nobody is signed in any more."""
    while True:
        desk = await place.desk()
        if desk is None:
            return None
        if (table := await fetch_operator(hall, desk, wanted)) is not None:
            return table


async def fetch_operator(hall: Hall, desk: Desk, wanted: Wanted) -> Table | None:
    """Ring the desk phone, which was kept for this. The table at which the operator sits then, with one more coming; None if not."""
    answered: asyncio.Future[Table | None] = asyncio.get_running_loop().create_future()
    shift = _Shift(hall, desk, wanted, answered)
    coming = hall.own(shift.run(), f"operator {desk.phone}")
    coming.add_done_callback(shift.ended)
    try:
        return await answered
    except asyncio.CancelledError:
        coming.cancel()
        raise


@dataclass(eq=False)
class _Shift:
    """The operator's side of one call, from the ring to the end; then the desk is free again, whatever happened."""

    hall: Hall
    desk: Desk
    wanted: Wanted
    answered: asyncio.Future[Table | None]
    began: datetime | None = None
    missed: bool = False
    call: str = ""

    async def run(self) -> None:
        """Ring, whisper, talk."""
        hall, d, desk, wanted = self.hall, self.hall.d, self.desk, self.wanted
        ticket, party = wanted.ticket, desk_party(desk.phone, wanted.company, wanted.number, hall.rules)

        def intent(call: str, now: datetime) -> OperatorRang:
            return OperatorRang(
                at=now, call=wanted.waiting.id, attempt=call, desk=desk.phone, operator=desk.operator
            )

        try:
            self.call = await claim(ticket, party, d, intent)
            state = Ticket.of(await d.store.history(ticket))
            async with rung(ticket, party, d, self.call) as leg:
                talk = Conversation(leg, d.voice)
                await talk.say(*wording.whispered(wanted.company, ticket, state, wanted.why))
                if self.answered.done():
                    return  # the caller is gone
                table = await self._take()
                await table.sit(leg, operator=True)
                if not table.talked:
                    await talk.say(wording.NO_ANSWER)
        except DialFailed as failed:
            self.missed = True
            missed = OperatorMissed(
                at=d.clock.now(), attempt=self.call, desk=desk.phone, outcome=failed.outcome
            )
            await note(d, ticket, missed)
        except HungUp:
            self.missed = self.began is None
        except (AttemptExists, TelephonyAway, StoreFailed) as error:
            log.warning("an operator could not be rung", desk=desk.phone, error=str(error))
            await asyncio.sleep(AWAY_PAUSE_SECONDS)
        except Exception:
            self.missed = True  # or the same phone would be tried again at once, for ever
            raise

    async def _take(self) -> Table:
        """The operator has the call now: a table is laid for the two."""
        hall, wanted, now = self.hall, self.wanted, self.hall.d.clock.now()
        self.began = now
        table = hall.tables[self.call] = Table(
            wanted.ticket, hall.d, hall.own, desk=self.desk.phone, music=hall.music
        )
        hall.own(table.run(), f"table of {self.call}")
        self.answered.set_result(table)
        taken = OperatorAnswered(
            at=now,
            call=wanted.waiting.id,
            attempt=self.call,
            desk=self.desk.phone,
            operator=self.desk.operator,
            waited=round((now - wanted.waiting.since).total_seconds(), 3),
        )
        await note(hall.d, wanted.ticket, taken)
        return table

    def ended(self, _: asyncio.Task[None]) -> None:
        """The desk phone is silent."""
        self.hall.tables.pop(self.call, None)
        talked = None if self.began is None else self.hall.d.clock.now() - self.began
        self.hall.room.free(self.desk.phone, talked=talked, missed=self.missed)
        if not self.answered.done():
            self.answered.set_result(None)


def desk_party(phone: str, company: Company, number: str | None, rules: Rules) -> Party:
    """A desk phone to be rung: it shows the company's name, and the other side's number."""
    return Party(
        "o",
        CallKind.OPERATOR,
        phone,
        desk=True,
        ring_seconds=rules.ring_for.total_seconds(),
        caller_id=number or company.caller_id,
        caller_name=company.title,
        company=company.id,
    )


async def _watch_clock(hall: Hall, wanted: Wanted) -> None:
    """A call that no operator answers in time breaks the law's clock: that is a fact of the ticket, once."""
    d, due = hall.d, wanted.waiting.since + hall.rules.answer_within
    if wanted.why is not Why.CALLER:
        return  # a promise has a clock of its own, and a colleague none
    history = await d.store.history(wanted.ticket)
    if any(isinstance(event, DeadlineBroken) and event.clock == ANSWER_CLOCK for event in history):
        return
    await asyncio.sleep(max(0.0, (due - d.clock.now()).total_seconds()))
    await note(d, wanted.ticket, DeadlineBroken(at=d.clock.now(), clock=ANSWER_CLOCK, due=due))
    log.warning("a caller was not answered in time", ticket=wanted.ticket)
