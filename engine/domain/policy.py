"""What an escalation policy is: frozen values. The YAML around them, and its mistakes, are read in `files/`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from engine.domain.model import Urgency


class TargetKind(StrEnum):
    """How a step names the people to reach."""

    ON_CALL = "on_call"
    """Whoever a roster has on duty."""
    CONTACT = "contact"
    ROLE = "role"
    """`house.ROLE` or `company.ROLE`."""
    TEAM = "team"
    WEBHOOK = "webhook"
    """Alarms only."""


@dataclass(frozen=True, slots=True)
class Target:
    """One name in a step's `ring` (or in an alarm): a kind and the name within that kind."""

    kind: TargetKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


class How(StrEnum):
    """In which order a step rings its people."""

    ONE_BY_ONE = "one_by_one"
    ALL_AT_ONCE = "all_at_once"


class Sms(StrEnum):
    """When a step texts each of its people."""

    TOGETHER = "together"
    """With the first ring."""
    BEFORE = "before"
    """At the start of the step; the first ring follows `SMS_HEAD_START` later."""
    AFTER = "after"
    """When the person's calls are used up."""
    NEVER = "never"


SMS_HEAD_START = timedelta(seconds=30)
BUSY_AGAIN_AFTER = timedelta(seconds=10)
"""Somebody who talks is awake and at the phone: try again soon, whatever the step's pause."""


@dataclass(frozen=True, slots=True)
class Step:
    """One rung of the tree.

    `calls` is how many times a person is rung in the step (a person with a reserve number, or one who was busy, gets at least two);
    `again_after` is the pause before the same person is rung again; `give_up_after` ends the step whatever happens.
    """

    name: str
    ring: tuple[Target, ...]
    how: How = How.ONE_BY_ONE
    sms: Sms = Sms.TOGETHER
    ring_for: timedelta = timedelta(seconds=25)
    calls: int = 1
    again_after: timedelta = timedelta(seconds=20)
    give_up_after: timedelta = timedelta(minutes=3)


@dataclass(frozen=True, slots=True)
class Exhaustion:
    """What happens when every step has been walked in vain. `repeat` None is forever; else so many further rounds."""

    repeat: int | None = None
    every: timedelta = timedelta(minutes=2)
    alarm: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class AfterAccepting:
    """The clocks that start with the acceptance; None is no clock."""

    report_arrival_within: timedelta | None = None
    report_done_within: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole tree. `causes` are patterns as `water.*`; a policy covers a cause if any of them matches."""

    name: str
    title: str
    urgency: Urgency
    steps: tuple[Step, ...]
    causes: tuple[str, ...] = ("*",)
    when_exhausted: Exhaustion = Exhaustion()
    after_accepting: AfterAccepting = AfterAccepting()
    version: int = 1

    def covers(self, cause: str) -> bool:
        """Whether this policy is meant for the cause (`water.riser`)."""
        return any(fnmatchcase(cause, pattern) for pattern in self.causes)


def choose_policy(policies: tuple[Policy, ...], urgency: Urgency, cause: str | None) -> Policy | None:
    """The policy for a ticket: same urgency, most specific pattern that covers the cause; None if no policy covers it.

    Without a cause, or if none covers it, the policy that is made for everything (`*`) is taken, then any of that urgency:
    a walk of the wrong tree reaches people, a missing walk reaches nobody.
    """
    same = [policy for policy in policies if policy.urgency is urgency]
    matching = [
        (len(pattern.rstrip("*")), policy)
        for policy in same
        for pattern in policy.causes
        if fnmatchcase(cause or "", pattern)
    ]
    if matching:
        return max(matching, key=lambda found: found[0])[1]
    return same[0] if same else None
