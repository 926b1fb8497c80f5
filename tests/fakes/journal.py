"""What must hold in every timeline, whoever wrote it: a month in virtual time, or an engine that was killed a thousand times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from engine.domain.escalation import (
    SHORTEST_PAUSE_BETWEEN_ROUNDS,
    Action,
    Cancel,
    EnterStep,
    Exhaust,
    Resume,
    Ring,
    Text,
    next_step,
)
from engine.domain.events import (
    Accepted,
    CallStarted,
    DialEnded,
    DialStarted,
    EscalationExhausted,
    EscalationResumed,
    Event,
    RobocallAnswered,
    StepStarted,
    TextQueued,
)
from engine.domain.model import CallKind, Purpose
from engine.domain.walk import Walk

Away = Sequence[tuple[datetime, datetime]]
"""When no engine was there: silence then is nobody's fault."""


def complaints(
    ticket: int, history: Sequence[Event], *, slack: timedelta = timedelta(seconds=5), away: Away = ()
) -> list[str]:
    """Everything that is wrong with a timeline; nothing is what should come back."""
    return [
        *(f"{ticket}: {wrong}" for wrong in _broken_rules(ticket, history)),
        *(f"{ticket}: {wrong}" for wrong in _different_decisions(ticket, history)),
        *(f"{ticket}: {wrong}" for wrong in _silences(ticket, history, slack, away)),
    ]


def _broken_rules(ticket: int, history: Sequence[Event]) -> Iterator[str]:
    """Intent before ring, one call at a time for a person, one winner, nobody rung for what is taken, each attempt ends once."""
    walk, begun, ended = Walk(ticket), set[str](), Counter[str]()
    for seq, event in enumerate(history, start=1):
        match event:
            case DialStarted():
                if event.attempt in begun:
                    yield f"{seq}: attempt {event.attempt} begins twice"
                if any(running.contact == event.contact for running in walk.running.values()):
                    yield f"{seq}: {event.contact} is rung while being rung"
                if walk.talking(event.contact, event.at):
                    yield f"{seq}: {event.contact} is rung while talking to us"
                taken = walk.accepted is not None or walk.closed
                if event.purpose is Purpose.ACCEPT and taken:
                    yield f"{seq}: {event.contact} is rung for a ticket that is taken or closed"
                begun.add(event.attempt)
            case RobocallAnswered() if event.attempt not in begun:
                yield f"{seq}: {event.attempt} was answered and never intended"
            case CallStarted(kind=CallKind.ROBOCALL) if event.call not in begun:
                yield f"{seq}: {event.call} was called and never intended"
            case DialEnded():
                ended[event.attempt] += 1
                if event.attempt not in begun or ended[event.attempt] > 1:
                    yield f"{seq}: {event.attempt} ends without having begun, or twice"
            case Accepted() if walk.accepted is not None or walk.closed:
                yield f"{seq}: {event.contact} accepts what is taken or closed"
        walk.apply(event)
    if walk.over and begun - ended.keys():
        yield f"the walk is over and {sorted(begun - ended.keys())} never ended"


def _different_decisions(ticket: int, history: Sequence[Event]) -> Iterator[str]:
    """Replay: at each decision on the timeline, `next_step` decides the same again."""
    walk = Walk(ticket)
    for seq, event in enumerate(history, start=1):
        if _is_decision(event):
            stopping: set[str] = set()
            while isinstance(action := next_step(walk, event.at, walk.running, stopping), Cancel):
                stopping.add(action.attempt)
            if not _same(action, event):
                yield f"{seq}: {event} was written where {action} is decided"
        walk.apply(event)


def _is_decision(event: Event) -> bool:
    match event:
        case StepStarted() | DialStarted() | EscalationExhausted():
            return True
        case EscalationResumed():
            return event.reason.endswith("_not_reported")  # the others are people's
        case TextQueued():
            return event.template in ("ticket", "taken")
        case _:
            return False


def _same(action: Action, event: Event) -> bool:
    match action, event:
        case EnterStep(round_, index), StepStarted():
            return (round_, index) == (event.round, event.index)
        case Ring(), DialStarted():
            decided = (action.attempt, action.callee.contact, action.number, action.purpose, action.trunk)
            return decided == (event.attempt, event.contact, event.number, event.purpose, event.trunk)
        case Exhaust(round_), EscalationExhausted():
            return round_ == event.round
        case Resume(reason, index), EscalationResumed():
            return (reason, index) == (event.reason, event.index)
        case Text(callee, template), TextQueued():
            return (callee.contact, template) == (event.contact, event.template)
        case _:
            return False


def _silences(ticket: int, history: Sequence[Event], slack: timedelta, away: Away) -> Iterator[str]:
    """An open emergency that nobody has taken is never left alone for longer than its policy's longest wait."""
    walk = Walk(ticket)
    for event, following in pairwise(history):
        walk.apply(event)
        if walk.policy is None or walk.closed or walk.accepted is not None:
            continue
        steps, ending = walk.policy.steps, walk.policy.when_exhausted
        longest = max(max(step.give_up_after for step in steps), ending.every, SHORTEST_PAUSE_BETWEEN_ROUNDS)
        silent = following.at - event.at - _absence(event.at, following.at, away)
        if silent > longest + slack:
            yield f"{walk.length}: silent for {silent} after {type(event).__name__}"


def _absence(since: datetime, until: datetime, away: Away) -> timedelta:
    parts = (min(end, until) - max(begin, since) for begin, end in away)
    return sum((part for part in parts if part > timedelta(0)), timedelta(0))
