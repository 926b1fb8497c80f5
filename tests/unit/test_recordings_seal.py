"""The seal: whatever is changed, taken away or added is found and named."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import NotKnown
from engine.recordings.archive import Archive, OnHold
from engine.recordings.folder import RecordingFolder
from engine.recordings.seal import KEPT, Chain, Link, chain_files, links, load_key, load_public_key
from engine.recordings.verify import verify
from tests.fakes.legs import tone, write_leg

CALLS = ("a", "b", "c")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def key(tmp_path: Path) -> Ed25519PrivateKey:
    return load_key(tmp_path / "secrets/recordings.pem")


@pytest.fixture
def archive(root: Path, key: Ed25519PrivateKey) -> Archive:
    return Archive(root, key)


@pytest.fixture
async def folder(root: Path, archive: Archive) -> AsyncIterator[RecordingFolder]:
    """Three calls of a company, kept and sealed."""
    live = root / "live"
    async with RecordingFolder(root, live, form="wav", archive=archive).open() as opened:
        for call in CALLS:
            write_leg(live, call, "in", tone(300, 0.5))
            write_leg(live, call, "out", tone(700, 0.5))
            await opened.finish("demo", call, 0.5)
        yield opened


def wrongs(root: Path, key: Ed25519PrivateKey, known: Iterable[str] = CALLS) -> list[str]:
    return [str(wrong) for wrong in verify(root, key.public_key(), known)]


def file(root: Path, name: str) -> Path:
    (path,) = root.glob(f"demo/*/*/*/{name}")
    return path


@pytest.mark.usefixtures("folder")
def test_untouched_nothing_is_wrong(root: Path, key: Ed25519PrivateKey) -> None:
    assert wrongs(root, key) == []


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["b.wav", "b.json", "b.peaks.json"])
def test_any_flipped_byte_is_named(root: Path, key: Ed25519PrivateKey, name: str) -> None:
    path = file(root, name)
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 50)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        (wrong,) = wrongs(root, key)
        assert name in wrong
        assert "изменено" in wrong


@pytest.mark.usefixtures("folder")
def test_every_byte_of_the_chain_counts(root: Path, key: Ed25519PrivateKey) -> None:
    path = file(root, "chain.jsonl")
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert any("chain.jsonl" in wrong for wrong in wrongs(root, key)), place


@pytest.mark.usefixtures("folder")
def test_missing_shortened_and_added_files_are_named(root: Path, key: Ed25519PrivateKey) -> None:
    file(root, "a.wav").unlink()
    shortened = file(root, "b.wav")
    shortened.write_bytes(shortened.read_bytes()[:-2])
    (shortened.parent / "d.wav").write_bytes(b"RIFF")
    missing, short, added = wrongs(root, key)
    assert "a.wav" in missing
    assert "файла нет" in missing
    assert "b.wav: длина файла" in short
    assert "d.wav: файл добавлен" in added


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_recording_taken_away_with_its_line_is_missed(
    root: Path, key: Ed25519PrivateKey, gone: int
) -> None:
    path = file(root, "chain.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:gone] + lines[gone + 1 :]))
    for taken in root.glob(f"demo/*/*/*/{CALLS[gone]}.*"):
        taken.unlink()
    assert wrongs(root, key)


@pytest.mark.usefixtures("folder")
def test_another_key_is_no_key(root: Path) -> None:
    assert len(wrongs(root, Ed25519PrivateKey.generate())) == len(CALLS)


async def test_a_crash_before_the_seal_is_mended_by_finishing_again(
    folder: RecordingFolder, root: Path, key: Ed25519PrivateKey
) -> None:
    path = file(root, "chain.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:40])  # the last line was cut while it was written
    for side, hertz in (("in", 300), ("out", 700)):
        write_leg(root / "live", "c", side, tone(hertz, 0.5))
    async with RecordingFolder(root, root / "live", form="wav", archive=Archive(root, key)).open() as again:
        assert sorted(await again.orphans()) == ["a", "b", "c"]
        assert await again.finish("demo", "c", 0.5) == await folder.finish("demo", "c", 0.5)
    assert wrongs(root, key) == []


def test_days_are_linked(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    company = tmp_path / "demo"
    chain, day = Chain(company, key), datetime(2026, 11, 21, 12, tzinfo=UTC)
    for number in range(6):
        chain.append(KEPT, f"r{number}", now=day + timedelta(days=number // 2))
    assert len(chain_files(company)) == 3
    assert wrongs(tmp_path, key, ()) == []
    chain_files(company)[1].unlink()  # a whole day
    assert len(wrongs(tmp_path, key, ())) == 1


def test_two_processes_take_turns(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    engine, command = Chain(tmp_path / "demo", key), Chain(tmp_path / "demo", key)
    day = datetime(2026, 11, 21, 23, 59, tzinfo=UTC)
    for minute in range(6):
        (command if minute % 3 else engine).append(
            KEPT, f"r{minute}", now=day + timedelta(minutes=minute // 2)
        )
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: Chain(tmp_path / "demo", key).append(KEPT, f"s{n}"), range(20)))
    assert wrongs(tmp_path, key, [f"r{n}" for n in range(6)] + [f"s{n}" for n in range(20)]) == []


def test_a_clock_that_went_back_does_not_break_the_chain(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    day = datetime(2026, 11, 21, 12, tzinfo=UTC)
    Chain(tmp_path / "demo", key).append(KEPT, "r1", now=day)
    Chain(tmp_path / "demo", key).append(KEPT, "r2", now=day - timedelta(days=3))
    (path,) = chain_files(tmp_path / "demo")
    assert [link.recording for link in links(path)] == ["r1", "r2"]


async def test_erased_leaves_the_fact_and_the_hash(
    folder: RecordingFolder, archive: Archive, root: Path, key: Ed25519PrivateKey
) -> None:
    await folder.listen("b", "in")
    facts = await folder.find("b")
    archive.erase("b", by="retention", reason="срок хранения истёк")
    assert not list(root.rglob("*b.wav"))
    assert not list(root.glob(".rendered/*-b-*"))
    with pytest.raises(NotKnown):
        await folder.find("b")
    assert wrongs(root, key) == []
    assert facts.sha256 in file(root, "chain.jsonl").read_text()
    with pytest.raises(NotKnown):
        archive.erase("b", by="retention", reason="ещё раз")


@pytest.mark.usefixtures("folder")
def test_what_is_on_hold_is_not_erased(archive: Archive, root: Path, key: Ed25519PrivateKey) -> None:
    later = datetime.now(UTC) + timedelta(days=1100)
    assert list(archive.expired("demo", now=later)) == list(CALLS)
    assert archive.expired("demo") == []
    archive.hold("b", by="юрист", reason="дело 2-17/2026")
    assert list(archive.expired("demo", now=later)) == ["a", "c"]
    with pytest.raises(OnHold):
        archive.erase("b", by="retention", reason="срок")
    archive.release("b", by="юрист", reason="дело закрыто")
    archive.erase("b", by="retention", reason="срок")
    assert wrongs(root, key) == []
    with pytest.raises(NotKnown):
        archive.hold("unknown", by="юрист", reason="дело")


def test_the_key_is_made_once_and_is_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "recordings.pem"
    made = load_key(path)
    assert load_key(path).private_bytes_raw() == made.private_bytes_raw()
    assert os.stat(path).st_mode & 0o777 == 0o600
    public = load_public_key(path.with_suffix(".pub").read_bytes())
    assert public.public_bytes_raw() == made.public_key().public_bytes_raw()
    path.write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"."):
        load_key(path)


@given(st.binary(max_size=200))
def test_junk_is_no_line(junk: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Link.read(junk)
