"""`dozvon up` with a real Asterisk and a stand-in for the engine: it tells, restarts, and stops everything it started."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.asterisk.tree import control_dir
from tests.e2e.harness import asterisk_settings
from tests.e2e.test_server import PREFIX, command_line
from tests.ports import free_base_port

pytestmark = pytest.mark.skipif(
    not PREFIX.exists(), reason="no Asterisk in .cache/asterisk: run `make setup`"
)

SUPERVISOR = """
import asyncio, sys
from functools import partial
from pathlib import Path
from engine.config import Settings
from engine.up import up
data, port, prefix, *engine = sys.argv[1:]
settings = Settings.model_validate({"data_dir": data, "base_port": int(port), "asterisk": {"prefix": prefix}})
spare = ["sh", "-c", 'read line && exec "$@"', "spare", *engine]
sys.exit(asyncio.run(up(settings, say=partial(print, flush=True), engine=engine, spare=spare)))
"""
ENGINE = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
data, port = Path(sys.argv[1]), int(sys.argv[2])
class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"components": {"sms": {"ready": False, "state": "log", "detail": "no gateway"}}}).encode())
    def log_message(self, *_): pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
(data / "console-link").write_text(f"http://127.0.0.1:{port + 3}/enter/abc")
(data / "engine.pid").write_text(str(os.getpid()))
HTTPServer(("127.0.0.1", port + 3), Ready).serve_forever()
"""


@dataclass
class Supervisor:
    process: asyncio.subprocess.Process
    data: Path

    async def says(self, words: str) -> str:
        """Read its lines up to the one that contains `words`; return them all."""
        assert self.process.stdout
        heard = ""
        async with asyncio.timeout(20):
            while line := (await self.process.stdout.readline()).decode():
                heard += line
                if words in line:
                    return heard
        raise AssertionError(f"it ended without saying {words!r}: {heard}")

    def pid(self, name: str | Path) -> int:
        return int((self.data / name).read_text())

    async def spare(self) -> int:
        """The process that waits until the engine dies."""
        async with asyncio.timeout(20):
            while True:
                for child in (
                    Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
                ):
                    if b"read line" in command_line(int(child)):
                        return int(child)
                await asyncio.sleep(0.05)

    async def another(self, name: str | Path, than: int) -> int:
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(OSError, ValueError):
                    if self.pid(name) != than:
                        return self.pid(name)
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def supervisor(data: Path, port: int, *engine: str) -> AsyncIterator[Supervisor]:
    command = (sys.executable, "-c", SUPERVISOR, str(data), str(port), str(PREFIX), *engine)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=asyncio.subprocess.STDOUT)
    try:
        yield Supervisor(process, data)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def test_it_tells_restarts_and_stops(tmp_path: Path) -> None:
    data, port = tmp_path / "var", free_base_port()
    async with supervisor(data, port, sys.executable, "-c", ENGINE, str(data), str(port)) as it:
        told = await it.says("no gateway")
        assert f"sip:+74950000112@127.0.0.1:{port}" in told
        assert f"http://127.0.0.1:{port + 3}/enter/abc" in told
        assert "operator1" in told
        assert (data / "secrets.json").stat().st_mode & 0o777 == 0o600

        asterisk_pid = control_dir(asterisk_settings(data, port)) / "asterisk.pid"
        asterisk, engine = it.pid(asterisk_pid), it.pid("engine.pid")
        spare = await it.spare()
        os.kill(engine, signal.SIGKILL)
        await it.says("the engine ended with code -9; starting it again\n")
        engine = await it.another("engine.pid", than=engine)
        assert engine == spare, "whoever was loaded already takes over"
        spare = await it.spare()

        os.kill(engine, signal.SIGTERM)
        await it.says("the engine ended with code 0")
        engine = await it.another("engine.pid", than=engine)
        assert engine != spare, "after an upgrade it is new code that runs"
        spare = await it.spare()
        assert it.pid(asterisk_pid) == asterisk, "Asterisk must outlive the engine"

        os.kill(asterisk, signal.SIGKILL)
        await it.says("Asterisk ended with code -9")
        asterisk = await it.another(asterisk_pid, than=asterisk)

        it.process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(it.process.wait(), 20) == 0
        assert not command_line(asterisk)
        assert not command_line(engine)
        assert not command_line(spare)


async def test_a_taken_port_is_an_answer_not_a_traceback(tmp_path: Path) -> None:
    port = free_base_port()
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port + 2))
        squatter.listen()
        async with supervisor(tmp_path / "var", port, "true") as it:
            told = await it.says("cannot start")
            assert f"port {port + 2}" in told
            assert "DOZVON_BASE_PORT" in told
            assert await it.process.wait() == 1


async def test_an_unusable_configuration_ends_it(tmp_path: Path) -> None:
    async with supervisor(tmp_path / "var", free_base_port(), "sh", "-c", "exit 2") as it:
        assert await asyncio.wait_for(it.process.wait(), 20) == 2


async def test_secrets_that_others_can_read_are_an_answer_too(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "secrets.json").write_text("{}")
    (tmp_path / "var" / "secrets.json").chmod(0o644)
    async with supervisor(tmp_path / "var", free_base_port(), "true") as it:
        assert "chmod 600" in await it.says("cannot start")
        assert await it.process.wait() == 2
