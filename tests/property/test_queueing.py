"""Whatever the room looks like: nobody is overtaken without need, nobody rests idle while somebody fits, no desk is rung twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from engine.domain.events import (
    CallBackEnded,
    CallBackPromised,
    CallBackTried,
    CallStarted,
    DeadlineBroken,
    Event,
)
from engine.domain.model import CallKind, Outcome
from engine.domain.queueing import (
    NOT_COUNTED,
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
    matches,
    next_for,
    position,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
COMPANIES, SKILLS = ("a", "b", "c"), ("ru", "en")
moments = st.integers(-600, 600).map(lambda offset: NOW + timedelta(seconds=offset))
skills = st.frozensets(st.sampled_from(SKILLS))
needs = st.builds(Need, st.sampled_from(COMPANIES), skills)
callers = st.lists(st.builds(Waiting, st.uuids().map(str), needs, moments), max_size=8)
desks = st.lists(
    st.builds(
        Desk,
        st.sampled_from([f"desk{n}" for n in range(6)]),
        st.just("Ольга"),
        moments,
        st.dictionaries(st.sampled_from(COMPANIES), skills),
        st.none() | moments,
    ),
    max_size=6,
    unique_by=lambda desk: desk.phone,
)
busy = st.frozensets(st.sampled_from([f"desk{n}" for n in range(6)]))


@given(callers, desks, busy)
def test_matching(waiting: list[Waiting], room: list[Desk], talking: frozenset[str]) -> None:
    found = matches(waiting, room, talking, NOW)
    served, rung = {place.id for place, _ in found}, [desk.phone for _, desk in found]
    assert len(rung) == len(set(rung)) == len(served)
    for place, desk in found:
        assert desk.fits(place.need)
        assert desk.ready(NOW)
        assert desk.phone not in talking
        for other in waiting:  # nobody who came earlier and could have had this operator is left waiting
            assert not (other.order < place.order and desk.fits(other.need)) or other.id in served
    free = [d for d in room if d.ready(NOW) and d.phone not in talking and d.phone not in rung]
    for place in waiting:
        assert place.id in served or not any(desk.fits(place.need) for desk in free)
    for (
        place,
        desk,
    ) in (
        found
    ):  # among the free ones who fit nobody has been idle for longer, but for whoever was taken before
        assert all(desk.idle_since <= one.idle_since for one in free if one.fits(place.need))


@given(callers, desks)
def test_positions_are_those_of_the_order(waiting: list[Waiting], room: list[Desk]) -> None:
    for place in waiting:
        assert 1 <= position(place, waiting, room) <= 1 + sum(one.order < place.order for one in waiting)


@given(st.lists(st.sampled_from([*Outcome][2:]), max_size=12), st.integers(0, 900))
def test_a_promise_always_comes_to_its_end(outcomes: list[Outcome], late: int) -> None:
    """Played out with any outcomes: it is tried as often as was promised, never twice at once, and then it is over."""
    rules, now, tries = Rules(), NOW + timedelta(seconds=late), 0
    history: list[Event] = [
        CallBackPromised(at=NOW, call="in", number="+7", since=NOW, due=NOW + rules.call_back_within)
    ]
    answers = iter([*outcomes, *[Outcome.BUSY] * 3])
    for _ in range(100):
        promise = Promise.of(history)
        assert promise is not None
        match next_for(promise, rules, now):
            case Settled():
                break
            case Pause(until):
                assert until > now
                now = until
            case Lost(attempt):
                history.append(CallBackTried(at=now, attempt=attempt, outcome=next(answers)))
            case Overdue(due):
                assert due <= now
                history.append(DeadlineBroken(at=now, clock="call_back", due=due))
            case GiveUp():
                history.append(CallBackEnded(at=now, kept=False))
            case Try():
                tries += 1
                history.append(CallStarted(at=now, call=f"1-p{tries}", kind=CallKind.CALLBACK))
    else:
        raise AssertionError("it never came to an end")
    counted = [e for e in history if isinstance(e, CallBackTried) and e.outcome not in NOT_COUNTED]
    assert len(counted) <= rules.call_back_tries
    assert len(counted) == rules.call_back_tries or now >= NOW + rules.call_back_within + rules.too_late_after
    assert sum(isinstance(event, DeadlineBroken) for event in history) <= 1
