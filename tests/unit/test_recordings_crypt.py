"""Encryption at rest: what is heard is what was said, and nothing on the disk is."""

from __future__ import annotations

import json
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.company import Keeping
from engine.recordings.archive import Archive
from engine.recordings.crypt import CHUNK_BYTES, KeyLost, KeyRing, Tampered, decrypt, encrypt, new_key
from engine.recordings.export import export
from engine.recordings.folder import RecordingFolder
from engine.recordings.rekey import rekey
from engine.recordings.seal import load_key, public_pem
from engine.recordings.verify import verify
from tests.fakes.legs import RATE, tone, write_leg


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys")


@pytest.fixture
async def folder(root: Path, tmp_path: Path, keys: KeyRing) -> AsyncIterator[RecordingFolder]:
    """One encrypted recording: three seconds, 300 Hz far, 700 Hz ours."""
    archive = Archive(root, load_key(tmp_path / "key.pem"))
    rules = lambda company: Keeping(encrypt=company == "demo")  # noqa: E731
    async with RecordingFolder(root, form="flac", archive=archive, keys=keys, rules=rules).open() as opened:
        await record(opened, root, "c")
        yield opened


async def record(folder: RecordingFolder, root: Path, call: str, company: str = "demo") -> None:
    write_leg(root / "live", call, "in", tone(300, 3.0))
    write_leg(root / "live", call, "out", tone(700, 3.0))
    assert await folder.finish(company, call, 3.0) is not None


def wrongs(root: Path, tmp_path: Path, keys: KeyRing) -> list[str]:
    return [str(one) for one in verify(root, load_key(tmp_path / "key.pem").public_key(), ["c"], keys)]


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]))
def test_any_length_comes_back(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    folder, key = tmp_path_factory.mktemp("crypt"), new_key()
    (folder / "plain").write_bytes(bytes(range(256)) * (length // 256) + bytes(length % 256))
    encrypt(folder / "plain", folder / "x", key, "x")
    decrypt(folder / "x", folder / "again", key, "x")
    assert (folder / "again").read_bytes() == (folder / "plain").read_bytes()


def test_no_byte_and_no_chunk_can_be_changed(tmp_path: Path) -> None:
    key, size = new_key(), CHUNK_BYTES + 16
    (tmp_path / "plain").write_bytes(bytes(3 * CHUNK_BYTES))
    encrypt(tmp_path / "plain", tmp_path / "x", key, "x")
    whole = (tmp_path / "x").read_bytes()
    head, chunks = whole[:8], [whole[8 + n * size : 8 + (n + 1) * size] for n in range(3)]
    forged = {
        "another name": whole,
        "a flipped bit": whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:],
        "cut after a chunk": head + chunks[0] + chunks[1],
        "swapped": head + chunks[1] + chunks[0] + chunks[2],
        "twice": whole + chunks[2],
        "empty": b"",
    }
    for what, data in forged.items():
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(Tampered):
            decrypt(tmp_path / "x", tmp_path / "again", key, "y" if what == "another name" else "x")


async def test_what_is_heard_is_what_was_said(folder: RecordingFolder, root: Path) -> None:
    for leg, pcm in (("in", tone(300, 3.0)), ("out", tone(700, 3.0))):
        with wave.open(str((await folder.listen("c", leg)).path)) as file:
            assert file.readframes(file.getnframes()) == pcm
    original = await folder.listen("c", "both", "flac")
    assert original.path.read_bytes()[:4] == b"fLaC"
    assert json.loads((await folder.peaks("c")).read_text())["seconds"] == 3.0


async def test_nothing_on_the_disk_can_be_heard(folder: RecordingFolder, root: Path) -> None:
    await folder.listen("c", "in")
    await folder.peaks("c")
    (day,) = root.glob("demo/*/*/*")
    names = {"c.flac.enc", "c.peaks.json.enc", "c.keys", "c.json", "chain.jsonl"}
    assert {path.name for path in day.iterdir()} == names
    for path in day.iterdir():
        assert not path.read_bytes().startswith((b"fLaC", b"RIFF", b'{"peaks'))
    if Path("/dev/shm").is_dir():
        assert not list((root / ".rendered").iterdir()), "what was decrypted lies on the disk"


async def test_nothing_decrypted_is_left_behind(root: Path, keys: KeyRing) -> None:
    async with RecordingFolder(
        root, form="wav", keys=keys, rules=lambda _: Keeping(encrypt=True)
    ).open() as folder:
        await record(folder, root, "c")
        heard = (await folder.listen("c")).path
        assert heard.exists()
    assert not heard.exists()


async def test_only_companies_that_want_it(folder: RecordingFolder, root: Path) -> None:
    await record(folder, root, "d", company="other")
    assert not (await folder.find("d")).encrypted
    assert (await folder.find("c")).encrypted
    assert (await folder.listen("d", "both", "flac")).path.name == "d.flac"


async def test_a_new_key_leaves_the_files_as_they_are(
    folder: RecordingFolder, root: Path, keys: KeyRing, tmp_path: Path
) -> None:
    (sound,) = root.rglob("c.flac.enc")
    before, old = sound.read_bytes(), keys.current("demo")
    done = rekey(root, "demo", keys)
    assert (done.recordings, done.failed) == (1, ())
    assert sound.read_bytes() == before
    assert old not in (tmp_path / "keys/demo.json").read_text(), "the former key is still there"
    assert wrongs(root, tmp_path, keys) == []
    async with RecordingFolder(root, keys=keys).open() as again:
        with wave.open(str((await again.listen("c", "in")).path)) as file:
            assert file.readframes(file.getnframes()) == tone(300, 3.0)


async def test_a_lost_key_is_named(
    folder: RecordingFolder, root: Path, keys: KeyRing, tmp_path: Path
) -> None:
    (tmp_path / "keys/demo.json").rename(tmp_path / "gone")
    with pytest.raises(KeyLost, match=r"demo is lost; restore .*demo\.json from a backup"):
        await folder.listen("c")
    assert any("ключ утрачен" in one for one in wrongs(root, tmp_path, keys))
    await record(folder, root, "e")  # a new key is made, and never taken for the lost one
    with pytest.raises(KeyLost):
        await folder.listen("c")
    await folder.listen("e")
    assert rekey(root, "demo", keys).failed
    (sidecar,) = root.rglob("c.keys")
    sidecar.unlink()
    assert any("c.flac.enc: ключ утрачен" in one for one in wrongs(root, tmp_path, keys))


async def test_changed_bytes_are_found(
    folder: RecordingFolder, root: Path, keys: KeyRing, tmp_path: Path
) -> None:
    assert wrongs(root, tmp_path, keys) == []
    for name, what in (("c.flac.enc", "содержимое файла изменено"), ("c.keys", "ключ записи изменён")):
        (path,) = root.rglob(name)
        whole = path.read_bytes()
        at = whole.index(b'"c.flac.enc": "') + 40 if name == "c.keys" else 5000
        path.write_bytes(whole[:at] + (b"0" if whole[at : at + 1] != b"0" else b"1") + whole[at + 1 :])
        assert any(what in one for one in wrongs(root, tmp_path, keys)), name
        path.write_bytes(whole)
    assert wrongs(root, tmp_path, keys) == []


async def test_an_export_is_decrypted_and_proves_itself(
    folder: RecordingFolder, root: Path, tmp_path: Path
) -> None:
    key = load_key(tmp_path / "key.pem")
    (one,) = await export(folder, root, ["c"], tmp_path / "out", public_pem(key.public_key()), "Дело")
    kept = tmp_path / "out" / one.kept
    assert kept.read_bytes()[:4] == b"fLaC"
    assert one.facts.content in (tmp_path / "out/index.html").read_text()


async def test_levels_are_evened_for_listening_alone(root: Path, tmp_path: Path) -> None:
    quiet, loud = tone(300, 4.0, amplitude=600), tone(700, 4.0, amplitude=16_000)
    async with RecordingFolder(root, form="wav").open() as folder:
        write_leg(root / "live", "c", "in", quiet)
        write_leg(root / "live", "c", "out", loud)
        await folder.finish("demo", "c", 4.0)
        heard = {}
        for levels in ("original", "even"):
            with wave.open(str((await folder.listen("c", levels=levels)).path)) as file:
                assert file.getnframes() == 4 * RATE
                samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
            heard[levels] = np.abs(samples[2 * RATE :].astype(int)).max(axis=0)
    assert list(heard["original"]) == pytest.approx([600, 16_000], abs=20)
    left, right = heard["even"]
    assert 0.5 < left / right < 2, f"not even: {left} and {right}"
    assert left > 6000


async def test_silences_are_on_the_map(root: Path) -> None:
    async with RecordingFolder(root, form="wav").open() as folder:
        write_leg(root / "live", "c", "in", tone(300, 2.0) + bytes(2 * RATE * 3) + tone(300, 1.0))
        write_leg(root / "live", "c", "out", tone(700, 6.0))
        await folder.finish("demo", "c", 6.0)
        silences = json.loads((await folder.peaks("c")).read_text())["silences"]
    assert silences == {"left": [[2.0, 5.0]], "right": []}
