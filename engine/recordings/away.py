"""Copies of the recordings in an S3-compatible store: uploaded when sealed, read back and compared, fetched again when they are asked for.

Beside each recording that is away lies `CALLID.away`: the names and hashes of what was uploaded **and read back**. A local file is let go
only if the store, asked once more, still holds exactly that. An outage delays copies and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import S3Store

from engine.recordings import keep
from engine.recordings.crypt import KEYS, Tampered
from engine.recordings.formats import sha256
from engine.recordings.keep import MARK, Facts
from engine.recordings.seal import CHAIN

log = structlog.get_logger(__name__)

ONE_PUT_BYTES = 64 * 1024 * 1024
"""Smaller files go up in one request: there is no such thing as half of one."""
CHUNK_BYTES = 1024 * 1024
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
LOOK_AGAIN_SECONDS = 3600.0
"""How often everything is looked through, for what was missed and what may be let go."""
Problem = (BaseError, OSError, TimeoutError)


class Mark(msgspec.Struct, frozen=True):
    """What `CALLID.away` says: the SHA-256 of each file that the store holds, as it was read back."""

    at: datetime
    files: dict[str, str]


def s3_store(
    bucket: str,
    *,
    endpoint: str | None = None,
    region: str = "us-east-1",
    access_key: str | None = None,
    secret_key: str | None = None,
    prefix: str | None = None,
    seconds: float = 30.0,
) -> S3Store:
    """An S3-compatible store. Nothing is connected yet. `seconds` limit each request."""
    keys = {"access_key_id": access_key, "secret_access_key": secret_key, "endpoint": endpoint}
    return S3Store(
        bucket,
        region=region,
        prefix=prefix,
        client_options={"allow_http": True, "timeout": timedelta(seconds=seconds)},
        retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=seconds)},
        **{name: value for name, value in keys.items() if value},  # type: ignore[arg-type]
    )


class Away:
    """Keeps a copy of everything under `root` in `store`. `run` it; tell it what is new with `add`.

    Sound is let go here `keep_local` after it was last asked for; None: never.
    """

    def __init__(self, root: Path, store: S3Store, keep_local: timedelta | None = None) -> None:
        self._root, self._store, self._keep_local = root.absolute(), store, keep_local
        self._due: dict[Path, None] = {}
        """Files of facts (or marks whose recording was erased) that have something to be done about them."""
        self._news = asyncio.Event()
        self._looked = 0.0
        self._chains: dict[Path, str] = {}
        self.problem: str | None = None

    @property
    def waiting(self) -> int:
        """How many recordings are not (as they are now) in the store yet."""
        return len(self._due)

    def add(self, path: Path) -> None:
        """There is something to do about this file of facts, or mark."""
        self._due[path] = None
        self._news.set()

    async def run(self) -> None:
        """Copy, until cancelled. While the store is away, try again and again."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self.catch_up()
            except Problem as error:
                self._complain(str(error).strip().splitlines()[0])
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                continue
            pause = FIRST_PAUSE_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                    await self._news.wait()

    async def catch_up(self) -> None:
        """Do what there is to do. Raises whatever the store raises; what was done stays done."""
        if not self._looked or time.monotonic() - self._looked > LOOK_AGAIN_SECONDS:
            for path in await asyncio.to_thread(self._look_through):
                self._due.setdefault(path)
            self._looked = time.monotonic()
        self._news.clear()
        for path in list(self._due):
            if path.suffix == MARK:
                await self._forget(path)
            else:
                await self._settle(path)
            self._due.pop(path, None)
            self.problem = None

    async def fetch(self, folder: Path, facts: Facts) -> Path:
        """The sound of a recording that is here no more. Raises `OSError` if it cannot be had, `Tampered` if it is not what was kept."""
        path = folder / facts.file
        part = path.with_name(f".{path.name}.part")
        try:
            try:
                digest = await self._download(path, part)
            except BaseError as error:
                raise OSError(f"{path.name} is in the store, which does not give it: {error}") from error
            if digest != facts.sha256:
                raise Tampered(f"what the store holds as {path.name} is not what was kept")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    async def remote_hash(self, path: Path) -> str | None:
        """SHA-256 of what the store holds in the place of this file; None if nothing."""
        try:
            return await self._download(path)
        except FileNotFoundError:
            return None

    # --- one recording ---------------------------------------------------------------------------------------------------------------

    async def _settle(self, path: Path) -> None:
        facts = await asyncio.to_thread(keep.read_facts, path)
        if facts is None:
            return
        folder, mark_path = path.parent, path.with_suffix(MARK)
        mark = await asyncio.to_thread(_read_mark, mark_path)
        known = mark.files if mark else {}
        here = await asyncio.to_thread(_hashes, folder, facts)
        news = {name: digest for name, digest in here.items() if known.get(name) != digest}
        for name, digest in news.items():
            await self._upload(folder / name, digest)
        await self._upload_chain(folder)
        if news:
            await asyncio.to_thread(_write_mark, mark_path, {**known, **here})
            log.info("a recording is in the store", recording=facts.recording)
        if self._keep_local is not None and facts.file in here:
            await self._let_go(folder / facts.file, facts)

    async def _upload(self, path: Path, digest: str) -> None:
        """Put it there, and read it back: only what comes back counts."""
        multipart = (await asyncio.to_thread(path.stat)).st_size > ONE_PUT_BYTES
        await obstore.put_async(self._store, self._key(path), path, use_multipart=multipart)
        if (back := await self._download(path)) != digest:
            raise OSError(f"the store gave back another {path.name} than it was given ({back[:12]}…)")

    async def _upload_chain(self, folder: Path) -> None:
        path = folder / CHAIN
        if path.exists():
            data = await asyncio.to_thread(path.read_bytes)
            digest = hashlib.sha256(data).hexdigest()
            if self._chains.get(path) != digest:
                await obstore.put_async(self._store, self._key(path), data)
                self._chains[path] = digest

    async def _let_go(self, path: Path, facts: Facts) -> None:
        """Delete the local sound if it was not asked for lately and the store still holds it, byte for byte."""
        assert self._keep_local is not None
        asked_for = (await asyncio.to_thread(path.stat)).st_mtime
        if time.time() - asked_for < self._keep_local.total_seconds():
            return
        if await self._download(path) == facts.sha256:
            await asyncio.to_thread(path.unlink)
        else:
            log.error("the store holds something else than was uploaded", recording=facts.recording)
            await asyncio.to_thread(path.with_name(f"{facts.recording}{MARK}").unlink)
            raise OSError(f"{path.name} in the store was changed; it is uploaded again")

    async def _forget(self, mark_path: Path) -> None:
        """The recording was erased here: erase it there."""
        mark = await asyncio.to_thread(_read_mark, mark_path)
        for name in mark.files if mark else ():
            with contextlib.suppress(FileNotFoundError):
                await obstore.delete_async(self._store, self._key(mark_path.with_name(name)))
        await self._upload_chain(mark_path.parent)
        await asyncio.to_thread(mark_path.unlink, missing_ok=True)

    async def _download(self, path: Path, into: Path | None = None) -> str:
        """The hash of what the store holds there, written `into` a file if there is one."""
        got, digest = await obstore.get_async(self._store, self._key(path)), hashlib.sha256()
        file = await asyncio.to_thread((into or Path(os.devnull)).open, "wb")
        with file:
            async for chunk in got.stream(CHUNK_BYTES):
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
            if into:
                await asyncio.to_thread(os.fsync, file.fileno())
        return digest.hexdigest()

    def _key(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _look_through(self) -> list[Path]:
        """Everything that may have something to be done about it."""
        due = []
        for facts in keep.all_facts(self._root):
            mark = facts.with_suffix(MARK)
            if not mark.exists() or self._keep_local is not None or _rekeyed(facts, mark):
                due.append(facts)
        for day in keep.day_folders(self._root):
            due += [mark for mark in day.glob(f"*{MARK}") if not mark.with_suffix(".json").exists()]
        return due

    def _complain(self, problem: str) -> None:
        if self.problem is None:
            log.warning("the store of recordings is away; copies wait", waiting=self.waiting, reason=problem)
        self.problem = problem


def _rekeyed(facts: Path, mark: Path) -> bool:
    keys = facts.with_suffix(KEYS)
    return keys.exists() and keys.stat().st_mtime > mark.stat().st_mtime


def _hashes(folder: Path, facts: Facts) -> dict[str, str]:
    """The files of a recording that are here, with their hashes; those of the sound are as they were kept, whatever lies there now."""
    names = (facts.file, facts.peaks, f"{facts.recording}{KEYS}", f"{facts.recording}.json")
    found = {name: folder / name for name in names if (folder / name).exists()}
    return {name: facts.sha256 if name == facts.file else sha256(path) for name, path in found.items()}


def _read_mark(path: Path) -> Mark | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Mark)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _write_mark(path: Path, files: Mapping[str, str]) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(msgspec.json.encode(Mark(datetime.now(UTC), dict(files))))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    keep.sync_folder(path.parent)
