"""A company as it is configured at an instant: its lines, houses, people, rosters and policies; and whom a target names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.domain.catalogue import Catalogue
from engine.domain.incidents import Notice
from engine.domain.meters import Meter
from engine.domain.model import Callee, Contact, House, Line, Resident, Urgency
from engine.domain.policy import Policy, Target, TargetKind
from engine.domain.roster import Roster

KEEP_DAYS = 1_095
"""How long recordings are kept unless a company says otherwise: three years."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a company keeps its recordings. `form`: opus, flac or wav; None: the installation's. `encrypt`: at rest."""

    days: int = KEEP_DAYS
    days_of: dict[Urgency, int] = field(default_factory=dict)
    """For classes of tickets that are kept for another time than `days`."""
    form: str | None = None
    encrypt: bool = False

    def days_for(self, urgency: Urgency | None) -> int:
        """For how many days a recording of a ticket of that class is kept."""
        return self.days_of.get(urgency, self.days) if urgency else self.days

    @property
    def shortest(self) -> int:
        """Before that many days nothing is let go."""
        return min([self.days, *self.days_of.values()])


@dataclass(frozen=True, slots=True)
class Company:
    """Everything about one УК. `roles` maps a company role («director») to a contact's id, `teams` a name to several."""

    id: str
    title: str
    time_zone: str = "Europe/Moscow"
    greeting: str | None = None
    caller_id: str | None = None
    lines: tuple[Line, ...] = ()
    houses: dict[str, House] = field(default_factory=dict)
    contacts: dict[str, Contact] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    teams: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rosters: dict[str, Roster] = field(default_factory=dict)
    policies: tuple[Policy, ...] = ()
    residents: dict[str, Resident] = field(default_factory=dict)
    allowed_numbers: tuple[str, ...] = ("+7",)
    """Prefixes that may be dialled at all."""
    webhooks: dict[str, str] = field(default_factory=dict)
    fallback: tuple[str, ...] = ()
    """Numbers the dialplan rings by itself while the engine is away; empty: whoever is on duty, kept fresh."""
    unclear_is: Urgency = Urgency.NORMAL
    """The class of a ticket whose caller pressed nothing."""
    recordings: Keeping = Keeping()
    catalogue: Catalogue = field(default_factory=Catalogue)
    services: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Whom a caller is handed over to (gas: 104, then 112), by the name that a cause uses."""
    meters: tuple[Meter, ...] = ()
    notices: tuple[Notice, ...] = ()
    """Planned outages and news, from the company's files."""
    limits: dict[str, timedelta] = field(default_factory=dict)
    """Deadlines of its own, by the name of the clock (`engine.domain.clocks`)."""
    _staff: dict[str, Contact] = field(init=False, repr=False, compare=False, default_factory=dict)
    """The staff by each of their numbers: looked into at every call."""

    def __post_init__(self) -> None:
        for contact in self.contacts.values():
            for number in (*contact.numbers, *contact.reserve):
                self._staff.setdefault(number, contact)

    def may_dial(self, number: str) -> bool:
        """Whether the number is on the allow-list of destinations."""
        return number.startswith(self.allowed_numbers)

    def staff(self, number: str | None) -> Contact | None:
        """Whose number it is, among the staff; None for anybody else."""
        return self._staff.get(number) if number is not None else None

    def zone_of(self, house: str | None) -> str:
        """The time zone of a house; the company's own if the house is not known."""
        return self.houses[house].time_zone if house in self.houses else self.time_zone

    def meters_of(self, house: str | None, flat: str | None) -> tuple[Meter, ...]:
        """The meters of a flat."""
        return tuple(one for one in self.meters if (one.house, one.flat) == (house, flat))

    def line(self, did: str | None) -> Line | None:
        """The line behind a DID, or None."""
        return next((line for line in self.lines if line.did == did), None)


@dataclass(frozen=True, slots=True)
class Found:
    """Whom targets named: the people to ring, in order and each once, and the targets that named nobody, with the reason (Russian)."""

    people: tuple[Callee, ...]
    missing: tuple[str, ...] = ()


def whom(
    company: Company, targets: Iterable[Target], house: str | None, urgency: Urgency, now: datetime
) -> Found:
    """Resolve targets to people at `now`. Never raises: a target that vanished is a line of `missing`, and the walk moves on."""
    people: dict[str, Callee] = {}
    missing: list[str] = []
    for target in targets:
        callees, problem = _resolve(company, target, house, urgency, now)
        if problem:
            missing.append(f"{target}: {problem}")
        for callee in callees:
            callable_numbers = tuple(number for number in callee.numbers if company.may_dial(number))
            if not callable_numbers:
                missing.append(
                    f"{target}: у контакта {callee.contact} нет номера, на который разрешено звонить"
                )
            elif callee.contact not in people:
                people[callee.contact] = Callee(
                    callee.contact,
                    callee.name,
                    callable_numbers,
                    callee.time_zone,
                    callee.wakes,
                    callee.sleeps,
                    callee.until,
                )
    return Found(tuple(people.values()), tuple(missing))


def _resolve(
    company: Company, target: Target, house: str | None, urgency: Urgency, now: datetime
) -> tuple[list[Callee], str | None]:
    until: datetime | None = None
    match target.kind:
        case TargetKind.CONTACT:
            ids: tuple[str, ...] = (target.name,)
        case TargetKind.TEAM:
            if target.name not in company.teams:
                return [], "такой бригады нет"
            ids = company.teams[target.name]
        case TargetKind.ON_CALL:
            roster = company.rosters.get(target.name)
            if roster is None:
                return [], "такого графика нет"
            duty = roster.on_duty(now)
            ids, until = duty.contacts, duty.until
            if not ids:
                return [], "по графику никто не дежурит"
        case TargetKind.ROLE:
            owner, _, role = target.name.partition(".")
            if owner == "company":
                holder = company.roles.get(role)
            elif house is None or house not in company.houses:
                holder = company.roles.get(
                    role
                )  # the house is not known: the company's own holder of that role
            else:
                holder = company.houses[house].roles.get(role) or company.roles.get(role)
            if holder is None:
                return [], "эта роль никому не назначена"
            ids = (holder,)
        case TargetKind.WEBHOOK:
            return [], None
    unknown = [contact for contact in ids if contact not in company.contacts]
    callees = [company.contacts[c].callee(urgency, until) for c in ids if c in company.contacts]
    return callees, f"нет контакта {', '.join(unknown)}" if unknown else None
