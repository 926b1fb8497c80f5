"""The recordings' regular work: the dialplan is told when there is no room left, and again; what is wrong is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

import engine.upkeep as module
from engine.asterisk.ami_protocol import AmiAway
from engine.config import Settings
from engine.recordings.disk import Level, Room
from engine.recordings.folder import RecordingFolder
from engine.upkeep import GIGABYTE, Upkeep


class Dialplan:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.away = False

    async def tell(self, family: str, key: str, value: str) -> None:
        if self.away:
            raise AmiAway("no Asterisk")
        assert (family, key) == module.NO_RECORDING
        self.said.append(value)


class Disk:
    def __init__(self) -> None:
        self.level = Level.OK

    async def check(self) -> Room:
        return Room(GIGABYTE // 2, 10 * GIGABYTE, self.level)


@pytest.fixture
def dialplan() -> Dialplan:
    return Dialplan()


@pytest.fixture
def upkeep(tmp_path: Path, dialplan: Dialplan) -> Upkeep:
    (tmp_path / "recordings").mkdir()
    settings = Settings(data_dir=tmp_path, recordings_dir=tmp_path / "recordings")
    folder = RecordingFolder(settings.recordings)
    made = Upkeep(settings, cast(Any, None), folder, cast(Any, None), dialplan.tell)
    made._disk = cast(Any, Disk())
    return made


async def test_recording_stops_as_the_last_resort_and_begins_again(
    upkeep: Upkeep, dialplan: Dialplan, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = cast(Disk, upkeep._disk)
    for level, said, ready in (
        (Level.OK, "0", True),
        (Level.LOW, "0", True),
        (Level.FULL, "0", False),
        (Level.LAST, "1", False),
        (Level.FULL, "0", False),
        (Level.OK, "0", True),
    ):
        disk.level = level
        await upkeep.look()
        assert dialplan.said[-1] == said, level
        assert upkeep.components()["disk"].ready is ready
        assert upkeep.components()["recordings"].ready is (said == "0")
    assert dialplan.said == ["0", "1", "0"], "told at each change only"
    monkeypatch.setattr(module, "TELL_EVERY_SECONDS", 0.0)
    await upkeep.look()
    assert dialplan.said == ["0", "1", "0", "0"], "an Asterisk that was killed may have forgotten"


async def test_what_could_not_be_told_is_told_later(upkeep: Upkeep, dialplan: Dialplan) -> None:
    cast(Disk, upkeep._disk).level = Level.LAST
    dialplan.away = True
    await upkeep.look()
    assert upkeep.components()["recordings"].ready, "the dialplan still records"
    dialplan.away = False
    await upkeep.look()
    assert dialplan.said == ["1"]
    assert await upkeep.probe() == "осталось 0.5 ГБ, разговоры не записываются"


async def test_a_low_disk_is_no_alarm_a_full_one_is(upkeep: Upkeep) -> None:
    assert await upkeep.probe() is None
    for level, alarm in ((Level.LOW, None), (Level.FULL, "осталось 0.5 ГБ")):
        cast(Disk, upkeep._disk).level = level
        await upkeep.look()
        assert await upkeep.probe() == alarm
