"""How much CPU a process has used, with everything that it started."""

from __future__ import annotations

import os
from pathlib import Path

_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


def process_ms(pid: int) -> float:
    """CPU milliseconds of the process, all threads, user and system; 0 if it is gone."""
    return _used(pid, own=True)


def tree_ms(pid: int) -> float:
    """The same with all descendants: those that live, and those that have ended and were waited for."""
    return sum(_used(one, own=True) + _used(one, own=False) for one in (pid, *_descendants(pid)))


def _used(pid: int, *, own: bool) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    user, system = (11, 12) if own else (13, 14)
    return (int(fields[user]) + int(fields[system])) * _TICK_MS


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found
