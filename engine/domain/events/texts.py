"""SMS, out and in, and the links in them."""

from __future__ import annotations

from dataclasses import dataclass

from engine.domain.events.base import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class TextQueued(Event):
    """The intent to text somebody, on disk before it is sent. `text` is its id; `body` what they will read."""

    text: str
    number: str
    body: str
    contact: str | None = None
    template: str = "ticket"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSent(Event):
    """A provider took the text; that is not yet delivery."""

    text: str
    provider: str
    parts: int = 1
    references: tuple[str, ...] = ()
    """What the provider calls it, by which its delivery reports name it."""
    reports: bool = False
    """Whether a delivery report is to be expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelivered(Event):
    """The network reports that the phone has it."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFailed(Event):
    """No provider could send it, or the network reports that it was not delivered."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextUndelivered(Event):
    """The text is not where it should be: `provider` reports so, or (None) no gateway can be reached. Other ways are still tried.

    The walk does not wait for news like this, but hastens upon it: whoever was to be called after their text is called now.
    """

    text: str
    provider: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReceived(Event):
    """Somebody texted us. `text` is its id, `meaning` what was understood (`engine.domain.replies.Meaning`)."""

    text: str
    number: str
    body: str
    contact: str | None = None
    meaning: str = "note"
    provider: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkUsed(Event):
    """The link in a text was used; it works no more."""

    text: str
    contact: str
    answer: str
