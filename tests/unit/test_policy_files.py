"""Files → values: the demo company, the shipped policies, YAML's traps, and what is said of a hundred broken files."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from engine.domain.company import Company, whom
from engine.domain.finding import Severity
from engine.domain.mistakes import MISTAKES
from engine.domain.model import Urgency
from engine.domain.policy import How, Sms, Target, TargetKind, choose_policy
from engine.files.company import load_company
from engine.files.policies import read_policy, schema, schema_text
from engine.files.source import read_text

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "escalation_policies"
DEMO = ROOT / "engine" / "demo" / "company"
BROKEN = Path(__file__).parent / "broken"
GOOD = BROKEN / "good"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
PLACES = {"policies": "policies/water.yaml", "residents": "residents.csv"}


def expected() -> dict[str, tuple[bool, list[str]]]:
    """By case: whether it is loaded nevertheless, and the lines that are said of it."""
    cases: dict[str, tuple[bool, list[str]]] = {}
    lines: list[str] = []
    for line in (BROKEN / "expected.txt").read_text().splitlines():
        if line.startswith("== "):
            case, _, note = line.removeprefix("== ").partition(" ")
            lines = []
            cases[case] = (bool(note), lines)
        else:
            lines.append(line)
    return cases


EXPECTED = expected()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the good company, to be spoilt."""
    return Path(shutil.copytree(GOOD, tmp_path / "vostok"))


def the_demo() -> Company:
    loaded = load_company(DEMO, SHIPPED, now=NOW)
    assert not loaded.findings, "\n".join(map(str, loaded.findings))
    assert loaded.company is not None
    return loaded.company


# --- what is broken ----------------------------------------------------------------------------------------------------------------


def test_the_corpus_is_whole() -> None:
    files = {f"{path.parent.name}/{path.name}" for path in BROKEN.glob("[!g]*/*.*")}
    assert files == set(EXPECTED)
    assert len(files) >= 40
    assert not load_company(GOOD, SHIPPED, now=NOW).findings


@pytest.mark.parametrize("case", EXPECTED)
def test_a_broken_file_is_named_with_its_mend(case: str, folder: Path) -> None:
    kind = case.partition("/")[0]
    shutil.copy(BROKEN / case, folder / PLACES.get(kind, f"{kind}.yaml"))
    loaded = load_company(folder, SHIPPED, now=NOW)
    nevertheless, lines = EXPECTED[case]
    assert [str(finding) for finding in loaded.findings] == lines
    assert (loaded.company is not None) is nevertheless
    for finding in loaded.findings:
        what, mend = finding.say("en")
        assert what
        assert mend


def test_every_code_has_its_sentence_and_every_sentence_is_used() -> None:
    code = "".join(
        path.read_text() for path in (ROOT / "engine").glob("[df]*/*.py") if "mistakes" not in path.name
    )
    for name in MISTAKES:
        kind, _, what = name.partition(".")
        assert f'"{name}"' in code or (what == "unknown" and f'"{kind}"' in code), name


@pytest.mark.parametrize("missing", ["company.yaml", "houses.yaml", "contacts.yaml", "rosters.yaml"])
def test_a_missing_file_is_one_finding(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    loaded = load_company(folder, SHIPPED, now=NOW)
    assert [str(one) for one in loaded.errors] == [f"{missing}:1:1: файла {missing} нет; создайте его"]
    assert loaded.company is None


def test_a_missing_folder(tmp_path: Path) -> None:
    loaded = load_company(tmp_path / "nowhere", SHIPPED)
    assert loaded.company is None
    assert [one.code for one in loaded.findings] == ["folder.missing"]


def test_a_misspelt_file_name_is_noticed(folder: Path) -> None:
    (folder / "resident.csv").write_text("number,house\n")
    (finding,) = load_company(folder, SHIPPED, now=NOW).findings
    assert str(finding) == (
        "resident.csv:1:1: замечание: файл resident.csv никем не читается; вероятно, он должен называться residents.csv"
    )


def test_mistakes_in_several_files_are_said_at_once(folder: Path) -> None:
    for case in (
        "company/zone_misspelt.yaml",
        "contacts/awake.yaml",
        "rosters/every.yaml",
        "residents/number.csv",
    ):
        kind = case.partition("/")[0]
        shutil.copy(BROKEN / case, folder / PLACES.get(kind, f"{kind}.yaml"))
    shutil.copy(BROKEN / "policies" / "many_at_once.yaml", folder / "policies" / "water.yaml")
    said = [str(one) for one in load_company(folder, SHIPPED, now=NOW).findings]
    assert len(said) == 4 + 4
    assert {line.partition(":")[0] for line in said} == {
        "company.yaml",
        "contacts.yaml",
        "rosters.yaml",
        "residents.csv",
        "policies/water.yaml",
    }


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80), st.integers(0, 600), st.integers(0, 40))
def test_no_text_raises(noise: str, at: int, cut: int) -> None:
    """Whatever is pasted into a file: findings, never an exception, and every place is inside the file."""
    text = (GOOD / "policies" / "water.yaml").read_text()
    text = text[:at] + noise + text[at + cut :]
    tree, findings = read_text(text, "water.yaml")
    assert tree is not None or findings
    for finding in findings:
        assert str(finding)
        assert 1 <= finding.line <= text.count("\n") + text.count("\r") + text.count("\x85") + 5


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    tree, findings = read_text("\n".join(lines), "bomb.yaml")
    assert tree is None
    assert [one.code for one in findings] == ["yaml.deep"]


# --- what is good ------------------------------------------------------------------------------------------------------------------


def test_text_that_yaml_would_take_for_something_else(folder: Path) -> None:
    """18:30 is a time, `on` and `no` are text, +7… is a number to dial, 010 is a house."""
    tree, findings = read_text(
        "a: 18:30\nb: on\nc: +79000000001\nd: 010\ne: 1_000\nf: 2026-05-01\ng: 0x1F\nh: ~\n", "x"
    )
    assert tree is not None
    assert not findings
    assert tree.value == {
        "a": "18:30", "b": "on", "c": "+79000000001", "d": "010", "e": "1_000", "f": "2026-05-01", "g": "0x1F", "h": None
    }  # fmt: skip
    contacts = folder / "contacts.yaml"
    contacts.write_text(contacts.read_text().replace("awake: 07:00-23:00", "awake: 18:30-20:45"))
    houses = folder / "houses.yaml"
    houses.write_text(houses.read_text().replace("number: 1\n", "number: 010\n").replace("Тюмень", "no"))
    company = load_company(folder, SHIPPED, now=NOW).company
    assert company is not None
    assert (company.contacts["petrov"].wakes, company.contacts["petrov"].sleeps) == (
        time(18, 30),
        time(20, 45),
    )
    assert company.houses["mira1"].number == "010"
    assert company.houses["lesnaya2"].city == "no"


def test_merged_mappings_keep_their_own_keys_and_places(folder: Path) -> None:
    policy = folder / "policies" / "water.yaml"
    text = policy.read_text().replace("  - name: brigade\n", "  - &base\n    name: brigade\n")
    text = text.replace("  - name: director\n", "  - <<: *base\n    name: director\n    calls: 0\n")
    policy.write_text(text)
    (finding,) = load_company(folder, SHIPPED, now=NOW).findings
    assert str(finding) == "policies/water.yaml:18:12: число 0 не подходит; граница — 1"
    policy.write_text(text.replace("calls: 0", "calls: 3"))
    company = load_company(folder, SHIPPED, now=NOW).company
    assert company is not None
    assert company.policies[0].steps[2].calls == 3
    assert company.policies[0].steps[2].give_up_after == timedelta(minutes=4)


def test_the_demo_company_is_the_one_of_the_contract() -> None:
    company = the_demo()
    assert company.title == "Управляющая компания «Демо»"
    assert [line.did for line in company.lines] == ["+74950000112"]
    assert company.houses["lenina15"].address == "улица Ленина, дом 15"
    assert company.houses["lenina15"].flats == (1, 80)
    assert company.houses["mira23"].time_zone == "Asia/Yekaterinburg"
    assert company.residents["+79160000042"].flat == "42"
    assert company.contacts["plumber1"].numbers == ("+79000000001",)
    assert company.contacts["plumber1"].reserve == ("+79000000011",)
    assert company.unclear_is is Urgency.NORMAL
    water = choose_policy(company.policies, Urgency.EMERGENCY, None)
    assert water is not None
    assert [step.name for step in water.steps] == ["brigade", "supervisor", "director"]
    assert {(step.ring_for, step.again_after) for step in water.steps} == {
        (timedelta(seconds=6), timedelta(seconds=2))
    }
    names = [
        callee.contact
        for step in water.steps
        for callee in whom(company, step.ring, "lenina15", Urgency.EMERGENCY, NOW).people
    ]
    assert names == ["plumber1", "plumber2", "supervisor", "director"]


def test_a_policy_is_what_its_text_says() -> None:
    policy, _, findings = read_policy(SHIPPED / "lift_person.yaml", "lift_person.yaml")
    assert policy is not None
    assert not findings
    assert policy.steps[0].how is How.ALL_AT_ONCE
    assert policy.steps[0].sms is Sms.TOGETHER
    assert policy.steps[0].give_up_after == timedelta(seconds=90)
    assert policy.steps[1].ring == (
        Target(TargetKind.ROLE, "house.supervisor"),
        Target(TargetKind.ROLE, "house.engineer"),
    )
    assert policy.when_exhausted.repeat is None
    assert policy.after_accepting.report_done_within == timedelta(minutes=30)


def test_numbers_are_read_as_they_are_written(folder: Path) -> None:
    company = load_company(folder, SHIPPED, now=NOW).company
    assert company is not None
    assert company.contacts["petrov"].numbers == ("+79120000002",)  # 8 912 000-00-02
    assert company.fallback == ("+79120000001", "112")
    assert company.may_dial("112")
    assert not company.may_dial("104")


def test_shipped_policies_make_a_sound_company(folder: Path) -> None:
    """All of them together, in a company that has the rosters that they name: nothing is found."""
    names = sorted(path.stem for path in SHIPPED.glob("*.yaml"))
    assert {
        "water",
        "electricity",
        "lift_person",
        "lift",
        "sewage",
        "heating",
        "gas",
        "default",
        "urgent",
    } <= set(names)
    company = folder / "company.yaml"
    company.write_text(company.read_text().replace("policies: [urgent]", f"policies: [{', '.join(names)}]"))
    (folder / "policies" / "water.yaml").unlink()
    with (folder / "rosters.yaml").open("a") as rosters:
        rosters.write("electricians:\n  always: [petrov]\nlift_crew:\n  always: [ivanov]\n")
    causes = {
        "water.riser": Urgency.EMERGENCY,
        "lift.person": Urgency.EMERGENCY,
        "lift.stopped": Urgency.URGENT,
        "roof.leak": Urgency.EMERGENCY,
        "intercom.broken": Urgency.URGENT,
        "question.bill": Urgency.NORMAL,
    }
    loaded = load_company(folder, SHIPPED, causes=causes, now=NOW)
    assert not loaded.findings, "\n".join(map(str, loaded.findings))
    assert loaded.company is not None
    chosen = {
        cause: choose_policy(loaded.company.policies, urgency, cause) for cause, urgency in causes.items()
    }
    assert {cause: policy.name if policy else None for cause, policy in chosen.items()} == {
        "water.riser": "water",
        "lift.person": "lift_person",
        "lift.stopped": "lift",
        "roof.leak": "default",
        "intercom.broken": "urgent",
        "question.bill": None,
    }


def test_the_companys_own_policy_takes_the_place_of_the_shipped_one(folder: Path) -> None:
    company = folder / "company.yaml"
    company.write_text(company.read_text().replace("[urgent]", "[urgent, water]"))
    loaded = load_company(folder, SHIPPED, now=NOW)
    assert loaded.company is not None
    assert [policy.title for policy in loaded.company.policies if policy.name == "water"] == ["Вода"]


# --- the schema --------------------------------------------------------------------------------------------------------------------


def test_the_schema_is_in_step() -> None:
    assert (SHIPPED / "policy.schema.json").read_text() == schema_text(), (
        "python -c 'from engine.files.policies import schema_text; print(schema_text(), end=\"\")' "
        "> escalation_policies/policy.schema.json"
    )


@pytest.mark.parametrize(
    "path", [*sorted(SHIPPED.glob("*.yaml")), *DEMO.glob("policies/*.yaml")], ids=lambda p: p.stem
)
def test_the_schema_accepts_what_we_ship(path: Path) -> None:
    jsonschema.Draft202012Validator(schema()).validate(YAML(typ="safe", pure=True).load(path))


SHAPELY = [
    "unknown_key",
    "steps_empty_list",
    "step_without_ring",
    "step_is_a_word",
    "duration_in_words",
    "calls_zero",
]
SHAPELY += [
    "how_on",
    "urgency_unknown",
    "two_targets_in_one",
    "no_target",
    "webhook_in_a_step",
    "version_of_tomorrow",
]


@pytest.mark.parametrize("case", SHAPELY)
def test_the_schema_refuses_what_the_loader_refuses(case: str) -> None:
    broken = YAML(typ="safe", pure=True).load(BROKEN / "policies" / f"{case}.yaml")
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors(broken))


def test_severities() -> None:
    """What refuses a company, what fails the check, and what is only said."""
    said = {line.split(": ")[1] for _, lines in EXPECTED.values() for line in lines}
    assert {"риск", "замечание"} <= said
    assert {one.value for one in Severity} == {"error", "risk", "warning"}
