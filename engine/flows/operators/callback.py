"""The promise to call back: one coroutine per open promise, which reads, decides and acts. Kill it anywhere, run it again.

The promise stands in the queue with the place that the caller had. When its turn comes the operator is rung first, then the caller; when
no operator is free in time, the caller is rung all the same, and waits on or leaves a message.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog

from engine.domain import wording_operators as wording
from engine.domain.errors import AttemptExists, HungUp, NotKnown, StoreFailed, TelephonyAway
from engine.domain.events import CallBackEnded, CallBackTried, DeadlineBroken
from engine.domain.model import CallKind, Outcome
from engine.domain.queueing import (
    CALL_BACK_CLOCK,
    Desk,
    GiveUp,
    Lost,
    Overdue,
    Pause,
    Promise,
    Settled,
    Try,
    Waiting,
    Why,
    next_for,
)
from engine.domain.ticket import Ticket
from engine.domain.wording import LEAVE_MESSAGE, THANKS
from engine.flows.conversation import Conversation
from engine.flows.operators.hold import stop
from engine.flows.operators.party import Party, note, rung
from engine.flows.operators.queue import Hall, Wanted, fetch_operator, need_of, wait
from engine.flows.operators.room import Place
from engine.ports import DialFailed

log = structlog.get_logger()

LONGEST_NAP_SECONDS = 5.0
STORE_PAUSE_SECONDS = 1.0


async def keep(ticket: int, hall: Hall) -> None:
    """Keep the ticket's promise, or say that it could not be kept. A ticket that promises nothing: nothing."""
    d = hall.d
    while True:
        history = await d.store.history(ticket)
        promise, now = Promise.of(history), d.clock.now()
        if promise is None:
            return
        try:
            match next_for(promise, hall.rules, now):
                case Settled():
                    return
                case Pause(until):
                    nap = min(LONGEST_NAP_SECONDS, (until - now).total_seconds())
                    await d.store.changed(ticket, len(history), nap)
                case Lost(attempt):
                    await _tried(hall, ticket, Outcome.LOST, attempt)
                case Overdue(due):
                    broken = DeadlineBroken(at=now, clock=CALL_BACK_CLOCK, due=due)
                    await d.store.append(ticket, [broken], expect=len(history))
                    log.warning("a promised call back is overdue", ticket=ticket)
                case GiveUp():
                    await d.store.append(ticket, [CallBackEnded(at=now, kept=False)], expect=len(history))
                    log.warning("a caller could not be called back", ticket=ticket, tries=promise.tries)
                case Try(alone_from):
                    await _try(hall, ticket, promise, alone_from)
        except StoreFailed as error:
            log.error("a promise waits for the store", ticket=ticket, error=str(error))
            await asyncio.sleep(STORE_PAUSE_SECONDS)


async def _try(hall: Hall, ticket: int, promise: Promise, alone_from: datetime) -> None:
    """Wait for the turn, and ring."""
    state = Ticket.of(await hall.d.store.history(ticket))
    try:
        company = hall.d.company(state.company)
    except NotKnown as error:
        log.error("a promise waits for its company", ticket=ticket, error=str(error))
        await asyncio.sleep(LONGEST_NAP_SECONDS)
        return
    waiting = Waiting(promise.call, need_of(company, state.did), promise.since)
    wanted = Wanted(ticket, company, promise.number, waiting, Why.PROMISE)
    with hall.room.place(waiting) as place:
        desk = await _desk(hall, ticket, place, alone_from)
    if desk is None:
        if hall.d.clock.now() >= alone_from:
            await _ring_alone(hall, wanted, promise)
        return
    table = await fetch_operator(hall, desk, wanted)
    if table is not None:
        caller, greeting = _caller(wanted, promise), (wording.YOUR_CALL_BACK,)
        outcome = await table.fetch(caller, greeting, lambda: _kept(hall, ticket))
        if outcome is not None:
            await _tried(hall, ticket, outcome)


async def _desk(hall: Hall, ticket: int, place: Place, alone_from: datetime) -> Desk | None:
    """The operator whose turn it is. None: none in time, or the ticket has changed and the promise must be looked at again."""
    d = hall.d
    length = len(await d.store.history(ticket))
    left = (alone_from - d.clock.now()).total_seconds()
    while left > 0:
        nap = min(left, LONGEST_NAP_SECONDS)
        turn = asyncio.create_task(place.desk(), name=f"turn of promise {ticket}")
        changed = asyncio.create_task(d.store.changed(ticket, length, nap), name=f"changes {ticket}")
        try:
            await asyncio.wait({turn, changed}, return_when=asyncio.FIRST_COMPLETED)
            if turn.done() and (desk := turn.result()) is not None:
                return desk
            if await changed:
                return None
        finally:
            await stop(turn, changed)
        left = (alone_from - d.clock.now()).total_seconds()
    return None


async def _ring_alone(hall: Hall, wanted: Wanted, promise: Promise) -> None:
    """No operator is free and the promise is about to be broken: ring the caller, who may wait on or leave a message."""
    d = hall.d
    try:
        async with rung(wanted.ticket, _caller(wanted, promise), d) as leg:
            talk = Conversation(leg, d.voice)
            await talk.say(wording.STILL_BUSY)
            await _kept(hall, wanted.ticket)
            staffed = hall.room.staffed(wanted.waiting.need)
            choice = await wait(hall, talk, wanted) if staffed else "no_operator"
            if choice == "no_operator":
                await talk.say(wording.OPERATORS_LEFT)
            if choice != "talked":
                await talk.say(LEAVE_MESSAGE)
                await talk.listen(d.message_seconds, end_keys="#")
            await talk.say(THANKS)
    except DialFailed as failed:
        await _tried(hall, wanted.ticket, failed.outcome)
    except HungUp:
        await _unless_kept(hall, wanted.ticket, Outcome.DECLINED)
    except (AttemptExists, TelephonyAway):
        await _tried(hall, wanted.ticket, Outcome.FAILED)


def _caller(wanted: Wanted, promise: Promise) -> Party:
    return Party(
        "p",
        CallKind.CALLBACK,
        promise.number,
        caller_id=wanted.company.caller_id,
        company=wanted.company.id,
        trunk=promise.failing_trunks,
    )


async def _kept(hall: Hall, ticket: int) -> None:
    """They are on the line."""
    await note(hall.d, ticket, CallBackEnded(at=hall.d.clock.now(), kept=True))


async def _unless_kept(hall: Hall, ticket: int, outcome: Outcome) -> None:
    promise = Promise.of(await hall.d.store.history(ticket))
    if promise is not None and not promise.over:
        await _tried(hall, ticket, outcome)


async def _tried(hall: Hall, ticket: int, outcome: Outcome, attempt: str | None = None) -> None:
    """Put a try on the timeline that reached nobody."""
    if attempt is None:
        promise = Promise.of(await hall.d.store.history(ticket))
        attempt = (promise.running if promise else None) or ""
    await hall.d.store.append(
        ticket, [CallBackTried(at=hall.d.clock.now(), attempt=attempt, outcome=outcome)]
    )
