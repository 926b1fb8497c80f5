"""The nouns: companies, houses, contacts, urgencies, outcomes. Frozen values, compared by content."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class Urgency(StrEnum):
    """The class of a ticket; it alone decides which channels may be used (behaviour: «urgency decides the channel»)."""

    EMERGENCY = "emergency"
    URGENT = "urgent"
    NORMAL = "normal"


class Outcome(StrEnum):
    """How one attempt to reach a person ended."""

    ACCEPTED = "accepted"
    DECLINED = "declined"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    UNREACHABLE = "unreachable"
    MACHINE = "machine"
    """Answered, but nobody pressed the drawn key: a machine, a pocket, or a person who did not understand."""
    FAILED = "failed"
    """The trunk or Asterisk failed; the person is not to blame and the attempt does not count against them."""
    CANCELLED = "cancelled"
    """We stopped it: somebody else accepted, the ticket was closed, or the step's time ran out."""
    LOST = "lost"
    """We died while it ran, so what became of it is not known; it does not count against the person."""


class Via(StrEnum):
    """The way by which somebody accepted, declined or reported."""

    CALL = "call"
    CALLBACK = "callback"
    SMS = "sms"
    LINK = "link"
    CONSOLE = "console"
    API = "api"


class CallKind(StrEnum):
    """Which conversation a call is; each of them belongs to a ticket and is recorded."""

    RESIDENT = "resident"
    ROBOCALL = "robocall"
    CALLBACK = "callback"
    OPERATOR = "operator"
    UTILITY = "utility"
    """An emergency service, a utility: 104, 112, the waterworks."""
    FALLBACK = "fallback"
    """Taken by the dialplan alone while the engine was away."""


class Purpose(StrEnum):
    """Why a person is phoned."""

    ACCEPT = "accept"
    ARRIVAL = "arrival"
    """They accepted but have not reported arrival in time."""
    DONE = "done"
    """They arrived but have not reported completion in time."""


@dataclass(frozen=True, slots=True)
class Callee:
    """A person as one step of a walk sees them: who, on which numbers (E.164, in the order to try), and when they sleep."""

    contact: str
    name: str
    numbers: tuple[str, ...]
    time_zone: str = "Europe/Moscow"
    wakes: time = time(7)
    sleeps: time = time(23)
    until: datetime | None = None
    """End of their duty, if a roster named them."""

    def awake(self, at: datetime) -> bool:
        """Whether `at` (aware) lies in the person's own waking hours."""
        local = at.astimezone(ZoneInfo(self.time_zone)).time()
        if self.wakes <= self.sleeps:
            return self.wakes <= local < self.sleeps
        return local >= self.wakes or local < self.sleeps

    def wakes_after(self, at: datetime) -> datetime:
        """The next instant at which their waking hours begin, as the clock on their wall shows it."""
        local = at.astimezone(ZoneInfo(self.time_zone))
        day = local.date() if local.time() < self.wakes else local.date() + timedelta(days=1)
        return datetime.combine(day, self.wakes, local.tzinfo).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Contact:
    """A member of staff. `reserve` numbers are rung for emergencies alone."""

    id: str
    name: str
    numbers: tuple[str, ...]
    reserve: tuple[str, ...] = ()
    time_zone: str = "Europe/Moscow"
    wakes: time = time(7)
    sleeps: time = time(23)
    skills: tuple[str, ...] = ()
    user: str | None = None

    def callee(self, urgency: Urgency, until: datetime | None = None) -> Callee:
        """This contact as a step of the given urgency may ring them."""
        numbers = self.numbers + (self.reserve if urgency is Urgency.EMERGENCY else ())
        return Callee(self.id, self.name, numbers, self.time_zone, self.wakes, self.sleeps, until)


@dataclass(frozen=True, slots=True)
class House:
    """A building. `roles` maps a role («engineer», «supervisor») to a contact's id."""

    id: str
    city: str
    street: str
    number: str
    time_zone: str = "Europe/Moscow"
    flats: tuple[int, int] | None = None
    """First and last flat, inclusive."""
    entrances: int = 1
    roles: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """«улица Ленина, дом 15», as it is written and spoken."""
        return f"{self.street}, дом {self.number}"


@dataclass(frozen=True, slots=True)
class Resident:
    """A known caller."""

    number: str
    house: str
    flat: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A DID: the number residents dial, and how it greets."""

    did: str
    language: str = "ru"
    greeting: str | None = None


@dataclass(frozen=True, slots=True)
class Premises:
    """Where something happened, as far as it is known."""

    house: str | None = None
    flat: str | None = None
    address: str | None = None
    """The whole address in words, frozen when it was learnt, so that a later edit of the house changes no old ticket."""
