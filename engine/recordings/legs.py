"""The two files of a call while it lasts, as MixMonitor writes them: `CALLID-in.wav` (the far end) and `CALLID-out.wav` (we).

Asterisk writes in blocks of 64 KiB (four seconds) and fills in the header's sizes only when it closes the file, so a leg whose sizes
are zero is either still being written or was cut by a crash.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SIDES = ("in", "out")
USUAL_RATE = 8_000
HEADER_BYTES = 44
SAMPLE_BYTES = 2

_F_SETSIG = 10  # Linux; Python has no name for it
_CALL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,150}")
_LEG_NAME = re.compile(rf"({_CALL.pattern})-(in|out)\.wav")


@dataclass(frozen=True, slots=True)
class Leg:
    """What a leg's file holds: `frames` samples of 16 bits, mono, at `rate`, from byte `offset` on.

    `whole`: it is not empty and its header agrees with its length, hence whoever wrote it has closed it.
    """

    path: Path
    rate: int
    offset: int
    frames: int
    whole: bool

    @property
    def seconds(self) -> float:
        """Length of the audio that is there."""
        return self.frames / self.rate


def read_leg(path: Path) -> Leg:
    """Look at a leg. Any file will do: what has no usable header is taken as bare samples behind 44 bytes. Raises `OSError`."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
    rate, offset, told = _parse_header(head)
    there = max(0, size - offset)
    whole = told > 0 and there - told in (0, 1)  # an odd length is padded by one byte
    return Leg(path, rate, offset, there // SAMPLE_BYTES, whole)


def _parse_header(head: bytes) -> tuple[int, int, int]:
    """(rate, where the samples begin, how many bytes of them the header tells)."""
    rate, place = USUAL_RATE, 12
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        while place + 8 <= len(head):
            name, length = struct.unpack_from("<4sI", head, place)
            if name == b"data":
                return rate, place + 8, length
            if name == b"fmt " and place + 16 <= len(head):
                rate = struct.unpack_from("<I", head, place + 12)[0] or USUAL_RATE
            place += 8 + length + length % 2
    return USUAL_RATE, HEADER_BYTES, 0


def is_call_id(call: str) -> bool:
    """Whether the string can be a call's id as it stands in file names: no separators, no leading dot."""
    return _CALL.fullmatch(call) is not None


def leg_paths(folder: Path, call: str) -> dict[str, Path]:
    """The call's legs that lie in `folder`, by side («in», «out»)."""
    paths = {side: folder / f"{call}-{side}.wav" for side in SIDES}
    return {side: path for side, path in paths.items() if path.is_file()}


def calls_with_legs(folder: Path) -> Iterator[tuple[str, Path]]:
    """(call, leg) of every leg in `folder`, which may be missing."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if found := _LEG_NAME.fullmatch(entry.name):
            yield found[1], Path(entry.path)


@dataclass(frozen=True, slots=True)
class Writers:
    """Which files are held open for writing by some process. `complete` is False if an Asterisk could not be looked into."""

    files: frozenset[str]
    complete: bool

    def hold(self, paths: Iterable[Path]) -> bool:
        """Whether any of the paths is being written."""
        return any(str(path) in self.files for path in paths)


def writers(root: Path = Path("/proc")) -> Writers:
    """Look through the open files of every process that we may look into (Linux; elsewhere nothing is known)."""
    files: set[str] = set()
    complete = root.joinpath("self/fd").is_dir()
    for process in root.iterdir() if complete else ():
        if not process.name.isdigit():
            continue
        try:
            files.update(_written_by(process))
        except PermissionError:
            complete = complete and not _is_asterisk(process)
        except OSError:  # the process has gone
            continue
    return Writers(frozenset(files), complete)


def writers_of(paths: Iterable[Path]) -> Writers:
    """Which of these files are held open for writing. The kernel knows; only if it will not tell is every process looked at."""
    paths = list(paths)
    told = {str(path): _is_written(path) for path in paths}
    if None in told.values():
        return writers()
    return Writers(frozenset(path for path, written in told.items() if written), complete=True)


def _is_written(path: Path) -> bool | None:
    """Whether any process has the file open for writing: then it cannot be leased. None: another user's file, or no leases here."""
    if sys.platform != "linux":
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.fcntl(
            descriptor, _F_SETSIG, signal.SIGURG
        )  # whoever opens it just now breaks the lease: with a signal nobody minds
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    else:
        return False
    finally:
        os.close(descriptor)


def _written_by(process: Path) -> Iterator[str]:
    for descriptor in os.listdir(process / "fd"):
        try:
            target = os.readlink(process / "fd" / descriptor)
            if target.endswith(".wav"):
                flags = re.search(
                    r"^flags:\s*([0-7]+)", (process / "fdinfo" / descriptor).read_text(), re.MULTILINE
                )
                if flags is None or int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY:
                    yield target
        except FileNotFoundError:  # closed meanwhile
            continue


def _is_asterisk(process: Path) -> bool:
    try:
        return process.joinpath("comm").read_text().strip() == "asterisk"
    except OSError:
        return False
