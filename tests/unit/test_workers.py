"""Helper processes: errands in order of urgency, failures as answers, deaths survived, and nobody left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.workers import IDLE, URGENT, USUAL, Answer, Errand, WorkerFailed, Workers, serve


def do(errand: Errand) -> Answer:
    """What this module does when it is run as a worker."""
    match errand["do"]:
        case "echo":
            print("a library that prints")
            return {"said": errand["said"], "pid": os.getpid(), "nice": os.nice(0)}
        case "fail":
            raise ValueError("так нельзя")
        case "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "die once":
            if not Path(errand["sign"]).exists():
                Path(errand["sign"]).touch()
                os.kill(os.getpid(), signal.SIGSEGV)
        case "run":
            Path(errand["pid file"]).write_text(str(os.getpid()))
            subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"], check=True)
    return {}


def workers(processes: int = 1) -> Workers:
    return Workers("tests.unit.test_workers", processes)


async def test_an_errand_is_answered_by_a_nice_process() -> None:
    async with workers().open() as some:
        answer = await some.ask({"do": "echo", "said": "привет"}, timeout=20)
    assert answer["said"] == "привет"
    assert answer["pid"] != os.getpid()
    assert answer["nice"] >= 10


async def test_a_failure_is_told_and_the_worker_goes_on() -> None:
    async with workers().open() as some:
        first = await some.ask({"do": "echo", "said": 1}, timeout=20)
        with pytest.raises(WorkerFailed, match="ValueError: так нельзя"):
            await some.ask({"do": "fail"}, timeout=20)
        second = await some.ask({"do": "echo", "said": 2}, timeout=20)
    assert first["pid"] == second["pid"]


async def test_a_death_is_survived(tmp_path: Path) -> None:
    async with workers().open() as some:
        await some.ask({"do": "die once", "sign": str(tmp_path / "sign")}, timeout=20)
        with pytest.raises(WorkerFailed, match="died"):
            await some.ask({"do": "die"}, timeout=20)
        assert (await some.ask({"do": "echo", "said": 3}, timeout=20))["said"] == 3


async def test_too_long_ends_the_worker_and_what_it_runs(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    async with workers().open() as some:
        with pytest.raises(WorkerFailed) as failed:
            await some.ask({"do": "run", "pid file": str(note)}, timeout=3)
        assert isinstance(failed.value.__cause__, TimeoutError)
        group = int(note.read_text())
        async with asyncio.timeout(5):
            while group_is_alive(group):
                await asyncio.sleep(0.01)


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


async def test_the_urgent_go_first() -> None:
    order: list[str] = []

    async def ask(name: str, priority: int) -> None:
        await some.ask({"do": "echo", "said": name}, timeout=20, priority=priority)
        order.append(name)

    async with workers().open() as some, asyncio.TaskGroup() as group:
        for name, priority in (("idle", IDLE), ("usual", USUAL), ("urgent", URGENT), ("urgent too", URGENT)):
            group.create_task(ask(name, priority))
    assert order == ["urgent", "urgent too", "usual", "idle"]


async def test_what_waits_at_the_end_is_cancelled() -> None:
    async with workers().open() as some:
        waiting = [asyncio.create_task(some.ask({"do": "echo", "said": n}, timeout=20)) for n in range(3)]
        await asyncio.sleep(0)
    assert all(
        isinstance(end, asyncio.CancelledError)
        for end in await asyncio.gather(*waiting, return_exceptions=True)
    )


async def test_the_body_s_own_error_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with workers().open():
            raise KeyError("mine")


if __name__ == "__main__":
    serve(do)
