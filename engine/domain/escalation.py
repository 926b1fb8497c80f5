"""What to do next about an emergency: the decision, and nothing else. No I/O, clock or randomness; same arguments, same answer.

The walker (`flows.walker`) asks `next_step` again and again, makes each answer's intent durable and then acts upon it. All that a
decision rests on is in the `Walk`, which is folded from the timeline alone; so a restarted walker decides exactly as the dead one
would have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.domain.model import Callee, Outcome, Purpose, Urgency
from engine.domain.policy import BUSY_AGAIN_AFTER, SMS_HEAD_START, How, Policy, Sms, Step, Target
from engine.domain.walk import Running, Tried, Walk

LOST_FREE_OF_CHARGE = 2
"""So many attempts that we lost ourselves do not count against a person; more do, so that a call which kills us cannot be for ever."""
TRUNK_PAUSES = (0.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before the same person is tried again after the 1st, 2nd, … failure of the trunk."""
SHORTEST_PAUSE_BETWEEN_ROUNDS = timedelta(seconds=10)
QUESTIONS_ABOUT_A_CLOCK = 2
"""How often the acceptor is rung about a clock that ran out before the walk goes on without them."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing is left to do, unless a new event says otherwise."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until` or before something happens; None: only when something happens (an attempt is running)."""

    until: datetime | None


@dataclass(frozen=True, slots=True)
class Reconcile:
    """The timeline has this attempt running, but this walker does not: whoever began it died. End it, and go on."""

    attempt: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop this attempt; a phone that rings falls silent, a person who listens is told who took it."""

    attempt: str


@dataclass(frozen=True, slots=True)
class EnterStep:
    """Resolve the targets to people and begin the step."""

    round: int
    index: int
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Ring:
    """Ring a person. `trunk` counts from the preferred one: each failure of a trunk moves this walk to the next one."""

    attempt: str
    callee: Callee
    number: str
    ring_for: timedelta
    purpose: Purpose = Purpose.ACCEPT
    trunk: int = 0


@dataclass(frozen=True, slots=True)
class Text:
    """Text a person about this ticket. `template` is «ticket» (come) or «taken» (somebody else has it)."""

    callee: Callee
    template: str = "ticket"


@dataclass(frozen=True, slots=True)
class Exhaust:
    """Every step of this round was walked in vain: say so, and raise the alarm."""

    round: int
    alarm: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Resume:
    """The acceptor did not report in time and could not be reached about it: walk on from this step."""

    reason: str
    index: int


Action = Stop | Wait | Reconcile | Cancel | EnterStep | Ring | Text | Exhaust | Resume


def next_step(walk: Walk, now: datetime, mine: Collection[str], stopping: Collection[str] = ()) -> Action:
    """The next thing to do. Ask again after each action, and whenever time passes or the timeline grows.

    `mine` are the attempts that the asking walker is running, `stopping` those of them that it has already been told to cancel.
    """
    for running in walk.running.values():
        if running.attempt not in mine:
            return Reconcile(running.attempt)
    if walk.policy is None:
        return Stop()
    if walk.closed:
        return _cancel_one(walk.running.values(), stopping) or (Wait(None) if walk.running else Stop())
    if walk.accepted is not None:
        return _after_acceptance(walk, walk.policy, now, stopping)
    if walk.entering is not None:
        round_, index = walk.entering
        return EnterStep(round_, index, walk.policy.steps[index].ring)
    step = walk.step
    if step is None or walk.step_at is None:
        return EnterStep(1, 0, walk.policy.steps[0].ring)
    return _in_step(walk, walk.policy, step, walk.step_at, now, stopping)


def _in_step(
    walk: Walk, policy: Policy, step: Step, began: datetime, now: datetime, stopping: Collection[str]
) -> Action:
    here = [running for running in walk.running.values() if running.place == (walk.round, walk.index)]
    ringing = [running for running in here if not running.answered]
    deadline = began + step.give_up_after
    if now >= deadline:  # whatever happens, the next step; only who already talks to us may finish
        return _cancel_one(ringing, stopping) or (Wait(None) if ringing else _leave(walk, policy, step, now))

    unwanted = [one for one in ringing if one.contact in walk.declined or walk.uncovered(one.contact, now)]
    if cancel := _cancel_one(unwanted, stopping):
        return cancel
    if step.sms is Sms.BEFORE:
        for callee in _not_texted(walk):
            return Text(callee)
    due = sorted(_due(walk, policy, step, began, now), key=lambda found: found[0])
    if here and step.how is How.ONE_BY_ONE:
        return Wait(deadline)
    if not due:
        busy = {one.contact for one in walk.running.values()}
        talking = any(one.contact in busy or _expected(walk, policy, step, one, now) for one in walk.people)
        return Wait(deadline) if talking else _leave(walk, policy, step, now)
    when, callee = due[0]
    if now < when:
        return Wait(min(when, deadline))
    if step.sms is Sms.TOGETHER and callee.contact not in walk.texted:
        return Text(callee)
    tries = walk.tried.get(callee.contact, [])
    return Ring(walk.next_attempt(), callee, _number(callee, step, tries), step.ring_for, trunk=walk.trunk)


def _due(
    walk: Walk, policy: Policy, step: Step, began: datetime, now: datetime
) -> Iterator[tuple[datetime, Callee]]:
    """Who may still be rung in this step, and from which instant on; in the order of the tree."""
    busy_with_us = {running.contact for running in walk.running.values()}
    for callee in walk.people:
        if callee.contact in busy_with_us or walk.talking(callee.contact, now):
            continue
        if not _wanted(walk, policy, step, callee, now):
            continue
        tries = walk.tried.get(callee.contact, [])
        first = began + (SMS_HEAD_START if step.sms is Sms.BEFORE else timedelta(0))
        pause = _pause(step, tries) if tries else timedelta(0)
        yield tries[-1].at + pause if pause else first, callee  # no pause: it is still their turn


def _wanted(walk: Walk, policy: Policy, step: Step, callee: Callee, now: datetime) -> bool:
    """Whether the step still owes the person a call."""
    if callee.contact in walk.declined or walk.uncovered(callee.contact, now):
        return False
    tries = walk.tried.get(callee.contact, [])
    return may_ring(policy.urgency, callee, now) and _charged(tries) < _budget(callee, step, tries)


def _expected(walk: Walk, policy: Policy, step: Step, callee: Callee, now: datetime) -> bool:
    """Whether the person is to be rung in this step and only has to finish another talk with us first."""
    return walk.talking(callee.contact, now) and _wanted(walk, policy, step, callee, now)


def may_ring(urgency: Urgency, callee: Callee, now: datetime) -> bool:
    """Whether the class of the ticket allows a call to this person at this instant (behaviour, «Urgency decides the channel»)."""
    match urgency:
        case Urgency.EMERGENCY:
            return True
        case Urgency.URGENT:
            return callee.awake(now)
        case Urgency.NORMAL:
            return False


def _leave(walk: Walk, policy: Policy, step: Step, now: datetime) -> Action:
    """The step is over: what it still owes by text, then the next one, or round again."""
    if step.sms is not Sms.NEVER:
        for callee in _not_texted(walk):
            if callee.contact not in walk.declined:
                return Text(callee)
    if walk.index + 1 < len(policy.steps):
        return EnterStep(walk.round, walk.index + 1, policy.steps[walk.index + 1].ring)
    morning = _slept_through(walk, policy)
    if morning is not None:
        return Wait(morning) if now < morning else EnterStep(walk.round + 1, 0, policy.steps[0].ring)
    ending = policy.when_exhausted
    if walk.exhausted_round < walk.round or walk.exhausted_at is None:
        return Exhaust(walk.round, ending.alarm)
    if ending.repeat is not None and walk.round > ending.repeat:
        return Wait(None) if walk.running else Stop()
    again = walk.exhausted_at + max(ending.every, SHORTEST_PAUSE_BETWEEN_ROUNDS)
    return Wait(again) if now < again else EnterStep(walk.round + 1, 0, policy.steps[0].ring)


def _slept_through(walk: Walk, policy: Policy) -> datetime | None:
    """When the first of them wakes, if the class lets nobody be rung and everybody slept: they were texted, and that is no alarm."""
    if policy.urgency is Urgency.EMERGENCY or walk.step_at is None or not walk.known:
        return None
    people = walk.known.values()
    if any(may_ring(policy.urgency, callee, walk.step_at) for callee in people):
        return None
    return min(callee.wakes_after(walk.step_at) for callee in people)


def _after_acceptance(walk: Walk, policy: Policy, now: datetime, stopping: Collection[str]) -> Action:
    """Somebody took it: silence the other phones, then watch the clocks that their acceptance started."""
    assert walk.accepted is not None
    clock = walk.clock
    needless = [
        running
        for running in walk.running.values()
        if running.attempt != walk.accepted.attempt
        and not (clock and running.purpose is clock[0] and running.contact == walk.accepted.contact)
    ]
    if cancel := _cancel_one(needless, stopping):
        return cancel
    for contact in sorted((walk.texted - walk.told - {walk.accepted.contact}) & walk.known.keys()):
        return Text(walk.known[contact], "taken")
    if clock is None:
        return Wait(None) if walk.running else Stop()
    purpose, due = clock
    if walk.running or now < due:
        return Wait(due if now < due else None)

    acceptor = walk.known.get(walk.accepted.contact)
    asked = walk.asked.get(purpose, [])
    step = policy.steps[walk.places.get(walk.accepted.contact, (walk.round, walk.index))[1]]
    hopeless = any(tried.outcome in (Outcome.DECLINED, Outcome.ACCEPTED) for tried in asked)
    if acceptor is None or hopeless or _charged(asked) >= QUESTIONS_ABOUT_A_CLOCK:
        return Resume(f"{purpose}_not_reported", _step_after(walk))
    if asked and now < (again := asked[-1].at + _pause(step, asked)):
        return Wait(again)
    number = acceptor.numbers[_charged(asked) % len(acceptor.numbers)]
    return Ring(
        walk.next_attempt(), acceptor, number, step.ring_for, purpose, _trailing(asked, Outcome.FAILED)
    )


def _step_after(walk: Walk) -> int:
    """The step after the acceptor's: they had their turn."""
    assert walk.accepted is not None
    return walk.places.get(walk.accepted.contact, (walk.round, -1))[1] + 1


def _cancel_one(running: Collection[Running], stopping: Collection[str]) -> Cancel | None:
    return next((Cancel(one.attempt) for one in running if one.attempt not in stopping), None)


def _not_texted(walk: Walk) -> list[Callee]:
    return [callee for callee in walk.people if callee.contact not in walk.texted]


def _charged(tries: list[Tried]) -> int:
    """How many of the attempts count against the person: not those that the trunk failed, nor the first few that we lost."""
    lost = sum(tried.outcome is Outcome.LOST for tried in tries)
    failed = sum(tried.outcome is Outcome.FAILED for tried in tries)
    return len(tries) - failed - min(lost, LOST_FREE_OF_CHARGE)


def _budget(callee: Callee, step: Step, tries: list[Tried]) -> int:
    """How many charged attempts a person gets in a step: each number once at least, and who was busy once more."""
    busy = any(tried.outcome is Outcome.BUSY for tried in tries)
    return max(step.calls, len(callee.numbers), 2 if busy else 1)


def _pause(step: Step, tries: list[Tried]) -> timedelta:
    match tries[-1].outcome:
        case Outcome.LOST:
            return timedelta(0)
        case Outcome.FAILED:
            failures = _trailing(tries, Outcome.FAILED)
            return timedelta(seconds=TRUNK_PAUSES[min(failures, len(TRUNK_PAUSES)) - 1])
        case Outcome.BUSY:
            return min(step.again_after, BUSY_AGAIN_AFTER)
        case _:
            return step.again_after


def _number(callee: Callee, step: Step, tries: list[Tried]) -> str:
    """Which of the person's numbers to ring now.

    Every number gets its turn within the budget. While there are calls to spare, a number that rang in vain is rung once more (a
    second call within three minutes passes «do not disturb»), and one that was busy or out of reach gives way to the next.
    """
    real = [tried for tried in tries if tried.outcome is not Outcome.FAILED]
    if tries and tries[-1].outcome in (Outcome.FAILED, Outcome.LOST):
        return tries[-1].number  # that call was not made: make it
    if not real:
        return callee.numbers[0]
    last = real[-1]
    untried = [number for number in callee.numbers if all(tried.number != number for tried in real)]
    spare = _budget(callee, step, tries) - _charged(tries) > len(untried)
    rang_in_vain = last.outcome in (Outcome.NO_ANSWER, Outcome.MACHINE)
    once = sum(tried.number == last.number for tried in real) == 1
    if spare and rang_in_vain and once:
        return last.number
    if untried:
        return untried[0]
    after = callee.numbers.index(last.number) + 1 if last.number in callee.numbers else 0
    return callee.numbers[after % len(callee.numbers)]


def _trailing(tries: list[Tried], outcome: Outcome) -> int:
    """How many of the latest attempts in a row ended so."""
    count = 0
    for tried in reversed(tries):
        if tried.outcome is not outcome:
            break
        count += 1
    return count
