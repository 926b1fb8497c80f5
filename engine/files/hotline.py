"""What a company's folder says about its hotline: causes and menu, meters, news; whom callers are handed over to, and its own deadlines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from engine.domain.clocks import LAWS
from engine.domain.company import Company
from engine.domain.finding import Finding
from engine.files.catalogue import read_catalogue, shipped_catalogue
from engine.files.premises import read_meters, read_outages
from engine.files.scalars import closest

CATALOGUE, METERS, OUTAGES = "catalogue.yaml", "meters.csv", "outages.yaml"


def with_hotline(company: Company, folder: Path) -> tuple[Company, list[Finding]]:
    """The company with what those files hold; none of them must be there. Findings in company.yaml have a path and no line yet."""
    catalogue, findings = shipped_catalogue(), []
    if (path := folder / CATALOGUE).exists():
        catalogue, found = read_catalogue(path, path.name, catalogue)
        findings += found
    company = replace(company, catalogue=catalogue)
    if (path := folder / METERS).exists():
        meters, found = read_meters(path, path.name, company.houses)
        findings += found
        company = replace(company, meters=meters)
    if (path := folder / OUTAGES).exists():
        notices, found = read_outages(path, path.name, company.houses, company.time_zone)
        findings += found
        company = replace(company, notices=notices)
    return company, [*findings, *_services(company), *_deadlines(company)]


def _services(company: Company) -> Iterator[Finding]:
    """A service that may not be dialled is said here, and not during the call."""
    for service, numbers in company.services.items():
        for number in numbers:
            if not company.may_dial(number):
                yield Finding("number.not_allowed", ("company", "services", service), {"number": number})


def _deadlines(company: Company) -> Iterator[Finding]:
    for name in company.limits:
        if name not in LAWS:
            guess = closest(name, list(LAWS))
            words = {
                "value": name,
                "hint_ru": f"вероятно, «{guess}»" if guess else f"есть: {', '.join(LAWS)}",
                "hint_en": f"did you mean {guess}?" if guess else f"there are: {', '.join(LAWS)}",
            }
            yield Finding("clock.unknown", ("company", "deadlines", name), words)
