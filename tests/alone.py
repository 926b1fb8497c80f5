"""Tests that load the machine run while no test runs that listens to every second of a call. Among all test processes of the machine."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

FOLDER = Path(tempfile.gettempdir()) / f"dozvon-ports-{os.getuid()}"


_here = 0
"""How often this process is among others already: it need not pass the turnstile again, before which it would wait for itself."""


@contextmanager
def among_others() -> Iterator[None]:
    """With anybody but who wants to be alone."""
    global _here
    with ExitStack() as stack:
        if not _here:
            with _locked("turnstile", fcntl.LOCK_SH):
                stack.enter_context(_locked("quiet", fcntl.LOCK_SH))
        _here += 1
        try:
            yield
        finally:
            _here -= 1


@contextmanager
def alone() -> Iterator[None]:
    """With nobody. Whoever comes meanwhile waits before the turnstile."""
    with _locked("turnstile", fcntl.LOCK_EX), _locked("quiet", fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(name: str, how: int) -> Iterator[None]:
    FOLDER.mkdir(exist_ok=True)
    handle = os.open(FOLDER / name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)
