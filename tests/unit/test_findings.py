"""What is wrong with a company as a whole: pure, so companies are built here by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from engine.domain.company import Company
from engine.domain.coverage import worst_case
from engine.domain.finding import Finding, Severity
from engine.domain.findings import findings, span
from engine.domain.model import Contact, House, Line, Outcome, Urgency
from engine.domain.policy import Exhaustion, How, Policy, Sms, Step, Target, TargetKind
from engine.domain.roster import Roster, Shift
from engine.domain.simulation import ANSWERS, Happening, run_walk, scripted, simulate

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
DIRECTOR = Target(TargetKind.ROLE, "company.director")
SUPERVISOR = Target(TargetKind.ROLE, "house.supervisor")
DUTY = Target(TargetKind.ON_CALL, "duty")


def contact(name: str, *numbers: str, reserve: tuple[str, ...] = ()) -> Contact:
    return Contact(name, name.capitalize(), numbers, reserve)


WATER = Policy(
    "water",
    "Вода",
    Urgency.EMERGENCY,
    (
        Step("duty", (DUTY,), calls=2),
        Step("supervisor", (SUPERVISOR,)),
        Step("director", (DIRECTOR,)),
    ),
    causes=("water.*",),
    when_exhausted=Exhaustion(alarm=(DIRECTOR,)),
)
SOON = replace(WATER, name="soon", urgency=Urgency.URGENT, causes=("*",))
SOUND = Company(
    "demo",
    "Демо",
    lines=(Line("+74950000112"),),
    houses={"h1": House("h1", "Москва", "улица Ленина", "15", roles={"supervisor": "anna"})},
    contacts={
        "anna": contact("anna", "+79000000001"),
        "boris": contact("boris", "+79000000002", reserve=("+79000000012",)),
        "vera": contact("vera", "+79000000003"),
        "gleb": contact("gleb", "+79000000004"),
    },
    roles={"director": "gleb"},
    rosters={"duty": Roster("duty", always=("boris", "vera"))},
    policies=(WATER, SOON),
)


def codes(
    company: Company, causes: dict[str, Urgency] | None = None
) -> list[tuple[str, tuple[str | int, ...]]]:
    return [(one.code, one.path) for one in findings(company, causes, start=NOW)]


def with_step(step: Step, index: int = 0) -> Company:
    steps = list(WATER.steps)
    steps[index] = step
    return replace(SOUND, policies=(replace(WATER, steps=tuple(steps)), SOON))


def test_a_sound_company() -> None:
    assert (
        codes(SOUND, {"water.riser": Urgency.EMERGENCY, "bill": Urgency.NORMAL, "door": Urgency.URGENT}) == []
    )


def test_a_cause_that_no_policy_covers() -> None:
    (finding,) = findings(SOUND, {"gas.smell": Urgency.EMERGENCY}, start=NOW)
    assert finding.code == "cause.uncovered"
    assert finding.severity is Severity.RISK
    assert finding.message == "причину «gas.smell» (emergency) не берёт ни одна политика; пойдёт «water»"


def test_no_policy_at_all() -> None:
    company = replace(SOUND, policies=())
    found = findings(company, {}, start=NOW)
    assert [(one.words["urgency"], one.severity) for one in found if one.code == "policies.none"] == [
        (Urgency.EMERGENCY, Severity.ERROR),
        (Urgency.URGENT, Severity.RISK),
    ]


def test_a_roster_with_a_gap() -> None:
    nights = Roster("duty", shifts=(Shift((("boris",),), time(20), time(8)),))
    (finding,) = findings(replace(SOUND, rosters={"duty": nights}), start=NOW)
    assert finding.code == "roster.gap"
    assert "21.11.2026 12:00 – 21.11.2026 20:00, 22.11.2026 08:00 – 22.11.2026 20:00" in finding.message


def test_a_chain_that_never_reaches_the_director() -> None:
    short = replace(WATER, steps=WATER.steps[:2])
    assert codes(replace(SOUND, policies=(short, SOON))) == [
        ("policy.no_director", ("policies", "water", "steps"))
    ]
    relaxed = replace(SOON, steps=WATER.steps[:2])
    (finding,) = findings(replace(SOUND, policies=(WATER, relaxed)), start=NOW)
    assert finding.severity is Severity.WARNING


def test_the_director_may_be_reached_by_roster_or_team() -> None:
    by_team = Step("all", (Target(TargetKind.TEAM, "everyone"),), how=How.ALL_AT_ONCE)
    company = replace(with_step(by_team, 2), teams={"everyone": ("vera", "gleb")})
    assert codes(company) == []
    by_roster = replace(
        with_step(WATER.steps[0], 2), rosters={"duty": Roster("duty", always=("boris", "gleb"))}
    )
    assert [code for code, _ in codes(by_roster)] == ["step.twice"]


@pytest.mark.parametrize(
    ("step", "code", "key"),
    [
        (Step("a", (DUTY,), give_up_after=timedelta(seconds=20)), "step.give_up", "give_up_after"),
        (Step("a", (DUTY,), ring_for=timedelta(minutes=3)), "step.out_of_time", "give_up_after"),
        (
            Step("a", (DUTY,), sms=Sms.BEFORE, give_up_after=timedelta(seconds=50)),
            "step.out_of_time",
            "give_up_after",
        ),
        (Step("director", (DUTY,)), "step.twice", None),
    ],
)
def test_steps(step: Step, code: str, key: str | None) -> None:
    found = codes(with_step(step))
    assert [one for one, _ in found] == [code]
    if key:
        assert found[0][1] == ("policies", "water", "steps", 0, key)


def test_ringing_all_at_once_leaves_nobody_waiting() -> None:
    step = Step("a", (DUTY,), how=How.ALL_AT_ONCE, ring_for=timedelta(minutes=3))
    assert codes(with_step(step)) == []


def test_targets_that_name_nothing() -> None:
    kinds = {TargetKind.CONTACT: "contact", TargetKind.ON_CALL: "roster", TargetKind.TEAM: "team"}
    for kind, name in kinds.items():
        found = codes(with_step(Step("a", (DUTY, Target(kind, "nobody")))))
        assert found == [(f"{name}.unknown", ("policies", "water", "steps", 0, "ring", 1, kind))]


def test_roles_that_nobody_has() -> None:
    for role, code in (("company.lawyer", "role.company"), ("house.caretaker", "role.house")):
        assert [one for one, _ in codes(with_step(Step("a", (Target(TargetKind.ROLE, role),))))] == [code]
    two = replace(SOUND, houses={**SOUND.houses, "h2": House("h2", "Тюмень", "Мира", "2")})
    found = findings(two, start=NOW)
    assert {one.code for one in found} == {"role.house"}
    assert "h2" in found[0].message
    assert "h1" not in found[0].message


def test_people_who_cannot_be_rung() -> None:
    def company(anna: Contact) -> Company:
        return replace(SOUND, contacts={**SOUND.contacts, "anna": anna})

    assert codes(company(contact("anna"))) == [("contact.no_number", ("contacts", "anna"))]
    assert codes(company(contact("anna", "+380441234567"))) == [
        ("number.not_allowed", ("contacts", "anna", "numbers", 0))
    ]
    reserve_only = codes(company(contact("anna", reserve=("+79000000011",))))
    assert reserve_only == [
        ("contact.only_reserve", ("contacts", "anna")),
        ("step.unreachable", ("policies", "soon", "steps", 1)),
    ]


def test_policies_that_want_the_same_cause() -> None:
    rival = replace(WATER, name="rival", causes=("heating.*", "water.*"))
    assert codes(replace(SOUND, policies=(WATER, SOON, rival))) == [
        ("policy.same_cause", ("policies", "rival", "for", "causes", 1))
    ]


def test_an_emergency_must_not_fall_silent() -> None:
    finite = replace(WATER, when_exhausted=Exhaustion(repeat=2))
    found = findings(replace(SOUND, policies=(finite, SOON)), start=NOW)
    assert [(one.code, one.severity) for one in found] == [
        ("policy.finite", Severity.ERROR),
        ("policy.no_alarm", Severity.RISK),
    ]


def test_nothing_is_said_about_what_is_in_doubt() -> None:
    company = replace(SOUND, contacts={}, rosters={})
    assert findings(company, start=NOW)
    doubtful = frozenset({("contacts",), ("rosters",)})
    assert findings(company, doubtful=doubtful, start=NOW) == []


def test_a_finding_in_both_languages() -> None:
    finding = Finding("step.twice", words={"name": "a"}).at("policies/water.yaml", 3, 5)
    assert str(finding) == "policies/water.yaml:3:5: ступень «a» уже есть; назовите её иначе"
    assert (
        finding.line_of_text("en")
        == "policies/water.yaml:3:5: there is already a step a; give it another name"
    )


# --- how long, and a walk in virtual time ------------------------------------------------------------------------------------------


def test_the_worst_case_is_never_exceeded() -> None:
    worst = worst_case(SOUND, WATER, NOW)
    assert worst.bound == timedelta(minutes=6)
    # boris twice and vera twice, each 25 s; before his second call boris has had his pause while vera was rung.
    assert worst.silent == timedelta(seconds=25 * 5)
    nobody = replace(SOUND, roles={})
    assert worst_case(nobody, WATER, NOW).bound is None


def outcomes(said: list[Happening], kind: str) -> list[tuple[str | None, str | None]]:
    return [(one.person, one.number) for one in said if one.kind == kind]


def test_simulate_tells_the_walk() -> None:
    answers = [ANSWERS[word] for word in ("busy", "declined", "none", "accept")]
    said = simulate(SOUND, WATER, "h1", "water.riser", NOW, answers)
    assert outcomes(said, "ring") == [
        ("Boris", "+79000000002"),
        ("Vera", "+79000000003"),
        ("Boris", "+79000000012"),
        ("Anna", "+79000000001"),
    ]
    assert outcomes(said, "accepted") == [("Anna", None)]
    assert [one.person for one in said if one.detail == "заявку принял другой"] == ["Boris", "Vera"]
    assert [one.at for one in said] == sorted(one.at for one in said)
    assert said == simulate(SOUND, WATER, "h1", "water.riser", NOW, answers)


def test_simulate_ends_after_two_rounds_if_nobody_accepts() -> None:
    said = simulate(SOUND, WATER, None, None, NOW, [])
    assert [one.detail for one in said if one.kind == "exhausted"] == [
        "круг 1 пройден, никто не принял",
        "круг 2 пройден, никто не принял",
    ]
    assert "+79000000004" in {number for _, number in outcomes(said, "ring")}


def test_all_at_once_has_one_winner() -> None:
    step = Step("all", (DUTY,), how=How.ALL_AT_ONCE)
    said = simulate(with_step(step), replace(WATER, steps=(step, *WATER.steps[1:])), "h1", None, NOW, [
        Outcome.ACCEPTED, Outcome.ACCEPTED
    ])  # fmt: skip
    rings = [one.at for one in said if one.kind == "ring"]
    assert rings == [NOW, NOW]
    assert len(outcomes(said, "accepted")) == 1
    assert sum(one.detail == "вызов снят" for one in said) == 1


def test_a_walk_stops_at_its_horizon() -> None:
    events = list(run_walk(SOUND, WATER, scripted([]), NOW, until=NOW + timedelta(hours=3)))
    assert events[-1].at < NOW + timedelta(hours=3)
    assert events[-1].at > NOW + timedelta(hours=2, minutes=50)


def test_spans_are_said_as_they_are_written() -> None:
    assert [span(timedelta(seconds=n)) for n in (0, 25, 90, 3600, 5400, 3601)] == [
        "0s",
        "25s",
        "1m30s",
        "1h",
        "1h30m",
        "1h1s",
    ]
