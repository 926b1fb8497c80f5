"""Opens the database: connection pools for SQLite and PostgreSQL, the lock on an SQLite file, and migrations."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from engine.domain.errors import StoreFailed, StoreInUse

READ_CONNECTIONS = 4
BUSY_SECONDS = 5.0
"""How long SQLite waits for another process's write (a command of `dozvon` beside the engine)."""
CONNECT_SECONDS = 5.0
STATEMENT_SECONDS = 15.0
_MIGRATION_LOCK = 7_301_001
_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    f"busy_timeout = {int(BUSY_SECONDS * 1000)}",
    "temp_store = MEMORY",
    "journal_size_limit = 67108864",
)


def parse(url: str) -> URL:
    """The URL with the driver that we use: `sqlite:///path` or `postgresql://…`. Raises `ValueError` for any other database."""
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise ValueError(f"{url}: name a file, as in sqlite:////var/lib/dozvon/dozvon.sqlite")
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+asyncpg")
        case other:
            raise ValueError(f"{other} is not supported; use sqlite:///FILE or postgresql://USER@HOST/NAME")


@asynccontextmanager
async def pool(url: URL, connections: int, *, autocommit: bool = False) -> AsyncIterator[AsyncEngine]:
    """A pool of so many connections, closed on leaving. Nothing is opened before its first use."""
    options: dict[str, Any] = {"pool_size": connections, "max_overflow": 0}
    if autocommit:
        options["isolation_level"] = "AUTOCOMMIT"
    if url.get_backend_name() == "sqlite":
        # A transaction never outlives its block here, so giving a connection back needs no ROLLBACK of its own.
        options |= {"pool_reset_on_return": None, "connect_args": {"timeout": BUSY_SECONDS}}
    else:
        options["connect_args"] = {"timeout": CONNECT_SECONDS, "command_timeout": STATEMENT_SECONDS}
    engine = create_async_engine(url, **options)
    if url.get_backend_name() == "sqlite":
        sa.event.listen(engine.sync_engine, "connect", _set_pragmas)
    try:
        yield engine
    finally:
        await engine.dispose()


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def sole_user(url: URL) -> Iterator[None]:
    """Hold an SQLite file for this process alone; the kernel lets go of it however we die. On PostgreSQL: nothing.

    Raises `StoreInUse` if another process holds it.
    """
    if url.get_backend_name() != "sqlite":
        yield
        return
    database = Path(url.database or "")
    beside = database.with_name(database.name + "-lock")
    database.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # it holds personal data
    handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            raise StoreInUse(
                f"{database} is in use by another engine (process {holder}); stop that one first, "
                "or move this one by DOZVON_DATA_DIR, or use PostgreSQL, where a second engine stands by"
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


async def backup(engine: AsyncEngine, path: Path) -> None:
    """See `Store.backup`."""
    if engine.dialect.name != "sqlite":
        raise ValueError("a PostgreSQL database is backed up by its own pg_dump")
    if await asyncio.to_thread(path.exists):
        raise FileExistsError(f"{path} exists already; a backup never overwrites anything")
    try:
        async with engine.connect() as connection:
            await connection.execute(sa.text("VACUUM INTO :path"), {"path": str(path)})
    except sa.exc.SQLAlchemyError as error:
        raise StoreFailed(f"the backup to {path} failed: {error}") from error


async def migrate(engine: AsyncEngine) -> None:
    """Bring the schema to the newest version, all or nothing. Raises `StoreFailed` for a schema that is newer than this engine."""
    try:
        async with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            await connection.run_sync(_upgrade)
            await connection.commit()
    except sa.exc.SQLAlchemyError as error:
        raise StoreFailed(f"the database schema could not be brought up to date: {error}") from error
    except OSError as error:
        raise StoreFailed(
            f"the database cannot be reached ({error}); see that it is up and its URL is right"
        ) from error
    except CommandError as error:
        raise StoreFailed(f"the database was made by a newer engine ({error}); start that one") from error


def _upgrade(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "engine.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
