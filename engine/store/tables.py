"""The tables. `events` is the truth; `tickets`, `calls`, `texts` and `recordings` are folded from it and can be built anew.

One schema for SQLite and PostgreSQL: instants are microseconds since 1970 UTC in a BIGINT, which both keep exactly; JSON is text.
There is no foreign key from the truth to what is folded from it, nor between projections: they must never refuse a fact.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

FIRST_TICKET = 1001


class Instant(TypeDecorator[datetime]):
    """An aware datetime, kept as UTC microseconds."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _instant(name: str, *, always: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, Instant, nullable=not always)


def _text(name: str, *, always: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=not always)


# Not WITHOUT ROWID: clustered by ticket, each event of another ticket dirties a page of its own, seven times the bytes to sync.
events = sa.Table(
    "events",
    metadata,
    sa.Column("ticket", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    _instant("at", always=True),
    _text("type", always=True),
    _text("data", always=True),
)

tickets = sa.Table(
    "tickets",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    _text("company", always=True),
    _text("status", always=True),
    _text("channel", always=True),
    _text("urgency"),
    _text("cause"),
    _text("title"),
    _text("house"),
    _text("flat"),
    _text("address"),
    _text("phone"),
    _text("did"),
    _text("applicant"),
    _text("text"),
    _text("policy"),
    _text("accepted_by"),
    _text("accepted_name"),
    _instant("accepted_at"),
    _instant("opened_at", always=True),
    _instant("closed_at"),
    sa.Column("walk_over", sa.Boolean, nullable=False),
    sa.Index(None, "company", "number"),
    sa.Index(None, "status"),
    sa.Index(None, "house"),
    sa.Index(None, "phone"),
    sa.Index(None, "walk_over"),
)

calls = sa.Table(
    "calls",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("ticket", sa.BigInteger, nullable=False),
    _text("company", always=True),
    _text("kind", always=True),
    sa.Column("started", sa.Boolean, nullable=False),
    _text("number"),
    _text("did"),
    _text("contact"),
    _instant("started_at", always=True),
    _instant("answered_at"),
    _instant("ended_at"),
    _text("outcome"),
    sa.Column("cause", sa.Integer),
    _text("ended_by"),
    sa.Column("seconds", sa.Double),
    _text("recording"),
    sa.Column("recording_seconds", sa.Double),
    _text("flaw"),
    sa.Index(None, "ticket"),
    sa.Index(None, "company", "started_at"),
    sa.Index(None, "started", "ended_at"),
)

texts = sa.Table(
    "texts",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("ticket", sa.BigInteger, nullable=False),
    _text("company", always=True),
    _text("number", always=True),
    _text("contact"),
    _text("template", always=True),
    _text("body", always=True),
    _text("status", always=True),
    _text("provider"),
    sa.Column("parts", sa.Integer),
    _text("reason"),
    _instant("queued_at", always=True),
    _instant("changed_at", always=True),
    sa.Index(None, "ticket"),
    sa.Index(None, "company", "queued_at"),
    sa.Index(None, "status"),
)

recordings = sa.Table(
    "recordings",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("ticket", sa.BigInteger, nullable=False),
    _text("company", always=True),
    _text("call", always=True),
    sa.Column("seconds", sa.Double, nullable=False),
    _text("flaw"),
    _instant("attached_at", always=True),
    sa.Index(None, "ticket"),
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("ticket", sa.BigInteger, nullable=False),
)

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

claims = sa.Table(
    "claims",
    metadata,
    sa.Column("what", sa.Text, primary_key=True),
    _text("owner", always=True),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Index(None, "until"),
)
"""Used where several engines share the database. `until` is microseconds since 1970 by the database's own clock."""

users = sa.Table(
    "users",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _text("role", always=True),
    _text("company"),
    _text("password_hash"),
    _instant("created_at", always=True),
    _instant("disabled_at"),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("user", sa.Text, sa.ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    _instant("created_at", always=True),
    _instant("expires_at", always=True),
    sa.Index(None, "user"),
)

login_links = sa.Table(
    "login_links",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("user", sa.Text, sa.ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    _instant("created_at", always=True),
    _instant("expires_at", always=True),
    _instant("used_at"),
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),
    _text("name", always=True),
    _text("scopes", always=True),
    _text("company"),
    _instant("created_at", always=True),
    _instant("revoked_at"),
    _instant("last_used_at"),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    _instant("at", always=True),
    _text("who", always=True),
    _text("what", always=True),
    sa.Column("ticket", sa.BigInteger),
    _text("recording"),
    sa.Index(None, "at"),
    sa.Index(None, "ticket"),
)
