"""Every way in which a robocall can end, on a real Asterisk with real phones: what the timeline says of it, and who is rung next."""

from __future__ import annotations

import asyncio
import re

import aiohttp
import pytest

from engine.domain import wording
from tests.e2e.harness import russian_prompt
from tests.e2e.stories import Stories, Story, gap

ENVIRONMENT = {"DOZVON_CALLS_ROBOCALL_FOR": "24s"}
"""So that a machine is left earlier than after three askings."""
SPEECH = russian_prompt("hello-world")
AT_ONCE_SECONDS = 0.5
TAKEN = ("first", "accepted")
TAKEN_BY_THE_SECOND = ("second", "accepted")

story = Stories()


@story
async def a_machine_accepts_nothing(s: Story) -> None:
    """It talks, it presses nothing, and it never hangs up: it is told what there is once, and left."""
    s.first.answers().says(SPEECH).says(SPEECH)
    s.second.answers().hears(0.5).presses_accept_key()
    await s.emergency()
    assert await s.dials() == [("first", "machine"), TAKEN_BY_THE_SECOND]
    assert s.all("CallEnded")[0]["by"] == "us"
    assert s.all("MachineSuspected")[0]["attempt"] == s.all("DialEnded")[0]["attempt"]


# --- accepted ----------------------------------------------------------------------------------------------------------------------


@story
async def accepted_by_the_drawn_key(s: Story) -> None:
    s.first.rings(0.5).answers().hears(6).presses_accept_key()
    await s.emergency()
    call = await (await s.first.rang()).ended(30)
    assert await s.dials() == [TAKEN]
    accepted = await s.until("Accepted")
    assert (accepted["contact"], accepted["via"]) == (f"staff-{s.index}-1", "call")
    assert await s.heard(call, wording.ACCEPTED)
    assert not call.hung_up_by_us
    assert s.all("CallEnded")[0]["by"] == "us"


@story
async def the_key_is_pressed_before_anything_is_said(s: Story) -> None:
    s.first.answers().presses_accept_key()
    await s.emergency()
    assert await s.dials() == [TAKEN]
    assert gap(s.all("RobocallAnswered")[0], s.all("Accepted")[0]) < 3.0


@story
async def a_key_stops_the_prompt(s: Story) -> None:
    s.first.answers().hears(2).presses_accept_key()
    await s.emergency()
    call = await (await s.first.rang()).ended(30)
    assert await s.dials() == [TAKEN]
    assert await s.heard(call, wording.ACCEPTED)
    assert not await s.heard(call, wording.MENU), "the prompt went on although a key was pressed"


@story
async def who_hangs_up_right_after_the_key_has_accepted(s: Story) -> None:
    s.first.answers().hears(1).presses_accept_key().hangs_up()
    await s.emergency()
    assert await s.dials() == [TAKEN]


@story
async def a_wrong_key_is_answered_aloud(s: Story) -> None:
    s.first.answers().hears(1).presses("1").hears(4).presses("*").hears(6).presses("0").hears(
        8
    ).presses_accept_key()
    await s.emergency()
    call = await (await s.first.rang()).ended(40)
    assert await s.dials() == [TAKEN]
    assert await s.heard(call, wording.WRONG_KEY)


@story
async def three_repeats_the_message(s: Story) -> None:
    s.first.answers().hears(1).presses("3").hears(wording.MENU).presses_accept_key()
    await s.emergency()
    call = await (await s.first.rang()).ended(40)
    assert await s.dials() == [TAKEN]
    assert s.all("KeyPressed")[0]["key"] == "3"
    assert await s.heard(call, wording.accept_prompt(s.all("RobocallAnswered")[0]["accept_key"]))


@story
async def four_connects_with_the_resident(s: Story) -> None:
    s.first.answers().hears(1).presses("4").hears(3).says(SPEECH).hears(9).presses_accept_key()
    home = s.network.phone(s.resident_number)
    home.answers().hears_pause().says(SPEECH).hears(5).hangs_up(1)
    await s.emergency(phone=s.resident_number)
    spoken = await (await home.rang()).ended(40)
    assert spoken.speech_seconds > 5, "the resident did not hear who called"
    assert await s.dials() == [TAKEN]
    assert {one["kind"] for one in s.all("CallStarted")} == {"robocall", "callback"}


# --- declined ----------------------------------------------------------------------------------------------------------------------


async def declines(s: Story, key: str, reason: str | None) -> None:
    script = s.first.answers().hears(1).presses("2").hears(wording.DECLINED)
    script.presses(key).holds(20) if key else script.hangs_up()
    s.second.answers().hears(0.5).presses_accept_key()
    await s.emergency()
    call = await (await s.first.rang()).ended(30)
    assert await s.dials() == [("first", "declined"), TAKEN_BY_THE_SECOND]
    assert gap(s.all("DialEnded")[0], s.all("DialStarted")[1]) < AT_ONCE_SECONDS
    assert s.all("DialStarted")[1]["at"] < s.all("CallEnded")[0]["at"], "the next phone waited for the reason"
    assert [one["reason"] for one in s.all("Declined")] == ([reason] if reason else [])
    assert not reason or await s.heard(call, wording.DECLINED)
    if reason == "no_coverage":
        assert gap(s.all("NoCoverage")[0], {"at": s.all("NoCoverage")[0]["until"]}) > 3000


for digit, why in {**wording.DECLINE_REASONS, "": None}.items():
    story.add(
        f"declined_{why or 'without_a_reason'}",
        lambda s, digit=digit, why=why: declines(s, digit, why),  # type: ignore[misc]
    )


# --- never up ----------------------------------------------------------------------------------------------------------------------


@story
async def busy_is_tried_again_soon(s: Story) -> None:
    s.first.busy().then.answers().hears(0.5).presses_accept_key()
    await s.emergency()
    assert await s.dials() == [("first", "busy"), TAKEN]
    assert 1.0 <= gap(s.all("DialEnded")[0], s.all("DialStarted")[1]) < 1.0 + AT_ONCE_SECONDS


@story
async def nobody_answers(s: Story) -> None:
    s.first.rings_out()
    s.second.answers().hears(0.5).presses_accept_key()
    await s.emergency()
    assert await s.dials() == [("first", "no_answer"), TAKEN_BY_THE_SECOND]
    started, ended = s.all("DialStarted")[0], s.all("DialEnded")[0]
    assert 3.0 <= gap(started, ended) < 3.0 + 2 * AT_ONCE_SECONDS


@story
async def a_phone_that_is_switched_off(s: Story) -> None:
    s.first.silent()
    s.second.answers().hears(0.5).presses_accept_key()
    await s.emergency()
    assert await s.dials() == [("first", "unreachable"), TAKEN_BY_THE_SECOND]


async def is_refused(s: Story, code: int, outcome: str, rings: float) -> None:
    """The person will not or cannot be reached: the next one is rung at once."""
    (s.first.rings(rings) if rings else s.first).rejects(code)
    s.second.answers().hears(0.5).presses_accept_key()
    await s.emergency()
    assert await s.dials() == [("first", outcome), TAKEN_BY_THE_SECOND]
    assert s.all("DialEnded")[0]["tech_cause"] == code
    assert gap(s.all("DialEnded")[0], s.all("DialStarted")[1]) < AT_ONCE_SECONDS


for code, outcome, rings in (
    (603, "declined", 0.3),
    (404, "unreachable", 0.0),
    (410, "unreachable", 0.0),
    (480, "unreachable", 0.0),
    (480, "no_answer", 0.3),
):
    story.add(
        f"refused_{code}_{outcome}",
        lambda s, code=code, outcome=outcome, rings=rings: is_refused(s, code, outcome, rings),  # type: ignore[misc]
    )


async def the_trunk_fails(s: Story, code: int) -> None:
    """That is nobody's fault: the same person is tried again at once, by the next trunk."""
    s.first.rejects(code).then.answers().hears(0.5).presses_accept_key()
    await s.emergency()
    assert await s.dials() == [("first", "failed"), TAKEN]
    assert [one["trunk"] for one in s.all("DialStarted")] == [0, 1]
    assert gap(s.all("DialEnded")[0], s.all("DialStarted")[1]) < AT_ONCE_SECONDS


for code in (403, 500, 503):
    story.add(f"the_trunk_fails_{code}", lambda s, code=code: the_trunk_fails(s, code))  # type: ignore[misc]


# --- up, and no use ----------------------------------------------------------------------------------------------------------------


@story
async def who_picks_up_and_hangs_up_has_accepted_nothing(s: Story) -> None:
    s.first.answers().hangs_up(0.7)
    s.second.answers().hears(0.5).presses_accept_key()
    await s.emergency()
    assert await s.dials() == [("first", "machine"), TAKEN_BY_THE_SECOND]
    assert s.all("CallEnded")[0]["by"] == "caller"


# --- cancelled ---------------------------------------------------------------------------------------------------------------------


@story
async def accepted_by_the_api_while_it_rings(s: Story) -> None:
    s.first.rings_out()
    await s.emergency()
    call = await (await s.first.rang()).reached()
    await s.until("DialStarted")
    await s.installation.post(f"/api/v1/tickets/{s.number}/accept", {"contact": "supervisor"})
    await call.ended(AT_ONCE_SECONDS)
    assert await s.dials() == [("first", "cancelled")]
    assert s.all("Accepted")[0]["via"] == "api"


@story
async def accepted_in_the_console_while_somebody_listens(s: Story) -> None:
    s.first.answers()
    await s.emergency()
    call = await s.first.rang()
    await call.hears(2)
    await accept_in_the_console(s, "supervisor")
    await call.ended(15)
    assert await s.dials() == [("first", "cancelled")]
    assert s.all("Accepted")[0]["via"] == "console"
    assert await s.heard(call, wording.taken_by("Марина Соколова")[0])


async def accept_in_the_console(s: Story, contact: str) -> None:
    """As the administrator's browser does it: by the one-time link, with the page's own form."""
    link = (s.installation.data_dir / "console-link").read_text().strip()
    jar, origin = aiohttp.CookieJar(unsafe=True), {"Origin": s.installation.console}
    async with aiohttp.ClientSession(headers=origin, cookie_jar=jar) as browser:
        await browser.post(link)
        page = f"{s.installation.console}/tickets/{s.number}"
        async with browser.get(page) as answer:
            csrf = re.search(r'name="csrf" value="([^"]+)"', await answer.text())
        assert csrf, "the page has no form"
        async with browser.post(f"{page}/accept", data={"csrf": csrf[1], "contact": contact}) as answer:
            assert answer.url.query["said"] == "accepted"


@story
async def first_to_accept_wins(s: Story) -> None:
    """Both are rung at once, both pick up; the slower one hears who took it."""
    s.first.answers().hears(1).presses_accept_key()
    s.second.answers().hears(2)
    await s.emergency(cause="heating.riser")
    slower = await (await s.second.rang()).ended(30)
    assert sorted(await s.dials()) == [TAKEN, ("second", "cancelled")]
    assert await s.heard(slower, wording.taken_by("кто-то")[0])
    assert len(s.all("Accepted")) == 1


@story
async def the_others_phones_fall_silent(s: Story) -> None:
    s.first.answers().hears(1).presses_accept_key()
    s.second.rings_out()
    await s.emergency(cause="heating.riser")
    accepted, other = await s.until("Accepted"), await s.second.rang()
    await other.ended(5)
    assert sorted(await s.dials()) == [TAKEN, ("second", "cancelled")]
    ended = next(one for one in s.all("DialEnded") if one["outcome"] == "cancelled")
    assert gap(accepted, ended) < AT_ONCE_SECONDS


@pytest.mark.parametrize("name", story.names)
async def test_robocall(told: dict[str, asyncio.Task[None]], name: str) -> None:
    await told[name]
