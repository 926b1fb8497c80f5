"""The reserve, on a small file system of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.recordings.disk import Disk, Level

MEGABYTE = 1024 * 1024


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("a file system of our own needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)]
    if subprocess.run(command, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_the_reserve_is_given_up_and_taken_back(small: Path) -> None:
    disk = Disk(small, reserve=4 * MEGABYTE, low=2 * MEGABYTE)
    room = await disk.check()
    assert (room.free, room.total, room.level) == (12 * MEGABYTE, 16 * MEGABYTE, Level.OK)

    recordings = small / "recordings"
    recordings.write_bytes(bytes(10 * MEGABYTE + MEGABYTE // 2))
    assert (await disk.check()).level is Level.LOW
    with recordings.open("ab") as file, pytest.raises(OSError, match="No space left"):
        file.write(bytes(20 * MEGABYTE))
    assert (await disk.check()).level is Level.FULL

    (small / "events").write_bytes(bytes(3 * MEGABYTE))  # what the reserve was for
    assert (await disk.check()).level is Level.LAST
    (small / "events").unlink()
    assert (await disk.check()).level is Level.LAST, "until the reserve can be held again"
    (small / "events").write_bytes(bytes(3 * MEGABYTE))
    recordings.unlink()
    room = await disk.check()
    assert (room.level, room.free) == (Level.OK, 9 * MEGABYTE)


async def test_a_disk_without_room_for_a_reserve_is_full(small: Path) -> None:
    assert (await Disk(small, reserve=20 * MEGABYTE).check()).level is Level.FULL
    assert (await Disk(small, reserve=64 * MEGABYTE).check()).level is Level.LAST


async def test_what_can_be_made_again_goes_first(small: Path) -> None:
    spare = small / "spare"
    spare.write_bytes(bytes(8 * MEGABYTE))
    disk = Disk(small, reserve=4 * MEGABYTE, low=2 * MEGABYTE, make_room=spare.unlink)
    await disk.check()
    (small / "recordings").write_bytes(bytes(4 * MEGABYTE - 4096))
    assert (await disk.check()).level is Level.OK
    assert not spare.exists()
