"""The folder of recordings: joining, repairing, listening, and never losing a leg."""

from __future__ import annotations

import asyncio
import json
import os
import time
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

import engine.recordings.folder as folder_module
from engine.domain.errors import NotKnown
from engine.recordings.folder import Listened, RecordingFolder
from engine.recordings.formats import find_ffmpeg, sha256
from engine.recordings.legs import read_leg, writers, writers_of
from tests.fakes.legs import RATE, header, tone, write_leg

FAR, OURS = 300, 700


@pytest.fixture
def live(tmp_path: Path) -> Path:
    return tmp_path / "live"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture(params=["wav", "opus", "flac"])
async def folder(request: pytest.FixtureRequest, root: Path, live: Path) -> AsyncIterator[RecordingFolder]:
    if request.param != "wav" and not find_ffmpeg():
        pytest.skip("no ffmpeg")
    async with RecordingFolder(root, live, form=request.param).open() as opened:
        yield opened


@pytest.fixture
async def wav_folder(root: Path, live: Path) -> AsyncIterator[RecordingFolder]:
    async with RecordingFolder(root, live, form="wav").open() as opened:
        yield opened


def heard(listened: Listened) -> np.ndarray:
    """(channels, samples) of a WAV."""
    with wave.open(str(listened.path)) as file:
        assert file.getframerate() == RATE
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return samples.reshape(-1, file.getnchannels()).T


def pitch(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples.astype(float)))
    return float(spectrum.argmax() * RATE / len(samples))


async def test_left_is_the_far_end_and_right_is_we(folder: RecordingFolder, live: Path) -> None:
    write_leg(live, "c", "in", tone(FAR, 3))
    write_leg(live, "c", "out", tone(OURS, 3))
    await folder.finish("demo", "c", 3.0)
    left, right = heard(await folder.listen("c"))
    assert len(left) / RATE == pytest.approx(3, abs=0.001)
    assert (round(pitch(left)), round(pitch(right))) == (FAR, OURS)
    for leg, hertz in (("in", FAR), ("out", OURS)):
        (alone,) = heard(await folder.listen("c", leg))
        assert round(pitch(alone)) == hertz
        assert len(alone) / RATE == pytest.approx(3, abs=0.001)


async def test_a_side_that_is_silent_stays_silent(folder: RecordingFolder, live: Path) -> None:
    write_leg(live, "c", "in", bytes(2 * RATE * 2))
    write_leg(live, "c", "out", tone(OURS, 2))
    kept = await folder.finish("demo", "c", 2.0)
    assert kept is not None
    assert kept.flaw is None, "that one side says nothing is no flaw"
    left, right = heard(await folder.listen("c"))
    assert np.abs(left).max() < 16
    assert np.abs(right).max() > 7000
    assert (await folder.find("c")).legs["in"].silent


async def test_unequal_legs_are_padded(folder: RecordingFolder, live: Path) -> None:
    write_leg(live, "c", "in", tone(FAR, 1.0))
    write_leg(live, "c", "out", tone(OURS, 2.0))
    kept = await folder.finish("demo", "c", 2.0)
    assert kept is not None
    assert (kept.seconds, kept.flaw) == (2.0, None)
    left, _ = heard(await folder.listen("c"))
    assert np.abs(left[: RATE // 2]).max() > 7000
    assert np.abs(left[int(1.1 * RATE) :]).max() < 16


async def test_what_is_kept_on_disk(wav_folder: RecordingFolder, root: Path, live: Path) -> None:
    started = 1_795_287_848
    for side in ("in", "out"):
        os.utime(write_leg(live, "c", side, tone(FAR, 2.0)), (started + 2, started + 2))
    await wav_folder.finish("demo", "c", 2.0)
    day = root / "demo/2026/11/21"
    assert sorted(file.name for file in day.iterdir()) == ["c.json", "c.peaks.json", "c.wav"]
    assert list(live.iterdir()) == []
    facts = json.loads((day / "c.json").read_text())
    assert facts["sha256"] == sha256(day / "c.wav")
    assert facts["started"] == "2026-11-21T19:04:08Z"
    peaks = json.loads((await wav_folder.peaks("c")).read_text())
    assert len(peaks["left"]) == len(peaks["right"]) == 20
    assert max(peaks["left"]) == pytest.approx(8000 / 32768 * 1000, abs=1)


async def test_long_calls_are_joined_in_blocks(wav_folder: RecordingFolder, live: Path) -> None:
    pcm = np.arange(95 * RATE + 7, dtype="<i4").astype("<i2").tobytes()
    write_leg(live, "c", "in", pcm)
    write_leg(live, "c", "out", tone(OURS, 40))
    await wav_folder.finish("demo", "c", None)
    left, right = heard(await wav_folder.listen("c"))
    assert left.tobytes() == pcm
    assert right[: 40 * RATE].tobytes() == tone(OURS, 40)
    assert not right[40 * RATE :].any()


@pytest.mark.parametrize("cut", [0, 10, 44, 45, 20_000])
async def test_a_leg_cut_by_a_crash_is_repaired(wav_folder: RecordingFolder, live: Path, cut: int) -> None:
    """SIGKILL leaves the sizes at zero and the file cut anywhere."""
    for side in ("in", "out"):
        path = write_leg(live, "c", side, tone(FAR, 2.0), closed=False)
        path.write_bytes(path.read_bytes()[:cut])
    kept = await wav_folder.finish("demo", "c", 2.0)
    assert kept is not None
    assert kept.seconds == pytest.approx(max(0, (cut - 44) // 2) / RATE)
    assert kept.flaw == ("repaired" if cut == 20_000 else "missing")


async def test_a_missing_leg_is_flagged_and_the_other_kept(wav_folder: RecordingFolder, live: Path) -> None:
    write_leg(live, "c", "out", tone(OURS, 2.0))
    kept = await wav_folder.finish("demo", "c", 2.0)
    assert kept is not None
    assert (kept.seconds, kept.flaw) == (2.0, "missing")


async def test_both_silent_is_flagged(wav_folder: RecordingFolder, live: Path) -> None:
    for side in ("in", "out"):
        write_leg(live, "c", side, bytes(RATE * 2))
    kept = await wav_folder.finish("demo", "c", 1.0)
    assert kept is not None
    assert kept.flaw == "silent"


async def test_it_waits_until_the_legs_are_closed(wav_folder: RecordingFolder, live: Path) -> None:
    paths = [write_leg(live, "c", side, tone(FAR, 1.0), closed=False) for side in ("in", "out")]
    held = [path.open("r+b") for path in paths]
    assert await wav_folder.orphans() == [], "what is being written is no orphan"
    finishing = asyncio.create_task(wav_folder.finish("demo", "c", 1.0))
    done, _ = await asyncio.wait([finishing], timeout=0.2)
    assert not done
    for file in held:
        file.seek(0)
        file.write(header(2 * RATE))
        file.close()
    kept = await finishing
    assert kept is not None
    assert kept.flaw is None


async def test_a_live_call_is_never_cut(
    wav_folder: RecordingFolder, live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "CLOSE_SECONDS", 0.2)
    paths = [write_leg(live, "c", side, tone(FAR, 1.0), closed=False) for side in ("in", "out")]
    with paths[0].open("r+b"):
        with pytest.raises(TimeoutError, match="still being written"):
            await wav_folder.finish("demo", "c", 1.0)
        assert all(path.exists() for path in paths)
    assert await wav_folder.orphans() == ["c"]


async def test_a_crash_after_keeping_leaves_nothing_behind(wav_folder: RecordingFolder, live: Path) -> None:
    for side in ("in", "out"):
        write_leg(live, "c", side, tone(FAR, 1.0))
    kept = await wav_folder.finish("demo", "c", 1.0)
    for side in ("in", "out"):  # as if we had died before the legs were let go
        write_leg(live, "c", side, tone(FAR, 1.0))
    assert await wav_folder.orphans() == ["c"]
    assert await wav_folder.finish("demo", "c", 1.0) == kept
    assert list(live.iterdir()) == []


async def test_recorded_twice_under_one_id_loses_nothing(wav_folder: RecordingFolder, live: Path) -> None:
    for seconds in (1.0, 2.0):
        for side in ("in", "out"):
            write_leg(live, "c", side, tone(FAR, seconds))
        await wav_folder.finish("demo", "c", 1.0)
    assert await wav_folder.orphans() == ["c@2"]
    second = await wav_folder.finish("demo", "c@2", None)
    assert second is not None
    assert second.seconds == 2.0
    assert (await wav_folder.find("c")).seconds == 1.0


async def test_leftovers_of_a_crash_are_swept_at_start(root: Path, live: Path) -> None:
    from datetime import UTC, datetime

    day = root / f"demo/{datetime.now(UTC):%Y/%m/%d}"
    day.mkdir(parents=True)
    (day / ".c.part").write_bytes(b"half")
    (day / ".c.part.pcm").write_bytes(b"half")
    async with RecordingFolder(root, live).open():
        assert list(day.iterdir()) == []


async def test_many_at_once(folder: RecordingFolder, live: Path) -> None:
    calls = [f"call-{n}" for n in range(12)]
    for call in calls:
        write_leg(live, call, "in", tone(FAR, 1.0))
        write_leg(live, call, "out", tone(OURS, 1.0))
    kept = await asyncio.gather(*(folder.finish("demo", call, 1.0) for call in calls for _ in range(2)))
    assert {one.recording for one in kept if one} == set(calls)


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of our own needs root")
async def test_a_full_disk_loses_no_leg(tmp_path: Path, live: Path) -> None:
    import subprocess

    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(small)], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        for side in ("in", "out"):
            write_leg(live, "c", side, tone(FAR, 10.0))
        async with RecordingFolder(small / "kept", live, form="wav").open() as folder:
            with pytest.raises(Exception, match="No space left"):
                await folder.finish("demo", "c", 10.0)
            assert await folder.orphans() == ["c"]
            subprocess.run(["mount", "-o", "remount,size=8m", str(small)], check=True)
            kept = await folder.finish("demo", "c", 10.0)
            assert kept is not None
            assert (kept.seconds, kept.flaw) == (10.0, None)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


async def test_what_cannot_be_listened_to(wav_folder: RecordingFolder, live: Path) -> None:
    write_leg(live, "c", "in", tone(FAR, 1.0))
    await wav_folder.finish("demo", "c", 1.0)
    for recording in ("unknown", "../../etc/passwd", ""):
        with pytest.raises(NotKnown):
            await wav_folder.listen(recording)
    with pytest.raises(ValueError, match="leg must be"):
        await wav_folder.listen("c", "middle")
    with pytest.raises(ValueError, match="format must be"):
        await wav_folder.listen("c", "in", "mp3")


async def test_without_ffmpeg_wav_is_kept_and_split(
    root: Path, live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "find_ffmpeg", lambda: None)
    write_leg(live, "c", "in", tone(FAR, 1.0))
    write_leg(live, "c", "out", tone(OURS, 1.0))
    async with RecordingFolder(root, live, form="opus").open() as folder:
        await folder.finish("demo", "c", 1.0)
        (ours,) = heard(await folder.listen("c", "out"))
        assert ours.tobytes() == tone(OURS, 1.0)
        with pytest.raises(ValueError, match="without ffmpeg"):
            await folder.listen("c", "both", "opus")


async def test_a_strange_company_gets_a_safe_folder(
    wav_folder: RecordingFolder, root: Path, live: Path
) -> None:
    write_leg(live, "c", "in", tone(FAR, 1.0))
    await wav_folder.finish("../../etc", "c", 1.0)
    assert [path.name for path in root.iterdir() if not path.name.startswith(".")] == ["_"]


@pytest.mark.parametrize("junk", [b"", b"RIFF", b"not a wav at all" * 10, header(8)[:30], header(8) + b"\0"])
def test_any_file_can_be_looked_at(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "x-in.wav"
    path.write_bytes(junk)
    leg = read_leg(path)
    assert not leg.whole
    assert leg.frames >= 0


def test_who_writes_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "x-in.wav"
    with path.open("wb"):
        assert writers().hold([path])
        assert writers_of([path]).hold([path])
    assert not writers().hold([path])
    assert not writers_of([path]).hold([path])


@pytest.mark.parametrize("place", ["live", ".", "demo/2026/11/21", "_/2026/11/21"])
async def test_legs_are_found_wherever_the_dialplan_lays_them(root: Path, place: str) -> None:
    write_leg(root / place, "c", "in", tone(FAR, 1.0))
    write_leg(root / place, "c", "out", tone(OURS, 1.0))
    async with RecordingFolder(root, form="wav").open() as folder:
        kept = await folder.finish("demo", "c", 1.0)
        assert kept is not None
        assert kept.flaw is None
        assert list((root / place).glob("c-*")) == []
        day = "demo/2026/11/21" if "2026" in place else "demo/*/*/*"
        assert len(list(root.glob(f"{day}/c.json"))) == 1


async def test_a_leg_knows_its_company_when_we_do_not(root: Path) -> None:
    write_leg(root / "demo/2026/11/21", "c", "in", tone(FAR, 1.0))
    async with RecordingFolder(root, form="wav").open() as folder:
        await folder.finish("", "c", 1.0)
        assert (await folder.find("c")).company == "demo"


async def test_what_an_earlier_engine_kept_is_named_until_it_is_finished_again(
    root: Path, live: Path
) -> None:
    """It may have died before the timeline knew of the recording."""
    write_leg(live, "c", "in", tone(FAR, 1.0))
    write_leg(live, "c", "out", tone(FAR, 1.0))
    async with RecordingFolder(root, live, form="wav").open() as folder:
        kept = await folder.finish("demo", "c", 1.0)
        assert await folder.orphans() == []
    async with RecordingFolder(root, live, form="wav").open() as folder:
        assert await folder.orphans() == ["c"]
        assert await folder.finish("demo", "c", 1.0) == kept
        assert await folder.orphans() == []
    now = time.time()
    os.utime(next(root.rglob("c.json")), (now - 3 * 86_400, now - 3 * 86_400))
    async with RecordingFolder(root, live, form="wav").open() as folder:
        assert await folder.orphans() == []
