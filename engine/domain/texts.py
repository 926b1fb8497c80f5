"""Texts as the network counts them, how they are kept to one part, and in which order and how patiently they are sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum

from engine.domain.events import Event, TextDelivered, TextFailed, TextQueued, TextSent, TextUndelivered
from engine.domain.model import Urgency
from engine.domain.ticket import Ticket

_GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENDED = frozenset("^{}\\[~]|€\f")
"""Two septets each: an escape, and the character."""

GSM_ALONE, GSM_JOINED = 160, 153
UCS2_ALONE, UCS2_JOINED = 70, 67
"""How much one part holds: alone, and with the six bytes that join it to others."""


def is_gsm(body: str) -> bool:
    """Whether the text fits the GSM 7-bit alphabet; one character outside it makes the whole text UCS-2."""
    return all(char in _GSM_BASIC or char in _GSM_EXTENDED for char in body)


def split(body: str) -> list[str]:
    """The text as the network takes it: whole, or in parts of which neither an escape nor a surrogate pair is torn apart."""
    gsm = is_gsm(body)
    alone, joined = (GSM_ALONE, GSM_JOINED) if gsm else (UCS2_ALONE, UCS2_JOINED)
    weights = [2 if (char in _GSM_EXTENDED if gsm else ord(char) > 0xFFFF) else 1 for char in body]
    if sum(weights) <= alone:
        return [body]
    pieces, room = [""], joined
    for char, weight in zip(body, weights, strict=True):
        if weight > room:
            pieces.append("")
            room = joined
        pieces[-1] += char
        room -= weight
    return pieces


def parts(body: str) -> int:
    """How many parts the network makes of the text, and charges for. An empty one is one."""
    return len(split(body))


def first_that_fits(candidates: Iterable[str]) -> str:
    """The first of the texts that is one part; if none is, the first one with the fewest parts."""
    tried: list[str] = []
    for body in candidates:
        if parts(body) == 1:
            return body
        tried.append(body)
    return min(tried, key=parts)


def shortened(text: str) -> Iterator[str]:
    """The text, then ever fewer of its words, with an ellipsis; at least one of them."""
    words = text.split()
    yield text
    for count in range(len(words) - 1, 0, -1):
        yield " ".join(words[:count]).rstrip(" ,.;:—-") + "…"


# --- in which order, how patiently -----------------------------------------------------------------------------------------------------


class Lane(IntEnum):
    """Who goes first. A text of a lower lane waits while there is one of a higher."""

    EMERGENCY = 0
    URGENT = 1
    ORDINARY = 2
    NEWS = 3
    """Throttled besides, so that thousands of them leave the gateway room."""


def lane(queued: TextQueued, urgency: Urgency | None) -> Lane:
    """Staff before residents, by the ticket's class; an alarm first of all, news last."""
    if queued.template == "news":
        return Lane.NEWS
    if queued.template == "alarm":
        return Lane.EMERGENCY
    if queued.contact is None:
        return Lane.ORDINARY
    return {Urgency.EMERGENCY: Lane.EMERGENCY, Urgency.URGENT: Lane.URGENT}.get(
        urgency or Urgency.EMERGENCY, Lane.ORDINARY
    )


@dataclass(frozen=True, slots=True)
class TextRules:
    """How patient each lane is. All may be set in the configuration."""

    report_within: tuple[timedelta | None, ...] = (timedelta(seconds=60), timedelta(minutes=5), None, None)
    """By lane: without a delivery report for so long, the next provider is tried. None: the first one will do."""
    give_up_after: tuple[timedelta, ...] = (
        timedelta(hours=1),
        timedelta(hours=1),
        timedelta(hours=24),
        timedelta(hours=4),
    )
    """By lane: a text that no gateway has taken for so long is of no use any more."""
    news_per_second: float = 5.0
    at_once: int = 4
    """How many texts are handed over at the same time."""
    alarm_after: timedelta = timedelta(seconds=60)
    """An urgent text that waits for so long is a reason to alarm."""
    probe_to: str | None = None
    """A number (E.164) that gets a text by each provider every `probe_every`, to see that they arrive. None: only reports are watched."""
    probe_every: timedelta = timedelta(days=1)


USUAL_RULES = TextRules()


# --- what became of one ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Fate:
    """One text's story, read from its ticket's timeline."""

    queued: TextQueued | None = None
    sent: list[TextSent] = field(default_factory=list)
    undelivered: dict[str | None, str] = field(default_factory=dict)
    """By the provider that said so, why it could not be delivered. None as a provider: no gateway could be reached."""
    delivered: bool = False
    failed: bool = False
    """Given up. A late report may still say that it was delivered."""

    @classmethod
    def of(cls, text: str, history: Iterable[Event]) -> Fate:
        """Fold the events that name the text."""
        fate = cls()
        for event in history:
            match event:
                case TextQueued() if event.text == text:
                    fate.queued = event
                case TextSent() if event.text == text:
                    fate.sent.append(event)
                case TextUndelivered() if event.text == text:
                    fate.undelivered[event.provider] = event.reason
                case TextDelivered() if event.text == text:
                    fate.delivered = True
                case TextFailed() if event.text == text:
                    fate.failed = True
        return fate

    @property
    def over(self) -> bool:
        """Whether nothing is left to do about it."""
        return self.delivered or self.failed

    @property
    def returned(self) -> str | None:
        """Why the last provider that took it could not deliver it; None: it may yet."""
        return self.undelivered.get(self.sent[-1].provider) if self.sent else None

    @property
    def tried(self) -> tuple[str, ...]:
        """The providers that took it."""
        return tuple(sent.provider for sent in self.sent)


def needless(queued: TextQueued, ticket: Ticket) -> str | None:
    """Why a text that still waits need not be sent any more; None if it is needed."""
    if queued.template in ("ticket", "news") and not ticket.is_open:
        return "closed"
    if queued.template == "ticket" and ticket.accepted and ticket.accepted.contact != queued.contact:
        return "taken"
    return None
