"""Ports of loopback for what tests start. Several test processes, of several checkouts, may ask at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
from collections import deque
from pathlib import Path

from engine.asterisk.settings import RTP_OFFSET

FIRST, LAST, EPHEMERAL = 20_000, 31_900, 32_768
"""Below what Linux hands out by itself: there a client that tries while nobody listens ends up connected to itself."""
RTP_PORTS = 600
BLOCK = RTP_OFFSET + RTP_PORTS
"""What one installation may use, from its base port on."""
MINE = 3
"""Blocks that a process keeps, and hands out in turn: two it may use at once, and the one that it has just given up."""
BOUND = {
    **dict.fromkeys((0, 50), socket.SOCK_DGRAM),  # SIP; the far end
    **dict.fromkeys((1, 2, 3), socket.SOCK_STREAM),  # AMI, ARI, console
}

SINGLES = 54
"""Single ports of one test process: sixteen processes have some."""

_singles: deque[int] = deque()
_mine: deque[tuple[int, int]] = deque()
"""Base and the descriptor whose lock says that it is ours, for as long as this process lives."""


def free_base_port() -> int:
    """A base port with everything that an installation has free now, and no other test process using it."""
    for base in range(FIRST, LAST - BLOCK, BLOCK):
        if len(_mine) == MINE:
            break
        if base not in {ours for ours, _ in _mine} and (lock := _claimed(base)) is not None:
            _mine.append((base, lock))
    for _ in range(len(_mine)):
        _mine.rotate(-1)
        if _unbound(_mine[0][0]):
            return _mine[0][0]
    raise RuntimeError(f"no free ports from {FIRST} to {LAST}")


def free_ports(count: int) -> list[int]:
    """Single TCP ports that are free now, and that nobody is given again until all others of this process have been."""
    if not _singles:
        _singles.extend(_claimed_singles())
    found: list[int] = []
    for _ in range(len(_singles)):
        _singles.rotate(-1)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", _singles[0]))
            found.append(_singles[0])
        if len(found) == count:
            return found
    raise RuntimeError(f"no {count} free ports among {min(_singles)} to {max(_singles)}")


def _claimed_singles() -> range:
    """A range of ports that no other test process uses as long as this one lives."""
    for first in range(LAST, EPHEMERAL - SINGLES + 1, SINGLES):
        if _claimed(first) is not None:
            return range(first, first + SINGLES)
    raise RuntimeError(f"all ports from {LAST} to {EPHEMERAL} are other test processes'")


def _claimed(base: int) -> int | None:
    folder = Path(tempfile.gettempdir()) / f"dozvon-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    lock = os.open(folder / str(base), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _unbound(base: int) -> bool:
    with contextlib.ExitStack() as probes:
        for offset, kind in BOUND.items():
            probe = probes.enter_context(socket.socket(socket.AF_INET, kind))
            if kind == socket.SOCK_STREAM:  # as servers do: what was closed a moment ago is free
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", base + offset))
            except OSError:
                return False
    return True
