"""Texts that were queued go out. The intent is on disk before; what became of it is a fact of the ticket."""

from __future__ import annotations

import asyncio

import structlog

from engine.domain.events import Event, TextFailed, TextQueued, TextSent
from engine.domain.ticket import Ticket
from engine.flows.deps import Deps
from engine.ports import Message

log = structlog.get_logger()

PAUSES_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Between two tries to hand a text to a gateway that is away."""
TRIES = 12


async def deliver(ticket: int, text: str, d: Deps) -> None:
    """Hand one queued text to a provider; again, with pauses, while the gateway is away. A text that is settled already: nothing."""
    history = await d.store.history(ticket)
    queued = next((e for e in history if isinstance(e, TextQueued) and e.text == text), None)
    if queued is None or any(isinstance(e, TextSent | TextFailed) and e.text == text for e in history):
        return
    message = Message(text, queued.number, queued.body, Ticket.of(history).company)
    settled = await _hand_over(message, d)
    d.reached("texting.sent")
    await d.store.append(ticket, [settled])


async def _hand_over(message: Message, d: Deps) -> Event:
    for attempt in range(TRIES):
        try:
            provider = await d.texts.send(message)
        except ValueError as refused:
            return TextFailed(at=d.clock.now(), text=message.id, reason=str(refused))
        except ConnectionError as away:
            log.warning("the text gateway is away", text=message.id, error=str(away))
            await asyncio.sleep(PAUSES_SECONDS[min(attempt, len(PAUSES_SECONDS) - 1)])
        else:
            return TextSent(at=d.clock.now(), text=message.id, provider=provider)
    return TextFailed(at=d.clock.now(), text=message.id, reason="gateway away")
