"""The hotline on the real installation, with softphones: each path by keys, a hang-up at every prompt, a break and a kill.

Keys are pressed early, one after another: each is kept for the question that it is meant for. What was said is proven in virtual
time (`tests/unit/test_hotline_in_town.py`); here the channels, the keys, the recordings and the timelines are real.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from engine.demo.softphones import Call
from engine.domain import dialogue_moves as m
from engine.domain.dialogue import talk
from engine.domain.wording_hotline import words
from engine.files.company import load_company
from tests.e2e.harness import DID, ROOT, Installation, Json, People

DEMO = load_company(ROOT / "engine" / "demo" / "company", ROOT / "escalation_policies").company
RESIDENT = "+79160000042"
GAP = 0.35


async def call(installation: Installation, people: People, caller: str = RESIDENT) -> tuple[Call, int]:
    """A call, and its ticket."""
    before = tuple(ticket["number"] for ticket in await installation.tickets())
    made = await people.resident.calls(f"sip:{DID}@127.0.0.1:{installation.base_port}", caller=caller)
    assert made.up
    return made, await installation.wait_ticket(not_among=before)


def staff(people: People, taken: bool = True) -> None:
    """Somebody accepts at once, or nobody ever does."""
    for phone in (people.plumber, people.plumber_reserve, people.second_plumber, people.supervisor):
        phone.busy()
    if taken:
        people.plumber.answers().hears(0.5).presses_accept_key()
    else:
        people.director.busy()


async def recorded(installation: Installation, *tickets: int) -> None:
    """Every call of the tickets that was up has ended and its recording is attached: on a busy machine that takes its time."""
    async with asyncio.timeout(60):
        for ticket in tickets:
            while True:
                events = await installation.events(ticket)
                begun = {e["call"] for e in of(events, "CallStarted")}
                ended = {e["call"]: e["seconds"] for e in of(events, "CallEnded")}
                kept = {e["call"] for e in of(events, "RecordingAttached")}
                if begun <= ended.keys() and {call for call, up in ended.items() if up} <= kept:
                    break
                await asyncio.sleep(0.3)


def of(events: list[Json], kind: str) -> list[Json]:
    return [event for event in events if event["type"] == kind]


@pytest.mark.parametrize("info", [False, True], ids=["RFC 4733", "INFO"])
async def test_a_burst_riser_by_early_keys(installation: Installation, people: People, info: bool) -> None:
    """Emergency, water, riser, «the address is right»: pressed before the questions are put."""
    staff(people)
    made, ticket = await call(installation, people)
    await made.presses("1111", gap=GAP, info=info)
    started = await installation.wait_event(ticket, "EscalationStarted")
    dialled = await installation.wait_event(ticket, "DialStarted")
    assert dialled["seq"] - started["seq"] <= 4
    await installation.wait_event(ticket, "KeyPressed", 30, question="address")
    await made.hears(2.0)
    await made.hangs_up()
    await installation.wait_event(
        ticket, "CallEnded", call=(await resident_call(installation, ticket))["call"]
    )
    shown = await installation.ticket(ticket)
    assert (shown["urgency"], shown["cause"], shown["premises"]["flat"]) == ("emergency", "water.riser", "42")
    events = await installation.events(ticket)
    assert [e["question"] for e in of(events, "KeyPressed") if e["call"] == resident_of(events)] == [
        "emergency",
        "cause.emergency",
        "cause.e.water",
        "address",
    ]
    await installation.wait_event(ticket, "Accepted", 30)
    await people.plumber.history[-1].ended(30)
    await recorded(installation, ticket)


def resident_of(events: list[Json]) -> str:
    return str(next(e["call"] for e in of(events, "CallStarted") if e["kind"] == "resident"))


async def resident_call(installation: Installation, ticket: int) -> Json:
    return await installation.wait_event(ticket, "CallStarted", kind="resident")


async def test_gas_is_bridged_to_104_at_once(installation: Installation, people: People) -> None:
    staff(people)
    gas = people.network.phone("104", "gas service")
    gas.answers().holds(18).hangs_up()
    made, ticket = await call(installation, people)
    await made.presses("14", gap=GAP, info=True)
    rung = await gas.rang(40)
    assert rung.caller == DID
    started = await installation.wait_event(ticket, "CallStarted", 20, kind="utility")
    async with asyncio.timeout(30):
        while not any(started["call"] in one["channels"] for one in await installation.ari("/bridges")):
            await asyncio.sleep(0.2)
    ended = await installation.wait_event(ticket, "CallEnded", 30, call=started["call"])
    assert ended["seconds"] > 15
    await installation.wait_event(ticket, "RecordingAttached", 20, call=started["call"])
    assert made.up  # the caller goes on: the address, the message
    await made.hangs_up()
    await installation.wait_event(ticket, "Accepted", 30)
    await people.plumber.history[-1].ended(30)
    await recorded(installation, ticket)


async def test_an_incident_is_joined_and_counted(installation: Installation, people: People) -> None:
    staff(people)
    incident = (
        await installation.post(
            "/api/v1/tickets",
            {
                "company": "demo",
                "house": "lenina15",
                "premises": "41",
                "urgency": "emergency",
                "cause": "heating.none_house",
            },
        )
    )["number"]
    await installation.wait_event(incident, "Accepted", 30)
    await people.plumber.history[-1].ended(30)
    made, ticket = await call(installation, people)
    await made.hears(4.0)  # the greeting, and into the news of the incident
    await installation.wait_event(ticket, "RecordingAnnounced")
    await made.presses("1", after=1.0)
    joined = await installation.wait_event(incident, "IncidentJoined", 20)
    assert (joined["voice"], joined["premises"]["flat"]) == (ticket, "42")
    await installation.wait_event(ticket, "NumberTold", 20)
    await made.holds(1)
    await made.hangs_up()
    board = await installation.get("/api/v1/incidents?company=demo")
    assert [(one["ticket"], one["voices"]) for one in board["incidents"]] == [(incident, 2)]
    assert (await installation.ticket(ticket))["status"] == "closed"
    await recorded(installation, ticket, incident)


async def test_readings_by_phone_and_by_api(installation: Installation, people: People) -> None:
    made, ticket = await call(installation, people)
    await made.presses("221130#190#1", gap=0.2)  # all of it while the greeting is still spoken
    await installation.wait_event(ticket, "TicketClosed", 60)
    await made.ended(20)
    taken = (await installation.get("/api/v1/readings?company=demo"))["readings"]
    assert [(one["meter"], one["value"]) for one in taken] == [
        ("lenina15-42-cold", 130),
        ("lenina15-42-hot", 90),
    ]
    table = await installation.get("/api/v1/readings?company=demo&format=csv")
    assert b"lenina15-42-hot,90" in table
    await recorded(installation, ticket)


async def test_news_by_api_is_told_and_ends(installation: Installation, people: People) -> None:
    news = await installation.post(
        "/api/v1/news", {"company": "demo", "text": "Завтра отключат воду.", "houses": ["lenina15"]}
    )
    board = await installation.get("/api/v1/incidents?company=demo")
    assert [one["text"] for one in board["news"]] == ["Завтра отключат воду."]
    made, ticket = await call(installation, people)
    await made.presses("24", gap=GAP)
    await installation.wait_event(ticket, "NumberTold", 30)
    await made.hangs_up()
    await installation.post(f"/api/v1/tickets/{news['number']}/close", {})
    await asyncio.sleep(1.1)  # the board is a second old at most
    assert not (await installation.get("/api/v1/incidents?company=demo"))["news"]
    await recorded(installation, ticket)


async def test_a_break_is_rung_back_within_ten_seconds(installation: Installation, people: People) -> None:
    """The talk goes on where it was: the emergency question is not put again."""
    phone = people.network.phone(RESIDENT, "resident")
    phone.answers().hears(2.0).presses("4#", after=0.5, info=True)  # leave a message, and that was it
    made, ticket = await call(installation, people)
    await made.presses("2", after=0.5)
    await installation.wait_event(ticket, "KeyPressed", question="emergency")
    await made.hangs_up()
    broke = await installation.wait_event(ticket, "CallEnded")
    back = await installation.wait_event(ticket, "CallStarted", 15, kind="callback")
    assert seconds(broke, back) < 10
    await installation.wait_event(ticket, "RecordingAnnounced", 20, call=back["call"])
    ended = await installation.wait_event(ticket, "CallEnded", 120, call=back["call"])
    assert ended["by"] == "us"
    keys = of(await installation.events(ticket), "KeyPressed")
    assert [key["question"] for key in keys].count("emergency") == 1
    await recorded(installation, ticket)


def seconds(one: Json, other: Json) -> float:
    return (datetime.fromisoformat(other["at"]) - datetime.fromisoformat(one["at"])).total_seconds()


async def test_killed_in_the_menu_the_talk_goes_on(installation: Installation, people: People) -> None:
    staff(people)
    made, ticket = await call(installation, people)
    await made.presses("11", gap=GAP)
    await installation.wait_event(ticket, "KeyPressed", 30, question="cause.emergency")
    await installation.kill()
    await installation.start()
    await installation.wait_event(ticket, "CallResumed", 10)
    await made.presses("11", after=1.0, gap=GAP)
    await installation.wait_event(ticket, "KeyPressed", 30, question="address")
    await made.holds(1)
    await made.hangs_up()
    assert (await installation.ticket(ticket))["cause"] == "water.riser"
    await installation.wait_event(ticket, "Accepted", 60)
    for phone in (people.plumber, people.second_plumber):
        for each in phone.history:
            await each.ended(30)
    await recorded(installation, ticket)


# --- a hang-up at every prompt, generated from the dialogue itself -------------------------------------------------------------------

Way = tuple[str, ...]
MESSAGE = "message"
AT_ONCE = 8


def prompts() -> dict[str, Way]:
    """Every question that an unknown caller can be asked, and the shortest way of keys to it; and the message. One of the levels of
    the ordinary menu stands for all of them."""
    assert DEMO is not None
    now = datetime.now(UTC)
    setting = m.Setting(words("ru"), DEMO, 1, now, now)
    found: dict[str, Way] = {}
    ahead: list[Way] = [()]
    while ahead:
        way = ahead.pop(0)
        question, choices = question_after(setting, way)
        if question is None or question in found or question.startswith("cause.o."):
            continue
        found[question] = way
        ahead += [(*way, choice) for choice in choices]
    return found


def question_after(setting: m.Setting, way: Way) -> tuple[str | None, list[str]]:
    """The question that comes when those keys have answered the ones before it, and the keys that may answer it."""
    dialogue, heard, left = talk(setting), None, list(way)
    while True:
        try:
            move = dialogue.send(heard)
        except StopIteration:
            return None, []
        heard = None
        match move:
            case m.Ask() | m.AskDigits() | m.TakeMessage() if not left:
                if isinstance(move, m.TakeMessage):
                    return MESSAGE, ["#"]
                return move.question, list(move.keys[:5]) if isinstance(move, m.Ask) else ["42#"]
            case m.Ask() | m.AskDigits():
                heard = left.pop(0).rstrip("#")
            case m.TakeMessage():
                left.pop(0)
            case m.LookAtMeters():
                heard = m.Meters(setting.company.meters_of(move.house, move.flat))
            case m.LookUp():
                heard = m.Found()
            case m.HandOver():
                return None, []


PROMPTS = prompts()


async def test_a_hang_up_at_every_prompt(installation: Installation, people: People) -> None:
    """Each by a caller of their own, who hangs up while it is asked: each leaves a ticket with its recording, none a channel. They are
    rung back within ten seconds, but for those who had been told the number."""
    assert len(PROMPTS) >= 14, PROMPTS
    staff(people, taken=False)
    installation.open_tickets_allowed = True
    callers = list(enumerate(PROMPTS.items()))
    for start in range(0, len(callers), AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for number, (question, way) in callers[start : start + AT_ONCE]:
                group.create_task(_hang_up_at(installation, people, f"+7916100{number:04d}", question, way))
    tickets = await asyncio.gather(
        *(ticket_from(installation, f"+7916100{n:04d}") for n in range(len(PROMPTS)))
    )
    knowing = 0
    for ticket in tickets:
        events = await installation.events(ticket)
        if of(events, "NumberTold"):
            knowing += 1
            assert not [event for event in of(events, "CallStarted") if event["kind"] == "callback"]
        else:
            back = await installation.wait_event(ticket, "CallStarted", 10, kind="callback")
            assert seconds(of(events, "CallEnded")[0], back) < 10
    assert 0 < knowing < len(tickets)


async def _hang_up_at(
    installation: Installation, people: People, caller: str, question: str, way: Way
) -> None:
    people.network.phone(caller).busy()
    uri = f"sip:{DID}@127.0.0.1:{installation.base_port}"
    made = await people.resident.calls(uri, caller=caller, timeout=30)
    assert made.up, question
    ticket = await ticket_from(installation, caller)
    if way:
        await made.presses("".join(way), gap=0.25)
    answers = sum(keys != "#" for keys in way)
    async with asyncio.timeout(60):
        while len(of(await installation.events(ticket), "KeyPressed")) < answers:
            await asyncio.sleep(0.2)
    await made.holds(0.4)
    await made.hangs_up()
    ended = await installation.wait_event(ticket, "CallEnded", 20)
    assert ended["by"] == "caller", question
    await installation.wait_event(ticket, "RecordingAttached", 30, call=ended["call"])


async def ticket_from(installation: Installation, caller: str) -> int:
    """The ticket of the one who calls from that number."""
    async with asyncio.timeout(10):
        while True:
            for ticket in await installation.tickets():
                if ticket["phone"] == caller:
                    return int(ticket["number"])
            await asyncio.sleep(0.1)


presses = st.lists(st.tuples(st.floats(0.0, 2.5), st.sampled_from("0123456789*#")), min_size=1, max_size=8)
"""One caller: silences in seconds, and the key after each."""


@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(callers=st.lists(presses, min_size=4, max_size=4))
async def test_random_keys_and_silences(
    installation: Installation, people: People, callers: list[list[tuple[float, str]]]
) -> None:
    """Four callers who press anything at any moment, on a real line: four tickets, no channel left."""
    staff(people, taken=False)
    installation.open_tickets_allowed = True
    for number in ("104", "112"):
        people.network.phone(number).answers().holds(2).hangs_up()
    before = len(await installation.tickets())
    async with asyncio.TaskGroup() as group:
        for number, pressed in enumerate(callers, start=before):
            group.create_task(_at_random(installation, people, f"+7916200{number:04d}", pressed))
    assert len(await installation.tickets()) == before + 4


async def _at_random(
    installation: Installation, people: People, caller: str, pressed: list[tuple[float, str]]
) -> None:
    people.network.phone(caller, f"random {caller}").busy()
    uri = f"sip:{DID}@127.0.0.1:{installation.base_port}"
    made = await people.resident.calls(uri, caller=caller, timeout=30)
    for silence, key in pressed:
        if made.over:
            return
        await made.holds(silence)
        if made.up:
            await made.presses(key, info=True)
    if made.up:
        await made.hangs_up()
