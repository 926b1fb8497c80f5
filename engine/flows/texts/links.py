"""Answering by a link in the text, for those who have a smartphone: bound to the person, good for one answer, and not for long.

A link names the text that carries it, and a code that only we can make. So nothing is kept of it: who may answer, and since when,
is on the timeline where the text was queued; that it was used is a fact there too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.domain.errors import NotKnown, TicketIsClosed
from engine.domain.events import CallStarted, LinkUsed, RecordingAttached, TextQueued
from engine.domain.model import CallKind, Via
from engine.domain.ticket import Ticket
from engine.flows import verbs
from engine.flows.deps import Deps

CODE_CHARS = 12
"""72 bits: nobody guesses one within its two hours."""
ANSWERS = ("accept", "decline", "no_coverage")
NO_COVERAGE_FOR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Links:
    """Makes links and reads them."""

    base_url: str
    secret: str = field(repr=False)
    lifetime: timedelta = timedelta(hours=2)

    def to(self, text: str) -> str:
        """The address at which whoever got this text can answer."""
        return f"{self.base_url.rstrip('/')}/a/{text}-{self._code(text)}"

    def text_of(self, token: str) -> str | None:
        """The text that a link belongs to; None for one that we did not make."""
        text, code = token[: -CODE_CHARS - 1], token[-CODE_CHARS:]
        return text if hmac.compare_digest(code.encode(), self._code(text).encode()) else None

    def _code(self, text: str) -> str:
        digest = hmac.new(self.secret.encode(), f"answer link {text}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest)[:CODE_CHARS].decode()


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page shows: the ticket, who is asked, and what still can be answered."""

    text: str
    number: int
    ticket: Ticket
    contact: str
    name: str | None
    until: datetime
    used: str | None
    """The answer that was given by this link."""
    recordings: tuple[str, ...]
    """The resident's calls, to be listened to."""
    length: int

    def open_at(self, now: datetime) -> bool:
        """Whether it can still be answered."""
        return self.used is None and now < self.until and self.ticket.is_open


async def look(d: Deps, links: Links, token: str) -> Asked | None:
    """What a link is about; None if there is no such link."""
    text = links.text_of(token)
    number = await d.store.ticket_of_text(text) if text is not None else None
    if text is None or number is None:
        return None
    history = await d.store.history(number)
    queued = next((e for e in history if isinstance(e, TextQueued) and e.text == text), None)
    if queued is None or queued.contact is None:
        return None
    used = next((e.answer for e in history if isinstance(e, LinkUsed) and e.text == text), None)
    calls = {e.call for e in history if isinstance(e, CallStarted) and e.kind is CallKind.RESIDENT}
    ticket = Ticket.of(history)
    return Asked(
        text,
        number,
        ticket,
        queued.contact,
        _name(d, ticket.company, queued.contact),
        queued.at + links.lifetime,
        used,
        tuple(e.recording for e in history if isinstance(e, RecordingAttached) and e.call in calls),
        len(history),
    )


async def answer(d: Deps, links: Links, token: str, what: str) -> Asked | None:
    """Answer, once: the link is used up first, then the deed is done. Returns what the link is about afterwards.

    Raises `ValueError` for another answer than there are, `PermissionError` for a link that is used up or too old.
    """
    if what not in ANSWERS:
        raise ValueError(f"«{what}» — не ответ; бывают: {', '.join(ANSWERS)}")
    while True:
        asked, now = await look(d, links, token), d.clock.now()
        if asked is None:
            return None
        if not asked.open_at(now):
            raise PermissionError("the link cannot be used any more")
        used = LinkUsed(at=now, text=asked.text, contact=asked.contact, answer=what)
        if await d.store.append(asked.number, [used], expect=asked.length):
            break
    if what == "accept":
        try:
            await verbs.accept(d, asked.number, asked.contact, Via.LINK, asked.name)
        except TicketIsClosed:
            return await look(d, links, token)
    else:
        away = what == "no_coverage"
        until = now + NO_COVERAGE_FOR if away else None
        reason = "no_coverage" if away else "cannot_go"
        await verbs.decline(d, asked.number, asked.contact, Via.LINK, reason, until)
    return await look(d, links, token)


def _name(d: Deps, company: str, contact: str) -> str | None:
    try:
        known = d.company(company).contacts.get(contact)
    except NotKnown:
        return None
    return known.name if known else None
