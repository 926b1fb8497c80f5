"""A company's folder → one `Company`, or every mistake in it at its file, line and column. All or nothing; bad content never raises.

company.yaml      what it is: lines, roles, teams, what may be dialled, which policies
houses.yaml       its houses, by id
contacts.yaml     its staff, by id
rosters.yaml      who is on duty when, by name (with *.ics beside it, if named there)
residents.csv     known callers
meters.csv        the flats' meters
outages.yaml      planned outages and news
catalogue.yaml    causes and menu of its own, over the shipped ones
policies/*.yaml   its own policies; one with a shipped policy's name takes its place
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic_core import PydanticCustomError

from engine.domain.company import Company, Keeping
from engine.domain.finding import Finding, Severity
from engine.domain.finding import Path as Place
from engine.domain.findings import findings, hint
from engine.domain.model import Contact, House, Line, Resident, Urgency
from engine.domain.policy import Policy
from engine.domain.roster import Assignment, Roster
from engine.files.hotline import with_hotline
from engine.files.ical import read_ical
from engine.files.policies import read_policy
from engine.files.reading import Shaped, read_shape, salvage
from engine.files.residents import read_residents
from engine.files.rosters import RosterReader, calendar_of
from engine.files.scalars import closest, identifier, shown
from engine.files.shapes import (
    CompanyShape,
    ContactShape,
    HouseShape,
    OwnDaysOffShape,
    RosterShape,
)
from engine.files.source import Keys, Tree, read_yaml

FILES = (
    "company.yaml",
    "houses.yaml",
    "contacts.yaml",
    "rosters.yaml",
    "residents.csv",
    "meters.csv",
    "outages.yaml",
    "catalogue.yaml",
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a folder held: the company, None if anything in it is an error; and what was found, in the order of the files."""

    company: Company | None
    findings: tuple[Finding, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that refuse the company."""
        return tuple(one for one in self.findings if one.severity is Severity.ERROR)


def load_company(
    folder: Path, shipped: Path, *, causes: Mapping[str, Urgency] | None = None, now: datetime | None = None
) -> Loaded:
    """Read a company's folder. `shipped` holds the policies that come with Dozvon, which company.yaml may name.

    `causes` are the causes (with their class) that some policy must cover; `now` (aware) is the
    instant around which imported calendars are read and from which the coming year is walked. Never raises for bad content.
    """
    start = (now or datetime.now(UTC)).replace(second=0, microsecond=0)
    loader = _Loader(folder, shipped, start)
    company = loader.load(causes or {})
    loader.findings.sort(key=lambda one: (loader.order(one.file), one.line, one.column))
    refused = any(one.severity is Severity.ERROR for one in loader.findings)
    return Loaded(None if refused else company, tuple(loader.findings))


@dataclass(slots=True)
class _Loader:
    folder: Path
    shipped: Path
    start: datetime
    findings: list[Finding] = field(default_factory=list)
    places: dict[Place, tuple[Tree, Keys]] = field(default_factory=dict)
    """Which part of which file a path of the domain stands for; the longest one that fits counts."""
    doubtful: set[Place] = field(default_factory=set)
    """What is written but could not be read: nobody may be blamed for naming it."""

    def order(self, file: str) -> tuple[int, str]:
        """The order in which files are reported."""
        return (FILES.index(file) if file in FILES else len(FILES), file)

    def load(self, causes: Mapping[str, Urgency]) -> Company | None:
        if not self.folder.is_dir():
            self.findings.append(
                Finding("folder.missing", words={"name": self.folder.name}, file=str(self.folder))
            )
            return None
        self.strangers()
        about = self.about()
        contact_shapes = self.items("contacts", ContactShape)
        houses = self.items("houses", HouseShape)
        contacts = {
            name: Contact(
                id=name,
                name=shape.name,
                numbers=shape.numbers,
                reserve=shape.reserve,
                time_zone=shape.time_zone or about.time_zone,
                skills=shape.skills,
                user=shape.user,
                **({"wakes": shape.awake[0], "sleeps": shape.awake[1]} if shape.awake else {}),
            )
            for name, shape in contact_shapes.items()
        }
        residents = self.residents()
        company = Company(
            id=about.id,
            title=about.title,
            time_zone=about.time_zone,
            greeting=about.greeting,
            caller_id=about.caller_id,
            lines=tuple(Line(line.did, line.language, line.greeting) for line in about.lines),
            houses={
                name: House(
                    id=name,
                    city=shape.city,
                    street=shape.street,
                    number=shape.number,
                    time_zone=shape.time_zone or about.time_zone,
                    flats=shape.flats,
                    entrances=shape.entrances,
                    roles=dict(shape.roles),
                )
                for name, shape in houses.items()
            },
            contacts=contacts,
            roles=dict(about.roles),
            teams=dict(about.teams),
            rosters=self.rosters(about, contact_shapes, contacts),
            policies=self.policies(about.policies),
            residents=residents,
            allowed_numbers=about.allowed_numbers,
            webhooks=dict(about.webhooks),
            fallback=about.fallback,
            unclear_is=about.unclear_is,
            recordings=Keeping(
                about.recordings.keep_for,
                dict(about.recordings.keep_for_class),
                about.recordings.form,
                about.recordings.encrypt,
            ),
            services=dict(about.services),
            limits=dict(about.deadlines),
        )
        company, found = with_hotline(company, self.folder)
        self.findings += [one if one.file else self.placed(one) for one in found if not self.in_doubt(one)]
        said = {(one.file, one.line, one.column) for one in self.findings}
        for finding in findings(company, causes, frozenset(self.doubtful), self.start):
            placed = self.placed(finding)
            if (placed.file, placed.line, placed.column) not in said:
                self.findings.append(placed)
        return company

    def in_doubt(self, finding: Finding) -> bool:
        """Whether it rests on a list that is written but could not be read."""
        return finding.code == "number.not_allowed" and ("allowed_numbers",) in self.doubtful

    def placed(self, finding: Finding) -> Finding:
        """A finding of the pure floor, with file, line and column."""
        for length in range(len(finding.path), -1, -1):
            if finding.path[:length] in self.places:
                tree, prefix = self.places[finding.path[:length]]
                place = tree.find((*prefix, *finding.path[length:]), finding.about_key)
                return finding.at(tree.file, place.line, place.column)
        return finding.at("company.yaml", 1, 1)

    def strangers(self) -> None:
        """Files that look as if they should be read, but are not: a misspelt name must not pass in silence."""
        for path in sorted(self.folder.iterdir()):
            if (
                path.name in FILES
                or path.name.startswith(".")
                or path.suffix not in (".yaml", ".yml", ".csv")
            ):
                continue
            guess = closest(path.name, list(FILES))
            words = {
                "name": path.name,
                "mend_ru": f"вероятно, он должен называться {guess}"
                if guess
                else "удалите его или перенесите в policies/",
                "mend_en": f"should it be called {guess}?" if guess else "remove it, or move it to policies/",
            }
            self.findings.append(
                Finding("file.unexpected", words=words, severity=Severity.WARNING, file=path.name)
            )

    def tree(self, name: str) -> Tree | None:
        """A file of the folder; its findings are noted."""
        tree, findings = read_yaml(self.folder / name, name)
        self.findings += findings
        return tree

    def about(self) -> CompanyShape:
        """company.yaml. What does not fit is left out, and is in doubt, so that the rest can still be checked."""
        tree = self.tree("company.yaml")
        stand_in = CompanyShape(id="unknown", title="?")
        if tree is None or not isinstance(tree.value, dict):
            if tree is not None:
                self.findings += read_shape(CompanyShape, tree)[1]
            self.doubtful |= {
                ("roles",),
                ("teams",),
                ("webhooks",),
                ("lines",),
                ("policies",),
                ("allowed_numbers",),
            }
            return stand_in
        self.places[("company",)] = (tree, ())
        shape, findings, paths = read_shape(CompanyShape, tree)
        if shape is not None:
            return shape
        self.findings += findings
        for path in paths:
            if path:
                tree.value.pop(path[0], None)
                self.doubtful.add((path[0],))
        tree.value = {"id": "unknown", "title": "?"} | tree.value
        return read_shape(CompanyShape, tree)[0] or stand_in

    def items(self, kind: str, shape: type[Shaped]) -> dict[str, Shaped]:
        """A file of named things, each read by itself."""
        tree = self.tree(f"{kind}.yaml")
        if tree is None:
            self.doubtful.add((kind,))
            return {}
        if not isinstance(tree.value, dict):
            words = {"value": shown(tree.value)}
            self.findings.append(Finding("value.mapping", words=words, file=tree.file))
            self.doubtful.add((kind,))
            return {}
        found = {}
        for name in tree.value:
            self.places[(kind, name)] = (tree, (name,))
            self.named_well(name, tree)
            item, findings, paths = read_shape(shape, tree, (name,))
            self.findings += findings
            if item is None:
                self.doubtful.add((kind, name))
                item = salvage(shape, tree, (name,), paths)
            if item is not None:
                found[name] = item
        return found

    def named_well(self, name: str, tree: Tree) -> None:
        """Complain of a name that others could not write."""
        try:
            identifier(name)
        except PydanticCustomError as error:
            place = tree.find((name,), key=True)
            words = {"value": shown(name)}
            self.findings.append(Finding(error.type, words=words).at(tree.file, place.line, place.column))

    def residents(self) -> dict[str, Resident]:
        path = self.folder / "residents.csv"
        if not path.exists():
            return {}
        residents, tree, findings = read_residents(path, path.name)
        self.findings += findings
        self.places[("residents",)] = (tree, ())
        return residents

    def rosters(
        self, about: CompanyShape, shapes: Mapping[str, ContactShape], contacts: Mapping[str, Contact]
    ) -> dict[str, Roster]:
        calendar = calendar_of(about.calendar)
        away: list[tuple[str, str, OwnDaysOffShape]] = []
        for contact, shape in shapes.items():
            for number, off in enumerate(shape.days_off):
                if off.last is not None and off.last < off.first:
                    self.findings.append(
                        self.placed(
                            Finding("span.backwards", ("contacts", contact, "days_off", number, "to"))
                        )
                    )
                else:
                    if off.instead is None or off.instead in contacts:
                        away.append((contact, contacts[contact].time_zone, off))
                    else:
                        words = {"name": off.instead, **hint(off.instead, contacts)}
                        at: Place = ("contacts", contact, "days_off", number, "instead")
                        self.findings.append(self.placed(Finding("contact.unknown", at, words)))
        rosters = {}
        for name, roster in self.items("rosters", RosterShape).items():
            reader = RosterReader(name, roster.time_zone or about.time_zone, calendar)
            assignments: list[Assignment] = []
            for number, written in enumerate(roster.ical):
                path = self.folder / Path(written).name  # beside the other files, nowhere else
                place: Place = ("rosters", name, "ical", number)
                found, wrong = read_ical(path, contacts.values(), reader.zone, self.start.date(), place)
                assignments += found
                self.findings += [self.placed(one) for one in wrong]
            rosters[name] = reader.read(roster, assignments, away)
            if reader.findings:
                self.findings += [self.placed(one) for one in reader.findings]
                self.doubtful.add(("rosters", name))
        return rosters

    def policies(self, named: Iterable[str]) -> tuple[Policy, ...]:
        """The company's own policies, then the shipped ones that it names."""
        found: dict[str, Policy] = {}
        own = sorted((self.folder / "policies").glob("*.y*ml"))
        ships = {path.stem: path for path in sorted(self.shipped.glob("*.yaml"))}
        for path in own:
            self.policy(path, f"policies/{path.name}", found)
        for number, name in enumerate(named):
            if name in found or ("policies", name) in self.doubtful:
                continue
            if name in ships:
                self.policy(ships[name], f"escalation_policies/{name}.yaml", found)
            else:
                guess = closest(name, list(ships))
                words = {
                    "name": name,
                    "hint_ru": f"вероятно, «{guess}»" if guess else f"есть: {', '.join(ships)}",
                    "hint_en": f"did you mean {guess}?" if guess else f"there are: {', '.join(ships)}",
                }
                self.findings.append(
                    self.placed(Finding("policy.unknown", ("company", "policies", number), words))
                )
                self.doubtful.add(("policies",))
        return tuple(found.values())

    def policy(self, path: Path, file: str, found: dict[str, Policy]) -> None:
        policy, tree, findings = read_policy(path, file)
        self.findings += findings
        if policy is None or tree is None:
            self.doubtful |= {("policies", path.stem), ("policies",)}
        else:
            found[policy.name] = policy
            self.places[("policies", policy.name)] = (tree, ())
