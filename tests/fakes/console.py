"""A console on memory: what its unit tests need of the store, the accounts and the recordings."""

from __future__ import annotations

import json
import math
import struct
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from engine.console.deps import Component, ConsoleDeps, Settings
from engine.domain.company import Company
from engine.domain.errors import NotKnown
from engine.domain.model import Contact, House, Line, Urgency
from engine.domain.policy import AfterAccepting, Policy, Step, Target, TargetKind
from engine.domain.roster import Roster
from engine.flows.deps import Deps
from engine.store import Token, User
from engine.store.accounts import Access
from engine.store.projection import Projection
from engine.store.rows import CallRow, RecordingRow, TextRow, TicketRow
from tests.fakes.store import MemoryStore

START = datetime(2026, 11, 21, 11, 5, 0, tzinfo=UTC)


@dataclass
class SteppingClock:
    """A clock that moves a millisecond at each look, and as far as it is told."""

    at: datetime = START

    def now(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at


class ReadableStore(MemoryStore):
    """The store in memory, with the real one's projections for its read side."""

    def _projections(self) -> list[Projection]:
        return [
            Projection.of(number, history) for number, history in sorted(self.timelines.items(), reverse=True)
        ]

    def _rows(self, kind: type[Any]) -> list[Any]:
        return [
            row for projection in self._projections() for row in projection.rows() if isinstance(row, kind)
        ]

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
        def fits(row: TicketRow) -> bool:
            asked = ((company, row.company), (urgency, row.urgency), (house, row.house), (phone, row.phone))
            return (
                all(wanted in (None, has) for wanted, has in asked)
                and (not statuses or row.status in statuses)
                and (after is None or row.number < after)
            )

        return [row for row in (projection.row() for projection in self._projections()) if fits(row)][:limit]

    async def ticket(self, number: int) -> TicketRow | None:
        return next((row for row in await self.tickets(limit=10**6) if row.number == number), None)

    async def calls(self, company: str | None = None, *, limit: int = 50) -> Sequence[CallRow]:
        rows = [row for row in self._rows(CallRow) if company in (None, row.company)]
        return sorted(rows, key=lambda row: row.started_at, reverse=True)[:limit]

    async def calls_of(self, ticket: int) -> Sequence[CallRow]:
        rows = [row for row in self._rows(CallRow) if row.ticket == ticket]
        return sorted(rows, key=lambda row: row.started_at)

    async def call(self, id: str) -> CallRow | None:
        return next((row for row in self._rows(CallRow) if row.id == id), None)

    async def recording(self, id: str) -> RecordingRow | None:
        return next((row for row in self._rows(RecordingRow) if row.id == id), None)

    async def texts(
        self,
        company: str | None = None,
        *,
        ticket: int | None = None,
        number: str | None = None,
        limit: int = 50,
    ) -> Sequence[TextRow]:
        rows = [
            row
            for row in self._rows(TextRow)
            if company in (None, row.company)
            and ticket in (None, row.ticket)
            and number in (None, row.number)
        ]
        return sorted(rows, key=lambda row: row.queued_at, reverse=True)[:limit]


@dataclass
class MemoryAccounts:
    """Users and secrets in dicts; `recorded` is the access log."""

    _users: dict[str, User] = field(default_factory=dict)
    _links: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    _sessions: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    _tokens: dict[str, Token] = field(default_factory=dict)
    recorded: list[tuple[str, str, int | None, str | None]] = field(default_factory=list)
    log: list[Access] = field(default_factory=list)

    async def user(self, name: str) -> User | None:
        return self._users.get(name)

    async def add_user(
        self, name: str, role: str, company: str | None, password_hash: str | None, now: datetime
    ) -> bool:
        if name in self._users:
            return False
        self._users[name] = User(name, role, company, password_hash, now)
        return True

    async def set_password(self, name: str, password_hash: str) -> None:
        self._users[name] = replace(self._users[name], password_hash=password_hash)
        self._sessions = {hash: held for hash, held in self._sessions.items() if held[0] != name}

    async def add_login_link(self, hash: str, user: str, now: datetime, expires_at: datetime) -> None:
        self._links[hash] = (user, expires_at)

    async def use_login_link(self, hash: str, now: datetime) -> User | None:
        user, expires = self._links.pop(hash, ("", now))
        return self._users.get(user) if now < expires else None

    async def add_session(self, hash: str, user: str, now: datetime, expires_at: datetime) -> None:
        self._sessions[hash] = (user, expires_at)

    async def session(self, hash: str, now: datetime) -> User | None:
        user, expires = self._sessions.get(hash, ("", now))
        return self._users.get(user) if now < expires else None

    async def end_session(self, hash: str) -> None:
        self._sessions.pop(hash, None)

    async def add_token(
        self, hash: str, name: str, scopes: Sequence[str], company: str | None, now: datetime
    ) -> None:
        self._tokens[hash] = Token(hash, name, tuple(scopes), company, now)

    async def token(self, hash: str) -> Token | None:
        found = self._tokens.get(hash)
        return found if found and found.revoked_at is None else None

    async def tokens(self, company: str | None = None) -> Sequence[Token]:
        return list(self._tokens.values())

    async def revoke_token(self, name: str, now: datetime) -> None:
        for hash, token in self._tokens.items():
            if token.name == name:
                self._tokens[hash] = replace(token, revoked_at=now)

    async def record(
        self, at: datetime, who: str, what: str, ticket: int | None = None, recording: str | None = None
    ) -> None:
        self.recorded.append((who, what, ticket, recording))
        self.log.append(Access(at, who, what, ticket, recording))

    async def audit(self, *, ticket: int | None = None, limit: int = 100) -> Sequence[Access]:
        return [line for line in self.log[::-1] if ticket in (None, line.ticket)][:limit]


@dataclass(frozen=True)
class Served:
    path: Path
    content_type: str


@dataclass
class FolderOfRecordings:
    """WAV files of a folder, named by their recording."""

    folder: Path
    backlog: int = 0

    async def listen(
        self, recording: str, leg: str = "both", form: str = "wav", levels: str = "original"
    ) -> Served:
        if form != "wav":
            raise ValueError("wav only")
        return Served(self._existing(f"{recording}.wav"), "audio/wav")

    async def peaks(self, recording: str) -> Path:
        return self._existing(f"{recording}.peaks.json")

    def _existing(self, name: str) -> Path:
        if not (self.folder / name).exists():
            raise NotKnown(name)
        return self.folder / name


def write_talk(folder: Path, recording: str, seconds: float, rate: int = 8000) -> None:
    """A stereo WAV in which left and right take turns, with its peaks."""
    samples = bytearray()
    loudness: dict[str, list[int]] = {"left": [], "right": []}
    for index in range(int(seconds * rate)):
        at = index / rate
        loud = int(9000 * math.sin(2 * math.pi * 220 * at) * abs(math.sin(3 * at)))
        left, right = (loud, 0) if int(at / 1.5) % 2 else (0, loud)
        samples += struct.pack("<hh", left, right)
        if index % (rate // 10) == 0:
            loudest = int(275 * abs(math.sin(3 * at)))
            loudness["left"].append(loudest if left or not right else 0)
            loudness["right"].append(loudest if right or not left else 0)
    with wave.open(str(folder / f"{recording}.wav"), "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(bytes(samples))
    about = {"peaks_a_second": 10, "full_scale": 1000, "seconds": seconds}
    (folder / f"{recording}.peaks.json").write_text(json.dumps(about | loudness))


def company(id: str = "demo", title: str = "Демо") -> Company:
    """A company with two plumbers, a supervisor and a director, and the policy that walks them."""
    people = {
        "plumber1": Contact("plumber1", "Пётр Сантехник", ("+79000000001",), ("+79000000011",)),
        "plumber2": Contact("plumber2", "Павел Слесарь", ("+79000000002",)),
        "supervisor": Contact("supervisor", "Светлана Мастер", ("+79000000003",), user="svetlana"),
        "director": Contact("director", "Дмитрий Директор", ("+79000000004",)),
    }
    steps = (
        Step("brigade", (Target(TargetKind.ON_CALL, "plumbers"),)),
        Step("director", (Target(TargetKind.CONTACT, "director"),)),
    )
    water = Policy(
        "water",
        "Аварии водоснабжения",
        Urgency.EMERGENCY,
        steps,
        causes=("water.*", "heating.*"),
        after_accepting=AfterAccepting(),
    )
    return Company(
        id=id,
        title=title,
        lines=(Line("+74950000112"),),
        houses={"lenina15": House("lenina15", "Москва", "улица Ленина", "15")},
        contacts=people,
        rosters={"plumbers": Roster("plumbers", ("plumber1", "plumber2"))},
        policies=(water,),
    )


@dataclass
class World:
    """A console and everything behind it."""

    store: ReadableStore
    accounts: MemoryAccounts
    clock: SteppingClock
    deps: ConsoleDeps
    components: dict[str, Component]


def world(folder: Path) -> World:
    """Two companies, no tickets, everything ready."""
    store, accounts, clock = ReadableStore(), MemoryAccounts(), SteppingClock()
    companies = [company(), company("other", "Другая УК")]
    components = {
        "asterisk": Component(True, "up"),
        "store": Component(True, "up"),
        "sms": Component(False, "log only"),
    }

    async def health() -> Mapping[str, Component]:
        return components

    nobody = cast(Any, None)
    flows = Deps(
        store=cast(Any, store),
        phone=nobody,
        voice=nobody,
        recordings=nobody,
        texts=nobody,
        clock=clock,
        companies=lambda: companies,
    )
    settings = Settings(heartbeat_seconds=0.05)
    deps = ConsoleDeps(flows, store, accounts, accounts.record, FolderOfRecordings(folder), health, settings)
    return World(store, accounts, clock, deps, components)
