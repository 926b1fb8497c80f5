"""Finish one call as the engine would and die by SIGKILL at a file operation.

`python -m tests.crash.finish_once N ROOT LIVE CALL [encrypt]`.

Every rename, removal and opening for writing under ROOT or LIVE is counted. Exits 0 if it got through before operation N.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from engine.domain.company import Keeping
from engine.recordings import Archive, KeyRing, RecordingFolder, load_key


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


async def finish(root: Path, live: Path, call: str) -> None:
    async with folder_of(root, live, "encrypt" in sys.argv).open() as folder:
        die_at(int(sys.argv[1]), str(root), str(live))
        kept = await folder.finish("demo", call, 1.0)
        assert kept is not None


if __name__ == "__main__":
    asyncio.run(finish(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
