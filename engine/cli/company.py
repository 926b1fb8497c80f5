"""The commands about a company's files: `check`, `simulate`, `import`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import typer

from engine.cli.common import JSON, UNUSABLE, WRONG, complain, emit, settings_of
from engine.domain.company import Company
from engine.domain.simulation import ANSWERS, Happening
from engine.domain.simulation import simulate as walk_through
from engine.files.check import check as check_folder
from engine.files.company import load_company
from engine.files.watch import company_folders, import_company
from engine.share import share_dir

app = typer.Typer()


@app.command()
def check(
    context: typer.Context,
    folder: Path | None = typer.Argument(
        None, help="A company's folder, a folder of them, or one of policies."
    ),
    language: str = typer.Option("ru", help="ru or en."),
    as_json: bool = JSON,
) -> None:
    """Name every mistake with file, line and column, say how to mend it, and walk through the coming year."""
    where = folder or settings_of(context).companies
    if not where.exists():
        complain(f"{where}: нет такой папки")
        raise typer.Exit(UNUSABLE)
    report = check_folder(where, _policies())
    emit(report.json(), as_json, report.text(language))
    if report.fails:
        raise typer.Exit(WRONG)


@app.command()
def simulate(
    context: typer.Context,
    policy: str = typer.Argument(help="The policy's name."),
    house: str | None = typer.Option(None, help="The house's id."),
    cause: str | None = typer.Option(None, help="The cause, as water.riser."),
    at: str | None = typer.Option(
        None, help="When it begins, 2026-11-21T03:00 in the company's time; default: now."
    ),
    answers: str = typer.Option("", help="What the calls come to, in order: busy,declined,none,accept."),
    company: str | None = typer.Option(None, help="The company's id, if there are several."),
    as_json: bool = JSON,
) -> None:
    """Print the calls and texts that would go out, with their times. Rings nobody."""
    owner = _company(context, company)
    chosen = next((one for one in owner.policies if one.name == policy), None)
    if chosen is None:
        raise _unusable(f"нет правила «{policy}»; есть: {', '.join(one.name for one in owner.policies)}")
    if house is not None and house not in owner.houses:
        raise _unusable(f"нет дома «{house}»; есть: {', '.join(owner.houses)}")
    unknown = [word for word in _words(answers) if word not in ANSWERS]
    if unknown:
        raise _unusable(f"нет исхода «{unknown[0]}»; есть: {', '.join(ANSWERS)}")
    told = walk_through(
        owner, chosen, house, cause, _instant(at, owner), [ANSWERS[word] for word in _words(answers)]
    )
    zone = ZoneInfo(owner.time_zone)
    emit([_plain(one) for one in told], as_json, "\n".join(_line(one, zone) for one in told))


@app.command("import")
def import_(
    context: typer.Context,
    folder: Path = typer.Argument(help="The company's folder."),
    as_json: bool = JSON,
) -> None:
    """Check a company's folder and, if nothing is wrong with it, put it in force: all or nothing, repeatable."""
    settings = settings_of(context)
    if not folder.is_dir():
        raise _unusable(f"{folder}: нет такой папки")
    loaded = import_company(folder, settings.companies, _policies())
    for finding in loaded.findings:
        complain(finding.line_of_text())
    if loaded.company is None:
        complain("ничего не изменено: сначала исправьте ошибки")
        raise typer.Exit(WRONG)
    company = loaded.company
    counts = (
        f"{len(company.houses)} домов, {len(company.contacts)} сотрудников, {len(company.policies)} правил"
    )
    emit({"company": company.id}, as_json, f"компания «{company.title}» загружена: {counts}")


def _policies() -> Path:
    return share_dir() / "escalation_policies"


def _company(context: typer.Context, name: str | None) -> Company:
    """The company that is meant: the one of that id, or the only one there is."""
    folders = company_folders(settings_of(context).companies)
    loaded = [load_company(folder, _policies()).company for folder in folders]
    known = {one.id: one for one in loaded if one is not None}
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if not known:
        raise _unusable("ни одна компания не загружена: dozvon import ПАПКА")
    if name is None or name not in known:
        raise _unusable(f"назовите компанию: --company {'|'.join(known) or '…'}")
    return known[name]


def _instant(at: str | None, company: Company) -> datetime:
    zone = ZoneInfo(company.time_zone)
    if at is None:
        return datetime.now(zone)
    try:
        found = datetime.fromisoformat(at)
    except ValueError as error:
        raise _unusable(f"«{at}» — не время; пример: 2026-11-21T03:00") from error
    return found if found.tzinfo else found.replace(tzinfo=zone)


def _words(answers: str) -> list[str]:
    return [word.strip() for word in answers.split(",") if word.strip()]


def _unusable(text: str) -> typer.Exit:
    complain(text)
    return typer.Exit(UNUSABLE)


def _plain(one: Happening) -> dict[str, Any]:
    return {**one._asdict(), "at": one.at.isoformat()}


def _line(one: Happening, zone: ZoneInfo) -> str:
    who = " ".join(filter(None, (one.person, one.number)))
    return f"{one.at.astimezone(zone):%d.%m %H:%M:%S}  {one.kind:<10} {who:<40} {one.detail}".rstrip()
