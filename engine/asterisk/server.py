"""A private Asterisk as a child process: write its run tree, start it, know when it is ready, stop it."""

import asyncio
import contextlib
import ctypes
import fcntl
import os
import re
import select
import signal
import socket
from pathlib import Path
from typing import TextIO

from engine.asterisk.settings import AsteriskSettings, DeskPhone, Trunk, demo_trunk
from engine.asterisk.tree import control_dir, render

__all__ = [
    "AsteriskFailed", "AsteriskServer", "AsteriskSettings", "DeskPhone", "PortTaken", "Trunk", "demo_trunk", "render",
]  # fmt: skip

READY_SECONDS = 30.0
STOP_SECONDS = 5.0
CLI_SECONDS = 5.0
NICENESS = -10
_POLL_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1


class PortTaken(OSError):
    """A port that Asterisk needs is in use by another program; the text says which, and how to move ours."""


class AsteriskFailed(RuntimeError):
    """Asterisk did not get ready, or went away; the text ends with its own last words."""


class AsteriskServer:
    """One Asterisk process. Not reusable after `stop`: make another from the same settings.

    With `dies_with_parent` the kernel ends it together with the thread that started it: for tests, where an Asterisk
    left over would be talked to by the next run.
    """

    def __init__(self, settings: AsteriskSettings, *, dies_with_parent: bool = False) -> None:
        self.settings = settings
        self._dies_with_parent = dies_with_parent
        self._process: asyncio.subprocess.Process | None = None
        self._tree: TextIO | None = None

    async def __aenter__(self) -> "AsteriskServer":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """The process id; RuntimeError before `start`."""
        if self._process is None:
            raise RuntimeError("Asterisk has not been started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def console_log(self) -> Path:
        return self.settings.run_dir / "console.log"

    async def start(self, timeout: float = READY_SECONDS) -> None:
        """Write the run tree, start, and return when Asterisk says FullyBooted.

        Raises PortTaken, FileNotFoundError (no Asterisk in the prefix) or AsteriskFailed.
        """
        settings = self.settings
        self._tree = await asyncio.to_thread(_own_tree, settings.run_dir)
        try:
            await asyncio.to_thread(_end_leftover, settings)
            check_ports(settings)
            await asyncio.to_thread(render, settings)
            await self._launch(timeout)
        except BaseException:
            await self.kill()
            raise

    async def _launch(self, timeout: float) -> None:
        settings = self.settings
        with self.console_log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                str(settings.prefix / "bin" / "asterisk"), "-f", "-p", "-C", str(settings.config_file),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd=settings.run_dir,
                start_new_session=True,  # a Ctrl-C at the terminal is its owner's to pass on
                preexec_fn=_begin_and_die_with_parent if self._dies_with_parent else _begin,
            )  # fmt: skip
        try:
            async with asyncio.timeout(timeout):
                while not await self._fully_booted():
                    if not self.running:
                        raise AsteriskFailed(
                            f"Asterisk ended with code {self._process.returncode}{self.last_words()}"
                        )
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise AsteriskFailed(f"Asterisk was not ready after {timeout:.0f} s{self.last_words()}") from None

    async def wait(self) -> int:
        """Wait until the process has ended; return its exit code (negative: the signal that ended it)."""
        if self._process is None:
            raise RuntimeError("Asterisk has not been started")
        code = await self._process.wait()
        self._release_tree()
        return code

    async def stop(self, timeout: float = STOP_SECONDS) -> None:
        """End it: calls get their BYE. With calls up it may hang, so it is killed after `timeout` seconds."""
        if self._process is not None and self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """SIGKILL: calls are left without a BYE, recordings without a header."""
        if self._process is not None and self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self._release_tree()

    async def cli(self, command: str, timeout: float = CLI_SECONDS) -> str:
        """What Asterisk's console answers to `command`. Raises AsteriskFailed if it cannot be asked."""
        process = await asyncio.create_subprocess_exec(
            str(self.settings.prefix / "bin" / "asterisk"), "-C", str(self.settings.config_file), "-rx", command,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(timeout):
                out, err = await process.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise AsteriskFailed(
                f"Asterisk did not answer {command!r}: {err.decode(errors='replace').strip()}"
            )
        return out.decode(errors="replace")

    async def channels_count(self) -> int:
        """How many channels are up."""
        said = await self.cli("core show channels count")
        found = re.search(r"(\d+) active channel", said)
        if not found:
            raise AsteriskFailed(f"Asterisk's channel count was not understood: {said!r}")
        return int(found[1])

    def last_words(self, lines: int = 8) -> str:
        """The end of its logs, each line indented under the error that quotes it; empty if there is none."""
        words: list[str] = []
        for path in (self.settings.run_dir / "log" / "messages.log", self.console_log):
            with contextlib.suppress(OSError):
                words += path.read_text(errors="replace").splitlines()[-lines:]
        return "".join(f"\n    {line}" for line in words)

    def _release_tree(self) -> None:
        if self._tree is not None:
            self._tree.close()
            self._tree = None

    async def _fully_booted(self) -> bool:
        """Ask by AMI. A manager that refuses our secret is another Asterisk's, or ours is misconfigured."""
        settings = self.settings
        try:
            reader, writer = await asyncio.open_connection(settings.control_host, settings.ami_port)
        except OSError:
            return False
        try:
            writer.write(
                f"Action: Login\r\nUsername: {settings.ami_user}\r\nSecret: {settings.ami_password}\r\n"
                "Events: system\r\n\r\n".encode()
            )
            while line := await reader.readline():
                if line.startswith(b"Message: Authentication failed"):
                    raise AsteriskFailed(
                        f"the manager on port {settings.ami_port} refused our password{self.last_words()}"
                    )
                if line.startswith(b"Event: FullyBooted"):
                    return True
            return False
        except ConnectionError:
            return False
        finally:
            writer.close()


def check_ports(settings: AsteriskSettings) -> None:
    """Raise PortTaken, naming port, purpose and the setting that moves it, unless SIP, AMI and ARI are free."""
    for name, host, port, kind in (
        ("SIP", settings.sip_host, settings.sip_port, socket.SOCK_DGRAM),
        ("AMI", settings.control_host, settings.ami_port, socket.SOCK_STREAM),
        ("ARI", settings.control_host, settings.ari_port, socket.SOCK_STREAM),
    ):
        with socket.socket(socket.AF_INET, kind) as probe:
            if (
                kind == socket.SOCK_STREAM
            ):  # Asterisk sets it too, or a restart would wait for old connections
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise PortTaken(
                    error.errno,
                    f"port {port} on {host} ({name}) is taken ({error.strerror}); set DOZVON_BASE_PORT to move all "
                    f"ports of this installation, e.g. DOZVON_BASE_PORT={settings.base_port + 5000}",
                ) from error


def _begin() -> None:
    """What it writes while a call lasts is plain sound, and its owner's alone to read.

    What it sends and records is due each 20 ms, and lost when it comes late. With `-p` it goes before everybody (SCHED_RR) if it is
    root's; who is not may have the niceness; where neither is allowed it goes with the others.
    """
    os.umask(0o077)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


def _begin_and_die_with_parent() -> None:
    _begin()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _own_tree(run_dir: Path) -> TextIO:
    """Take the run tree for ourselves, for as long as the returned file is open."""
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    tree = (run_dir / "owner.lock").open("w")
    try:
        fcntl.flock(tree, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tree.close()
        raise AsteriskFailed(
            f"another dozvon is running Asterisk in {run_dir}; stop it, or give this one its own DOZVON_DATA_DIR and "
            "DOZVON_BASE_PORT"
        ) from None
    return tree


def _end_leftover(settings: AsteriskSettings) -> None:
    """End the Asterisk that an earlier run of this very tree left behind (its owner was killed). Blocks."""
    try:
        pid = int((control_dir(settings) / "asterisk.pid").read_text())
        handle = os.pidfd_open(pid)
    except (OSError, ValueError):
        return
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if os.fsencode(settings.config_file) not in command:
            return  # the number has been given to some other program since
        for sent in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(handle, sent)
            if select.select([handle], [], [], STOP_SECONDS)[0]:
                return
    except (OSError, ProcessLookupError):
        return  # it has just ended by itself
    finally:
        os.close(handle)
