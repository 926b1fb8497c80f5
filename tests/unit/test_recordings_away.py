"""Copies in an S3-compatible store (moto's server): what comes back counts, an outage delays, nothing is let go unchecked."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import obstore
import pytest

from engine.domain.company import Keeping
from engine.recordings.archive import Archive
from engine.recordings.away import Away
from engine.recordings.crypt import KeyRing, Tampered
from engine.recordings.folder import RecordingFolder
from engine.recordings.rekey import rekey
from engine.recordings.seal import load_key
from engine.recordings.verify import verify
from tests.fakes.legs import tone, write_leg
from tests.fakes.s3 import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@asynccontextmanager
async def keeping(
    root: Path, away: Away, *, encrypt: bool = False
) -> AsyncIterator[tuple[RecordingFolder, Archive]]:
    archive = Archive(root, load_key(root.parent / "key.pem"))
    keys = KeyRing(root.parent / "keys")
    rules = lambda company: Keeping(encrypt=encrypt)  # noqa: E731
    folder = RecordingFolder(root, form="wav", archive=archive, keys=keys, rules=rules, away=away)
    async with folder.open():
        yield folder, archive


async def record(folder: RecordingFolder, root: Path, call: str) -> None:
    write_leg(root / "live", call, "in", tone(300, 1.0))
    write_leg(root / "live", call, "out", tone(700, 1.0))
    assert await folder.finish("demo", call, 1.0) is not None


def wrongs(root: Path, away: Away) -> list[str]:
    key = load_key(root.parent / "key.pem").public_key()
    return [str(one) for one in verify(root, key, away=lambda path: asyncio.run(away.remote_hash(path)))]


async def test_uploaded_let_go_and_fetched_again(server: Server, root: Path) -> None:
    away = Away(root, server.store(), keep_local=timedelta(days=1))
    async with keeping(root, away, encrypt=True) as (folder, _):
        await record(folder, root, "c")
        assert away.waiting == 1
        await away.catch_up()
        assert away.waiting == 0
        assert server.names() == ["c.json", "c.keys", "c.peaks.json.enc", "c.wav.enc", "chain.jsonl"]
        (sound,) = root.rglob("c.wav.enc")
        kept = sound.read_bytes()
        os.utime(sound, (1, 1))  # nobody has asked for it since
        away.add(sound.with_name("c.json"))
        await away.catch_up()
        assert not sound.exists()
        assert await asyncio.to_thread(wrongs, root, away) == []
        await folder.listen("c", "in")
        assert sound.read_bytes() == kept, "it is here again"


async def test_an_outage_delays_and_loses_nothing(server: Server, root: Path) -> None:
    away = Away(root, server.store())
    async with keeping(root, away) as (folder, _):
        server.stop()
        for call in ("a", "b"):
            await record(folder, root, call)
        running = asyncio.create_task(away.run())
        async with asyncio.timeout(30):
            while away.problem is None:
                await asyncio.sleep(0.05)
        assert away.waiting == 2
        assert not list(root.rglob("*.away"))
        await record(folder, root, "c")
        server.start()
        async with asyncio.timeout(30):
            while away.waiting:
                await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.wait({running})
    assert [name for name in server.names() if name.endswith(".wav")] == ["a.wav", "b.wav", "c.wav"]
    assert away.problem is None


async def test_a_restart_finds_what_was_not_copied(server: Server, root: Path) -> None:
    async with keeping(root, Away(root, server.store())) as (folder, _):
        await record(folder, root, "c")  # and the engine is killed before the upload
    later = Away(root, server.store())
    await later.catch_up()
    assert "c.wav" in server.names()
    again = Away(root, server.store())
    await again.catch_up()
    assert again.waiting == 0


async def test_what_the_store_has_spoilt_is_never_relied_on(server: Server, root: Path) -> None:
    away = Away(root, server.store(), keep_local=timedelta(days=1))
    async with keeping(root, away) as (folder, _):
        await record(folder, root, "c")
        await away.catch_up()
        (sound,) = root.rglob("c.wav")
        key = f"{sound.relative_to(root).as_posix()}"
        obstore.put(server.store(), key, b"RIFF something else")
        os.utime(sound, (1, 1))
        away.add(sound.with_name("c.json"))
        with pytest.raises(OSError, match="was changed; it is uploaded again"):
            await away.catch_up()
        assert sound.exists(), "the only good copy was deleted"
        assert away.waiting == 1
        os.utime(sound)
        await away.catch_up()  # as `run` would
        assert await away.remote_hash(sound) == (await folder.find("c")).sha256
        sound.unlink()
        obstore.put(server.store(), key, b"RIFF something else")
        with pytest.raises(Tampered):
            await folder.listen("c")
        assert not sound.exists()
    assert any("в хранилище лежит не то" in one for one in await asyncio.to_thread(wrongs, root, away))


async def test_what_is_erased_here_is_erased_there(server: Server, root: Path) -> None:
    away = Away(root, server.store())
    async with keeping(root, away) as (folder, _):
        await record(folder, root, "c")
        await record(folder, root, "d")
        await away.catch_up()
        server.stop()
        await folder.erase("c", "dozvon", "срок хранения истёк")
        with pytest.raises(obstore.exceptions.BaseError):
            await away.catch_up()
        server.start()
        restarted = Away(root, server.store())  # and the engine was killed meanwhile
        await restarted.catch_up()
        assert server.names() == ["chain.jsonl", "d.json", "d.peaks.json", "d.wav"]
        assert not list(root.rglob("c.away"))
        chain = bytes(obstore.get(server.store(), next(iter(_chains(server)))).bytes())
        assert json.loads(chain.splitlines()[-1])["what"] == "erased"
    assert await asyncio.to_thread(wrongs, root, restarted) == []


def _chains(server: Server) -> list[str]:
    found = [str(entry["path"]) for page in obstore.list(server.store()) for entry in page]
    return [name for name in found if name.endswith("chain.jsonl")]


async def test_a_new_key_is_copied_without_the_recording(server: Server, root: Path) -> None:
    away = Away(root, server.store())
    async with keeping(root, away, encrypt=True) as (folder, _):
        await record(folder, root, "c")
        await away.catch_up()
        (sidecar,) = root.rglob("c.keys")
        before = await away.remote_hash(sidecar)
        mark = sidecar.with_name("c.away")
        os.utime(mark, (1, 1))
        rekey(root, "demo", KeyRing(root.parent / "keys"))
        again = Away(root, server.store())
        await again.catch_up()
        assert await again.remote_hash(sidecar) != before
