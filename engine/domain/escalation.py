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
from engine.domain.policy import SMS_HEAD_START, How, Policy, Sms, Step, Target
from engine.domain.tries import budget, charged, next_number, pause_after, trailing
from engine.domain.walk import Running, Walk

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
    """Text a person about this ticket. `template` is «ticket» (come) or «taken» (somebody else has it).

    `spare` says to which of their numbers: 0 is the first; another one is texted when those before it could not be.
    """

    callee: Callee
    template: str = "ticket"
    spare: int = 0

    @property
    def number(self) -> str:
        """Where it goes."""
        return self.callee.numbers[self.spare]


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
    if step.sms is not Sms.NEVER and (text := _text_to_another_number(walk, now)):
        return text
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
    return Ring(
        walk.next_attempt(), callee, next_number(callee, step, tries), step.ring_for, trunk=walk.trunk
    )


def _due(
    walk: Walk, policy: Policy, step: Step, began: datetime, now: datetime
) -> Iterator[tuple[datetime, Callee]]:
    """Who may still be rung in this step, and from which instant on; in the order of the tree."""
    busy_with_us = {running.contact for running in walk.running.values()}
    turn = began
    for callee in walk.people:
        if callee.contact in busy_with_us or walk.talking(callee.contact, now):
            continue
        if not _wanted(walk, policy, step, callee, now):
            continue
        tries = walk.tried.get(callee.contact, [])
        first = _read_by(walk, callee, began) if step.sms is Sms.BEFORE else began
        if step.how is How.ONE_BY_ONE:
            first = turn = max(turn, first)  # nobody overtakes those who come before them in the tree
        pause = pause_after(step, tries) if tries else timedelta(0)
        yield tries[-1].at + pause if pause else first, callee  # no pause: it is still their turn


def _read_by(walk: Walk, callee: Callee, began: datetime) -> datetime:
    """From when on a person who was texted first may be rung: when they have had time to read it, or it is known that they cannot.

    This only ever brings a call forward. Nothing waits for a report, nor longer because of one.
    """
    first = next(iter(walk.texted.get(callee.contact, {}).values()), None)
    if first is None:
        return began
    read = first.at + SMS_HEAD_START
    return max(began, read if first.unreached is None else min(read, first.unreached))


def _text_to_another_number(walk: Walk, now: datetime) -> Text | None:
    """Whose texts were all given up is texted on their next number: in an emergency that is the reserve one."""
    for callee in walk.people:
        texts = walk.texted.get(callee.contact, {}).values()
        if callee.contact in walk.declined or walk.uncovered(callee.contact, now) or not texts:
            continue
        left = [
            at for at, number in enumerate(callee.numbers) if all(text.number != number for text in texts)
        ]
        if left and all(text.lost for text in texts):
            return Text(callee, spare=left[0])
    return None


def _wanted(walk: Walk, policy: Policy, step: Step, callee: Callee, now: datetime) -> bool:
    """Whether the step still owes the person a call."""
    if callee.contact in walk.declined or walk.uncovered(callee.contact, now):
        return False
    tries = walk.tried.get(callee.contact, [])
    return may_ring(policy.urgency, callee, now) and charged(tries) < budget(callee, step, tries)


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
    for contact in sorted((walk.texted.keys() - walk.told - {walk.accepted.contact}) & walk.known.keys()):
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
    if acceptor is None or hopeless or charged(asked) >= QUESTIONS_ABOUT_A_CLOCK:
        return Resume(f"{purpose}_not_reported", _step_after(walk))
    if asked and now < (again := asked[-1].at + pause_after(step, asked)):
        return Wait(again)
    number = acceptor.numbers[charged(asked) % len(acceptor.numbers)]
    return Ring(
        walk.next_attempt(), acceptor, number, step.ring_for, purpose, trailing(asked, Outcome.FAILED)
    )


def _step_after(walk: Walk) -> int:
    """The step after the acceptor's: they had their turn."""
    assert walk.accepted is not None
    return walk.places.get(walk.accepted.contact, (walk.round, -1))[1] + 1


def _cancel_one(running: Collection[Running], stopping: Collection[str]) -> Cancel | None:
    return next((Cancel(one.attempt) for one in running if one.attempt not in stopping), None)


def _not_texted(walk: Walk) -> list[Callee]:
    return [callee for callee in walk.people if callee.contact not in walk.texted]
