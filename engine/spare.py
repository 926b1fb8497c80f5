"""`python -m engine.spare`: an engine that has loaded everything, and waits until it is needed.

Most of a restart is importing (a second, three on a busy machine). `dozvon up` keeps one of these at hand: a line on standard input
makes it the engine, the end of the input ends it.
"""

from __future__ import annotations

import os
import sys

import engine.cli.serve  # noqa: F401 - with it, everything that the engine is made of
from engine.cli import main


def wait_to_be_needed() -> bool:
    """Block until somebody says so; false if nobody ever will."""
    needed = bool(sys.stdin.buffer.readline())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, sys.stdin.fileno())
    os.close(null)
    return needed


if __name__ == "__main__" and wait_to_be_needed():
    sys.argv = ["dozvon", "run"]
    main()
