"""What is wrong with a company as a whole: names that name nothing, people who cannot be rung, causes that nobody takes.

Pure: values in, findings out, each with the path of its place (`policies, water, steps, 0, ring, 1`). The shapes of the files have been
checked before. Nothing is said about what is in doubt: a name that is written but could not be read is not «unknown».
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from engine.domain.company import Company
from engine.domain.coverage import DIRECTOR, YEAR, Coverage, coverage, possible
from engine.domain.finding import Finding, Path, Severity
from engine.domain.model import Urgency
from engine.domain.policy import SMS_HEAD_START, How, Policy, Sms, Step, Target, TargetKind, choose_policy
from engine.domain.roster import Roster

MOST_GAPS = 5
"""So many gaps of one roster are named; the rest are counted."""


def findings(
    company: Company,
    causes: Mapping[str, Urgency] | None = None,
    doubtful: frozenset[Path] = frozenset(),
    start: datetime | None = None,
) -> list[Finding]:
    """Everything that is wrong. `causes` (with their class) must each be covered; the year from `start` on (aware) is walked for gaps."""
    year = (
        {name: coverage(roster, start, start + YEAR) for name, roster in company.rosters.items()}
        if start
        else {}
    )
    look = _Look(company, doubtful, year)
    return [*look.people(), *look.houses(), *look.rosters(), *look.policies(causes or {})]


@dataclass(frozen=True, slots=True)
class _Look:
    company: Company
    doubtful: frozenset[Path]
    year: Mapping[str, Coverage]

    def known(
        self, kind: str, name: str, names: Collection[str], path: Path, *home: str
    ) -> Iterator[Finding]:
        """A name must be among `names`; `home` is where those are written."""
        if name not in names and not self.doubts(*home) and not self.doubts(*home, name):
            yield Finding(f"{kind}.unknown", path, {"name": name, **hint(name, names)})

    def contacts(self, names: Iterable[str], path: Path, each: bool = True) -> Iterator[Finding]:
        for number, name in enumerate(names):
            yield from self.known(
                "contact", name, self.company.contacts, (*path, number) if each else path, "contacts"
            )

    def doubts(self, *path: str) -> bool:
        return path in self.doubtful

    # --- company, contacts, houses, residents ----------------------------------------------------------------------------------

    def people(self) -> Iterator[Finding]:
        company, owners = self.company, dict[str, str]()
        if not company.lines and not self.doubts("lines"):
            yield Finding("lines.none", ("company",), severity=Severity.WARNING)
        own = [line.did for line in company.lines]
        if company.caller_id and company.caller_id not in own and not self.doubts("lines"):
            yield Finding(
                "caller_id.foreign", ("company", "caller_id"), {"number": company.caller_id}, Severity.WARNING
            )
        if DIRECTOR not in company.roles and not self.doubts("roles"):
            yield Finding("role.director", ("company", "roles"), about_key=True)
        for role, name in company.roles.items():
            yield from self.contacts([name], ("company", "roles", role), each=False)
        for team, members in company.teams.items():
            yield from self.contacts(members, ("company", "teams", team))
        for number, phone in enumerate(company.fallback):
            yield from self.allowed(phone, ("company", "fallback", number))
        for name, contact in company.contacts.items():
            at: Path = ("contacts", name)
            if not contact.numbers:
                code, severity = (
                    ("contact.only_reserve", Severity.RISK)
                    if contact.reserve
                    else ("contact.no_number", Severity.ERROR)
                )
                yield Finding(code, at, {"name": name}, severity, about_key=True)
            for key, phones in (("numbers", contact.numbers), ("reserve", contact.reserve)):
                for number, phone in enumerate(phones):
                    yield from self.allowed(phone, (*at, key, number))
                    other = owners.setdefault(phone, name)
                    if other != name:
                        words = {"number": phone, "other": other}
                        yield Finding("number.twice", (*at, key, number), words, Severity.WARNING)

    def allowed(self, phone: str, path: Path) -> Iterator[Finding]:
        if not self.company.may_dial(phone) and not self.doubts("allowed_numbers"):
            yield Finding("number.not_allowed", path, {"number": phone})

    def houses(self) -> Iterator[Finding]:
        for name, house in self.company.houses.items():
            for role, contact in house.roles.items():
                yield from self.contacts([contact], ("houses", name, "roles", role), each=False)
        for number, resident in self.company.residents.items():
            at: Path = ("residents", number)
            yield from self.known("house", resident.house, self.company.houses, (*at, "house"), "houses")
            flats = (
                self.company.houses[resident.house].flats if resident.house in self.company.houses else None
            )
            if (
                flats
                and resident.flat
                and resident.flat.isdecimal()
                and not flats[0] <= int(resident.flat) <= flats[1]
            ):
                words = {
                    "flat": resident.flat,
                    "house": resident.house,
                    "first": str(flats[0]),
                    "last": str(flats[1]),
                }
                yield Finding("resident.flat", (*at, "flat"), words)

    # --- rosters ---------------------------------------------------------------------------------------------------------------

    def rosters(self) -> Iterator[Finding]:
        rung = {target.name for target in self.targets() if target.kind is TargetKind.ON_CALL}
        unsure = self.doubts("policies") or not rung <= self.company.rosters.keys()
        for name, roster in self.company.rosters.items():
            at: Path = ("rosters", name)
            yield from self.named_in(roster, at)
            if self.doubts("rosters", name):
                continue
            if not roster.people():
                yield Finding("roster.nobody", at, {"name": name}, about_key=True)
            elif name in self.year and self.year[name].gaps:
                words = {"name": name, "gaps": gap_words(self.year[name], roster)}
                yield Finding("roster.gap", at, words, Severity.RISK, about_key=True)
            if name not in rung and not unsure:
                yield Finding("roster.unused", at, {"name": name}, Severity.WARNING, about_key=True)

    def named_in(self, roster: Roster, at: Path) -> Iterator[Finding]:
        yield from self.contacts(roster.always, (*at, "always"))
        for number, shift in enumerate(roster.shifts):
            for turn, crew in enumerate(shift.crews):
                # `who` or `rotate`: the place skips what is not written.
                yield from self.contacts(crew, (*at, "shifts", number, "rotate", "crews", turn, "who"))
        for number, override in enumerate(roster.overrides):
            yield from self.contacts(override.contacts, (*at, "overrides", number, "who"))
        for number, swap in enumerate(roster.swaps):
            yield from self.contacts((swap.one, swap.other), (*at, "swaps", number, "between"))
        for number, off in enumerate(roster.days_off):
            if off.instead == off.contact:
                yield Finding("day_off.stand_in", (*at, "days_off", number, "instead"), {"name": off.contact})
            yield from self.contacts([off.contact], (*at, "days_off", number, "contact"), each=False)
            if off.instead is not None:
                yield from self.contacts([off.instead], (*at, "days_off", number, "instead"), each=False)

    # --- policies --------------------------------------------------------------------------------------------------------------

    def targets(self) -> Iterator[Target]:
        for policy in self.company.policies:
            for step in policy.steps:
                yield from step.ring
            yield from policy.when_exhausted.alarm

    def policies(self, causes: Mapping[str, Urgency]) -> Iterator[Finding]:
        taken: dict[tuple[Urgency, str], str] = {}
        for policy in self.company.policies:
            at: Path = ("policies", policy.name)
            yield from self.causes_of(policy, at, taken)
            yield from self.steps_of(policy, at)
            yield from self.ending_of(policy, at)
        if self.doubts("policies"):
            return
        for urgency, suggest in ((Urgency.EMERGENCY, "default"), (Urgency.URGENT, "urgent")):
            if all(policy.urgency is not urgency for policy in self.company.policies):
                severity = Severity.ERROR if urgency is Urgency.EMERGENCY else Severity.RISK
                yield Finding(
                    "policies.none",
                    ("company", "policies"),
                    {"urgency": urgency, "suggest": suggest},
                    severity,
                )
        for cause, urgency in causes.items():
            if urgency is Urgency.NORMAL or any(
                policy.urgency is urgency and policy.covers(cause) for policy in self.company.policies
            ):
                continue
            other = choose_policy(self.company.policies, urgency, cause)
            if other is not None:
                words = {"cause": cause, "urgency": urgency, "other": other.name}
                yield Finding("cause.uncovered", ("company", "policies"), words, Severity.RISK)

    def causes_of(self, policy: Policy, at: Path, taken: dict[tuple[Urgency, str], str]) -> Iterator[Finding]:
        for number, cause in enumerate(policy.causes):
            path: Path = (*at, "for", "causes", number)
            other = taken.setdefault((policy.urgency, cause), policy.name)
            wider = next((one for one in policy.causes if one != cause and fnmatchcase(cause, one)), None)
            if other != policy.name:
                yield Finding("policy.same_cause", path, {"cause": cause, "other": other})
            elif wider:
                yield Finding("policy.shadowed", path, {"cause": cause, "other": wider}, Severity.WARNING)

    def steps_of(self, policy: Policy, at: Path) -> Iterator[Finding]:
        seen: set[str] = set()
        for number, step in enumerate(policy.steps):
            here: Path = (*at, "steps", number)
            if step.name in seen:
                yield Finding("step.twice", (*here, "name"), {"name": step.name})
            seen.add(step.name)
            blamed = False
            for place, target in enumerate(step.ring):
                for finding in self.target(target, (*here, "ring", place)):
                    blamed = True
                    yield finding
            if not blamed:
                yield from self.reach(policy, step, here)
            if step.give_up_after < step.ring_for:
                words = {"give_up": span(step.give_up_after), "ring_for": span(step.ring_for)}
                yield Finding("step.give_up", (*here, "give_up_after"), words)

    def reach(self, policy: Policy, step: Step, here: Path) -> Iterator[Finding]:
        """Whether the step can ring anybody, and has the time to ring everybody."""
        people = [self.company.contacts.get(one) for one in possible(self.company, step.ring)]
        if self.doubts("contacts") or None in people:
            return
        spared = bool(people) and all(one.reserve and not one.numbers for one in people if one)
        if spared and policy.urgency is not Urgency.EMERGENCY:
            yield Finding("step.unreachable", here, {"name": step.name}, Severity.RISK)
        count = sum(self.most(target) for target in step.ring)
        needs = step.ring_for * (count - 1) + (SMS_HEAD_START if step.sms is Sms.BEFORE else timedelta(0))
        if step.how is How.ONE_BY_ONE and step.ring_for <= step.give_up_after <= needs:
            words = {
                "name": step.name,
                "count": str(count),
                "needs": span(needs),
                "give_up": span(step.give_up_after),
            }
            yield Finding("step.out_of_time", (*here, "give_up_after"), words, Severity.RISK)

    def most(self, target: Target) -> int:
        """How many people a target may name at once."""
        if target.kind is TargetKind.ON_CALL and target.name in self.company.rosters:
            year = self.year.get(target.name)
            return year.largest if year else len(self.company.rosters[target.name].always)
        return len(self.company.teams.get(target.name, ())) if target.kind is TargetKind.TEAM else 1

    def ending_of(self, policy: Policy, at: Path) -> Iterator[Finding]:
        ending, emergency = policy.when_exhausted, policy.urgency is Urgency.EMERGENCY
        for number, target in enumerate(ending.alarm):
            yield from self.target(target, (*at, "when_exhausted", "alarm", number))
        if emergency and ending.repeat is not None:
            yield Finding("policy.finite", (*at, "when_exhausted", "repeat"), {"repeat": ending.repeat})
        if emergency and not ending.alarm:
            yield Finding("policy.no_alarm", (*at, "when_exhausted"), severity=Severity.RISK)
        director = self.company.roles.get(DIRECTOR)
        if (
            policy.urgency is Urgency.NORMAL
            or director is None
            or self.doubts("roles")
            or self.doubts("rosters")
        ):
            return
        if all(director not in possible(self.company, step.ring) for step in policy.steps):
            severity = Severity.ERROR if emergency else Severity.WARNING
            yield Finding("policy.no_director", (*at, "steps"), severity=severity, about_key=True)

    def target(self, target: Target, path: Path) -> Iterator[Finding]:
        company, name = self.company, target.name
        match target.kind:
            case TargetKind.CONTACT:
                yield from self.known("contact", name, company.contacts, (*path, "contact"), "contacts")
            case TargetKind.ON_CALL:
                yield from self.known("roster", name, company.rosters, (*path, "on_call"), "rosters")
            case TargetKind.TEAM:
                yield from self.known("team", name, company.teams, (*path, "team"), "teams")
            case TargetKind.WEBHOOK:
                yield from self.known("webhook", name, company.webhooks, (*path, "webhook"), "webhooks")
            case TargetKind.ROLE:
                yield from self.role(name, (*path, "role"))

    def role(self, name: str, path: Path) -> Iterator[Finding]:
        company = self.company
        owner, _, role = name.partition(".")
        if role in company.roles or self.doubts("roles"):
            return
        without = [house for house, one in company.houses.items() if role not in one.roles]
        if owner == "company":
            if role != DIRECTOR:  # that there is no director is said once
                yield Finding("role.company", path, {"name": role})
        elif (without or not company.houses) and not self.doubts("houses"):
            yield Finding("role.house", path, {"name": role, "houses": ", ".join(without[:5]) or "—"})


def gap_words(year: Coverage, roster: Roster) -> str:
    """The gaps with their instants, in the roster's own time."""
    zone = ZoneInfo(roster.time_zone)
    named = [
        f"{gap.since.astimezone(zone):%d.%m.%Y %H:%M} – {gap.until.astimezone(zone):%d.%m.%Y %H:%M}"
        for gap in year.gaps[:MOST_GAPS]
    ]
    more = len(year.gaps) - len(named)
    return ", ".join(named) + (f" (+{more})" if more else "")


def span(time: timedelta) -> str:
    """A duration as the files write it: `1h30m`, `25s`."""
    left, words = int(time.total_seconds()), ""
    for size, unit in ((3600, "h"), (60, "m"), (1, "s")):
        words += f"{left // size}{unit}" if left >= size else ""
        left %= size
    return words or "0s"


def hint(name: str, names: Collection[str]) -> dict[str, str]:
    """What was probably meant, as the words `hint_ru` and `hint_en`."""
    near = get_close_matches(name, names, 1, 0.6)
    if near:
        return {"hint_ru": f"вероятно, имелось в виду «{near[0]}»", "hint_en": f"did you mean {near[0]}?"}
    there = ", ".join(list(names)[:8])
    return {
        "hint_ru": f"есть: {there}" if there else "добавьте",
        "hint_en": f"there are: {there}" if there else "add it",
    }
