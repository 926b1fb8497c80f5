"""Engines that start at once: forked from a process that has imported everything, as `dozvon up` keeps one loaded to take over.

Importing takes two seconds of a processor, and a run of the suite starts engines some two hundred times. `test_demo`, `test_up` and the
commands run as anybody would run them.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PR_SET_PDEATHSIG = 1
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["engine.spare"])


class EngineProcess:
    """`dozvon run` (or another command) in a process of its own; it dies with this one. What it prints is added to `log`.

    The interface is that of `asyncio.subprocess.Process`.
    """

    def __init__(self, environment: Mapping[str, str], log: Path, *command: str) -> None:
        arguments = (dict(environment), log, command or ("run",))
        self._process = FORKS.Process(target=_become_the_engine, args=arguments)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def wait(self) -> int:
        """Until it has ended; its return code."""
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        sentinel = os.dup(self._process.sentinel)
        loop.add_reader(sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(sentinel)
            os.close(sentinel)
        self._process.join()
        assert self.returncode is not None
        return self.returncode


def _become_the_engine(environment: dict[str, str], log: Path, command: tuple[str, ...]) -> None:
    from engine.cli import main

    os.setsid()
    die_with_parent()  # the fork server, which ends with the tests
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    with log.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
    sys.argv = ["dozvon", *command]
    main()


def die_with_parent() -> None:
    """Called in a child: it is killed as soon as whoever started it has ended."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
