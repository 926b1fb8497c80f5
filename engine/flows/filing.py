"""After a call: close its recording, keep it, attach it to the ticket. And at start: whatever a crash left open."""

from __future__ import annotations

from datetime import datetime

import structlog

from engine.domain.events import (
    CallAnswered,
    CallEnded,
    CallStarted,
    RecordingAttached,
)
from engine.domain.ticket import Ticket
from engine.flows.deps import Deps

log = structlog.get_logger()


async def file_call(ticket: int, ended: CallEnded, d: Deps) -> None:
    """Attach the recording of a call that has ended. Again: nothing."""
    history = await d.store.history(ticket)
    if any(isinstance(event, RecordingAttached) and event.call == ended.call for event in history):
        return
    kept = await d.recordings.finish(Ticket.of(history).company, ended.call, ended.seconds)
    d.reached("filing.kept")
    if kept is None and ended.seconds <= 0:
        return  # it was never up, so there was nothing to record
    recording = RecordingAttached(
        at=d.clock.now(),
        recording=kept.recording if kept else ended.call,
        call=ended.call,
        seconds=kept.seconds if kept else 0.0,
        flaw=kept.flaw if kept else "missing",
    )
    await d.store.append(ticket, [recording])
    if recording.flaw:
        log.warning("a recording has a flaw", ticket=ticket, call=ended.call, flaw=recording.flaw)


async def tidy_calls(alive: frozenset[str], d: Deps, before: datetime) -> None:
    """End, on the timeline, every call that ended while no engine was there to see it; its recording is attached like any other.

    Only calls that began `before` that instant, this engine's boot: the others have a coroutine that ends them.
    """
    for ticket, call in await d.store.calls_without_end():
        history = await d.store.history(ticket)
        began = next((e.at for e in history if isinstance(e, CallStarted) and e.call == call), before)
        if call in alive or began >= before:
            continue
        up = next((e.at for e in history if isinstance(e, CallAnswered) and e.call == call), None)
        kept = await d.recordings.finish(Ticket.of(history).company, call, None)
        seconds = kept.seconds if kept and up else 0.0
        now = d.clock.now()
        await d.store.append(ticket, [CallEnded(at=now, call=call, cause=16, by="network", seconds=seconds)])
        log.info("a call that ended unseen was closed", ticket=ticket, call=call)


async def tidy_recordings(alive: frozenset[str], d: Deps) -> None:
    """Attach every recording on disk that no call has claimed; one that belongs to no call at all becomes a ticket of its own."""
    for call in await d.recordings.orphans():
        if call in alive:
            continue
        ticket = await d.store.ticket_of_call(call)
        if ticket is None:
            log.error("a recording belongs to no call", call=call)
            continue
        ended = next(
            (e for e in await d.store.history(ticket) if isinstance(e, CallEnded) and e.call == call), None
        )
        if ended is not None:
            await file_call(ticket, ended, d)
