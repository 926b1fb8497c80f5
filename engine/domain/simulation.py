"""A walk in virtual time: the real decision (`next_step`), a telephone network that is a function, and no waiting.

`run_walk` is the core: it yields the very events that a live walk would write. `simulate` tells them as a person would read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from engine.domain.company import Company, whom
from engine.domain.escalation import (
    Cancel,
    EnterStep,
    Exhaust,
    Reconcile,
    Resume,
    Ring,
    Stop,
    Text,
    Wait,
    next_step,
)
from engine.domain.events import (
    Accepted,
    AlarmRaised,
    Classified,
    DialEnded,
    DialStarted,
    EscalationExhausted,
    EscalationResumed,
    EscalationStarted,
    Event,
    RobocallAnswered,
    StepStarted,
    TextQueued,
    TicketOpened,
)
from engine.domain.model import Outcome, Premises, Via
from engine.domain.policy import Policy
from engine.domain.walk import Walk

SECONDS = timedelta(seconds=1)
GOODBYE = 3 * SECONDS
"""From the accepting key to the end of the call."""
MOST_EVENTS = 10_000


@dataclass(frozen=True, slots=True)
class Reply:
    """What the network does with one ring: it ends in `outcome` after `after`; `picked_up` is when somebody answered, if anybody did."""

    outcome: Outcome
    after: timedelta
    picked_up: timedelta | None = None


Network = Callable[[Ring, datetime], Reply]


def reply(outcome: Outcome, ring_for: timedelta) -> Reply:
    """An ordinary reply of that outcome: how long a person usually takes for it."""
    picked_up = min(5 * SECONDS, ring_for)
    match outcome:
        case Outcome.ACCEPTED:
            return Reply(outcome, picked_up + 12 * SECONDS, picked_up)
        case Outcome.DECLINED:
            return Reply(outcome, picked_up + 15 * SECONDS, picked_up)
        case Outcome.MACHINE:
            return Reply(outcome, picked_up + 40 * SECONDS, picked_up)
        case Outcome.BUSY | Outcome.UNREACHABLE | Outcome.FAILED:
            return Reply(outcome, SECONDS)
        case _:
            return Reply(outcome, ring_for)


ANSWERS = {
    "accept": Outcome.ACCEPTED,
    "declined": Outcome.DECLINED,
    "busy": Outcome.BUSY,
    "none": Outcome.NO_ANSWER,
    "unreachable": Outcome.UNREACHABLE,
    "machine": Outcome.MACHINE,
    "failed": Outcome.FAILED,
}
"""The words of `dozvon simulate --answers`."""


def scripted(answers: Sequence[Outcome]) -> Network:
    """A network that replies in this order, one reply a ring; who is rung after that does not answer."""
    left = iter(answers)
    return lambda ring, now: reply(next(left, Outcome.NO_ANSWER), ring.ring_for)


def run_walk(
    company: Company,
    policy: Policy,
    network: Network,
    at: datetime,
    *,
    house: str | None = None,
    cause: str | None = None,
    until: datetime | None = None,
    ticket: int = 1,
) -> Iterator[Event]:
    """The events of one walk that begins at `at` (aware), until it is over, its acceptor's clock runs, or `until` is reached."""
    clockwork = _Clockwork(company, network, at, ticket)
    opening: list[Event] = [
        TicketOpened(at=at, company=company.id, channel="simulation", premises=Premises(house=house)),
        Classified(at=at, urgency=policy.urgency, cause=cause),
        EscalationStarted(at=at, policy=policy.name, frozen=policy),
    ]
    for event in opening:
        clockwork.walk.apply(event)
        yield event
    for _ in range(MOST_EVENTS):
        events = clockwork.turn(until)
        if events is None:
            return
        yield from events


class _Clockwork:
    """One walk, its virtual clock, and what the network will do later."""

    def __init__(self, company: Company, network: Network, at: datetime, ticket: int) -> None:
        self.company = company
        self.network = network
        self.now = at
        self.walk = Walk(ticket)
        self.texts = 0
        self.coming: list[tuple[datetime, int, Event]] = []
        """What will happen, with a number that keeps events of one instant in order."""
        self.order = 0

    def turn(self, until: datetime | None) -> list[Event] | None:
        """One decision and what follows from it at once; None when nothing more will happen."""
        action = next_step(self.walk, self.now, mine=tuple(self.walk.running))
        if isinstance(action, Stop):
            return None
        if isinstance(action, Wait):
            return self._advance(action.until, until)
        events = self._act(action)
        for event in events:
            self.walk.apply(event)
        return events

    def _advance(self, wake: datetime | None, until: datetime | None) -> list[Event] | None:
        self.coming.sort(key=lambda one: one[:2])
        if self.coming and (wake is None or self.coming[0][0] <= wake):
            at, _, event = self.coming.pop(0)
            if until is not None and at >= until:
                return None
            self.now = max(self.now, at)
            self.walk.apply(event)
            return [event]
        if wake is None or self.walk.accepted is not None or (until is not None and wake >= until):
            return None
        self.now = wake
        return []

    def _act(self, action: EnterStep | Ring | Text | Cancel | Exhaust | Resume | Reconcile) -> list[Event]:
        walk, now = self.walk, self.now
        match action:
            case EnterStep(round_, index, targets):
                assert walk.policy is not None
                found = whom(self.company, targets, walk.house, walk.policy.urgency, now)
                step = walk.policy.steps[index].name
                return [
                    StepStarted(
                        at=now,
                        round=round_,
                        index=index,
                        step=step,
                        people=found.people,
                        missing=found.missing,
                    )
                ]
            case Ring():
                return [self._ring(action)]
            case Text(callee, template):
                self.texts += 1
                words = f"{walk.ticket}-t{self.texts}"
                return [
                    TextQueued(
                        at=now,
                        text=words,
                        number=action.number,
                        body="",
                        contact=callee.contact,
                        template=template,
                    )
                ]
            case Cancel(attempt) | Reconcile(attempt):
                self.coming = [one for one in self.coming if getattr(one[2], "attempt", None) != attempt]
                outcome = Outcome.CANCELLED if isinstance(action, Cancel) else Outcome.LOST
                return [DialEnded(at=now, attempt=attempt, outcome=outcome)]
            case Exhaust(round_, alarm):
                alarmed = AlarmRaised(
                    at=now, reason="exhausted", targets=tuple(str(target) for target in alarm)
                )
                return [EscalationExhausted(at=now, round=round_), *([alarmed] if alarm else [])]
            case Resume(reason, index):
                return [EscalationResumed(at=now, reason=reason, index=index)]

    def _ring(self, ring: Ring) -> Event:
        walk, now = self.walk, self.now
        answer = self.network(ring, now)
        if answer.picked_up is not None:
            self._plan(RobocallAnswered(at=now + answer.picked_up, attempt=ring.attempt, accept_key="7"))
        end = now + answer.after
        if answer.outcome is Outcome.ACCEPTED:
            callee = ring.callee
            pressed = max(now, end - GOODBYE)
            self._plan(
                Accepted(
                    at=pressed, contact=callee.contact, via=Via.CALL, name=callee.name, attempt=ring.attempt
                )
            )
        self._plan(DialEnded(at=end, attempt=ring.attempt, outcome=answer.outcome))
        return DialStarted(
            at=now,
            attempt=ring.attempt,
            contact=ring.callee.contact,
            number=ring.number,
            step=walk.step.name if walk.step else "",
            round=walk.round,
            index=walk.index,
            purpose=ring.purpose,
            name=ring.callee.name,
            ring_seconds=ring.ring_for.total_seconds(),
        )

    def _plan(self, event: Event) -> None:
        self.order += 1
        self.coming.append((event.at, self.order, event))


class Happening(NamedTuple):
    """A line of a simulation. `kind`: step, nobody, text, ring, ended, accepted, exhausted, alarm, resumed."""

    at: datetime
    kind: str
    person: str | None = None
    number: str | None = None
    detail: str = ""


OUTCOME_WORDS = {
    Outcome.ACCEPTED: "принял",
    Outcome.DECLINED: "отказался",
    Outcome.BUSY: "занято",
    Outcome.NO_ANSWER: "не ответил",
    Outcome.UNREACHABLE: "вне сети",
    Outcome.MACHINE: "ответил, но не нажал клавишу",
    Outcome.FAILED: "линия не соединила",
    Outcome.CANCELLED: "вызов снят",
    Outcome.LOST: "вызов потерян",
}


def simulate(
    company: Company,
    policy: Policy,
    house: str | None,
    cause: str | None,
    at: datetime,
    answers: Sequence[Outcome],
    until: datetime | None = None,
) -> list[Happening]:
    """The calls and texts that would go out, in order. `answers` are the outcomes of the rings; further rings are not answered.

    Ends with the acceptance or, without one, after two rounds of the tree or at `until`, whichever comes first.
    """
    told: list[Happening] = []
    names: dict[str, tuple[str, str]] = {}
    events = run_walk(company, policy, scripted(answers), at, house=house, cause=cause, until=until)
    for event in events:
        match event:
            case StepStarted():
                people = ", ".join(callee.name for callee in event.people)
                told.append(
                    Happening(
                        event.at,
                        "step",
                        None,
                        None,
                        f"круг {event.round}, ступень «{event.step}»: {people or '—'}",
                    )
                )
                told += [Happening(event.at, "nobody", None, None, reason) for reason in event.missing]
            case TextQueued():
                name = (
                    company.contacts[event.contact].name
                    if event.contact in company.contacts
                    else event.contact
                )
                detail = "заявку принял другой" if event.template == "taken" else "SMS о заявке"
                told.append(Happening(event.at, "text", name, event.number, detail))
            case DialStarted():
                names[event.attempt] = (event.name or event.contact, event.number)
                told.append(
                    Happening(event.at, "ring", *names[event.attempt], f"звонит {event.ring_seconds:g} с")
                )
            case DialEnded():
                told.append(Happening(event.at, "ended", *names[event.attempt], OUTCOME_WORDS[event.outcome]))
            case Accepted():
                told.append(Happening(event.at, "accepted", event.name, None, "заявка принята"))
            case EscalationExhausted():
                told.append(
                    Happening(
                        event.at, "exhausted", None, None, f"круг {event.round} пройден, никто не принял"
                    )
                )
                if event.round >= 2 and until is None:
                    break
            case AlarmRaised():
                told.append(Happening(event.at, "alarm", None, None, f"тревога: {', '.join(event.targets)}"))
            case EscalationResumed():
                told.append(Happening(event.at, "resumed", None, None, event.reason))
            case _:
                pass
    return told
