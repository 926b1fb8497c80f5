"""The shipped causes, the menu over them, what a company may put in their place, and the deadlines that they name."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.domain import clocks
from engine.domain.catalogue import MOST_CHOICES, Cause, Group, Spread
from engine.domain.events import Classified, NumberTold, Reported, TicketOpened
from engine.domain.model import Urgency, Via
from engine.files.catalogue import read_catalogue, shipped_catalogue
from engine.files.company import load_company
from engine.files.premises import read_meters, read_outages

CATALOGUE = shipped_catalogue()
ROOT = Path(__file__).parents[2]
OPENED = datetime(2026, 11, 21, 11, 5, tzinfo=UTC)


def reachable(group: str) -> set[str]:
    found: set[str] = set()
    for _, thing in CATALOGUE.choices(group):
        found |= {thing.id} if isinstance(thing, Cause) else reachable(thing.id)
    return found


def test_sixty_causes_and_every_one_complete() -> None:
    assert len(CATALOGUE.causes) >= 60
    for cause in CATALOGUE.causes.values():
        assert cause.clock in clocks.LAWS
        assert cause.synonyms, cause.id
        assert cause.skill
        assert "en" in cause.words, cause.id


def test_every_cause_is_reached_by_keys() -> None:
    found = reachable(CATALOGUE.emergency) | reachable(CATALOGUE.ordinary)
    assert set(CATALOGUE.causes) - found == {"service.reading"}  # it has a menu entry of its own


def test_no_level_is_longer_than_five_and_each_has_words() -> None:
    for group in CATALOGUE.groups.values():
        assert 1 <= len(group.choices) <= MOST_CHOICES
        if group.id not in (CATALOGUE.emergency, CATALOGUE.ordinary):
            assert {"ru", "en"} <= group.words.keys(), group.id


def test_the_emergency_menu_has_emergencies_alone() -> None:
    assert {CATALOGUE.causes[name].urgency for name in reachable(CATALOGUE.emergency)} == {Urgency.EMERGENCY}


def test_gas_is_handed_over_and_a_person_in_the_lift_has_half_an_hour() -> None:
    assert CATALOGUE.causes["gas.smell"].hand_over == "gas"
    assert clocks.LAWS[CATALOGUE.causes["lift.person"].clock].limit == timedelta(minutes=30)


@pytest.mark.parametrize("cause", CATALOGUE.causes.values(), ids=CATALOGUE.causes)
def test_urgency_and_clock_agree(cause: Cause) -> None:
    limit = clocks.LAWS[cause.clock].limit
    if cause.urgency is Urgency.EMERGENCY:
        assert limit <= timedelta(hours=2)
    else:
        assert limit >= timedelta(hours=2)


def test_a_company_puts_its_own_in_their_place(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(
        "causes:\n  pool.leak: {title: Течь бассейна, urgency: urgent, skill: вода, clock: urgent, spread: house}\n"
        "groups:\n  emergency: [gas.smell, lift.person]\n  ordinary: [pool.leak]\n"
    )
    catalogue, findings = read_catalogue(file, "catalogue.yaml", CATALOGUE)
    assert not findings
    assert [thing.id for _, thing in catalogue.choices("emergency")] == ["gas.smell", "lift.person"]
    assert catalogue.causes["pool.leak"].spread is Spread.HOUSE
    assert isinstance(catalogue.groups["o.water"], Group)


def test_mistakes_are_named_at_their_place(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(
        "causes:\n  a.b: {title: А, urgency: urgent, skill: вода, clock: urgnt}\n"
        "groups:\n  emergency: [gas.smel]\n  a: [b]\n  b: [a]\n"
    )
    catalogue, findings = read_catalogue(file, "catalogue.yaml", CATALOGUE)
    assert catalogue is CATALOGUE
    assert [(one.code, one.line) for one in findings] == [
        ("clock.unknown", 2),
        ("menu.unknown", 4),
        ("menu.circle", 5),
        ("menu.circle", 6),
    ]
    assert "вероятно, «gas.smell»" in str(findings[1])


def test_the_demo_company_has_meters_and_services() -> None:
    company = load_company(ROOT / "engine/demo/company", ROOT / "escalation_policies").company
    assert company is not None
    assert company.services["gas"] == ("104", "112")
    assert [meter.id for meter in company.meters_of("lenina15", "42")] == [
        "lenina15-42-cold",
        "lenina15-42-hot",
    ]


def test_outages_and_meters_are_read_with_their_mistakes(tmp_path: Path) -> None:
    company = load_company(ROOT / "engine/demo/company", ROOT / "escalation_policies").company
    assert company is not None
    news = tmp_path / "outages.yaml"
    news.write_text(
        "outages:\n"
        "  - {text: Отключат воду, houses: [lenina15], entrance: 2, from: 2026-11-22 10:00, to: 2026-11-22 14:00}\n"
    )
    (notice,), findings = read_outages(news, news.name, company.houses, "Europe/Moscow")
    assert not findings
    assert notice.starts == datetime(2026, 11, 22, 7, tzinfo=UTC)
    news.write_text("outages:\n  - {text: Отключат воду, houses: [lenina51]}\n")
    _, (finding,) = read_outages(news, news.name, company.houses, "Europe/Moscow")
    assert "вероятно, «lenina15»" in str(finding)

    meters = tmp_path / "meters.csv"
    meters.write_text("house,flat,kind,last\nlenina15,1,cold,12\nnowhere,2,hot,1\nlenina15,3,steam,x\n")
    found, wrong = read_meters(meters, meters.name, company.houses)
    assert [meter.last for meter in found] == [12]
    assert [(one.code, one.line) for one in wrong] == [
        ("house.unknown", 3),
        ("value.choice", 4),
        ("value.number", 4),
    ]


# --- deadlines -----------------------------------------------------------------------------------------------------------------------


def test_the_chute_waits_for_the_morning() -> None:
    law = clocks.LAWS["chute"]
    late = datetime(2026, 11, 21, 19, 30, tzinfo=UTC)  # 22:30 in Moscow
    assert clocks.due(law, late, "Europe/Moscow") == datetime(2026, 11, 22, 6, 30, tzinfo=UTC)
    night = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)  # 02:00
    assert clocks.due(law, night, "Europe/Moscow") == datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
    noon = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
    assert clocks.due(law, noon, "Europe/Moscow") == noon + timedelta(hours=2)


def test_what_runs_and_what_meets_it() -> None:
    opened = TicketOpened(at=OPENED, company="demo", channel="phone")
    classified = Classified(at=OPENED, urgency=Urgency.EMERGENCY, cause="water.riser")
    names = {one.name: one for one in clocks.clocks([opened, classified], "localise", "Europe/Moscow")}
    assert names.keys() == {"tell", "localise", "eliminate"}
    assert names["localise"].due == OPENED + timedelta(minutes=30)
    assert names["localise"].near == OPENED + timedelta(minutes=24)
    told = NumberTold(at=OPENED + timedelta(minutes=1), call="c")
    late = Reported(at=OPENED + timedelta(minutes=40), what="localised", contact="p", via=Via.CALL)
    names = {
        one.name: one for one in clocks.clocks([opened, classified, told, late], "localise", "Europe/Moscow")
    }
    assert not names["tell"].broken(late.at)
    assert names["localise"].met_at == late.at
    assert names["localise"].broken(late.at)
    assert names["eliminate"].met_at is None


def test_a_company_may_set_its_own() -> None:
    own = {"localise": timedelta(minutes=20)}
    assert clocks.planned(OPENED, "localise", "Europe/Moscow", own) == OPENED + timedelta(minutes=20)


def test_the_examples_of_the_documentation_are_sound(tmp_path: Path) -> None:
    company = load_company(ROOT / "engine/demo/company", ROOT / "escalation_policies").company
    assert company is not None
    houses = {"sadovaya7": company.houses["lenina15"]}
    text = (ROOT / "docs/hotline.md").read_text()
    blocks = dict(re.findall(r"^### (\w+\.\w+)\n.*?^```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    for name, block in blocks.items():
        (tmp_path / name).write_text(block)
    _, findings = read_catalogue(tmp_path / "catalogue.yaml", "catalogue.yaml", CATALOGUE)
    notices, wrong = read_outages(tmp_path / "outages.yaml", "outages.yaml", houses, "Europe/Samara")
    meters, bad = read_meters(tmp_path / "meters.csv", "meters.csv", houses)
    assert not [*findings, *wrong, *bad]
    assert (len(notices), len(meters)) == (1, 1)
    for name, law in clocks.LAWS.items():
        assert f"`{name}`" in text or law.met_by in ({"answered"}, {"taken"}), name


def test_services_and_deadlines_are_checked_where_they_are_written(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    shutil.copytree(ROOT / "engine/demo/company", folder)
    about = folder / "company.yaml"
    text = about.read_text().replace("gas: [104, 112]", "gas: [104, 101]")
    about.write_text(f"{text}\ndeadlines: {{localize: 20m}}\n")
    loaded = load_company(folder, ROOT / "escalation_policies")
    assert loaded.company is None
    found = {one.code: (one.line, str(one)) for one in loaded.errors}
    assert found.keys() == {"number.not_allowed", "clock.unknown"}
    assert "101" in text.splitlines()[found["number.not_allowed"][0] - 1]
    assert "вероятно, «localise»" in found["clock.unknown"][1]
