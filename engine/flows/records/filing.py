"""After a call: close its recording, keep it, attach it to the ticket. And whatever a crash left open: at start, and every now and then."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from datetime import datetime, timedelta

import structlog

from engine.domain.errors import DozvonError
from engine.domain.events import (
    CallAnswered,
    CallEnded,
    CallsBridged,
    CallStarted,
    Classified,
    DialEnded,
    DialStarted,
    Event,
    Noted,
    PartiesConnected,
    RecordingAttached,
    RecordingPaused,
    RecordingResumed,
    TicketOpened,
)
from engine.domain.model import CallKind, Urgency
from engine.domain.ticket import Ticket
from engine.flows import verbs
from engine.flows.deps import Deps
from engine.ports import Gap, Kept

log = structlog.get_logger()

FOUND_AFTER = timedelta(seconds=60)
"""A recording of which no ticket knows may still be about to get one; after this time it gets one of its own."""
STILL_NEWS = timedelta(hours=1)
"""A found recording younger than this may be of an emergency that nobody has heard of."""
OUR_SIDE = "dozvon"
CANNOT_BE_KEPT = (DozvonError, OSError, RuntimeError, ValueError)
"""A full disk, a worker that died, legs that are still written, a lost key."""

Strays = MutableMapping[str, datetime]
"""Recordings that no ticket knows, and since when we have known of them."""


async def file_call(ticket: int, ended: CallEnded, d: Deps) -> None:
    """Attach the recording of a call that has ended. Again: nothing."""
    await _file(ticket, ended.call, ended, d)


async def tidy_calls(alive: frozenset[str], d: Deps, before: datetime) -> None:
    """End, on the timeline, every call that ended while no engine was there to see it; its recording is attached like any other.

    Only calls that began `before` that instant, this engine's boot: the others have a coroutine that ends them.
    """
    for ticket, call in await d.store.calls_without_end():
        history = await d.store.history(ticket)
        began = next((e.at for e in history if isinstance(e, CallStarted) and e.call == call), before)
        if call not in alive and began < before:
            await close_unseen(ticket, call, d)


async def close_unseen(ticket: int, call: str, d: Deps) -> None:
    """End a call on the timeline that nobody saw ending. Again: nothing."""
    history = await d.store.history(ticket)
    up = any(isinstance(event, CallAnswered) and event.call == call for event in history)
    try:
        kept = await _finish(ticket, call, None, history, d)
    except CANNOT_BE_KEPT as error:  # later, then: the call is over all the same
        log.error("a recording cannot be filed now and is tried again", recording=call, error=str(error))
        kept = None
    seconds = kept.seconds if kept and up else 0.0
    while not any(isinstance(event, CallEnded) and event.call == call for event in history):
        ended = CallEnded(at=d.clock.now(), call=call, cause=16, by="network", seconds=seconds)
        if await d.store.append(ticket, [ended], expect=len(history)):
            log.info("a call that ended unseen was closed", ticket=ticket, call=call)
            return
        history = await d.store.history(ticket)


async def end_told_calls(alive: frozenset[str], d: Deps, before: datetime) -> None:
    """End every talk whose attempt is over: who declined was asked why when the engine died, and nobody goes on asking."""
    for ticket, call in await d.store.calls_without_end():
        history = await d.store.history(ticket)
        began = next((e.at for e in history if isinstance(e, CallStarted) and e.call == call), before)
        told = any(isinstance(e, DialEnded) and e.attempt == call for e in history)
        if call not in alive or began >= before or not told:
            continue
        await d.phone.hang_up(call)
        now = d.clock.now()
        up = next((e.at for e in history if isinstance(e, CallAnswered) and e.call == call), now)
        seconds = round((now - up).total_seconds(), 3)
        await d.store.append(ticket, [CallEnded(at=now, call=call, seconds=seconds)])


async def tidy_recordings(alive: frozenset[str], d: Deps, strays: Strays | None = None) -> None:
    """Attach every recording on disk that no call has claimed; one that belongs to no call at all becomes a ticket of its own.

    Call it again and again with the same `strays`: what cannot be filed now (a full disk) is tried again. Without `strays`
    nothing becomes a ticket yet.
    """
    unknown = set()
    for recording in await d.recordings.orphans():
        if call_of(recording) in alive:
            continue
        try:
            ticket = await d.store.ticket_of_call(call_of(recording))
            if ticket is not None:
                await _file_left_over(ticket, recording, d)
            elif strays is not None:
                unknown.add(recording)
                await _take_in(recording, strays, d)
        except CANNOT_BE_KEPT as error:
            log.error(
                "a recording cannot be filed now and is tried again", recording=recording, error=str(error)
            )
    for gone in set(strays or ()) - unknown:
        assert strays is not None
        del strays[gone]


def call_of(recording: str) -> str:
    """Whose recording it is: «CALL», or «CALL@2» for what was recorded under that id once more."""
    return recording.partition("@")[0]


def gaps_of(history: Sequence[Event], call: str) -> tuple[Gap, ...]:
    """From when to when the recording was paused; one that was never resumed lasts until the end of the call, or of time."""
    gaps: list[Gap] = []
    since: datetime | None = None
    for event in history:
        match event:
            case RecordingPaused(call=of) if of == call:
                since = since or event.at
            case RecordingResumed(call=of) | CallEnded(call=of) if of == call and since is not None:
                gaps.append((since, event.at))
                since = None
            case _:
                pass
    return (*gaps, (since, since + timedelta(days=1))) if since else tuple(gaps)


def silences_of(history: Sequence[Event], call: str) -> tuple[Gap, ...]:
    """From when to when nothing of the call was kept: while it was paused, or connected with one that was."""
    gaps: list[Gap] = []
    since: datetime | None = None
    paused: set[str] = set()
    table: set[str] = set()
    talks: list[set[str]] = []
    for event in history:
        match event:
            case RecordingPaused(call=of):
                paused.add(of)
            case RecordingResumed(call=of):
                paused.discard(of)
            case PartiesConnected(calls=calls):
                table = set(calls)
            case CallsBridged(calls=calls):
                talks.append(set(calls))
            case CallEnded(call=of):
                paused.discard(of)
                talks = [talk for talk in talks if of not in talk]
            case _:
                continue
        over = isinstance(event, CallEnded) and event.call == call
        silent = not over and (call in paused or any(call in t and t & paused for t in (table, *talks)))
        if silent:
            since = since or event.at
        elif since is not None:
            gaps.append((since, event.at))
            since = None
    return (*gaps, (since, since + timedelta(days=1))) if since else tuple(gaps)


# --- one recording -----------------------------------------------------------------------------------------------------------------


async def _file_left_over(ticket: int, recording: str, d: Deps) -> None:
    """File what nobody filed: its call is over, or was never more than an attempt."""
    history, call = await d.store.history(ticket), call_of(recording)
    ended = next((e for e in history if isinstance(e, CallEnded) and e.call == call), None)
    started = any(isinstance(e, CallStarted) and e.call == call for e in history)
    rung = any(isinstance(e, DialEnded) and e.attempt == call for e in history)
    if ended is not None or (rung and not started):
        await _file(ticket, recording, ended, d)


async def _file(ticket: int, recording: str, ended: CallEnded | None, d: Deps) -> None:
    """Keep and attach it, once, whoever else is about to do so. A recording that was missing and has turned up is attached then."""
    seconds = ended.seconds if ended and ended.call == recording else None
    kept = await _finish(ticket, recording, seconds, await d.store.history(ticket), d)
    d.reached("filing.kept")
    if kept is None and not seconds:
        return  # it was never up, so there was nothing to record
    while True:
        history = await d.store.history(ticket)
        if any(_tells(event, recording, kept) for event in history):
            return
        attached = _attached(recording, kept, ended, history, d.clock.now())
        if await d.store.append(ticket, [attached], expect=len(history)):
            break
    if attached.flaw:
        log.warning("a recording has a flaw", ticket=ticket, recording=recording, flaw=attached.flaw)


async def _finish(
    ticket: int, recording: str, seconds: float | None, history: Sequence[Event], d: Deps
) -> Kept | None:
    company, gaps = Ticket.of(history).company, silences_of(history, call_of(recording))
    return await d.recordings.finish(company, recording, seconds, gaps)


def _tells(event: Event, recording: str, kept: Kept | None) -> bool:
    """Whether the event says all that is known of the recording."""
    return (
        isinstance(event, RecordingAttached)
        and event.recording == recording
        and (kept is None or event.seconds == kept.seconds)
    )


def _attached(
    recording: str, kept: Kept | None, ended: CallEnded | None, history: Sequence[Event], now: datetime
) -> RecordingAttached:
    call = call_of(recording)
    return RecordingAttached(
        at=now,
        recording=kept.recording if kept else recording,
        call=call,
        seconds=kept.seconds if kept else 0.0,
        flaw=kept.flaw if kept else "missing",
        started=kept.started if kept else None,
        left=_far_end(call, history),
        right=_our_side(call, history),
        cause=ended.cause if ended else None,
    )


def _far_end(call: str, history: Sequence[Event]) -> str | None:
    """Who was at the other end: a contact's id, else a number."""
    for event in history:
        match event:
            case CallStarted(call=of) if of == call:
                return event.contact or event.number
            case DialStarted(attempt=of) if of == call:
                return event.contact
            case _:
                pass
    return None


def _our_side(call: str, history: Sequence[Event]) -> str:
    """Who was heard there: the robot, and whoever the call was connected with."""
    met = dict.fromkeys(
        _far_end(other, history) or other
        for event in history
        if isinstance(event, PartiesConnected | CallsBridged) and call in event.calls
        for other in event.calls
        if other != call
    )
    return ", ".join([OUR_SIDE, *met])


# --- recordings of which no ticket knows -------------------------------------------------------------------------------------------


async def _take_in(recording: str, strays: Strays, d: Deps) -> None:
    """Make it a ticket when it has been unknown for long enough; somebody may have said something that nobody has heard."""
    now = d.clock.now()
    if recording not in strays:
        log.warning("a recording belongs to no call that is known", recording=recording)
    if now - strays.setdefault(recording, now) < FOUND_AFTER or not d.companies():
        return
    kept = await d.recordings.finish("", recording, None)
    if kept is None:
        return
    company = next((one for one in d.companies() if one.id == kept.company), d.companies()[0])
    began = kept.started or now
    recent = now - began < STILL_NEWS
    urgency = company.unclear_is if recent else Urgency.NORMAL
    call = call_of(recording)
    ended = CallEnded(
        at=began + timedelta(seconds=kept.seconds), call=call, by="network", seconds=kept.seconds
    )
    story: list[Event] = [
        TicketOpened(at=began, company=company.id, channel="found"),
        CallStarted(at=began, call=call, kind=CallKind.FALLBACK),
        CallAnswered(at=began, call=call),
        ended,
        _attached(recording, kept, ended, (), now),
        Noted(at=now, by=OUR_SIDE, text="Найдена запись разговора, о котором больше ничего не известно."),
        Classified(at=now, urgency=urgency, by=call),
        *(verbs.escalation_of(company, urgency, None, now) if recent else ()),
    ]
    ticket = await d.store.open_ticket(story, key=f"found {recording}")
    log.error("a recording of no known call became a ticket", ticket=ticket, recording=recording)
