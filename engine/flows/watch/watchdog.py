"""What must never happen unseen: an emergency that nobody walks, a dead trunk, Asterisk away, a clock that was set, a silent store.

Found within ten seconds, mended where that is possible, and told by a way that does not depend on what died (`flows.watch.alarm`). The one
thing that cannot be found here is that the loop itself stands still: `beat` is called every second, and whoever misses it
(`engine.sentry`, and the supervisor) acts without us.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from engine.domain.errors import DozvonError, StoreFailed, TelephonyAway
from engine.domain.escalation import Stop, Wait, next_step
from engine.domain.events import AlarmRaised, DialEnded, DialStarted, Event, RobocallAnswered
from engine.domain.model import Outcome
from engine.domain.walk import Walk
from engine.flows.deps import Deps
from engine.flows.watch.alarm import Alarms, Way

log = structlog.get_logger()

BEAT_SECONDS = 1.0
LOOK_SECONDS = 2.0
PROBE_SECONDS = 3.0
"""So long may a part take to say that it is well."""
PATIENCE_SECONDS = 4.0
"""What is wrong for so long is not a passing moment any more. With the time to the look that notices it, less than ten."""
PARTING_SECONDS = 30.0
"""A person who listens while somebody else takes the ticket is told so before their call ends; that is not hanging."""
JUMP_SECONDS = 2.0
ALARMING_JUMP_SECONDS = 30.0
"""A clock that was put right by a second or two is put right; by more, deadlines have moved, and a human should know."""
FAILED_DIALS_IN_A_ROW = 5
NEVER, ALWAYS = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)

Probe = Callable[[], Awaitable[str | None]]
"""Asks a part how it is: None, or what is wrong with it."""

BROKEN_WAYS: Mapping[str, frozenset[Way]] = {
    "asterisk_away": frozenset({Way.CALL}),
    "trunk_dead": frozenset({Way.CALL}),
    "trunk_unreachable": frozenset({Way.CALL}),
    "sms_stuck": frozenset({Way.TEXT}),
}
"""Which ways out died together with the part."""


class Walks(Protocol):
    """The walkers, as the watchdog sees them."""

    @property
    def walking(self) -> frozenset[int]: ...

    def take_up(self, ticket: int) -> None: ...

    def look(self) -> None: ...


@dataclass(slots=True)
class Watched:
    """An open emergency: its timeline as far as it was read, and since when something has been waiting to be done (the loop's time)."""

    walk: Walk
    latest: datetime = ALWAYS
    due: datetime | None = None
    """Nothing is to be done before; None: look now."""
    idle_since: float | None = None
    lost_since: float | None = None
    nudged: bool = False
    """Its walker was told to look, and did not move."""
    trunks: dict[str, int] = field(default_factory=dict)
    """Through which trunk each running attempt goes."""
    ringing: dict[str, datetime] = field(default_factory=dict)
    """Until when each phone that rings may do so: its walker must say then what became of it."""


@dataclass(eq=False)
class Watchdog:
    """`run` it beside the service. `probes` are asked at each look; each is named by the alarm that it stands for."""

    d: Deps
    walks: Walks
    alarms: Alarms
    trunks: int = 1
    probes: Mapping[str, Probe] = field(default_factory=dict)
    beat: Callable[[], None] = lambda: None
    _watched: dict[int, Watched] = field(default_factory=dict, init=False)
    _wrong_since: dict[str, float] = field(default_factory=dict, init=False)
    _failed: Counter[int] = field(default_factory=Counter, init=False)
    """Dials in a row that failed, by trunk."""
    _offset: float | None = field(default=None, init=False)
    """The clock's time less the loop's."""
    _since: datetime = field(default=NEVER, init=False)

    async def run(self) -> None:
        """Look, for ever. A look that breaks is logged and is not the last one."""
        self._since = self.d.clock.now()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.alarms.run(), name="alarms")
            tasks.create_task(self._beat(), name="heart")
            while True:
                for look in (self._clock, self._parts, self._emergencies):
                    try:
                        await look()
                    except Exception:
                        log.exception("the watchdog's look broke", look=look.__name__)
                await asyncio.sleep(LOOK_SECONDS)

    async def _beat(self) -> None:
        """The loop turns, however long a look takes."""
        while True:
            self.beat()
            await asyncio.sleep(BEAT_SECONDS)

    # --- the clock -----------------------------------------------------------------------------------------------------------------

    async def _clock(self) -> None:
        """The clock and the loop's own time must pass alike."""
        offset = self.d.clock.now().timestamp() - asyncio.get_running_loop().time()
        before, self._offset = self._offset, offset
        if before is None or abs(offset - before) < JUMP_SECONDS:
            return
        jump = round(offset - before)
        log.warning("the clock was set", seconds=jump)
        for watched in self._watched.values():
            watched.due = None
        self.walks.look()
        if abs(jump) >= ALARMING_JUMP_SECONDS:
            self.alarms.tell("clock_jumped", f"{jump:+d} с")

    # --- the parts -----------------------------------------------------------------------------------------------------------------

    async def _parts(self) -> None:
        probes = {"asterisk_away": self._asterisk, **self.probes}
        wrong = await asyncio.gather(*(_ask(probe) for probe in probes.values()))
        for reason, problem in zip(probes, wrong, strict=True):
            self._is(reason, problem)
        if "asterisk_away" in self._wrong_since:
            self._failed.clear()  # no call can be placed at all, and that says nothing of the trunks
        dead = sorted(trunk for trunk, failed in self._failed.items() if failed >= FAILED_DIALS_IN_A_ROW)
        self._is("trunk_dead", ", ".join(f"линия {trunk + 1}" for trunk in dead) or None, patience=0.0)

    async def _asterisk(self) -> str | None:
        try:
            await self.d.phone.alive()
        except TelephonyAway as error:
            return str(error)
        return None

    def _is(self, reason: str, problem: str | None, patience: float = PATIENCE_SECONDS) -> None:
        """Raise the alarm when the problem has stood for long enough; call it off when it is gone."""
        if problem is None:
            self._wrong_since.pop(reason, None)
            self.alarms.over(reason)
            return
        now = asyncio.get_running_loop().time()
        if now - self._wrong_since.setdefault(reason, now) >= patience:
            self.alarms.stands(reason, problem, broken=BROKEN_WAYS.get(reason, ()))

    # --- the emergencies -----------------------------------------------------------------------------------------------------------

    async def _emergencies(self) -> None:
        """Every open one has a walker, and the walker does what is to be done."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                open_now = frozenset(await self.d.store.escalating())
        except (StoreFailed, TimeoutError) as error:
            self._is("store_failed", str(error) or "не ответила вовремя")
            return
        self._is("store_failed", None)
        for ticket in self._watched.keys() - open_now:
            await self._read(self._watched.pop(ticket))
        walking = self.walks.walking
        for ticket in open_now:
            watched = self._watched.setdefault(ticket, Watched(Walk(ticket)))
            hung = await self._has_hung(watched)
            if self._is_lost(watched, ticket in walking) or (hung and watched.nudged):
                await self._take_up(watched)
            elif hung:
                await self._nudge(watched)

    def _is_lost(self, watched: Watched, has_walker: bool) -> bool:
        """No walker, and not only for the moment between two."""
        now = asyncio.get_running_loop().time()
        watched.lost_since = None if has_walker else watched.lost_since or now
        return watched.lost_since is not None and now - watched.lost_since >= PATIENCE_SECONDS

    async def _has_hung(self, watched: Watched) -> bool:
        """Something has been waiting to be done, and nothing has been written, for longer than any walker takes."""
        walk, fresh = watched.walk, await self._read(watched)
        now = max(self.d.clock.now(), watched.latest)
        if not fresh and watched.due is not None and now < watched.due:
            return False
        action = next_step(walk, now, mine=walk.running)
        rung_out = min(watched.ringing.values(), default=NEVER)
        if isinstance(action, Stop) or (isinstance(action, Wait) and (now < rung_out or self._queueing())):
            until = action.until if isinstance(action, Wait) else None
            watched.due, watched.idle_since, watched.nudged = min(until or NEVER, rung_out), None, False
            return False
        loop_now, watched.due = asyncio.get_running_loop().time(), None
        if watched.idle_since is None or any(not isinstance(event, AlarmRaised) for event in fresh):
            watched.idle_since, watched.nudged = loop_now, False
        parting = walk.accepted is not None or walk.closed
        return loop_now - watched.idle_since >= (PARTING_SECONDS if parting else PATIENCE_SECONDS)

    async def _read(self, watched: Watched) -> Sequence[Event]:
        """Take what is new on the timeline into account."""
        fresh = await self.d.store.history(watched.walk.ticket, since=watched.walk.length)
        for event in fresh:
            self._note_dial(watched, event)
            watched.walk.apply(event)
            watched.latest = max(watched.latest, event.at)
        return fresh

    def _queueing(self) -> bool:
        """Whether calls wait for their turn at a trunk: then nobody can say how long a phone should have rung."""
        return any(self.d.gates.of(trunk).waiting for trunk in range(self.trunks))

    async def _nudge(self, watched: Watched) -> None:
        """Its calls may be going on, so it is only told to look. If nothing can be written, that is what ails it."""
        try:
            await self._note_alarm(watched)
        except DozvonError as error:
            self._is("store_failed", str(error), patience=0.0)
            return
        watched.nudged, watched.idle_since = True, asyncio.get_running_loop().time()
        log.error("an open emergency stands still; its walker is told to look", ticket=watched.walk.ticket)
        self.walks.look()

    async def _take_up(self, watched: Watched) -> None:
        """Give it a new walker; its timeline keeps that one was needed."""
        ticket = watched.walk.ticket
        log.error("an open emergency had no walker that moves, and gets a new one", ticket=ticket)
        self.walks.take_up(ticket)
        if not watched.nudged:
            try:
                await self._note_alarm(watched)
            except DozvonError as error:
                log.error("an alarm could not be written down", ticket=ticket, error=str(error))
        watched.idle_since, watched.lost_since, watched.nudged = None, None, False

    async def _note_alarm(self, watched: Watched) -> None:
        """On the timeline, whose webhooks are posted from there; and to the people, who are not texted by a walker now."""
        policy, ticket = watched.walk.policy, watched.walk.ticket
        targets = tuple(str(one) for one in policy.when_exhausted.alarm) if policy else ()
        raised = AlarmRaised(at=self.d.clock.now(), reason="walk_lost", targets=targets)
        await self.d.store.append(ticket, [raised])
        self.alarms.tell("walk_lost", f"заявка №{ticket}")

    def _note_dial(self, watched: Watched, event: Event) -> None:
        """Count the dials in a row that a trunk failed. What was there before we looked first is yesterday's weather."""
        match event:
            case DialStarted():
                watched.ringing[event.attempt] = event.at + timedelta(seconds=event.ring_seconds)
                if event.at >= self._since:
                    watched.trunks[event.attempt] = event.trunk % self.trunks
            case RobocallAnswered():
                watched.ringing.pop(event.attempt, None)
            case _:
                pass
        if not isinstance(event, DialEnded):
            return
        watched.ringing.pop(event.attempt, None)
        trunk = watched.trunks.pop(event.attempt, None)
        if trunk is None:
            return
        if event.outcome is Outcome.FAILED:
            self._failed[trunk] += 1
        elif event.outcome not in (Outcome.CANCELLED, Outcome.LOST):
            self._failed[trunk] = 0


async def _ask(probe: Probe) -> str | None:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await probe()
    except TimeoutError:
        return "не ответила вовремя"
    except Exception as error:
        return repr(error)
