"""A PostgreSQL for tests: `DATABASE_URL` if set, else Debian's binaries run as an unprivileged user on a socket in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.engine import make_url

MISSING = "PostgreSQL is not installed (apt-get install postgresql) and DATABASE_URL is not set"


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL's programs, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@contextmanager
def server_or_skip() -> Iterator[str]:
    """The server that the tests are to use; skips the test if there is none."""
    named = os.environ.get("DATABASE_URL", "")
    if named.startswith("postgres"):
        yield named
    elif binaries() is None:
        pytest.skip(MISSING)
    else:
        with server() as url:
            yield url


@asynccontextmanager
async def database(url: str) -> AsyncIterator[str]:
    """A fresh, empty database on the server, as a URL; dropped on leaving."""
    named = make_url(url)
    name = f"dozvon_{uuid4().hex}"
    admin = await asyncpg.connect(named.set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        yield named.set(database=name).render_as_string(hide_password=False)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@contextmanager
def server() -> Iterator[str]:
    """A server of our own with durable commits, as an SQLAlchemy URL; gone with all its data on leaving."""
    bin_folder = binaries()
    assert bin_folder is not None, MISSING
    with tempfile.TemporaryDirectory(prefix="dozvon-pg-", dir="/tmp") as name:
        folder = Path(name)
        demote: dict[str, object] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            try:
                user = pwd.getpwnam("postgres")
            except KeyError:
                user = pwd.getpwnam("nobody")
            os.chown(folder, user.pw_uid, user.pw_gid)
            demote = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

        def run(*command: str | Path) -> None:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=60, env={"LC_ALL": "C"}, **demote
            )
            assert done.returncode == 0, done.stdout + done.stderr

        data = folder / "data"
        run(bin_folder / "initdb", "-D", data, "-U", "dozvon", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c max_connections=40"
        control = bin_folder / "pg_ctl"
        run(control, "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql://dozvon@/postgres?host={folder}"
        finally:
            run(control, "-D", data, "-m", "immediate", "-w", "stop")
