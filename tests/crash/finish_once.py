"""Finish one call as the engine would and die by SIGKILL at a file operation (`python -m tests.crash.finish_once N ROOT LIVE CALL`).

Every rename, removal and opening for writing under ROOT or LIVE is counted. Exits 0 if it got through before operation N.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from engine.recordings import Archive, RecordingFolder, load_key


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


async def finish(root: Path, live: Path, call: str) -> None:
    archive = Archive(root, load_key(root.parent / "key.pem"))
    async with RecordingFolder(root, live, form="wav", archive=archive).open() as folder:
        die_at(int(sys.argv[1]), str(root), str(live))
        kept = await folder.finish("demo", call, 1.0)
        assert kept is not None


if __name__ == "__main__":
    asyncio.run(finish(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
