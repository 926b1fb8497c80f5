"""The harness on the engine itself: a walk that is accepted, a kill in the middle of it, and a clean end."""

from __future__ import annotations

import pytest

from tests.e2e.aftermath import unexpected_calls
from tests.e2e.harness import ApiError, Installation, Json, People

WATER: Json = {
    "company": "demo",
    "house": "lenina15",
    "premises": "42",
    "urgency": "emergency",
    "cause": "water.riser",
    "text": "Прорыв стояка",
}


async def test_the_second_plumber_accepts_by_the_drawn_key(
    installation: Installation, people: People
) -> None:
    people.plumber.busy()
    people.plumber_reserve.declines_call()
    people.second_plumber.rings(0.3).answers().hears(1.0).presses_accept_key()
    number = (await installation.post("/api/v1/tickets", WATER))["number"]
    accepted = await installation.wait_event(number, "Accepted", 40)
    assert accepted["via"] == "call"
    call = await (await people.second_plumber.rang()).ended(30)
    assert call.speech_seconds > 1.0
    assert not people.director.history


async def test_a_killed_engine_goes_on_where_it_was(installation: Installation, people: People) -> None:
    people.plumber.busy()
    people.plumber_reserve.busy()
    people.second_plumber.answers().hears(0.5).presses_accept_key()
    number = (await installation.post("/api/v1/tickets", WATER))["number"]
    await (await people.plumber.rang()).ended()
    await installation.kill()
    await installation.start()
    accepted = await installation.wait_event(number, "Accepted", 60)
    assert accepted["contact"] == "plumber2"
    await people.second_plumber.history[-1].ended(30)


async def test_a_refused_request_says_why(installation: Installation) -> None:
    with pytest.raises(ApiError) as refused:
        await installation.post("/api/v1/tickets", {**WATER, "house": "nowhere"})
    assert refused.value.status == 422
    assert refused.value.body["errors"][0]["field"] == "house"


async def test_a_call_that_nobody_wrote_a_script_for_is_seen(
    installation: Installation, people: People
) -> None:
    people.plumber_reserve.busy()
    people.second_plumber.answers().hears(0.5).presses_accept_key()
    number = (await installation.post("/api/v1/tickets", WATER))["number"]
    await installation.wait_event(number, "Accepted", 40)
    await people.second_plumber.history[-1].ended(30)
    wrong = unexpected_calls(people)
    assert wrong
    assert all(people.plumber.number in each for each in wrong)
    people.network.unexpected.clear()  # else tear-down would fail, as it should
