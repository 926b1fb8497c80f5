"""The console's side of the store: users, sessions, one-time links, tokens, and who listened to what.

Secrets never come here: the console hashes, this keeps hashes. Instants are passed in, so that expiry can be tested.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.domain.errors import NotKnown
from engine.store.reader import Reader
from engine.store.tables import audit, login_links, sessions, tokens, users

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may sign in. `company` None: the whole installation. `password_hash` None: by one-time link only."""

    name: str
    role: str
    company: str | None
    password_hash: str | None
    created_at: datetime
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token of the API."""

    hash: str
    name: str
    scopes: tuple[str, ...]
    company: str | None
    created_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """A line of the audit: who did what, when, to which ticket or recording."""

    at: datetime
    who: str
    what: str
    ticket: int | None = None
    recording: str | None = None


class _Do(Protocol):
    async def __call__(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T: ...


class Accounts:
    """Everything here raises `StoreFailed` if the database is away; what returned from a change is on disk."""

    def __init__(self, engine: AsyncEngine, do: _Do) -> None:
        self._read = Reader(engine)
        self._do = do

    async def add_user(
        self, name: str, role: str, company: str | None, password_hash: str | None, now: datetime
    ) -> bool:
        """Whether the user is new; an existing one is left as it is."""
        user = User(name, role, company, password_hash, now)

        async def work(connection: AsyncConnection) -> bool:
            taken = await connection.execute(sa.select(users.c.name).where(users.c.name == name))
            if taken.first() is not None:
                return False
            await connection.execute(sa.insert(users).values(asdict(user)))
            return True

        return await self._do(work)

    async def set_password(self, name: str, password_hash: str) -> None:
        """Change a password; every session of the user ends. Raises `NotKnown`."""
        changed = await self._run(
            sa.update(users).where(users.c.name == name).values(password_hash=password_hash)
        )
        if not changed:
            raise NotKnown(f"there is no user {name}")
        await self.end_sessions(name)

    async def disable_user(self, name: str, now: datetime) -> None:
        """Let the user in no more, from this instant. Raises `NotKnown`."""
        if not await self._run(sa.update(users).where(users.c.name == name).values(disabled_at=now)):
            raise NotKnown(f"there is no user {name}")
        await self.end_sessions(name)

    async def user(self, name: str) -> User | None:
        """One user, disabled or not."""
        rows = await self._read.rows(sa.select(users).where(users.c.name == name))
        return User(**rows[0]._mapping) if rows else None

    async def users(self, company: str | None = None) -> Sequence[User]:
        """All users, or those of one company, by name."""
        query = sa.select(users).order_by(users.c.name)
        if company is not None:
            query = query.where(users.c.company == company)
        return [User(**row._mapping) for row in await self._read.rows(query)]

    async def add_session(self, hash: str, user: str, now: datetime, expires_at: datetime) -> None:
        """A user has signed in."""
        await self._run(
            sa.insert(sessions).values(hash=hash, user=user, created_at=now, expires_at=expires_at)
        )

    async def session(self, hash: str, now: datetime) -> User | None:
        """Whose session it is; None if it is unknown, over, or its user disabled."""
        query = (
            sa.select(users)
            .join(sessions, sessions.c.user == users.c.name)
            .where(sessions.c.hash == hash, sessions.c.expires_at > now, users.c.disabled_at.is_(None))
        )
        rows = await self._read.rows(query)
        return User(**rows[0]._mapping) if rows else None

    async def end_session(self, hash: str) -> None:
        """Sign out; an unknown session is nothing."""
        await self._run(sa.delete(sessions).where(sessions.c.hash == hash))

    async def end_sessions(self, user: str) -> None:
        """Sign the user out everywhere."""
        await self._run(sa.delete(sessions).where(sessions.c.user == user))

    async def add_login_link(self, hash: str, user: str, now: datetime, expires_at: datetime) -> None:
        """A link that signs `user` in, once."""
        await self._run(
            sa.insert(login_links).values(hash=hash, user=user, created_at=now, expires_at=expires_at)
        )

    async def use_login_link(self, hash: str, now: datetime) -> User | None:
        """Whom the link signs in; None if it is unknown, used or expired. It never works again."""
        used = await self._run(
            sa.update(login_links)
            .where(
                login_links.c.hash == hash, login_links.c.used_at.is_(None), login_links.c.expires_at > now
            )
            .values(used_at=now)
        )
        if not used:
            return None
        query = sa.select(users).join(login_links, login_links.c.user == users.c.name)
        rows = await self._read.rows(query.where(login_links.c.hash == hash, users.c.disabled_at.is_(None)))
        return User(**rows[0]._mapping) if rows else None

    async def forget_expired(self, now: datetime) -> None:
        """Delete the sessions and links that are over; for a periodic job."""
        await self._run(sa.delete(sessions).where(sessions.c.expires_at <= now))
        await self._run(sa.delete(login_links).where(login_links.c.expires_at <= now))

    async def add_token(
        self, hash: str, name: str, scopes: Sequence[str], company: str | None, now: datetime
    ) -> None:
        """A bearer token; `company` None is for the whole installation."""
        values = {
            "hash": hash,
            "name": name,
            "scopes": " ".join(scopes),
            "company": company,
            "created_at": now,
        }
        await self._run(sa.insert(tokens).values(values))

    async def token(self, hash: str) -> Token | None:
        """The token, unless it is revoked."""
        rows = await self._read.rows(
            sa.select(tokens).where(tokens.c.hash == hash, tokens.c.revoked_at.is_(None))
        )
        return _token(rows[0]._mapping) if rows else None

    async def tokens(self, company: str | None = None) -> Sequence[Token]:
        """All tokens, or those of one company, revoked ones too, oldest first."""
        query = sa.select(tokens).order_by(tokens.c.created_at, tokens.c.hash)
        if company is not None:
            query = query.where(tokens.c.company == company)
        return [_token(row._mapping) for row in await self._read.rows(query)]

    async def revoke_token(self, name: str, now: datetime) -> bool:
        """Revoke every token of that name; whether there was one to revoke."""
        live = sa.update(tokens).where(tokens.c.name == name, tokens.c.revoked_at.is_(None))
        return await self._run(live.values(revoked_at=now)) > 0

    async def token_used(self, hash: str, now: datetime) -> None:
        """Note when a token was last used; call it at most once a minute or so, not with every request."""
        await self._run(sa.update(tokens).where(tokens.c.hash == hash).values(last_used_at=now))

    async def record(self, access: Access) -> None:
        """Add a line to the audit."""
        await self._run(
            sa.insert(audit).values(
                at=access.at,
                who=access.who,
                what=access.what,
                ticket=access.ticket,
                recording=access.recording,
            )
        )

    async def audit(self, *, ticket: int | None = None, limit: int = 100) -> Sequence[Access]:
        """The audit, newest first."""
        query = sa.select(audit.c.at, audit.c.who, audit.c.what, audit.c.ticket, audit.c.recording)
        if ticket is not None:
            query = query.where(audit.c.ticket == ticket)
        return [
            Access(**row._mapping)
            for row in await self._read.rows(query.order_by(audit.c.id.desc()).limit(limit))
        ]

    async def _run(self, statement: sa.Insert | sa.Update | sa.Delete) -> int:
        """How many rows it changed."""

        async def work(connection: AsyncConnection) -> int:
            return int((await connection.execute(statement)).rowcount)

        return await self._do(work)


def _token(row: sa.RowMapping) -> Token:
    return Token(**{**row, "scopes": tuple(row["scopes"].split())})
