"""Callers by the hundred: SIPp with our scenario, and what became of its calls."""

from __future__ import annotations

import asyncio
import csv
import random
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.rig import BenchFailed

SCENARIO = Path(__file__).parent / "sipp" / "resident.xml"
PATIENCE_SECONDS = 25.0
_NOISE_BYTES = 16_000


@dataclass(frozen=True, slots=True)
class Called:
    """What SIPp counted: calls, those that failed, and how long (ms, on average) the answer took."""

    calls: int
    failed: int
    answer_ms: float


async def residents(
    folder: Path, sip_port: int, number: str, *, rate: float, calls: int, talk_seconds: float
) -> Called:
    """Phone `number` so many times, `rate` a second, each caller talking so long. Raises `BenchFailed` without SIPp."""
    program = shutil.which("sipp")
    if program is None:
        raise BenchFailed("SIPp is missing: apt-get install sip-tester")
    voice = folder / "voice.al"
    if not voice.exists():  # A-law noise: loud, never silent
        voice.write_bytes(random.Random(112).randbytes(_NOISE_BYTES))
    statistics = folder / "sipp.csv"
    statistics.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        program, f"127.0.0.1:{sip_port}", "-sf", str(SCENARIO), "-s", number,
        "-i", "127.0.0.1", "-p", str(sip_port + 60), "-mi", "127.0.0.1", "-mp", str(sip_port + 4000),
        "-r", f"{rate:g}", "-m", str(calls), "-l", "5000", "-d", f"{talk_seconds * 1000:.0f}",
        "-timeout", f"{calls / rate + talk_seconds + PATIENCE_SECONDS:.0f}", "-nostdin",
        "-trace_stat", "-stf", str(statistics), "-fd", "1",
        "-trace_err", "-error_file", str(folder / "sipp.err"),
        cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, said = await process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if not statistics.exists():
        raise BenchFailed(f"SIPp ended with {process.returncode}: {said.decode(errors='replace')[-300:]}")
    with statistics.open(newline="") as file:
        *_, last = csv.DictReader(file, delimiter=";")
    good, bad = int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"])
    return Called(good + bad, bad + max(0, calls - good - bad), _milliseconds(last["ResponseTime1(C)"]))


def _milliseconds(clock: str) -> float:
    """`00:00:00:012345`, the last part in microseconds."""
    hours, minutes, seconds, micro = (int(part) for part in clock.split(":"))
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + micro / 1000
