"""SMS: handed over, reported on, received."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """A text to send. `id` is idempotent: the same id is never sent twice by the same provider."""

    id: str
    number: str
    body: str
    company: str


@dataclass(frozen=True, slots=True)
class Handed:
    """A provider took a message; that is not yet delivery. `references`: its own ids, one for each part that it reports on by itself.

    `reports` says whether a delivery report is to be expected.
    """

    provider: str
    references: tuple[str, ...] = ()
    reports: bool = False


class Delivery(StrEnum):
    """What a delivery report says."""

    WAITING = "waiting"
    """Accepted somewhere on the way, or being tried: not delivered."""
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Report:
    """A delivery report. It names the message by our id (`text`) or by the provider's (`reference`)."""

    provider: str
    state: Delivery
    text: str | None = None
    reference: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A text from somebody. `number` is E.164 where it could be read so; `reference` is the provider's id, the same if told again."""

    provider: str
    number: str
    body: str
    to: str | None = None
    reference: str | None = None
    companies: tuple[str, ...] = ()
    """Whose provider it came in by; empty: anybody's."""


Heard = Callable[[Report | Incoming], Awaitable[None]]
"""Takes in what came from the network. When it returns, the fact is on disk, and the network may be told so."""


class Texts(Protocol):
    """The way out for SMS, and for gateways with a connection of their own also the way in."""

    async def send(self, message: Message, avoid: Collection[str] = ()) -> Handed:
        """Hand the message to the company's first provider that takes it, none of `avoid`.

        Raises `ConnectionError` (none can be reached: try later), `ValueError` (refused by all: never), and `LookupError` if `avoid`
        leaves none.
        """
        ...

    async def probe(self) -> Mapping[str, str | None]:
        """By provider: None if it would take a message now, else what is wrong with it, for the operator. Sends nothing."""
        ...

    async def serve(self, heard: Heard) -> None:
        """Keep up the connections that providers need, and tell what comes in by them. Runs until cancelled, or returns at once."""
        ...


@dataclass(frozen=True, slots=True)
class HookRequest:
    """An HTTP request from a provider."""

    method: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    remote: str | None


@dataclass(frozen=True, slots=True)
class HookRead:
    """What it said, and what to answer once that is on disk."""

    heard: tuple[Report | Incoming, ...]
    answer: str = "ok"


class TextHooks(Protocol):
    """Reads what providers tell over HTTP."""

    def read(self, provider: str, request: HookRequest) -> HookRead:
        """Raises `LookupError` for an unknown provider, `PermissionError` if it is not who it says, `ValueError` for nonsense."""
        ...
