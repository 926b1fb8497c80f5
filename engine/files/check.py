"""What `dozvon check` says: every finding, each policy's longest way to the director, and the coming year of every roster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from engine.domain.company import Company
from engine.domain.coverage import YEAR, Coverage, WorstCase, coverage, worst_case
from engine.domain.finding import Finding, Severity
from engine.domain.findings import span
from engine.domain.model import Urgency
from engine.files.company import Loaded, load_company
from engine.files.policies import read_policy
from engine.files.watch import company_folders, conflicts

_RU = {
    "well": "Всё в порядке.",
    "errors": "Ошибок: {errors}, рисков: {risks}, замечаний: {warnings}.",
    "to_director": "До директора:",
    "bound": "не позже чем через {bound}",
    "silent": "если никто не отвечает — через {silent}",
    "never": "не доходит",
    "year": "Дежурства на год вперёд, с {start}:",
    "covered": "закрыто {covered} из {minutes} минут, передач смены: {hand_overs}",
    "always": "дежурят всегда",
}
_EN = {
    "well": "All is well.",
    "errors": "Errors: {errors}, risks: {risks}, notes: {warnings}.",
    "to_director": "To the director:",
    "bound": "within {bound}",
    "silent": "after {silent} if nobody answers",
    "never": "never",
    "year": "On-call duty in the year from {start}:",
    "covered": "{covered} of {minutes} minutes covered, {hand_overs} hand-overs",
    "always": "always on duty",
}


@dataclass(frozen=True, slots=True)
class CompanyReport:
    """One company's part. `name` is the folder's; `company` is None if an error refuses it."""

    name: str
    company: Company | None
    findings: tuple[Finding, ...]
    worst: dict[str, WorstCase]
    year: dict[str, Coverage]
    start: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """The whole answer. `fails` (exit code 1): something is wrong, or somebody may not be reached."""

    companies: tuple[CompanyReport, ...] = ()
    others: tuple[Finding, ...] = ()
    """Findings of policy files that belong to no company."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that was found, files in their order; their names begin with the folder that was asked for."""
        return (*(one for part in self.companies for one in part.findings), *self.others)

    @property
    def fails(self) -> bool:
        """Whether the command exits with 1."""
        return any(one.severity is not Severity.WARNING for one in self.findings)

    def text(self, language: str = "ru") -> str:
        """For people: findings first, one a line."""
        words = _EN if language == "en" else _RU
        lines = [one.line_of_text(language) for one in self.findings]
        for part in self.companies:
            if part.company is not None:
                lines += ["", part.company.title, *_policies(part, words), *_rosters(part, words)]
        counts = {
            key: sum(one.severity is severity for one in self.findings) for key, severity in _COUNTS.items()
        }
        lines += ["", words["errors"].format(**counts) if self.findings else words["well"]]
        return "\n".join(lines).lstrip("\n")

    def json(self) -> dict[str, Any]:
        """For machines: durations in seconds, instants in ISO 8601 (UTC)."""
        return {
            "ok": not self.fails,
            "findings": [_finding(one) for one in self.findings],
            "companies": [_company(part) for part in self.companies],
        }


_COUNTS = {"errors": Severity.ERROR, "risks": Severity.RISK, "warnings": Severity.WARNING}


def check(
    folder: Path, shipped: Path, *, causes: Mapping[str, Urgency] | None = None, now: datetime | None = None
) -> Report:
    """Check a company's folder, a folder of such folders, or a folder of policies. Never raises for bad content."""
    start = (now or datetime.now(UTC)).astimezone(UTC).replace(second=0, microsecond=0)
    companies = company_folders(folder)
    if not (folder / "company.yaml").exists() and not companies and any(folder.glob("*.yaml")):
        read = (read_policy(path, str(path)) for path in sorted(folder.glob("*.yaml")))
        return Report(others=tuple(finding for _, _, findings in read for finding in findings))
    folders = companies if companies and not (folder / "company.yaml").exists() else [folder]
    loaded = {path: load_company(path, shipped, causes=causes, now=start) for path in folders}
    clashes = conflicts({path: one.company for path, one in loaded.items() if one.company is not None})
    return Report(tuple(_part(path, one, clashes.get(path, []), start) for path, one in loaded.items()))


def _part(path: Path, loaded: Loaded, clashes: list[Finding], start: datetime) -> CompanyReport:
    found = tuple(_under(path, one) for one in (*loaded.findings, *clashes))
    company = loaded.company
    if company is None:
        return CompanyReport(path.name, None, found, {}, {}, start)
    worst = {policy.name: worst_case(company, policy, start) for policy in company.policies}
    year = {name: coverage(roster, start, start + YEAR) for name, roster in company.rosters.items()}
    return CompanyReport(path.name, company, found, worst, year, start)


def _under(folder: Path, finding: Finding) -> Finding:
    inside = not finding.file.startswith(("escalation_policies/", "/"))
    return replace(finding, file=str(folder / finding.file)) if inside else finding


def _policies(part: CompanyReport, words: Mapping[str, str]) -> Iterator[str]:
    yield words["to_director"]
    width = max((len(name) for name in part.worst), default=0)
    for name, worst in part.worst.items():
        said = [words["bound"].format(bound=span(worst.bound)) if worst.bound is not None else words["never"]]
        if worst.silent is not None:
            said.append(words["silent"].format(silent=span(worst.silent)))
        yield f"  {name:<{width}}  {'; '.join(said)}"


def _rosters(part: CompanyReport, words: Mapping[str, str]) -> Iterator[str]:
    assert part.company is not None
    if not part.year:
        return
    start = part.start.astimezone(ZoneInfo(part.company.time_zone))
    yield words["year"].format(start=f"{start:%d.%m.%Y %H:%M}")
    width = max(len(name) for name in part.year)
    for name, year in part.year.items():
        always = not year.hand_overs and not year.gaps
        said = words["covered"].format(covered=year.covered, minutes=year.minutes, hand_overs=year.hand_overs)
        yield f"  {name:<{width}}  {words['always'] if always else said}"


def _finding(one: Finding) -> dict[str, Any]:
    what, mend = one.say("ru")
    what_en, mend_en = one.say("en")
    return {
        "file": one.file,
        "line": one.line,
        "column": one.column,
        "severity": one.severity.value,
        "code": one.code,
        "message": what,
        "mend": mend,
        "message_en": what_en,
        "mend_en": mend_en,
    }


def _company(part: CompanyReport) -> dict[str, Any]:
    return {
        "folder": part.name,
        "id": part.company.id if part.company else None,
        "policies": [
            {
                "name": name,
                "to_director": _seconds(worst.bound),
                "to_director_if_silent": _seconds(worst.silent),
            }
            for name, worst in part.worst.items()
        ],
        "rosters": [
            {
                "name": name,
                "minutes": year.minutes,
                "covered": year.covered,
                "hand_overs": year.hand_overs,
                "hours": {contact: round(hours, 2) for contact, hours in year.hours.items()},
                "gaps": [[gap.since.isoformat(), gap.until.isoformat()] for gap in year.gaps],
            }
            for name, year in part.year.items()
        ],
    }


def _seconds(time: timedelta | None) -> float | None:
    return None if time is None else time.total_seconds()
