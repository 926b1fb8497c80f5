"""`inbound`: CPU per answered, prompted, recorded, ticketed call at 60 calls a second with the callers' RTP; and the highest clean rate.

Both sides get the same caller: SIPp phones, talks, hears the same sentences (the greeting, «Разговор записывается», the first question),
and hangs up after `TALK_SECONDS`, before they are over. So both have the same seconds of media each way; the hotline's later
questions, which the bare dialplan does not have, cost neither. Ours is Asterisk and the engine; the baseline is Asterisk alone, which
answers, records two legs, and plays. Nothing is taken off for what Asterisk does when nobody calls.

A call has failed if it was not answered within 4 s, or went otherwise than the scenario; ours also if its ticket has no answer, no end
or no recording in the store, or a recording with a flaw, or leaves a channel behind. Failing above the highest rate is no wrong result:
there only a call that went well for the caller and is lost to us counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.company import DID
from bench.ladder import climb
from bench.lines import Line, line
from bench.rig import Rig, rig
from bench.sipp import residents
from engine.domain import wording

RATE = 60.0
TALK_SECONDS = 1.0
BASELINE_DID = "+70002000000"
LADDER = (40.0, 60.0, 75.0, 90.0, 105.0, 120.0, 140.0, 160.0, 180.0)
QUICK_LADDER = (40.0, 80.0, 120.0)

DIALPLAN = """\
[incoming]
exten => {did},1,Answer()
 same => n,Set(FOLDER=bench/${{STRFTIME(${{EPOCH}},UTC,%Y/%m/%d)}})
 same => n,Set(LEG=${{LIVE}}/../bare/${{FOLDER}}/${{CHANNEL(uniqueid)}})
 same => n,MixMonitor(,r(${{LEG}}-in.wav)t(${{LEG}}-out.wav))
 same => n,Playback({sounds})
 same => n,Hangup()
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: CPU milliseconds by who used it, and what went wrong. `lost` of the failed went well for the caller."""

    calls: int
    failed: int
    lost: int
    asterisk: float
    engine: float
    workers: float
    answer_ms: float


async def measure(built: Rig, number: str, rate: float, seconds: float, filed: bool = True) -> Measured:
    """Calls to `number` for so long. CPU is counted, and ours looked for in the store, until all is done that they left to do.

    Without `filed` that is all but the joining of recordings, which waits for quieter times.
    """
    calls = int(rate * seconds)
    since = built.last_ticket()
    before = (built.asterisk_ms(), built.engine_ms(), built.workers_ms())
    called = await residents(
        built.folder, built.sip_port, number, rate=rate, calls=calls, talk_seconds=TALK_SECONDS
    )
    failed, lost = called.failed + await built.quiet(), 0
    if number == DID:
        lost = max(0, await _lacking(built, since, calls, filed) - called.failed)
    after = (built.asterisk_ms(), built.engine_ms(), built.workers_ms())
    asterisk, engine, workers = (now - then for now, then in zip(after, before, strict=True))
    return Measured(calls, failed + lost, lost, asterisk, engine, workers, called.answer_ms)


async def _lacking(built: Rig, since: int, calls: int, filed: bool) -> int:
    """How many calls lack something in the store."""
    needed = ["TicketOpened", "CallStarted", "CallAnswered", "CallEnded"]
    if filed:
        needed.append("RecordingAttached")
    found = await built.until_counted(since, needed[-1], calls)
    return max(calls - found.get(kind, 0) for kind in needed) + (built.flaws(since) if filed else 0)


async def highest_rate(
    built: Rig, number: str, ladder: tuple[float, ...], seconds: float
) -> tuple[float, int, int]:
    """The highest rate of the ladder before a call fails, how many calls were made, and how many were lost."""
    lost = 0

    async def attempt(rate: float) -> tuple[int, int]:
        nonlocal lost
        tried = await measure(built, number, rate, seconds, filed=False)
        lost += tried.lost
        return tried.calls, tried.failed

    best, calls = await climb(f"inbound rate to {number}", ladder, attempt)
    return best, calls, lost


async def run(quick: bool) -> list[Line]:
    """CPU per call; by whom it was used, the niced joining of recordings by itself; and the highest rate."""
    rounds, seconds, step_seconds = (2, 1.5, 2.0) if quick else (4, 8.0, 6.0)
    ours: list[Measured] = []
    bare: list[Measured] = []
    async with rig() as built:
        spoken = await built.sounds("Аварийная служба.", wording.RECORDED, wording.EMERGENCY_OR_NOT)
        await built.dialplan(DIALPLAN.format(did=BASELINE_DID, sounds="&".join(spoken)))
        await measure(built, BASELINE_DID, 20.0, 0.5)  # both sides warm
        await measure(built, DID, 20.0, 0.5)
        for _ in range(rounds):
            ours.append(await measure(built, DID, RATE, seconds))
            bare.append(await measure(built, BASELINE_DID, RATE, seconds))
        ladder = QUICK_LADDER if quick else LADDER
        bare_rate, *_ = await highest_rate(
            built, BASELINE_DID, ladder, step_seconds
        )  # leaves nothing to be joined
        our_rate, our_calls, lost = await highest_rate(built, DID, ladder, step_seconds)
    calls = sum(one.calls for one in ours)
    failed = sum(one.failed for one in ours)
    bare_each = sum(one.asterisk for one in bare) / sum(one.calls for one in bare)
    asterisk, engine, workers = (
        sum(getattr(one, part) for one in ours) / calls for part in ("asterisk", "engine", "workers")
    )
    return [
        line("inbound call", asterisk + engine, bare_each, "CPU-ms/call", calls, failed),
        line("inbound call, Asterisk", asterisk, bare_each, "CPU-ms/call", calls, 0),
        line("inbound call, engine", engine, None, "CPU-ms/call", calls, 0),
        line("inbound call, joining", workers, None, "CPU-ms/call", calls, 0),
        line("inbound rate", our_rate, bare_rate, "calls/s", our_calls, lost, 0),
    ]
