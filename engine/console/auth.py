"""Passwords, one-time links, sessions and tokens. Only digests and hashes are kept; each secret is shown once.

The command line uses `add_user`, `set_password`, `create_link`, `add_token`; the pages use the rest.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from engine.console.deps import Accounts, User
from engine.domain.errors import NotKnown

LINK_LIFETIME = timedelta(hours=24)
SCOPES = ("read", "act", "admin")
ROLE_NAMES = ("viewer", "operator", "supervisor", "admin")
MIN_PASSWORD = 10

_hasher = PasswordHasher()


@cache
def _nobody() -> str:
    """Verified in place of an unknown user's hash, so that the time taken does not tell who exists."""
    return _hasher.hash(secrets.token_urlsafe())


def digest(secret: str) -> str:
    """What is kept of a random secret: its SHA-256 (it is long enough to need no salt)."""
    return hashlib.sha256(secret.encode()).hexdigest()


def csrf_token(cookie: str) -> str:
    """What a session's forms carry; derived from the cookie, so nothing more is stored."""
    return hashlib.sha256(b"csrf:" + cookie.encode()).hexdigest()


async def hash_password(password: str) -> str:
    """The argon2id hash. Raises `ValueError` for a password that is too short. Runs in a thread: tens of milliseconds."""
    if len(password) < MIN_PASSWORD:
        raise ValueError(f"Пароль слишком короткий: нужно не меньше {MIN_PASSWORD} знаков")
    return await asyncio.to_thread(_hasher.hash, password)


async def verify_password(hashed: str | None, password: str) -> bool:
    """Whether it is the password; takes as long where there is none."""

    def verify() -> bool:
        try:
            return _hasher.verify(hashed or _nobody(), password) and hashed is not None
        except (VerificationError, InvalidHashError):
            return False

    return await asyncio.to_thread(verify)


async def add_user(
    accounts: Accounts,
    name: str,
    role: str,
    now: datetime,
    company: str | None = None,
    password: str | None = None,
) -> bool:
    """Add a user; False if there is one of that name, who is left as they are. Without a password only a one-time link lets them in.

    Raises `ValueError` for an unknown role or a poor password.
    """
    if role not in ROLE_NAMES:
        raise ValueError(f"Нет роли «{role}»; есть: {', '.join(ROLE_NAMES)}")
    hashed = await hash_password(password) if password is not None else None
    return await accounts.add_user(name, role, company, hashed, now)


async def set_password(accounts: Accounts, name: str, password: str) -> None:
    """Set a user's password and end their sessions. Raises `NotKnown`, `ValueError`."""
    await _known(accounts, name)
    await accounts.set_password(name, await hash_password(password))


async def create_link(
    accounts: Accounts, user: str, now: datetime, base_url: str, lifetime: timedelta = LINK_LIFETIME
) -> str:
    """The address of a one-time sign-in link. It is used up by the button on its page, not by opening it. Raises `NotKnown`."""
    await _known(accounts, user)
    secret = secrets.token_urlsafe(24)
    await accounts.add_login_link(digest(secret), user, now, now + lifetime)
    return f"{base_url.rstrip('/')}/login/link/{secret}"


async def add_token(
    accounts: Accounts,
    name: str,
    now: datetime,
    scopes: Sequence[str] = ("read",),
    company: str | None = None,
) -> str:
    """A new API token's secret, shown this once. Raises `ValueError` for an unknown scope or a name that is taken."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise ValueError(f"Нет права «{', '.join(unknown)}»; есть: {', '.join(SCOPES)}")
    if any(token.name == name and token.revoked_at is None for token in await accounts.tokens()):
        raise ValueError(
            f"Токен «{name}» уже есть; отзовите его (dozvon token revoke {name}) или назовите новый иначе"
        )
    secret = f"dz_{secrets.token_urlsafe(32)}"
    await accounts.add_token(digest(secret), name, scopes, company, now)
    return secret


async def start_session(accounts: Accounts, user: str, now: datetime, lifetime: timedelta) -> str:
    """A new session's cookie."""
    cookie = secrets.token_urlsafe(32)
    await accounts.add_session(digest(cookie), user, now, now + lifetime)
    return cookie


async def _known(accounts: Accounts, name: str) -> User:
    user = await accounts.user(name)
    if user is None:
        raise NotKnown(f"Нет пользователя «{name}»; добавьте его: dozvon user add {name}")
    return user


@dataclass(slots=True)
class Gate:
    """The rate limit in front of password checks, and two checks at once in all.

    A name is guessed slowly from one address, and not too fast from all of them; its owner is not locked out by a stranger's few tries.
    """

    window: timedelta = timedelta(minutes=1)
    _tries: dict[str, list[datetime]] = field(default_factory=dict)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    def admits(self, now: datetime, name: str, address: str) -> bool:
        """Count a try; False if there have been too many within the window."""
        recent = {key: [at for at in times if now - at < self.window] for key, times in self._tries.items()}
        self._tries = {key: times for key, times in recent.items() if times}
        limits = {f"{name} from {address}": 5, f"from {address}": 20, f"name {name}": 40}
        if any(len(self._tries.get(key, ())) >= limit for key, limit in limits.items()):
            return False
        for key in limits:
            self._tries.setdefault(key, []).append(now)
        return True

    async def sign_in(self, accounts: Accounts, name: str, password: str) -> User | None:
        """The user, if the password is theirs."""
        user = await accounts.user(name)
        async with self._slots:
            right = await verify_password(user.password_hash if user else None, password)
        return user if right and user is not None and user.disabled_at is None else None
