"""The hotline on the real installation, with softphones: each path by keys, a hang-up at every prompt, a break and a kill.

Keys are pressed early, one after another: each is kept for the question that it is meant for. What was said is proven in virtual
time (`tests/unit/test_hotline_in_town.py`); here the channels, the keys, the recordings and the timelines are real.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from engine.demo.softphones import CallOverError, Phone
from engine.files.company import load_company
from tests.e2e.harness import DID, ROOT, Installation, People
from tests.e2e.prompts import Prompt, prompts
from tests.e2e.stories import LOOK_SECONDS, Stories, Story, gap, shorten_greeting, timeline_of

DEMO = load_company(ROOT / "engine" / "demo" / "company", ROOT / "escalation_policies").company
assert DEMO is not None
PROMPTS = prompts(DEMO)
GAP = 0.35
RING_BACK_SECONDS = 10.0
BOARD_SECONDS = 1.1
"""What is on the board is a second old at most."""
TAKEN = ("first", "accepted")
STRANGERS = "+74950000113"
"""The line of a company that knows nobody who calls, with the two houses of the demo company and gas and fire services of its own."""
GAS, STRANGERS_GAS, FIRE = "104", "101", "112"


class HotlineStories(Stories):
    """Callers with a house of their own, and callers whom nobody knows. The greeting is short: it is waited for in every call."""

    def write_company(self, companies: Path) -> None:
        demo, strangers = companies / "demo", companies / "strangers"
        shorten_greeting(demo)
        shutil.copytree(demo, strangers)
        about = (strangers / "company.yaml").read_text()
        for ours, theirs in ((DID, STRANGERS), ("id: demo", "id: strangers"), (GAS, STRANGERS_GAS)):
            about = about.replace(ours, theirs)
        (strangers / "company.yaml").write_text(about)
        super().write_company(companies)


story = HotlineStories()


# --- killed ------------------------------------------------------------------------------------------------------------------------


async def test_killed_in_the_menu_the_talk_goes_on(installation: Installation, people: People) -> None:
    await installation.begin(lambda companies: shorten_greeting(companies / "demo"))
    people.plumber.answers().hears(0.5).presses_accept_key()
    call = await people.call_the_hotline(installation.base_port)
    async with timeline_of(await installation.wait_ticket(), installation) as ticket:
        await call.presses("11", gap=GAP)
        await ticket.until("KeyPressed", 30, question="cause.emergency")
        await installation.kill()
        await installation.start()
        await ticket.until("CallResumed", 10)
        await call.presses("11", after=1.0, gap=GAP)
        await ticket.until("KeyPressed", 30, question="address")
        await call.holds(1)
        await call.hangs_up()
        assert (await installation.ticket(ticket.number))["cause"] == "water.riser"
        await ticket.settles()


# --- residents who are known -------------------------------------------------------------------------------------------------------


@story
async def a_break_is_rung_back_within_ten_seconds(s: Story) -> None:
    """The talk goes on where it was: the emergency question is not put again."""
    phone = s.network.phone(s.resident_number, "resident")
    phone.answers().hears(2.0).presses("4#", after=0.5, info=True)  # leave a message, and that was it
    call = await s.phones()
    await call.presses("2", after=0.5)
    await s.until("KeyPressed", question="emergency")
    await call.hangs_up()
    broke = await s.until("CallEnded")
    back = await s.until("CallStarted", kind="callback")
    assert gap(broke, back) < RING_BACK_SECONDS
    await s.until("RecordingAnnounced", call=back["call"])
    ended = await s.until("CallEnded", 120, call=back["call"])
    assert ended["by"] == "us"
    assert len(s.all("KeyPressed", question="emergency")) == 1
    await s.settles()


@story
async def gas_is_bridged_to_104_at_once(s: Story) -> None:
    s.first.answers().hears(0.5).presses_accept_key()
    service = s.network.phone(GAS, "gas service")
    service.answers().holds(18).hangs_up()
    call = await s.phones()
    await call.presses("14", gap=GAP, info=True)
    assert (await service.rang(40)).caller == DID
    started = await s.until("CallStarted", kind="utility")
    async with asyncio.timeout(30):
        while not any(started["call"] in one["channels"] for one in await s.installation.ari("/bridges")):
            await asyncio.sleep(LOOK_SECONDS)
    ended = await s.until("CallEnded", 30, call=started["call"])
    assert ended["seconds"] > 15
    assert call.up  # the caller goes on: the address, the message
    await call.hangs_up()
    assert await s.dials() == [TAKEN]


async def a_burst_riser_by_early_keys(s: Story, info: bool) -> None:
    """Emergency, water, riser, «the address is right»: pressed before the questions are put."""
    s.first.answers().hears(0.5).presses_accept_key()
    call = await s.phones()
    await call.presses("1111", gap=GAP, info=info)
    started, dialled = await s.until("EscalationStarted"), await s.until("DialStarted")
    assert dialled["seq"] - started["seq"] <= 4
    await s.until("KeyPressed", 30, question="address")
    await call.hears(2.0)
    await call.hangs_up()
    assert await s.dials() == [TAKEN]
    shown = await s.installation.ticket(s.number)
    assert (shown["urgency"], shown["cause"], shown["premises"]["flat"]) == ("emergency", "water.riser", "42")
    (resident,) = s.all("CallStarted", kind="resident")
    assert [event["question"] for event in s.all("KeyPressed", call=resident["call"])] == [
        "emergency",
        "cause.emergency",
        "cause.e.water",
        "address",
    ]


story.add("a_burst_riser_by_RFC_4733", lambda s: a_burst_riser_by_early_keys(s, info=False))
story.add("a_burst_riser_by_INFO", lambda s: a_burst_riser_by_early_keys(s, info=True))


@story
async def an_incident_is_joined_and_counted(s: Story) -> None:
    s.first.answers().hears(0.5).presses_accept_key()
    await s.emergency(premises="41", cause="electricity.none_house")
    assert await s.dials() == [TAKEN]
    call, voice = await s.calls()
    await s.installation.wait_event(voice, "RecordingAnnounced")
    await call.presses("1", after=1.0)  # into the news of the incident
    joined = await s.until("IncidentJoined")
    assert (joined["voice"], joined["premises"]["flat"]) == (voice, "42")
    await s.installation.wait_event(voice, "NumberTold", 20)
    await call.holds(BOARD_SECONDS)
    await call.hangs_up()
    board = await s.installation.get("/api/v1/incidents?company=demo")
    here = [(one["ticket"], one["voices"]) for one in board["incidents"] if one["house"] == s.house]
    assert here == [(s.number, 2)]
    assert (await s.installation.ticket(voice))["status"] == "closed"


@story
async def readings_by_phone_and_by_api(s: Story) -> None:
    call = await s.phones()
    await call.presses("221", gap=0.2)  # all of it while it is said that the call is recorded
    await call.presses(
        "130#190#1", gap=0.2, info=True
    )  # for each by RFC 4733 takes 0.03 s of the recording (ADR 14)
    await s.until("TicketClosed", 60)
    await call.ended(20)
    readings = f"/api/v1/readings?company=demo&house={s.house}&flat=42"
    assert [(one["meter"], one["value"]) for one in (await s.installation.get(readings))["readings"]] == [
        (f"{s.house}-42-cold", 130),
        (f"{s.house}-42-hot", 90),
    ]
    assert f"{s.house}-42-hot,90".encode() in await s.installation.get(f"{readings}&format=csv")
    await s.settles()


@story
async def news_by_api_is_told_and_ends(s: Story) -> None:
    async def board() -> list[str]:
        await asyncio.sleep(BOARD_SECONDS)
        told = await s.installation.get("/api/v1/incidents?company=demo")
        return [one["text"] for one in told["news"]]

    text = "Завтра отключат воду."
    news = await s.installation.post("/api/v1/news", {"company": "demo", "text": text, "houses": [s.house]})
    assert await board() == [text]
    call = await s.phones()
    await call.presses("24", gap=GAP)
    await s.until("NumberTold", 30)
    await call.hangs_up()
    await s.installation.post(f"/api/v1/tickets/{news['number']}/close", {})
    assert not await board()
    await s.settles()


# --- a hang-up at every prompt -----------------------------------------------------------------------------------------------------


def test_no_prompt_is_forgotten() -> None:
    assert len(PROMPTS) >= 14, PROMPTS
    assert {one.number_told for one in PROMPTS.values()} == {True, False}


async def hangs_up_at(s: Story, prompt: Prompt) -> None:
    """Who hangs up while it is asked leaves a ticket with its recording, and no channel. They are rung back within ten seconds, but for
    those who had been told the number: a call to their phone would be an unexpected one."""
    home = stranger(s)
    if not prompt.number_told:
        home.busy()
    call = await s.phones(did=STRANGERS, caller=home.number)
    await call.presses("".join(prompt.way), gap=0.25)
    if prompt.answers:
        await s.until("KeyPressed", 60, nth=prompt.answers)
    await call.holds(0.4)
    await call.hangs_up()
    ended = await s.until("CallEnded")
    assert ended["by"] == "caller"
    assert bool(s.all("NumberTold")) == prompt.number_told
    if not prompt.number_told:
        back = await s.until("CallStarted", kind="callback")
        assert gap(ended, back) < RING_BACK_SECONDS
    await taken(s)
    await s.settles()
    assert prompt.number_told != bool(s.all("CallStarted", kind="callback"))


for place in PROMPTS.values():
    story.add(f"hangs_up_at_{place.question}", lambda s, prompt=place: hangs_up_at(s, prompt))  # type: ignore[misc]


def stranger(s: Story) -> Phone:
    """The phone of a caller whom nobody knows. Nobody of the staff comes, however often they are rung."""
    people = People.on(s.network)
    for phone in (
        people.plumber,
        people.plumber_reserve,
        people.second_plumber,
        people.supervisor,
        people.director,
    ):
        phone.busy()
    return s.network.phone(f"+7916200{s.index:02}00", f"{s.name}: stranger")


async def taken(s: Story) -> None:
    """Whatever emergency has come of the call: its walk ends."""
    if s.all("EscalationStarted"):
        await s.installation.post(f"/api/v1/tickets/{s.number}/accept", {"contact": "supervisor"})


# --- callers who press anything ----------------------------------------------------------------------------------------------------

Pressed = list[tuple[float, str]]
"""One caller: silences in seconds, and the key after each."""


def drawn(count: int) -> list[Pressed]:
    """So many callers, as Hypothesis draws them: the same ones each time."""
    callers: list[Pressed] = []

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.tuples(st.floats(0.0, 2.5), st.sampled_from("0123456789*#")), min_size=1, max_size=8))
    def draw(pressed: Pressed) -> None:
        callers.append(pressed)

    draw()
    return callers


async def presses_at_random(s: Story, pressed: Pressed) -> None:
    """Any key at any moment, on a real line: one ticket, no channel left."""
    home = stranger(s)
    home.busy()
    for number in (STRANGERS_GAS, FIRE):
        s.network.phone(number).answers().holds(2).hangs_up()
    call = await s.phones(did=STRANGERS, caller=home.number)
    with contextlib.suppress(CallOverError):  # the hotline may have said good-bye
        for silence, key in pressed:
            await call.holds(silence)
            await call.presses(key, info=True)
    await call.hangs_up()
    await s.until("CallEnded", call=s.all("CallStarted")[0]["call"])
    await taken(s)
    await s.settles()
    assert [one["phone"] for one in await s.installation.tickets()].count(home.number) == 1, pressed


for number, keys in enumerate(drawn(20), start=1):
    story.add(f"random_keys_{number}", lambda s, keys=keys: presses_at_random(s, keys))  # type: ignore[misc]


@pytest.mark.parametrize("name", story.names)
async def test_hotline(told: dict[str, asyncio.Task[None]], name: str) -> None:
    await told[name]
