"""Finish one call as the engine would and die by SIGKILL at a file operation.

`python -m tests.crash.finish_once` reads lines of JSON, `[N, ROOT, LIVE, CALL, ENCRYPT]`, forks an engine for each, and answers with
its exit code: 0 if it got through before operation N. Every rename, removal and opening for writing under ROOT or LIVE is counted, those
of the joining too: it is done in the same process.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from engine.domain.company import Keeping
from engine.recordings import folder as folder_module
from engine.recordings.archive import Archive
from engine.recordings.crypt import KeyRing
from engine.recordings.folder import RecordingFolder
from engine.recordings.seal import load_key
from engine.workers import Answer, Errand


def die_at(operation: int, *folders: str) -> None:
    """Kill this process just before the given operation."""
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE
        if event not in ("os.rename", "os.remove") and not writes:
            return
        if str(arguments[0]).startswith(folders):
            seen += 1
            if seen == operation:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def folder_of(root: Path, live: Path, encrypt: bool) -> RecordingFolder:
    """With an archive, and keys of its own beside the root."""
    archive, keys = Archive(root, load_key(root.parent / "key.pem")), KeyRing(root.parent / "keys")
    rules = lambda company: Keeping(encrypt=encrypt)  # noqa: E731
    return RecordingFolder(root, live, form="wav", archive=archive, keys=keys, rules=rules)


class AtHand:
    """`Workers` that do it here, in a thread: no process is started, and each of its operations can be died at."""

    backlog = 0

    def __init__(self, module: str, processes: int) -> None:
        self._do = importlib.import_module(module).do

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[AtHand]:
        yield self

    async def ask(self, errand: Errand, *, timeout: float, priority: int = 0) -> Answer:
        return await asyncio.to_thread(self._do, errand)


async def finish(operation: int, root: Path, live: Path, call: str, encrypt: bool) -> None:
    async with folder_of(root, live, encrypt).open() as folder:
        die_at(operation, str(root), str(live))
        kept = await folder.finish("demo", call, 1.0)
        assert kept is not None


def main() -> None:
    AtHand("engine.recordings.worker", 1)  # imported once, for all
    folder_module.Workers = AtHand  # type: ignore[assignment, misc]
    for line in sys.stdin:
        operation, root, live, call, encrypt = json.loads(line)
        if not (child := os.fork()):
            os.dup2(2, 1)  # the answers are ours, what is logged is not
            asyncio.run(finish(operation, Path(root), Path(live), call, encrypt))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
