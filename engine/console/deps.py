"""What the console needs of the rest of the house. `app` puts the real things in; tests put fakes.

Rows are protocols: the store's own frozen dataclasses fit them by their names. All instants are aware, in UTC.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from engine.flows.deps import Deps
from engine.ports import Clock, Companies, Muting, Store


class TicketRow(Protocol):
    """A ticket as lists show it. `length` is how many events its timeline has."""

    @property
    def number(self) -> int: ...
    @property
    def company(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def urgency(self) -> str | None: ...
    @property
    def cause(self) -> str | None: ...
    @property
    def title(self) -> str | None: ...
    @property
    def house(self) -> str | None: ...
    @property
    def flat(self) -> str | None: ...
    @property
    def address(self) -> str | None: ...
    @property
    def phone(self) -> str | None: ...
    @property
    def text(self) -> str | None: ...
    @property
    def accepted_by(self) -> str | None: ...
    @property
    def accepted_name(self) -> str | None: ...
    @property
    def accepted_at(self) -> datetime | None: ...
    @property
    def opened_at(self) -> datetime: ...
    @property
    def closed_at(self) -> datetime | None: ...
    @property
    def length(self) -> int: ...


class CallRow(Protocol):
    """One conversation, or the attempt at one, whoever began it. `id` is also its recording's."""

    @property
    def id(self) -> str: ...
    @property
    def ticket(self) -> int: ...
    @property
    def company(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def number(self) -> str | None: ...
    @property
    def did(self) -> str | None: ...
    @property
    def contact(self) -> str | None: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def answered_at(self) -> datetime | None: ...
    @property
    def ended_at(self) -> datetime | None: ...
    @property
    def outcome(self) -> str | None: ...
    @property
    def cause(self) -> int | None: ...
    @property
    def ended_by(self) -> str | None: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def recording(self) -> str | None: ...
    @property
    def recording_seconds(self) -> float | None: ...
    @property
    def flaw(self) -> str | None: ...


class TextRow(Protocol):
    """A message and its delivery: `status` is queued, sent, delivered or failed."""

    @property
    def id(self) -> str: ...
    @property
    def ticket(self) -> int: ...
    @property
    def company(self) -> str: ...
    @property
    def number(self) -> str: ...
    @property
    def contact(self) -> str | None: ...
    @property
    def template(self) -> str: ...
    @property
    def body(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def queued_at(self) -> datetime: ...
    @property
    def changed_at(self) -> datetime: ...
    @property
    def provider(self) -> str | None: ...
    @property
    def parts(self) -> int | None: ...
    @property
    def reason(self) -> str | None: ...


class RecordingRow(Protocol):
    """A kept recording; `seconds` is its length."""

    @property
    def id(self) -> str: ...
    @property
    def ticket(self) -> int: ...
    @property
    def company(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def flaw(self) -> str | None: ...


class Reader(Protocol):
    """The store's read side. `company` None is every company; lists come newest first."""

    async def tickets(
        self,
        company: str | None = None,
        *,
        statuses: Sequence[str] = (),
        urgency: str | None = None,
        house: str | None = None,
        phone: str | None = None,
        limit: int = 50,
        after: int | None = None,
    ) -> Sequence[TicketRow]:
        """The tickets that match; `after` is the number of the last one on the page before."""
        ...

    async def ticket(self, number: int) -> TicketRow | None: ...

    async def calls(self, company: str | None = None, *, limit: int = 50) -> Sequence[CallRow]: ...

    async def calls_of(self, ticket: int) -> Sequence[CallRow]:
        """A ticket's calls and attempts to call, first to last."""
        ...

    async def call(self, id: str) -> CallRow | None: ...

    async def recording(self, id: str) -> RecordingRow | None: ...

    async def texts(
        self,
        company: str | None = None,
        *,
        ticket: int | None = None,
        number: str | None = None,
        limit: int = 50,
    ) -> Sequence[TextRow]: ...


class Listened(Protocol):
    """A file to serve to a listener as it is."""

    @property
    def path(self) -> Path: ...
    @property
    def content_type(self) -> str: ...


class RecordingFiles(Protocol):
    """The kept recordings, for listeners."""

    @property
    def backlog(self) -> int:
        """How many are being joined, or wait for it."""
        ...

    async def listen(
        self, recording: str, leg: str = "both", form: str = "wav", levels: str = "original"
    ) -> Listened:
        """A file of what was asked for: `leg` in, out or both; `form` wav, opus or flac; `levels` original, or even for listening.

        Raises `NotKnown` if there is no such recording, `ValueError` if it cannot be had in that way.
        """
        ...

    async def peaks(self, recording: str) -> Path:
        """The JSON file of peaks for a player: ten a second for left and right, of `full_scale`. Raises `NotKnown`."""
        ...


@dataclass(frozen=True, slots=True)
class Component:
    """One part of the installation: whether it does its work, its state in a word, and what to do about it."""

    ready: bool
    state: str
    detail: str | None = None


Health = Callable[[], Awaitable[Mapping[str, Component]]]
"""The state of `asterisk`, `store`, `trunks`, `sms`, `speech`, …, by name."""

ESSENTIAL = ("asterisk", "store")
"""Without these no call can be taken: `/readyz` fails."""


class User(Protocol):
    """Somebody who signs in. `company` None sees every company. Who they are among a company's staff, `Contact.user` tells."""

    @property
    def name(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def company(self) -> str | None: ...
    @property
    def password_hash(self) -> str | None: ...
    @property
    def disabled_at(self) -> datetime | None: ...


class Token(Protocol):
    """An API token."""

    @property
    def name(self) -> str: ...
    @property
    def scopes(self) -> tuple[str, ...]: ...
    @property
    def company(self) -> str | None: ...
    @property
    def revoked_at(self) -> datetime | None: ...


class Accounts(Protocol):
    """Users, sessions, one-time links and API tokens: tables of our own, so that each can be revoked.

    A `hash` is the SHA-256 of a random secret that nobody keeps. Expired and revoked ones are not found.
    """

    async def user(self, name: str) -> User | None: ...

    async def add_user(
        self, name: str, role: str, company: str | None, password_hash: str | None, now: datetime
    ) -> bool:
        """Whether the user is new; an existing one is left as it is."""
        ...

    async def set_password(self, name: str, password_hash: str) -> None:
        """Change a password; every session of the user ends. Raises `NotKnown`."""
        ...

    async def add_login_link(self, hash: str, user: str, now: datetime, expires_at: datetime) -> None: ...

    async def use_login_link(self, hash: str, now: datetime) -> User | None:
        """Whom the link signs in; it is used up by that, and of two at once one gets the user."""
        ...

    async def add_session(self, hash: str, user: str, now: datetime, expires_at: datetime) -> None: ...

    async def session(self, hash: str, now: datetime) -> User | None:
        """Whose session it is; None if it is unknown, over, or its user disabled."""
        ...

    async def end_session(self, hash: str) -> None: ...

    async def add_token(
        self, hash: str, name: str, scopes: Sequence[str], company: str | None, now: datetime
    ) -> None: ...

    async def token(self, hash: str) -> Token | None: ...

    async def tokens(self, company: str | None = None) -> Sequence[Token]:
        """All of them, revoked ones too."""
        ...

    async def audit(self, *, ticket: int | None = None, limit: int = 100) -> Sequence[AccessRow]:
        """The access log, newest first."""
        ...


class AccessRow(Protocol):
    """A line of the access log."""

    @property
    def at(self) -> datetime: ...
    @property
    def who(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def recording(self) -> str | None: ...


class Audit(Protocol):
    """Puts an access on record: who listened to, or did, what."""

    async def __call__(
        self, at: datetime, who: str, what: str, ticket: int | None = None, recording: str | None = None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What the console may be told. `base_url` is the address people use; https makes the cookie `Secure`."""

    base_url: str = "http://127.0.0.1:15063"
    session_lifetime: timedelta = timedelta(days=14)
    heartbeat_seconds: float = 15.0
    """How often a quiet event stream says that it is alive."""


@dataclass(frozen=True, slots=True)
class ConsoleDeps:
    """Everything the console is made of. `flows` is what its verbs act on, and holds the store, the clock and the companies."""

    flows: Deps
    reader: Reader
    accounts: Accounts
    audit: Audit
    recordings: RecordingFiles
    health: Health
    settings: Settings = Settings()
    muting: Muting | None = None
    """Pauses and resumes what is recorded of a call; None where nothing can."""

    @property
    def store(self) -> Store:
        """Timelines."""
        return self.flows.store

    @property
    def clock(self) -> Clock:
        """The time."""
        return self.flows.clock

    @property
    def companies(self) -> Companies:
        """The companies as they are configured now."""
        return self.flows.companies
