"""Recordings while they are kept: paused and resumed by the operator, let go when their time is over."""

from __future__ import annotations

from datetime import timedelta

import structlog

from engine.domain.company import Company
from engine.domain.errors import DozvonError, NotKnown
from engine.domain.events import CallAnswered, CallEnded, RecordingErased, RecordingPaused, RecordingResumed
from engine.domain.ticket import Ticket
from engine.flows.deps import Deps
from engine.flows.records.filing import OUR_SIDE, gaps_of
from engine.ports import Aged, Muting

log = structlog.get_logger()

PAUSE = timedelta(minutes=3)
"""Nobody needs longer to say a card's number."""


class NotUp(DozvonError, ValueError):
    """The call is not up, so there is nothing to pause or to resume."""


async def pause(d: Deps, call: str, by: str, muting: Muting) -> bool:
    """Keep nothing of what is said in the call from now on. False: it is paused already. Raises `NotKnown`, `NotUp`, `TelephonyAway`.

    The fact comes after the effect: a gap that is marked is a gap for certain. (A crash between leaves silence that nobody explains,
    never words that should not be there.)
    """
    ticket, paused = await _paused(d, call)
    await muting.mute(call, True)
    if not paused:
        await d.store.append(ticket, [RecordingPaused(at=d.clock.now(), call=call, by=by)])
    return not paused


async def resume(d: Deps, call: str, by: str, muting: Muting) -> bool:
    """Record the call again. False: it was not paused. Raises as `pause` does."""
    ticket, paused = await _paused(d, call)
    if paused:
        await d.store.append(ticket, [RecordingResumed(at=d.clock.now(), call=call, by=by)])
    await muting.mute(call, False)
    return paused


async def keep_pauses(d: Deps, muting: Muting) -> None:
    """Let no pause be lost by a restart, nor last for ever: record again what somebody paused `PAUSE` ago and forgot."""
    for ticket, call in await d.store.calls_without_end():
        gaps, now = gaps_of(await d.store.history(ticket), call), d.clock.now()
        if not gaps or gaps[-1][1] <= now:
            continue
        try:
            if gaps[-1][0] + PAUSE < now:
                await resume(d, call, OUR_SIDE, muting)
                log.warning("a forgotten pause of a recording was ended", ticket=ticket, call=call)
                continue
            await muting.mute(call, True)  # an earlier engine did, and knew who was put through since
            if not (await _paused(d, call))[1]:
                await muting.mute(call, False)  # it was resumed in this moment
        except (NotKnown, NotUp):
            continue  # it has just ended


async def _paused(d: Deps, call: str) -> tuple[int, bool]:
    """The ticket of a call that is up, and whether its recording is paused."""
    ticket = await d.store.ticket_of_call(call)
    if ticket is None:
        raise NotKnown(f"there is no call {call}")
    history = await d.store.history(ticket)
    up = any(isinstance(event, CallAnswered) and event.call == call for event in history)
    over = any(isinstance(event, CallEnded) and event.call == call for event in history)
    if over or not up:
        raise NotUp(f"call {call} is not up")
    gaps, now = gaps_of(history, call), d.clock.now()
    return ticket, bool(gaps) and gaps[-1][1] > now


async def let_go(d: Deps) -> int:
    """Erase the recordings whose time is over, by company and class of the ticket; those on hold stay. Returns how many."""
    erased = 0
    for company in d.companies():
        before = d.clock.now() - timedelta(days=company.recordings.shortest)
        try:
            for aged in await d.recordings.older_than(company.id, before):
                erased += await _let_go(aged, company, d)
        except (DozvonError, OSError, ValueError) as error:
            log.error("nothing of this company is erased now", company=company.id, error=str(error))
    return erased


async def _let_go(aged: Aged, company: Company, d: Deps) -> bool:
    ticket = await d.store.ticket_of_call(aged.call)
    urgency = Ticket.of(await d.store.history(ticket)).urgency if ticket is not None else None
    days = company.recordings.days_for(urgency)
    if d.clock.now() - aged.started <= timedelta(days=days):
        return False
    reason = f"срок хранения {days} дн. истёк"
    await d.recordings.erase(aged.recording, OUR_SIDE, reason)
    log.info("a recording was erased, its time is over", recording=aged.recording, days=days)
    if ticket is not None:
        fact = RecordingErased(at=d.clock.now(), recording=aged.recording, by=OUR_SIDE, reason=reason)
        await d.store.append(ticket, [fact])
    return True
