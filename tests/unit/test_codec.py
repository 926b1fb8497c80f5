"""Events survive the way to disk and back, and a reader survives events that it does not know."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta, timezone
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.events import EVENT_TYPES, CallEnded, Event, KeyPressed, NoCoverage
from engine.domain.model import Via
from engine.store.codec import Unknown, decode, encode, plain, type_of

NOON = datetime(2026, 3, 14, 12, 0, 0, 123456, tzinfo=UTC)

LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    type(None): st.none(),
    bool: st.booleans(),
    str: st.text(),
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    datetime: st.datetimes(timezones=st.just(UTC)),
    time: st.times(),
    timedelta: st.timedeltas(timedelta(0), timedelta(days=3650)),
}


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type. (`st.from_type` would need its naive instants registered away for every other test.)"""
    if hint in LEAVES:
        return LEAVES[hint]
    parts = get_args(hint)
    if get_origin(hint) in (UnionType, Union):
        return st.one_of(*map(of_type, parts))
    if get_origin(hint) is tuple:
        return (
            st.lists(of_type(parts[0]), max_size=3).map(tuple)
            if ... in parts
            else st.tuples(*map(of_type, parts))
        )
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    return st.builds(hint, **{name: of_type(kind) for name, kind in get_type_hints(hint).items()})


any_event = st.sampled_from(sorted(EVENT_TYPES)).flatmap(lambda name: of_type(EVENT_TYPES[name]))


@given(any_event)
def test_every_event_comes_back_as_it_was(event: Event) -> None:
    kind, data = encode(event)
    back = decode(kind, event.at, data)
    assert back == event
    assert type(back) is type(event)
    assert kind == type_of(event) == type(event).__name__


@given(any_event)
def test_the_api_shows_type_instant_and_fields(event: Event) -> None:
    shown = plain(event)
    assert shown["type"] == type(event).__name__
    assert datetime.fromisoformat(shown["at"]) == event.at
    assert json.loads(json.dumps(shown)) == json.loads(encode(event)[1]) | {"type": shown["type"]}
    assert set(shown) == {"type", *type(event).__dataclass_fields__}


@given(any_event)
def test_a_field_from_a_newer_engine_is_ignored(event: Event) -> None:
    kind, data = encode(event)
    newer = json.dumps(json.loads(data) | {"invented_tomorrow": {"x": [1]}})
    assert decode(kind, event.at, newer) == event


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("InventedTomorrow", '{"at":"2026-03-14T12:00:00.123456Z","who":"х"}'),
        (
            "NoCoverage",
            '{"at":"2026-03-14T12:00:00.123456Z","contact":"a","until":"2026-03-14T13:00:00Z","via":"telepathy"}',
        ),
        ("CallEnded", '{"at":"2026-03-14T12:00:00.123456Z"}'),
    ],
    ids=["type", "value", "field missing"],
)
def test_what_only_a_newer_engine_understands_is_kept_raw(kind: str, data: str) -> None:
    event = decode(kind, NOON, data)
    assert event == Unknown(at=NOON, type=kind, data=data)
    assert encode(event) == (kind, data)
    assert plain(event) == {"type": kind, **json.loads(data)}


def test_a_field_that_was_added_later_takes_its_default() -> None:
    event = decode("CallEnded", NOON, '{"at":"2026-03-14T12:00:00.123456Z","call":"c1"}')
    assert event == CallEnded(at=NOON, call="c1")


def test_an_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="UTC"):
        encode(KeyPressed(at=NOON.replace(tzinfo=None), call="c1", key="1", question="q"))


def test_an_instant_of_another_zone_stays_the_same_instant() -> None:
    until = NOON.astimezone(timezone(timedelta(hours=5)))
    event = NoCoverage(at=NOON, contact="ivan", until=until, via=Via.SMS)
    assert decode(*_with_instant(event)) == event


def _with_instant(event: Event) -> tuple[str, datetime, str]:
    kind, data = encode(event)
    return kind, event.at, data
