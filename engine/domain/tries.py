"""What a person's attempts in a step amount to: how many count, how many are left, on which number and how soon the next one goes."""

from __future__ import annotations

from datetime import timedelta

from engine.domain.model import Callee, Outcome
from engine.domain.policy import BUSY_AGAIN_AFTER, Step
from engine.domain.walk import Tried

LOST_FREE_OF_CHARGE = 2
"""So many attempts that we lost ourselves do not count against a person; more do, so that a call which kills us cannot be for ever."""
TRUNK_PAUSES = (0.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before the same person is tried again after the 1st, 2nd, … failure of the trunk."""


def charged(tries: list[Tried]) -> int:
    """How many of the attempts count against the person: not those that the trunk failed, nor the first few that we lost."""
    lost = sum(tried.outcome is Outcome.LOST for tried in tries)
    failed = sum(tried.outcome is Outcome.FAILED for tried in tries)
    return len(tries) - failed - min(lost, LOST_FREE_OF_CHARGE)


def budget(callee: Callee, step: Step, tries: list[Tried]) -> int:
    """How many charged attempts a person gets in a step: each number once at least, and who was busy once more."""
    busy = any(tried.outcome is Outcome.BUSY for tried in tries)
    return max(step.calls, len(callee.numbers), 2 if busy else 1)


def pause_after(step: Step, tries: list[Tried]) -> timedelta:
    """How long the person is left in peace after the last of their attempts; nothing if it did not reach their phone."""
    match tries[-1].outcome:
        case Outcome.LOST:
            return timedelta(0)
        case Outcome.FAILED:
            failures = trailing(tries, Outcome.FAILED)
            return timedelta(seconds=TRUNK_PAUSES[min(failures, len(TRUNK_PAUSES)) - 1])
        case Outcome.BUSY:
            return min(step.again_after, BUSY_AGAIN_AFTER)
        case _:
            return step.again_after


def next_number(callee: Callee, step: Step, tries: list[Tried]) -> str:
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
    spare = budget(callee, step, tries) - charged(tries) > len(untried)
    rang_in_vain = last.outcome in (Outcome.NO_ANSWER, Outcome.MACHINE)
    once = sum(tried.number == last.number for tried in real) == 1
    if spare and rang_in_vain and once:
        return last.number
    if untried:
        return untried[0]
    after = callee.numbers.index(last.number) + 1 if last.number in callee.numbers else 0
    return callee.numbers[after % len(callee.numbers)]


def trailing(tries: list[Tried], outcome: Outcome) -> int:
    """How many of the latest attempts in a row ended so."""
    count = 0
    for tried in reversed(tries):
        if tried.outcome is not outcome:
            break
        count += 1
    return count
