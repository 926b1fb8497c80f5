"""When the work was reported done, the resident is asked by phone: is it? If not the ticket is open again; and a mark from 1 to 5."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import structlog

from engine.domain.company import Company
from engine.domain.errors import AttemptExists, HungUp, NotKnown, TelephonyAway
from engine.domain.events import (
    CallStarted,
    Event,
    KeyPressed,
    RecordingAnnounced,
    Reported,
    ResidentAsked,
    TicketReopened,
)
from engine.domain.model import CallKind, Urgency
from engine.domain.ticket import Status, Ticket
from engine.domain.wording_hotline import words
from engine.flows import verbs
from engine.flows.conversation import Conversation
from engine.flows.deps import Deps
from engine.flows.operators.party import Party, adopted, left_by_another, rung
from engine.ports import DialFailed, Leg

log = structlog.get_logger()

ASKED_BETWEEN = time(9), time(21)
"""By the clock of the house: nobody is rung for a mark at night."""
LETTER = "q"
TRIES = 2
PAUSES = (timedelta(seconds=30), timedelta(minutes=30))
"""After the report, and after a try in vain."""
RING_SECONDS = 25.0
KEY_WAIT_SECONDS = 6.0
TALK_SECONDS = 180.0
CHANNELS = ("phone", "fallback")
"""Whoever wrote in an app is asked there."""


async def go_on(ticket: int, d: Deps) -> None:
    """At start: go on with the question that an earlier engine was asking, then with what is due."""
    await _take_up(ticket, await d.store.history(ticket), d)
    await ask_if_due(ticket, d)


async def ask_if_due(ticket: int, d: Deps) -> None:
    """Ask the resident, if the work was reported done and they were not asked since. Returns when that is over."""
    while (at := _due(ticket, history := await d.store.history(ticket), d)) is not None:
        pause = (at - d.clock.now()).total_seconds()
        if pause > 0:
            if await d.store.changed(ticket, len(history), pause):
                continue  # it may not be done any more
            history = await d.store.history(ticket)
        await _ask(ticket, history, d)


def _due(ticket: int, history: Sequence[Event], d: Deps) -> datetime | None:
    """When to ring next; None if nothing is to be asked."""
    state = Ticket.of(history)
    if state.status is not Status.DONE or state.channel not in CHANNELS or state.phone is None:
        return None
    done = max(i for i, event in enumerate(history) if isinstance(event, Reported) and event.what == "done")
    since = history[done:]
    if any(isinstance(event, ResidentAsked | TicketReopened) for event in since):
        return None
    try:
        company = d.company(state.company)
    except NotKnown:
        return None
    tries = [e for e in since if isinstance(e, CallStarted) and e.call.startswith(f"{ticket}-{LETTER}")]
    if len(tries) >= TRIES or not company.may_dial(state.phone):
        return None
    last = tries[-1].at if tries else history[done].at
    return _awake(last + PAUSES[len(tries)], company.zone_of(state.premises.house))


def _awake(at: datetime, zone: str) -> datetime:
    local, (opens, shuts) = at.astimezone(ZoneInfo(zone)), ASKED_BETWEEN
    if local.time() >= shuts:
        local += timedelta(days=1)
    elif local.time() >= opens:
        return at
    return local.replace(hour=opens.hour, minute=opens.minute, second=0, microsecond=0).astimezone(at.tzinfo)


async def _ask(ticket: int, history: Sequence[Event], d: Deps) -> None:
    """Ring and talk. Not answered, or hung up before an answer: an outcome, on the timeline as any call."""
    state = Ticket.of(history)
    company = d.company(state.company)
    party = Party(
        LETTER,
        CallKind.CALLBACK,
        state.phone or "",
        ring_seconds=RING_SECONDS,
        caller_id=company.caller_id,
        company=company.id,
        urgency=Urgency.NORMAL,
    )
    with suppress(DialFailed, AttemptExists, TelephonyAway):
        async with rung(ticket, party, d) as leg:
            await _hear(leg, company, ticket, state, d)


async def _take_up(ticket: int, history: Sequence[Event], d: Deps) -> None:
    """Go on with a question that an earlier engine was asking, or with a phone that it had left ringing."""
    state = Ticket.of(history)
    for call in state.live_calls:
        if call.startswith(f"{ticket}-{LETTER}") and (leg := await left_by_another(call, d)) is not None:
            async with adopted(ticket, leg, d):
                await _hear(leg, d.company(state.company), ticket, state, d)


async def _hear(leg: Leg, company: Company, ticket: int, state: Ticket, d: Deps) -> None:
    try:
        async with asyncio.timeout(TALK_SECONDS):
            await _talk(leg, company, ticket, state, d)
    except HungUp:
        log.info("the resident hung up", ticket=ticket, call=leg.id)
    except TimeoutError:
        log.warning("a question to a resident lasted too long", ticket=ticket)


async def _talk(leg: Leg, company: Company, ticket: int, state: Ticket, d: Deps) -> None:
    """«Сделано: один. Не сделано: два.», then the mark. What was said counts as soon as it is said."""
    line = company.line(state.did)
    w = words(line.language if line else "ru")
    talk = Conversation(leg, d.voice, w.language)
    if await talk.introduce(w.call_back_greeting(company), w.recorded):
        await d.store.append(ticket, [RecordingAnnounced(at=d.clock.now(), call=leg.id)])
    key = await _key(talk, ticket, "work", (w.your_number(ticket), w.is_it_done), "12", d)
    if key is None:
        return
    if key == "2":
        asked = ResidentAsked(at=d.clock.now(), call=leg.id, done=False)
        await d.store.append(ticket, [asked])
        await verbs.reopen(d, ticket, "resident", "не сделано")
        await talk.say(w.sorry)
        return
    mark: str | None = None
    try:
        mark = await _key(talk, ticket, "mark", (w.mark,), "12345", d)
    finally:
        asked = ResidentAsked(at=d.clock.now(), call=leg.id, done=True, mark=int(mark) if mark else None)
        await asyncio.shield(d.store.append(ticket, [asked]))
        await asyncio.shield(verbs.close(d, ticket, "resident", "сделано"))
    await talk.say(w.thanks)


async def _key(
    talk: Conversation, ticket: int, question: str, parts: Sequence[str], keys: str, d: Deps
) -> str | None:
    key = await talk.ask(*parts, keys=keys, wait=KEY_WAIT_SECONDS, times=2)
    if key is not None:
        pressed = KeyPressed(at=d.clock.now(), call=talk.leg.id, key=key, question=question)
        await d.store.append(ticket, [pressed])
    return key
