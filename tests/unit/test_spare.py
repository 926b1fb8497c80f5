"""The engine that `dozvon up` holds in reserve: there is always one, and the lack of it costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine import up
from engine.config import Settings
from engine.secrets import load_or_create_secrets

WAITS = ("sh", "-c", "read line && exec sleep 100")
SOON = 10.0


@asynccontextmanager
async def reserve(folder: Path, *command: str) -> AsyncIterator[tuple[up._Installation, list[str]]]:
    """An installation that only keeps a spare made by this command, and what it says."""
    said: list[str] = []
    settings = Settings.model_validate({"data_dir": str(folder)})
    secrets = load_or_create_secrets(folder / "secrets.json")
    installation = up._Installation(settings, secrets, ("sleep", "100"), command, said.append)
    keeping = asyncio.create_task(installation._keep_a_spare())
    try:
        async with asyncio.timeout(SOON):
            yield installation, said
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})
        await installation._drop_spare()
        if installation.engine is not None and installation.engine.returncode is None:
            installation.engine.kill()
            await installation.engine.wait()
    assert keeping.cancelled(), "it went on to the end"


async def spare_of(installation: up._Installation, but: object = None) -> asyncio.subprocess.Process:
    while installation.spare is None or installation.spare is but:
        await asyncio.sleep(0.01)
    return installation.spare


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "SPARE_AFTER_SECONDS", 0.02)
    monkeypatch.setattr(up, "LONGEST_SPARE_PAUSE_SECONDS", 0.1)


async def test_another_is_loaded_when_one_is_taken(tmp_path: Path) -> None:
    async with reserve(tmp_path, *WAITS) as (installation, said):
        first = await spare_of(installation)
        await installation._start_engine()
        assert installation.engine is first
        assert await spare_of(installation, but=first) is not first
        assert not said


async def test_another_is_loaded_when_one_has_died(tmp_path: Path) -> None:
    async with reserve(tmp_path, *WAITS) as (installation, said):
        first = await spare_of(installation)
        first.kill()
        await spare_of(installation, but=first)
        assert said == ["the engine in reserve ended with code -9"]


async def test_none_can_be_had(tmp_path: Path) -> None:
    """The engine itself is started as ever."""
    async with reserve(tmp_path, str(tmp_path / "missing")) as (installation, said):
        while len(said) < 3:
            await asyncio.sleep(0.01)
        await installation._start_engine()
        assert installation.engine is not None
        assert "no engine can be held in reserve" in said[0]
