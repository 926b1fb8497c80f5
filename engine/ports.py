"""What the flows need of the world, as protocols. Adapters fulfil them; fakes pass the same contract suites.

All instants are aware datetimes in UTC, all durations seconds as float, all numbers E.164 strings («+79160000042»).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Literal, NewType, Protocol

from engine.domain.company import Company
from engine.domain.events import Event, MeterRead
from engine.domain.model import Outcome

Sound = NewType("Sound", str)
"""A media URI that Asterisk can play: «sound:/absolute/path/without/extension», «tone:…»."""


class Cause(IntEnum):
    """The Q.850 hang-up causes that we send, and those of a leg that broke off, or whose end nobody saw (Asterisk died, or its
    events were missed)."""

    NORMAL = 16
    BUSY = 17
    ANSWERED_ELSEWHERE = 26
    CONGESTION = 34
    LOST = 41
    NO_SOUND = 44
    """Nothing was heard of the far end for so long that Asterisk gave the leg up."""


EndedBy = Literal["caller", "us", "network"]
"""Whose doing the end of a leg was."""


class DialFailed(Exception):
    """The dialled leg never came up. `outcome` says how; `cause` is Q.850, `tech_cause` the SIP status, where known."""

    def __init__(self, outcome: Outcome, cause: int | None = None, tech_cause: int | None = None) -> None:
        super().__init__(f"dial ended: {outcome} (Q.850 {cause}, SIP {tech_cause})")
        self.outcome, self.cause, self.tech_cause = outcome, cause, tech_cause


class Clock(Protocol):
    """The time. Tests put a virtual one here."""

    def now(self) -> datetime:
        """The current instant, UTC."""
        ...


class Leg(Protocol):
    """One party's channel, as long as it lives. Every awaitable raises `HungUp` promptly once the far end is gone.

    Used as `async with leg:`, it is ended on leaving the block, whatever happened in it.
    """

    @property
    def id(self) -> str:
        """The Asterisk channel's id; it names the recording and, for a dialled leg, is the attempt's id."""
        ...

    @property
    def number(self) -> str | None:
        """The far end's number, E.164 if it could be read so; None if withheld."""
        ...

    @property
    def did(self) -> str | None:
        """The number that was dialled to reach us; None for a leg that we dialled."""
        ...

    @property
    def adopted(self) -> bool:
        """Whether the leg was already up when this engine met it (a restart): answered and recording since before."""
        ...

    @property
    def answered(self) -> bool:
        """Whether the leg is up."""
        ...

    @property
    def hung_up(self) -> int | None:
        """The Q.850 cause once the far end is gone, else None."""
        ...

    @property
    def ended_by(self) -> EndedBy:
        """Who ended the leg: `caller` is its far end; `network` that its sound broke off, or that nobody saw it end; else `us`."""
        ...

    async def answer(self) -> None:
        """Answer; returns when the leg is up. On a leg that is up already: nothing."""
        ...

    async def play(self, *sounds: Sound) -> None:
        """Play the sounds one after the other to their end. Cancelling stops the sound at once (barge-in)."""
        ...

    async def key(self, timeout: float) -> str | None:
        """The next key (0-9 * # A-D), those pressed earlier first; None after `timeout` seconds without one."""
        ...

    def forget_keys(self) -> None:
        """Drop the keys pressed so far and not yet asked for."""
        ...

    async def ended(self) -> int:
        """Wait until the far end is gone; returns the Q.850 cause. (The one awaitable that does not raise `HungUp`.)"""
        ...

    async def machine(self) -> str | None:
        """Listen beside whatever else happens on the leg: why the far end is taken for a machine, None if it is not. Takes seconds.

        A hint: silence is taken for a machine too. Never raises for a leg that ended.
        """
        ...

    async def hang_up(self, cause: Cause = Cause.NORMAL) -> None:
        """End the leg. Twice, or after the far end did: nothing."""
        ...

    async def hand_over(self) -> None:
        """Give an inbound leg to the dialplan's fallback, which records and rings by itself. It is not ours any more, nor ended by us."""
        ...

    async def __aenter__(self) -> Leg: ...

    async def __aexit__(self, *error: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Dial:
    """One call out. `attempt` becomes the channel's id; `caller_id` is our own number; `trunk` counts from the preferred one (modulo)."""

    attempt: str
    number: str
    ring_seconds: float
    caller_id: str | None = None
    trunk: int = 0
    company: str | None = None
    """Names the folder of the recording."""
    phone: str | None = None
    """A desk phone that registers with us, by its name: it is rung, and no trunk; `number` is then not dialled."""
    caller_name: str | None = None
    """What the phone shows beside `caller_id`; trunks may drop it."""


class Telephony(Protocol):
    """Asterisk, seen from a flow."""

    def inbound(self) -> AsyncIterator[Leg]:
        """Every leg that comes in, in order, and each one found alive after a restart (`adopted`). One consumer: `app`."""
        ...

    def dial(self, dial: Dial) -> AbstractAsyncContextManager[Leg]:
        """Ring a number; the block begins when it answers (its recording has begun) and ends the leg on leaving.

        Raises `DialFailed` with the outcome, `AttemptExists` if that channel id is up already, `TelephonyAway`.
        Cancelled while ringing: the ringing stops, with «answered elsewhere».
        """
        ...

    def adopt(self, attempt: str) -> Leg | None:
        """The answered leg of a dial that an earlier engine left behind, alive; None if there is none."""
        ...

    async def hang_up(self, channel: str, cause: Cause = Cause.NORMAL) -> None:
        """End a channel by id, whoever owns it. Already gone: nothing. Raises `TelephonyAway`."""
        ...

    async def alive(self) -> frozenset[str]:
        """The ids of all channels that are up or ringing now. Raises `TelephonyAway`."""
        ...

    def bridge(self, one: Leg, other: Leg, *more: Leg) -> AbstractAsyncContextManager[None]:
        """Let the legs talk to each other while the block lasts.

        Legs that an earlier engine had put together, and that are together still, are left so: they notice nothing.
        """
        ...


class Voice(Protocol):
    """Turns text into speech."""

    async def speak(self, text: str, language: str = "ru") -> Sound:
        """A sound that says `text`; rendered once and then found by its text. Raises `VoiceFailed`."""
        ...


class Store(Protocol):
    """Timelines. A returned append is on disk."""

    async def open_ticket(self, events: Sequence[Event], key: str | None = None) -> int:
        """Start a timeline with `events` (a `TicketOpened` first) and return its number.

        `key` makes it idempotent: the second time the first one's number is returned and nothing is written.
        """
        ...

    async def append(self, ticket: int, events: Sequence[Event], expect: int | None = None) -> bool:
        """Append the events, all or none. With `expect`, only if the timeline has exactly that length; else False.

        Raises `NotKnown` for an unknown ticket and `StoreFailed` if they could not be made durable.
        """
        ...

    async def history(self, ticket: int, since: int = 0) -> Sequence[Event]:
        """The timeline from event number `since` + 1 on. Raises `NotKnown`."""
        ...

    async def changed(self, ticket: int, since: int, timeout: float | None) -> bool:
        """Wait until the timeline is longer than `since` or `timeout` seconds are over; whether it is longer."""
        ...

    async def ticket_of_call(self, call: str) -> int | None:
        """Which ticket a channel id belongs to, by its `CallStarted` or `DialStarted`."""
        ...

    async def escalating(self) -> Sequence[int]:
        """The tickets whose walk is not over (see `engine.domain.escalation.Walk.over`)."""
        ...

    async def open_tickets(self, company: str) -> Sequence[int]:
        """The company's tickets that are neither done nor closed, oldest first."""
        ...

    async def done_tickets(self, company: str) -> Sequence[int]:
        """The company's tickets that were reported done and are not closed, oldest first."""
        ...

    async def calls_without_end(self) -> Sequence[tuple[int, str]]:
        """(ticket, call) of every `CallStarted` that has no `CallEnded`: what a crash left open."""
        ...

    async def claim(self, what: str, owner: str, seconds: float) -> bool:
        """Make `what` (a thing that must not be done twice) `owner`'s for so long, by the database's clock.

        False: another has it, and may be about it. Its owner may claim it again, to have it longer. Raises `StoreFailed`.
        """
        ...

    async def unsent_texts(self) -> Sequence[tuple[int, str]]:
        """(ticket, text) of every `TextQueued` that was neither sent nor failed."""
        ...

    async def unreported_texts(self, since: datetime) -> Sequence[tuple[int, str]]:
        """(ticket, text) of every text sent since then of which nothing more is known."""
        ...

    async def ticket_of_text(self, text: str) -> int | None:
        """Which ticket a text belongs to, sent or received."""
        ...

    async def tickets_with(self, number: str, limit: int = 20) -> Sequence[int]:
        """The tickets that this number was texted about, wrote to, or opened; the latest first."""
        ...

    async def news_refused(self) -> frozenset[str]:
        """The numbers whose last word on news was «стоп»."""
        ...

    async def readings(
        self, company: str, house: str | None = None, flat: str | None = None, since: datetime | None = None
    ) -> Sequence[tuple[int, MeterRead]]:
        """(ticket, reading) of the company, or of one flat, from that instant on; the earliest first."""
        ...

    def feed(self) -> AbstractAsyncContextManager[AsyncIterator[tuple[int, int, Event]]]:
        """Every event from now on as (ticket, seq, event), in the order of their commit.

        The iterator raises `FeedLost` when it had to leave some out: read the histories, and open it anew.
        """
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished recording; `company` is whose folder it lies in."""

    recording: str
    seconds: float
    flaw: str | None
    started: datetime | None = None
    company: str | None = None


@dataclass(frozen=True, slots=True)
class Aged:
    """A kept recording, and when its call began."""

    recording: str
    call: str
    started: datetime


Gap = tuple[datetime, datetime]
"""From when to when nothing of a call was kept, at somebody's wish."""


class Muting(Protocol):
    """Silences what is recorded of a call, not the call."""

    async def mute(self, call: str, muted: bool) -> None:
        """Let silence be recorded, or the voices again, of the call and of those that it is connected with. Twice is once.

        Returns when it is so. Raises `TelephonyAway`, `NotKnown` if there is no such channel.
        """
        ...


class Recordings(Protocol):
    """The folder of recordings. Legs are recorded by the dialplan; this closes and keeps them."""

    async def finish(
        self, company: str, call: str, seconds: float | None, gaps: Sequence[Gap] = ()
    ) -> Kept | None:
        """Close the call's two legs, join them to stereo (far end left, we right) and keep them; None if there are none.

        `seconds` is how long the call was up, to flag a recording that is shorter; `gaps` are marked in it. Idempotent.
        Raises `TimeoutError` if the legs are still being written, `OSError` or `RuntimeError` if they could not be joined (disk
        full): finish it again later.
        """
        ...

    async def orphans(self) -> Sequence[str]:
        """Ids of the calls whose recording may not be attached: legs that nobody finished, or finished by an earlier engine lately.

        «CALL@2» is what was recorded under the id of a call whose recording had been kept before.
        """
        ...

    async def older_than(self, company: str, before: datetime) -> Sequence[Aged]:
        """The company's recordings whose call began before that instant and that are not on hold, oldest first."""
        ...

    async def erase(self, recording: str, by: str, reason: str) -> None:
        """Delete its files; what it was, who erased it and why stay. Raises `NotKnown`, or `ValueError` if it is on hold."""
        ...


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


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell another program. `id` is the same each time that it is told; `ticket` keeps its notices in order."""

    id: str
    url: str
    kind: str
    at: datetime
    ticket: int | None
    body: Mapping[str, object]


class Hooks(Protocol):
    """The way out to other programs: signed, retried, in order for a ticket."""

    async def post(self, notice: Notice) -> None:
        """Hand it over, after the earlier ones of the same ticket and address.

        Raises `ConnectionError` if it was given up after many tries, `ValueError` if it was refused.
        """
        ...


class AlarmCalls(Protocol):
    """A call that Asterisk places by itself: the way out that needs nothing of this engine any more."""

    async def order(self, name: str, number: str, sound: Sound | None) -> None:
        """Leave the order to ring `number` and play `sound` (None: a fixed warning), once. Raises `OSError`, `ValueError`."""
        ...


@dataclass(frozen=True, slots=True)
class StoodInLeg:
    """A member of staff who picked up while the dialplan was by itself. `id` names the recording."""

    id: str
    number: str
    started: datetime
    ended: datetime


@dataclass(frozen=True, slots=True)
class StoodInCall:
    """A call that the dialplan took by itself. `id` names its recording; `spoke`: a message was left; numbers are E.164."""

    id: str
    did: str
    caller: str | None
    started: datetime
    ended: datetime
    spoke: bool
    rang: tuple[str, ...] = ()
    accepted_by: str | None = None
    legs: tuple[StoodInLeg, ...] = ()
    """Those who picked up, in order."""


class StandIn(Protocol):
    """The dialplan's fallback, as the engine sees it afterwards, and what it rings meanwhile."""

    async def calls(self) -> Sequence[StoodInCall]:
        """The calls that it took and finished, and that were not forgotten yet, oldest first."""
        ...

    async def forget(self, call: str) -> None:
        """The call is on a timeline: drop the notes of it (never its recording)."""
        ...

    async def keep(self, did: str, company: str, numbers: Sequence[str]) -> None:
        """Whose number `did` is, and whom the dialplan rings, in this order, for calls to it while the engine is away.

        Raises `ConnectionError` if it cannot be told now.
        """
        ...


Companies = Callable[[], Sequence[Company]]
"""The companies as they are configured now; a reload shows at the next call."""
