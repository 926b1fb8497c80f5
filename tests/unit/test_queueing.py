"""Which operator is rung, what a caller is told, and what a promise needs: tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.domain.events import (
    CallBackEnded,
    CallBackPromised,
    CallBackTried,
    CallStarted,
    DeadlineBroken,
    Event,
    TicketClosed,
)
from engine.domain.model import CallKind, Outcome
from engine.domain.queueing import (
    Desk,
    GiveUp,
    Lost,
    Need,
    Overdue,
    Pause,
    Promise,
    Rules,
    Settled,
    Try,
    Waiting,
    expected_wait,
    matches,
    next_for,
    next_ready,
    position,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RULES = Rules()
DEMO, OTHER = Need("demo"), Need("other")


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def desk(phone: str, idle: float = 60, **more: object) -> Desk:
    return Desk(phone, phone.title(), NOW - seconds(idle), **more)  # type: ignore[arg-type]


def caller(id: str, waits: float, need: Need = DEMO) -> Waiting:
    return Waiting(id, need, NOW - seconds(waits))


def rung(*waiting: Waiting, desks: list[Desk], busy: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(place.id, desk.phone) for place, desk in matches(waiting, desks, busy, NOW)]


def test_the_longest_idle_operator_takes_the_first_caller() -> None:
    desks = [desk("olga", 10), desk("vera", 300), desk("inna", 60)]
    assert rung(caller("b", 5), caller("a", 50), desks=desks) == [("a", "vera"), ("b", "inna")]


def test_who_talks_or_wraps_up_is_left_alone() -> None:
    desks = [desk("olga", 300), desk("vera", 200, rests_until=NOW + seconds(1)), desk("inna", 1)]
    assert rung(caller("a", 5), desks=desks, busy=("olga",)) == [("a", "inna")]
    assert next_ready(desks, NOW) == NOW + seconds(1)


def test_skills_count_for_each_company_by_itself() -> None:
    olga = desk("olga", skills={"demo": frozenset({"ru"}), "other": frozenset({"ru", "en"})})
    english = frozenset({"en"})
    assert not olga.fits(Need("demo", english))
    assert olga.fits(Need("other", english))
    assert not olga.fits(Need("third"))
    assert desk("vera").fits(Need("third", english))


def test_nobody_is_overtaken_but_by_whom_only_another_operator_can_serve() -> None:
    only_other = desk("vera", skills={"other": frozenset()})
    assert rung(caller("a", 50), caller("b", 10, OTHER), desks=[only_other]) == [("b", "vera")]


def test_after_a_talk_comes_the_wrap_up_and_after_misses_the_sign_out() -> None:
    one = desk("olga").talked(NOW, RULES.wrap_up)
    assert not one.ready(NOW + seconds(19))
    assert one.ready(NOW + seconds(20))
    for _ in range(2):
        rested = one.missed(NOW, RULES)
        assert rested is not None
        one = rested
    assert one.missed(NOW, RULES) is None
    assert one.talked(NOW, RULES.wrap_up).misses == 0


def test_position_counts_those_who_wait_for_the_same_operators() -> None:
    everyone = [caller("a", 50), caller("b", 40, OTHER), caller("c", 30)]
    shared, apart = [desk("olga")], [desk("olga", skills={"demo": frozenset()})]
    assert position(everyone[2], everyone, shared) == 3
    assert position(everyone[2], everyone, apart) == 2


@pytest.mark.parametrize(
    ("number", "desks", "talks", "minutes"),
    [(1, 1, [], 4), (1, 2, [40, 40], 1), (3, 1, [100], 6), (4, 2, [100], 4), (1, 0, [10], 1)],
)
def test_expected_wait(number: int, desks: int, talks: list[int], minutes: int) -> None:
    assert expected_wait(number, desks, [seconds(each) for each in talks], RULES) == minutes


# --- the promise -------------------------------------------------------------------------------------------------------------------

DUE = NOW + timedelta(minutes=10)
PROMISED = CallBackPromised(at=NOW, call="in-1", number="+79160000042", since=NOW, due=DUE)


def began(at: float, n: int) -> Event:
    return CallStarted(at=NOW + seconds(at), call=f"1001-p{n}", kind=CallKind.CALLBACK)


def tried(at: float, n: int, outcome: Outcome = Outcome.NO_ANSWER) -> Event:
    return CallBackTried(at=NOW + seconds(at), attempt=f"1001-p{n}", outcome=outcome)


def needs(after: float, *events: Event) -> object:
    promise = Promise.of([PROMISED, *events])
    assert promise is not None
    return next_for(promise, RULES, NOW + seconds(after))


def test_nothing_was_promised() -> None:
    assert Promise.of([began(0, 1)]) is None


def test_it_waits_for_an_operator_but_not_beyond_its_time() -> None:
    assert needs(1) == Try(DUE - seconds(90))


def test_three_tries_with_pauses_between() -> None:
    first = [began(10, 1), tried(30, 1)]
    assert needs(31, *first) == Pause(NOW + seconds(90))
    assert needs(90, *first) == Try(DUE - seconds(90))
    second = [*first, began(90, 2), tried(120, 2, Outcome.BUSY)]
    assert needs(185, *second) == Try(DUE - seconds(90))
    assert needs(300, *second, began(185, 3), tried(200, 3)) == GiveUp()


def test_a_lost_try_is_not_counted_and_one_in_flight_is_found_again() -> None:
    assert needs(20, began(10, 1)) == Lost("1001-p1")
    lost = [began(10, 1), tried(20, 1, Outcome.LOST)] * 3
    assert needs(100, *lost) == Try(DUE - seconds(90))


def test_an_overdue_promise_says_so_once_and_is_still_kept() -> None:
    broken = DeadlineBroken(at=DUE, clock="call_back", due=DUE)
    assert needs(600) == Overdue(DUE)
    assert needs(601, broken) == Try(DUE - seconds(90))


@pytest.mark.parametrize("end", [CallBackEnded(at=NOW, kept=True), TicketClosed(at=NOW, by="operator")])
def test_settled(end: Event) -> None:
    assert needs(5, end) == Settled()


def test_a_trunk_that_fails_is_remembered_and_uses_up_no_try_but_not_for_ever() -> None:
    failed = [began(1, 1), tried(2, 1, Outcome.FAILED)] * 5
    promise = Promise.of([PROMISED, *failed])
    assert promise is not None
    assert (promise.failing_trunks, promise.tries) == (5, 0)
    assert needs(100, *failed) == Try(DUE - seconds(90))
    broken = DeadlineBroken(at=DUE, clock="call_back", due=DUE)
    assert needs(600 + 3600, *failed, broken) == GiveUp()
