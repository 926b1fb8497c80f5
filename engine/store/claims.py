"""Who is about what must not be done twice, such as the sending of a text. A claim ends by itself, for its owner may be dead.

Where only one process has the database (SQLite), this process's memory is enough: a restart has nobody to wait for. Several engines
on one PostgreSQL agree by a table, and by the database's clock, which is the same for all of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store.tables import claims

KEPT_AFTER = timedelta(hours=1)
"""A claim that ended so long ago is swept away when the next engine starts."""

_now = sa.cast(sa.extract("epoch", sa.func.clock_timestamp()) * 1_000_000, sa.BigInteger)
_insert: Any = postgresql.insert(claims).values(
    what=sa.bindparam("what"),
    owner=sa.bindparam("owner"),
    until=_now + sa.bindparam("microseconds", type_=sa.BigInteger),
)
_CLAIM = _insert.on_conflict_do_update(
    index_elements=[claims.c.what],
    set_={"owner": _insert.excluded.owner, "until": _insert.excluded.until},
    where=sa.or_(claims.c.until <= _now, claims.c.owner == _insert.excluded.owner),
).returning(claims.c.what)
_SWEEP = sa.delete(claims).where(claims.c.until < _now - KEPT_AFTER // timedelta(microseconds=1))


async def claim(connection: AsyncConnection, what: str, owner: str, seconds: float) -> bool:
    """See `ports.Store.claim`; on PostgreSQL. Of two at the same instant the second waits for the first, and is refused."""
    asked = {"what": what, "owner": owner, "microseconds": int(seconds * 1_000_000)}
    return (await connection.execute(_CLAIM, asked)).first() is not None


async def sweep(connection: AsyncConnection) -> None:
    """Delete the claims of long ago."""
    await connection.execute(_SWEEP)


@dataclass(slots=True)
class OwnClaims:
    """The claims of a database that this process has for itself."""

    _claims: dict[str, tuple[str, float]] = field(default_factory=dict)

    def claim(self, what: str, owner: str, seconds: float) -> bool:
        """See `ports.Store.claim`."""
        now = time.monotonic()
        held = self._claims.get(what)
        if held is not None and held[0] != owner and now < held[1]:
            return False
        for stale in [name for name, (_, until) in self._claims.items() if until <= now]:
            del self._claims[stale]
        self._claims[what] = owner, now + seconds
        return True
