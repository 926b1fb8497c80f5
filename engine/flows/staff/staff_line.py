"""A member of staff calls in: back from a missed robocall, or to report. Recognised by number; one call for all of their tickets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from engine.domain import wording
from engine.domain.company import Company
from engine.domain.errors import HungUp, TicketIsClosed
from engine.domain.events import CallAnswered, CallEnded, CallResumed, CallStarted, KeyPressed
from engine.domain.model import CallKind, Contact, Via
from engine.domain.ticket import Ticket
from engine.domain.walk import Walk
from engine.flows import verbs
from engine.flows.conversation import Conversation
from engine.flows.deps import Deps
from engine.flows.staff import connect
from engine.ports import Leg

log = structlog.get_logger()

KEY_WAIT_SECONDS = 6.0
ASKINGS = 2
CALL_SECONDS = 900.0
REPORTS = {"1": "arrived", "2": "localised", "3": "done"}


@dataclass(frozen=True, slots=True)
class Concern:
    """A ticket that concerns the caller: theirs already, or one that they were named for and nobody has taken."""

    ticket: int
    theirs: bool


async def concerns(company: Company, contact: Contact, d: Deps) -> Sequence[Concern]:
    """What there is to talk about with this member of staff: what waits for somebody first, then what they have taken."""
    waiting, taken = [], []
    for ticket in await d.store.open_tickets(company.id):
        walk = Walk.of(ticket, await d.store.history(ticket))
        if walk.accepted is not None and walk.accepted.contact == contact.id:
            taken.append(Concern(ticket, True))
        elif walk.accepted is None and walk.policy is not None and contact.id in walk.known:
            waiting.append(Concern(ticket, False))
    return [*waiting, *taken]


async def answer(leg: Leg, company: Company, contact: Contact, about: Sequence[Concern], d: Deps) -> None:
    """Serve the call; it is recorded to the first ticket that it is about. `about` is not empty. One that an earlier engine had goes on."""
    before = await d.store.ticket_of_call(leg.id) if leg.adopted else None
    home = about[0].ticket if before is None else before
    loop, up_since, by, cause = asyncio.get_running_loop(), None, "us", 16
    now, talk = d.clock.now(), Conversation(leg, d.voice)
    started = CallStarted(
        at=now, call=leg.id, kind=CallKind.CALLBACK, number=leg.number, did=leg.did, contact=contact.id
    )
    await d.store.append(home, [started if before is None else CallResumed(at=now, call=leg.id)])
    try:
        async with leg, asyncio.timeout(CALL_SECONDS):
            if before is None:
                await leg.answer()
                up_since = loop.time()
                await d.store.append(home, [CallAnswered(at=d.clock.now(), call=leg.id)])
                await talk.introduce(wording.RECORDED)
            else:
                up_since = loop.time() - (now - await _up_since(home, leg, d)).total_seconds()
                if not any([await connect.goes_on(talk, concern.ticket, d) for concern in about]):
                    await talk.introduce(wording.BACK_AGAIN)
            for concern in about:
                await (_report if concern.theirs else _offer)(talk, concern.ticket, contact, d)
            await talk.say(wording.THANKS)
    except HungUp as end:
        by, cause = leg.ended_by, end.cause
    except TimeoutError:
        log.warning("a call of staff lasted too long and was ended", call=leg.id, ticket=home)
    finally:
        seconds = round(loop.time() - up_since, 3) if up_since is not None else 0.0
        ended = CallEnded(at=d.clock.now(), call=leg.id, cause=cause, by=by, seconds=seconds)
        await asyncio.shield(d.store.append(home, [ended]))


async def _up_since(home: int, leg: Leg, d: Deps) -> datetime:
    history = await d.store.history(home)
    return next((e.at for e in history if isinstance(e, CallAnswered) and e.call == leg.id), d.clock.now())


async def _offer(talk: Conversation, ticket: int, contact: Contact, d: Deps) -> None:
    """Somebody is wanted for this ticket. They called us, so an ordinary key will do."""
    state = Ticket.of(await d.store.history(ticket))
    if state.accepted is not None:
        return await talk.say(*wording.taken_by(state.accepted.name))
    key = await _ask(talk, ticket, "accept", wording.briefing(ticket, state), wording.CALLBACK_MENU, "124", d)
    match key:
        case "1":
            await _accept(talk, ticket, contact, d)
        case "2":
            await verbs.decline(d, ticket, contact.id, Via.CALLBACK)
            await talk.say(wording.DECLINED)
        case "4":
            await connect.with_resident(talk, ticket, d)
            await _offer(talk, ticket, contact, d)
    return None


async def _accept(talk: Conversation, ticket: int, contact: Contact, d: Deps) -> None:
    try:
        winner = await asyncio.shield(verbs.accept(d, ticket, contact.id, Via.CALLBACK, contact.name))
    except TicketIsClosed:
        return await talk.say(wording.TICKET_CLOSED)
    if winner.contact == contact.id:
        return await talk.say(wording.ACCEPTED)
    return await talk.say(*wording.taken_by(winner.name))


async def _report(talk: Conversation, ticket: int, contact: Contact, d: Deps) -> None:
    """Their own ticket: arrived, localised, done, or leave it as it is and go on to the next one."""
    state = Ticket.of(await d.store.history(ticket))
    parts = (*wording.briefing(ticket, state), wording.YOURS)
    key = await _ask(talk, ticket, "report", parts, wording.REPORT_MENU, "12345", d)
    if key in REPORTS:
        await verbs.report(d, ticket, contact.id, Via.CALLBACK, REPORTS[key])
        await talk.say(wording.THANK_YOU)
    elif key == "4":
        await connect.with_resident(talk, ticket, d)
        await _report(talk, ticket, contact, d)
    elif key == "5":
        await verbs.decline(d, ticket, contact.id, Via.CALLBACK, "cannot_go")
        await talk.say(wording.DECLINED)


async def _ask(
    talk: Conversation, ticket: int, question: str, parts: Sequence[str], menu: str, keys: str, d: Deps
) -> str | None:
    key = await talk.ask(*parts, menu, keys=keys, wait=KEY_WAIT_SECONDS, times=ASKINGS)
    if key is not None:
        pressed = KeyPressed(at=d.clock.now(), call=talk.leg.id, key=key, question=question)
        await d.store.append(ticket, [pressed])
    return key
