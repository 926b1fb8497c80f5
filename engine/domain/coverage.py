"""How well a company is covered: gaps in its rosters over a time, and how long an emergency may take to reach the director."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.domain.company import Company
from engine.domain.events import DialStarted, EscalationExhausted
from engine.domain.model import Outcome
from engine.domain.policy import SMS_HEAD_START, How, Policy, Sms, Step, Target, TargetKind
from engine.domain.roster import Roster, Slice
from engine.domain.simulation import run_walk, scripted

YEAR = timedelta(days=365)
MINUTE = timedelta(minutes=1)
DIRECTOR = "director"
"""The company's role that every emergency must reach."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """A roster over a time, minute by minute. `hand_overs` counts the changes of who is on duty; `hours` is each person's share."""

    roster: str
    minutes: int
    covered: int
    gaps: tuple[Slice, ...]
    hand_overs: int
    largest: int
    """The most people who are on duty at once."""
    hours: dict[str, float]


def coverage(roster: Roster, start: datetime, end: datetime) -> Coverage:
    """Walk the time from `start` to `end` (aware). A minute is covered if somebody is on duty throughout it.

    Every change of duty is visited, and between changes nothing can differ, so this is the same as asking for each minute.
    """
    gaps: list[Slice] = []
    hours: defaultdict[str, float] = defaultdict(float)
    changes = largest = uncovered = 0
    bare_until = start
    for stretch in roster.slices(start, end):
        changes += 1
        largest = max(largest, len(stretch.contacts))
        for contact in stretch.contacts:
            hours[contact] += (stretch.until - stretch.since) / timedelta(hours=1)
        if not stretch.contacts:
            gaps.append(stretch)
            first = max((stretch.since - start) // MINUTE, (bare_until - start) // MINUTE)
            last = -((start - stretch.until) // MINUTE)
            uncovered += max(0, last - first)
            bare_until = start + last * MINUTE
    minutes = (end - start) // MINUTE
    return Coverage(
        roster.name,
        minutes,
        minutes - min(uncovered, minutes),
        tuple(gaps),
        max(0, changes - 1),
        largest,
        dict(hours),
    )


@dataclass(frozen=True, slots=True)
class WorstCase:
    """How long until the director's phone rings.

    `bound` holds whatever happens, but for people who are in conversation with us when their step's time runs out; `silent` is the time
    if nobody answers, for the house where it takes longest. None: never.
    """

    bound: timedelta | None
    silent: timedelta | None


def worst_case(company: Company, policy: Policy, at: datetime) -> WorstCase:
    """The longest way to the director for a ticket of this policy that opens at `at` (aware)."""
    director = company.roles.get(DIRECTOR)
    if director is None:
        return WorstCase(None, None)
    bound: timedelta | None = None
    passed = timedelta(0)
    for step in policy.steps:
        if director in possible(company, step.ring):
            bound = passed + _wait_within(company, step, director, at)
            break
        passed += step.give_up_after
    return WorstCase(bound, _silent(company, policy, director, at))


def _silent(company: Company, policy: Policy, director: str, at: datetime) -> timedelta | None:
    longest: timedelta | None = None
    for house in company.houses or (None,):
        for event in run_walk(company, policy, scripted([Outcome.NO_ANSWER]), at, house=house):
            if isinstance(event, DialStarted) and event.contact == director:
                longest = max(longest or timedelta(0), event.at - at)
                break
            if isinstance(event, EscalationExhausted):
                return None
    return longest


def _wait_within(company: Company, step: Step, director: str, at: datetime) -> timedelta:
    """How long the director waits in their own step behind those who are named before them."""
    before = 0
    for target in step.ring:
        people = people_of(company, target, at)
        if director in people:
            before += people.index(director)
            break
        before += len(people)
    head_start = SMS_HEAD_START if step.sms is Sms.BEFORE else timedelta(0)
    return head_start + (step.ring_for * before if step.how is How.ONE_BY_ONE else timedelta(0))


def possible(company: Company, targets: tuple[Target, ...]) -> frozenset[str]:
    """Everybody whom these targets may name, in any house and at any time; ids of contacts."""
    return frozenset(contact for target in targets for contact in _possible(company, target))


def _possible(company: Company, target: Target) -> Iterator[str]:
    match target.kind:
        case TargetKind.CONTACT:
            yield target.name
        case TargetKind.TEAM:
            yield from company.teams.get(target.name, ())
        case TargetKind.ON_CALL if target.name in company.rosters:
            yield from company.rosters[target.name].people()
        case TargetKind.ROLE:
            owner, _, role = target.name.partition(".")
            if role in company.roles:
                yield company.roles[role]
            if owner == "house":
                yield from (house.roles[role] for house in company.houses.values() if role in house.roles)
        case _:
            pass


def people_of(company: Company, target: Target, at: datetime) -> tuple[str, ...]:
    """The most people whom a target may name at once: a roster's as it is at `at`, one for a role."""
    if target.kind is TargetKind.ON_CALL and target.name in company.rosters:
        return company.rosters[target.name].on_duty(at).contacts
    if target.kind is TargetKind.ROLE:
        return tuple(dict.fromkeys(_possible(company, target)))[:1]
    return tuple(_possible(company, target))
