"""The installation's companies: what `check` says, what a reload changes, and how an import replaces a company whole."""

from __future__ import annotations

import asyncio
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.domain.finding import Finding
from engine.files import watch
from engine.files.check import check
from engine.files.company import Loaded, load_company
from engine.files.watch import Companies, finish_imports, import_company

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "escalation_policies"
DEMO = ROOT / "engine" / "demo" / "company"
GOOD = Path(__file__).parent / "broken" / "good"
NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


class Told:
    """What the provider reported."""

    def __init__(self) -> None:
        self.all: list[tuple[str, bool, tuple[Finding, ...]]] = []

    def __call__(self, name: str, fresh: bool, findings: tuple[Finding, ...]) -> None:
        self.all.append((name, fresh, findings))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    shutil.copytree(DEMO, tmp_path / "companies" / "demo")
    return tmp_path / "companies"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1_000_000))


def loaded(home: Path, told: Told | None = None) -> Companies:
    companies = Companies(home, SHIPPED, told)
    assert companies.refresh(NOW)
    return companies


# --- reload ------------------------------------------------------------------------------------------------------------------------


def test_a_change_is_read(home: Path) -> None:
    companies = loaded(home)
    assert not companies.refresh(NOW)
    edit(home / "demo" / "policies" / "water.yaml", "ring_for: 6s", "ring_for: 7s")
    assert companies.refresh(NOW)
    (company,) = companies()
    assert company.policies[0].steps[0].ring_for == timedelta(seconds=7)


def test_a_broken_file_never_replaces_a_good_one(home: Path) -> None:
    told = Told()
    companies = loaded(home, told)
    before = companies()
    edit(home / "demo" / "policies" / "water.yaml", "ring_for: 6s", "ring_for: 6")
    assert not companies.refresh(NOW)
    assert companies() == before
    name, fresh, findings = told.all[-1]
    assert (name, fresh) == ("demo", False)
    assert str(findings[0]).startswith("policies/water.yaml:12:15: у срока 6 нет единицы")
    assert not companies.refresh(NOW)
    assert len(told.all) == 2, "the same mistake is told once"
    edit(home / "demo" / "policies" / "water.yaml", "ring_for: 6\n", "ring_for: 9s\n")
    assert companies.refresh(NOW)


def test_a_mistake_and_a_restart_leave_the_company_as_it_was(home: Path) -> None:
    before = loaded(home)()
    edit(home / "demo" / "policies" / "water.yaml", "ring_for: 6s", "ring_for: 6")
    told = Told()
    restarted = loaded(home, told)
    assert restarted() == before
    assert restarted.outdated == ("demo",)
    assert str(told.all[0][2][0]).startswith("policies/water.yaml:12:15: у срока 6 нет единицы")
    edit(home / "demo" / "policies" / "water.yaml", "ring_for: 6\n", "ring_for: 9s\n")
    assert restarted.refresh(NOW)
    assert restarted()[0].policies[0].steps[0].ring_for == timedelta(seconds=9)
    assert restarted.outdated == ()
    assert len([one for one in (home / ".good").iterdir() if one.is_dir() and not one.is_symlink()]) == 1


def test_what_is_edited_while_it_is_read_is_not_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def edited_meanwhile(folder: Path, *rest: Any, **more: Any) -> Loaded:
        found = load_company(folder, *rest, **more)
        edit(home / "demo" / "contacts.yaml", "Сергей Петров", "Сергей Сергеевич Петров")
        monkeypatch.setattr(watch, "load_company", load_company)
        return found

    monkeypatch.setattr(watch, "load_company", edited_meanwhile)
    companies = loaded(home)
    assert not (home / ".good" / "demo").exists()
    assert companies.refresh(NOW)
    assert "Сергеевич" in (home / ".good" / "demo" / "contacts.yaml").read_text()


def test_a_disk_that_is_full_keeps_no_company_from_being_in_force(home: Path) -> None:
    (home / ".good").write_text("no folder")
    assert loaded(home)()[0].id == "demo"


def test_a_copy_that_was_put_back_from_a_backup_is_replaced(home: Path) -> None:
    loaded(home)
    copy = Path(shutil.copytree((home / ".good" / "demo").resolve(), home / ".good" / "plain"))
    (home / ".good" / "demo").unlink()
    copy.rename(home / ".good" / "demo")
    edit(home / "demo" / "contacts.yaml", "Сергей Петров", "Сергей Новый")
    companies = loaded(home)
    assert "Сергей Новый" in (home / ".good" / "demo" / "contacts.yaml").read_text()
    shutil.rmtree(home / "demo")
    companies.refresh(NOW)
    companies.refresh(NOW)
    assert list((home / ".good").iterdir()) == []


def test_a_company_that_is_gone_leaves_no_copy(home: Path) -> None:
    companies = loaded(home)
    assert (home / ".good" / "demo").exists()
    shutil.rmtree(home / "demo")
    companies.refresh(NOW)
    companies.refresh(NOW)
    assert list((home / ".good").iterdir()) == []


def test_a_new_day_reads_again(home: Path) -> None:
    told = Told()
    loaded(home, told).refresh(NOW + timedelta(days=1))
    assert len(told.all) == 2


def test_a_second_company_may_not_take_the_firsts_number(home: Path) -> None:
    told = Told()
    companies = loaded(home, told)
    shutil.copytree(DEMO, home / "other")
    edit(home / "other" / "company.yaml", "id: demo", "id: other")
    assert not companies.refresh(NOW)
    assert [one.code for one in told.all[-1][2]] == ["did.taken"]
    edit(home / "other" / "company.yaml", "did: +74950000112", "did: +74950000113")
    assert companies.refresh(NOW)
    assert [company.id for company in companies()] == ["demo", "other"]
    shutil.rmtree(home / "other")
    assert not companies.refresh(NOW), "it may be in the middle of an import"
    assert companies.refresh(NOW)
    assert [company.id for company in companies()] == ["demo"]


async def test_watch_finds_a_change_within_its_period(home: Path) -> None:
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    companies = loaded(home)
    companies.tell = lambda *_: loop.call_soon_threadsafe(changed.set)
    watching = asyncio.create_task(companies.watch(every=0.01), name="watch")
    edit(home / "demo" / "contacts.yaml", "Сергей Петров", "Сергей Иванов")
    async with asyncio.timeout(10):
        await changed.wait()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert companies()[0].contacts["plumber1"].name == "Сергей Иванов"


# --- import ------------------------------------------------------------------------------------------------------------------------


def test_import_puts_a_company_in_its_place_and_keeps_the_one_before(home: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(DEMO, tmp_path / "anything"))
    edit(source / "contacts.yaml", "Сергей Петров", "Сергей Новый")
    assert import_company(source, home, SHIPPED).company is not None
    assert loaded(home)()[0].contacts["plumber1"].name == "Сергей Новый"
    assert "Сергей Петров" in (home / ".previous" / "demo" / "contacts.yaml").read_text()
    assert sorted(path.name for path in home.iterdir()) == [".good", ".previous", "demo"]
    assert import_company(source, home, SHIPPED).company is not None  # repeatable
    assert "Сергей Новый" in (home / ".previous" / "demo" / "contacts.yaml").read_text()
    assert import_company(GOOD, home, SHIPPED).company is not None
    assert [company.id for company in loaded(home)()] == ["demo", "vostok"]


def test_import_of_a_broken_folder_touches_nothing(home: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(DEMO, tmp_path / "anything"))
    edit(source / "contacts.yaml", "+79000000001", "+7900")
    before = {path: path.read_bytes() for path in home.rglob("*.yaml")}
    result = import_company(source, home, SHIPPED)
    assert result.company is None
    assert [one.code for one in result.findings] == ["value.phone"]
    assert {path: path.read_bytes() for path in home.rglob("*.yaml")} == before
    edit(source / "contacts.yaml", "[+7900]", "[+79000000001]")
    edit(source / "company.yaml", "id: demo", "id: rival")
    assert [one.code for one in import_company(source, home, SHIPPED).findings] == ["did.taken"]


@pytest.mark.parametrize("died_after", ["the copy", "the first rename"])
def test_an_import_that_was_cut_short_is_finished(home: Path, died_after: str) -> None:
    shutil.copytree(home / "demo", home / ".incoming-demo.1234abcd")
    edit(home / ".incoming-demo.1234abcd" / "contacts.yaml", "Сергей Петров", "Сергей Новый")
    shutil.copytree(
        home / "demo", home / ".incoming-demo.5678abcd.part"
    )  # this one was not even copied whole
    if died_after == "the first rename":
        (home / ".previous").mkdir()
        (home / "demo").rename(home / ".previous" / "demo")
    finish_imports(home)
    assert loaded(home)()[0].contacts["plumber1"].name == "Сергей Новый"
    assert "Сергей Петров" in (home / ".previous" / "demo" / "contacts.yaml").read_text()


# --- check -------------------------------------------------------------------------------------------------------------------------


def test_check_of_the_demo() -> None:
    report = check(DEMO, SHIPPED, now=NOW)
    assert not report.fails
    assert report.text() == (
        "Управляющая компания «Демо»\n"
        "До директора:\n"
        "  water   не позже чем через 6m; если никто не отвечает — через 30s\n"
        "  urgent  не позже чем через 40m30s; если никто не отвечает — через 12m40s\n"
        "Дежурства на год вперёд, с 21.11.2026 12:30:\n"
        "  plumbers  дежурят всегда\n"
        "\n"
        "Всё в порядке."
    )
    (company,) = report.json()["companies"]
    assert company["rosters"][0]["minutes"] == company["rosters"][0]["covered"] == 525_600


def test_check_of_a_folder_of_companies(home: Path) -> None:
    shutil.copytree(GOOD, home / "vostok")
    edit(home / "vostok" / "rosters.yaml", "  always: [chief]\n", "")
    edit(home / "demo" / "contacts.yaml", "+79000000001", "+7900")
    report = check(home, SHIPPED, now=NOW)
    assert report.fails
    first, second = report.text().splitlines()[:2]
    assert first.startswith(f"{home}/demo/contacts.yaml:4:13: «+7900» — не телефонный номер; ")
    assert second.startswith(
        f"{home}/vostok/rosters.yaml:1:1: риск: по графику «plumbers» никто не дежурит: 22.11.2026 08:00"
    )
    assert "Ошибок: 1, рисков: 1, замечаний: 0." in report.text()
    said = report.json()
    assert said["ok"] is False
    assert len(said["companies"][1]["rosters"][0]["gaps"]) == 53
    assert "errors: 1" in report.text("en").lower()


def test_check_of_policies_alone(tmp_path: Path) -> None:
    assert not check(SHIPPED, SHIPPED).findings
    shutil.copy(SHIPPED / "water.yaml", tmp_path)
    edit(tmp_path / "water.yaml", "again_after: 20s", "again_after: скоро")
    (finding,) = check(tmp_path, SHIPPED).findings
    assert (
        str(finding)
        == f"{tmp_path}/water.yaml:18:18: «скоро» — не срок; напишите, например, 25s, 3m или 1h30m"
    )


def test_check_of_nothing(tmp_path: Path) -> None:
    report = check(tmp_path / "nowhere", SHIPPED)
    assert report.fails
    assert "папки nowhere нет" in report.text()
