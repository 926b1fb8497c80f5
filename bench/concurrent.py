"""`concurrent`: how many recorded calls, with sound both ways, can be held at once before one fails.

The callers come at a steady rate and stay until all of them have been up together for a while. Ours hear the hotline's questions and
then silence, while they go on talking; the baseline's hear the same sentences from a bare dialplan. A call fails if it was not answered
within 4 s, or broke, or has a recording that is shorter than it (0.3 s are allowed): an Asterisk that is too busy loses sound first.
"""

from __future__ import annotations

from pathlib import Path

from bench.company import DID
from bench.ladder import climb
from bench.lines import Line, line
from bench.rig import Rig, rig
from bench.sipp import residents
from engine.domain import wording
from engine.recordings.legs import read_leg

ARRIVALS_A_SECOND = 40.0
SHORT_BY_SECONDS = 0.3
BASELINE_DID = "+70003000000"
LADDER = (50.0, 100.0, 150.0, 200.0, 250.0, 300.0, 350.0, 400.0, 500.0)
QUICK_LADDER = (40.0, 80.0, 120.0)

DIALPLAN = """\
[incoming]
exten => {did},1,Answer()
 same => n,Set(LEG={folder}/${{CHANNEL(uniqueid)}})
 same => n,MixMonitor(,r(${{LEG}}-in.wav)t(${{LEG}}-out.wav))
 same => n,Playback({sounds})
 same => n,Wait(600)
"""


async def ours(built: Rig, calls: int, hold: float) -> int:
    """Calls to the hotline; how many failed."""
    since = built.last_ticket()
    failed = await _hold(built, DID, calls, hold)
    found = await built.until_counted(since, "RecordingAttached", calls, seconds=30 + calls / 4)
    return max(failed, calls - found.get("RecordingAttached", 0), built.flaws(since))


async def baseline(built: Rig, calls: int, hold: float, folder: Path) -> int:
    """Calls to the bare dialplan; how many failed."""
    failed = await _hold(built, BASELINE_DID, calls, hold)
    legs = [read_leg(file).seconds for file in folder.glob("*.wav")]
    for file in folder.glob("*.wav"):
        file.unlink()
    whole = sum(seconds >= _talk(calls, hold) - SHORT_BY_SECONDS for seconds in legs)
    return max(failed, calls - whole // 2)


def _talk(calls: int, hold: float) -> float:
    return calls / ARRIVALS_A_SECOND + hold


async def _hold(built: Rig, number: str, calls: int, hold: float) -> int:
    called = await residents(
        built.folder,
        built.sip_port,
        number,
        rate=ARRIVALS_A_SECOND,
        calls=calls,
        talk_seconds=_talk(calls, hold),
    )
    return called.failed + await built.quiet()


async def run(quick: bool) -> list[Line]:
    """The highest number of the ladder on both sides."""
    ladder, hold = (QUICK_LADDER, 2.0) if quick else (LADDER, 6.0)
    async with rig() as built:
        folder = built.folder / "bare"
        folder.mkdir()
        spoken = await built.sounds("Аварийная служба.", wording.RECORDED, wording.EMERGENCY_OR_NOT)
        await built.dialplan(DIALPLAN.format(did=BASELINE_DID, sounds="&".join(spoken), folder=folder))

        async def try_baseline(calls: float) -> tuple[int, int]:
            return int(calls), await baseline(built, int(calls), hold, folder)

        async def try_ours(calls: float) -> tuple[int, int]:
            return int(calls), await ours(built, int(calls), hold)

        theirs, _ = await climb("concurrent, baseline", ladder, try_baseline)
        mine, calls = await climb("concurrent", ladder, try_ours)
    return [line("concurrent", mine, theirs, "calls at once", calls, 0, 0)]
