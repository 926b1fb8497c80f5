"""What `engine.ports.Recordings` promises, asked of the fake and of the real folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import engine.recordings.folder as folder_module
from engine.ports import Recordings
from engine.recordings.folder import RecordingFolder
from tests.fakes.legs import tone, write_leg
from tests.fakes.recordings import FakeRecordings

Desk = tuple[Recordings, Callable[[str, float], Any]]


@pytest.fixture(params=["fake", "live folder", "day's folder"])
async def desk(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    """The recordings, and how a call gets recorded."""
    if request.param == "fake":
        fake = FakeRecordings()
        yield fake, fake.record
        return
    live = tmp_path / "live" if request.param == "live folder" else tmp_path / "kept/_/2026/11/21"

    def record(call: str, seconds: float) -> None:
        write_leg(live, call, "in", tone(300, seconds))
        write_leg(live, call, "out", tone(700, seconds))

    monkeypatch.setattr(folder_module, "RECENT_DAYS", 100_000)  # whatever today is
    async with RecordingFolder(tmp_path / "kept", tmp_path / "live", form="wav").open() as folder:
        yield folder, record


async def test_a_finished_call_is_kept_with_its_length(desk: Desk) -> None:
    recordings, record = desk
    record("1795287848.1", 2.5)
    kept = await recordings.finish("demo", "1795287848.1", 2.5)
    assert kept is not None
    assert kept.seconds == pytest.approx(2.5, abs=0.01)
    assert kept.flaw is None


async def test_twice_is_once(desk: Desk) -> None:
    recordings, record = desk
    record("c", 1.0)
    assert await recordings.finish("demo", "c", 1.0) == await recordings.finish("demo", "c", 99.0)


async def test_nothing_recorded(desk: Desk) -> None:
    recordings, _ = desk
    assert await recordings.finish("demo", "nothing", 5.0) is None
    assert await recordings.finish("demo", "nothing", None) is None


@pytest.mark.parametrize(("up", "flaw"), [(2.25, None), (2.4, "short"), (None, None), (0.5, None)])
async def test_shorter_than_the_call_is_flagged(desk: Desk, up: float | None, flaw: str | None) -> None:
    recordings, record = desk
    record("c", 2.0)
    kept = await recordings.finish("demo", "c", up)
    assert kept is not None
    assert kept.flaw == flaw


async def test_orphans_are_what_nobody_finished(desk: Desk) -> None:
    recordings, record = desk
    record("one", 1.0)
    record("two", 1.0)
    assert sorted(await recordings.orphans()) == ["one", "two"]
    await recordings.finish("demo", "one", 1.0)
    assert await recordings.orphans() == ["two"]
    await recordings.finish("demo", "two", None)
    assert await recordings.orphans() == []


async def test_an_empty_recording_is_flagged(desk: Desk) -> None:
    recordings, record = desk
    record("c", 0.0)
    kept = await recordings.finish("demo", "c", 1.0)
    assert kept is not None
    assert kept.flaw == "missing"


@pytest.mark.parametrize("call", ["../escape", "", ".hidden", "a/b", "x" * 300])
async def test_what_is_no_call_has_no_recording(desk: Desk, call: str) -> None:
    recordings, _ = desk
    assert await recordings.finish("demo", call, 1.0) is None
