"""A resident phones a real Asterisk: what is said, what is kept, who is rung, whatever the caller does or fails to do."""

from __future__ import annotations

import asyncio

import pytest

from engine.domain.wording_hotline import words
from tests.e2e.harness import DID, russian_prompt
from tests.e2e.stories import Stories, Story, gap

ENVIRONMENT = {"DOZVON_CALLS_MESSAGE_FOR": "3s"}
SPEECH = russian_prompt("vm-goodbye")
SAID = words("ru")
AT_ONCE_SECONDS = 1.0
QUESTION_SECONDS = 30.0

story = Stories()


def may_ring_back(s: Story) -> None:
    """A call that breaks off may be rung back; the resident's phone is busy then."""
    s.network.phone(s.resident_number).busy()


@story
async def silence_is_a_ticket_with_a_message(s: Story) -> None:
    """No key at all: the ticket has the class that the company decided upon, its number is told, and a message is taken."""
    call = await s.phones()
    await s.until("Classified", QUESTION_SECONDS, urgency="normal")
    await s.until("NumberTold", QUESTION_SECONDS)
    await call.says(SPEECH)
    await call.ended(QUESTION_SECONDS)
    assert not call.hung_up_by_us, "a call with a silent caller must come to its end"
    assert await s.dials() == []
    assert await s.heard(call, SAID.thanks)


@story
async def an_emergency_from_the_first_ring_to_the_end(s: Story) -> None:
    """One is pressed as soon as it is asked for: the first phone rings while the caller still speaks."""
    may_ring_back(s)
    s.first.answers().hears(1).presses_accept_key()
    call = await s.phones()
    await s.until("RecordingAnnounced")
    await call.presses("1")
    rung = await s.until("DialStarted")
    assert gap(s.all("KeyPressed")[0], rung) < AT_ONCE_SECONDS
    await s.until("Accepted")
    assert call.up, "the walk waited for the caller"
    await s.until("NumberTold", QUESTION_SECONDS)
    await call.says(SPEECH)
    await call.hangs_up()
    assert await s.dials() == [("first", "accepted")]
    opened = s.all("TicketOpened")[0]
    assert (opened["phone"], opened["channel"], opened["premises"]["house"]) == (
        s.resident_number,
        "phone",
        s.house,
    )
    assert s.all("CallEnded", call=s.all("CallStarted")[0]["call"])[0]["by"] == "caller"
    for sentence in (SAID.recorded, SAID.emergency_accepted, SAID.your_number(s.number)):
        assert await s.heard(call, sentence), sentence


@story
async def a_key_before_the_question_counts(s: Story) -> None:
    """Who has called before presses one during the greeting; that the call is recorded is said to the end all the same."""
    may_ring_back(s)
    s.first.answers().hears(1).presses_accept_key()
    call = await s.phones()
    await call.presses("1")
    classified = await s.until("Classified")
    assert gap(s.all("RecordingAnnounced")[0], classified) < AT_ONCE_SECONDS
    await s.until("NumberTold", QUESTION_SECONDS)
    await call.hangs_up()
    assert await s.dials() == [("first", "accepted")]
    assert await s.heard(call, SAID.recorded)
    assert not await s.heard(call, SAID.emergency_or_not)


@story
async def random_keys_lead_nowhere(s: Story) -> None:
    may_ring_back(s)
    s.first.answers().hears(1).presses_accept_key()
    call = await s.phones()
    await s.until("RecordingAnnounced")
    await call.presses("7")
    await call.holds(3)
    await call.presses("1")
    await s.until("Accepted")
    await call.hangs_up()
    assert await s.dials() == [("first", "accepted")]


@story
async def not_an_emergency_rings_nobody(s: Story) -> None:
    may_ring_back(s)
    call = await s.phones()
    await s.until("RecordingAnnounced")
    await call.presses("2")
    await s.until("Classified", urgency="normal")
    await call.holds(2)
    await call.hangs_up()
    assert await s.dials() == []


async def hangs_up(s: Story, when: str, key: str = "", after: float = 0.0) -> None:
    """Whatever the moment: a ticket, its end, its recording, and if one was pressed, its walk."""
    may_ring_back(s)
    s.first.answers().hears(0.5).presses_accept_key()
    call = await s.phones()
    if when:
        await s.until("RecordingAnnounced")
    if key:
        await call.presses(key)
        await s.until(when, QUESTION_SECONDS)
    await call.holds(after)
    await call.hangs_up()
    ended = await s.until("CallEnded", by="caller")
    assert ended["seconds"] == pytest.approx(call.seconds, abs=0.3)
    if key == "1":
        assert await s.dials() == [("first", "accepted")]


for moment, name, key, after in (
    ("", "in_the_greeting", "", 0.5),
    ("RecordingAnnounced", "in_the_question", "", 1.0),
    ("Classified", "right_after_one", "1", 0.0),
    ("NumberTold", "after_the_number", "1", 0.0),
    ("NumberTold", "in_the_middle_of_what_follows", "1", 4.0),
):
    story.add(
        f"hangs_up_{name}",
        lambda s, moment=moment, key=key, after=after: hangs_up(s, moment, key, after),  # type: ignore[misc]
    )


@story
async def a_caller_who_gives_up_at_once(s: Story) -> None:
    """CANCEL before the answer, or BYE right after it: nothing is left either way."""
    may_ring_back(s)
    call = await s.resident.calls(f"sip:{DID}@127.0.0.1:{s.installation.base_port}", answered=False)
    await call.hangs_up()


@story
async def a_number_that_no_company_has(s: Story) -> None:
    """It is answered all the same, by the first company: somebody is in need."""
    may_ring_back(s)
    s.first.answers().hears(1).presses_accept_key()
    call = await s.phones(did="+74950009999")
    await s.until("RecordingAnnounced")
    await call.presses("1")
    await s.until("Accepted")
    await call.hangs_up()
    assert await s.dials() == [("first", "accepted")]
    assert s.all("TicketOpened")[0]["company"] == "demo"


@story
async def a_withheld_number(s: Story) -> None:
    """Nothing is known of the caller, so the house's people are not either: the company's own are rung."""
    director = s.network.phone("+79000000004")
    director.answers().hears(1).presses_accept_key()
    call = await s.phones(caller="anonymous")
    await s.until("RecordingAnnounced")
    await call.presses("1")
    await s.until("Accepted")
    await call.hangs_up()
    assert await s.dials() == [("director", "accepted")]
    assert s.all("TicketOpened")[0]["phone"] is None


@story
async def two_calls_at_once_from_one_number(s: Story) -> None:
    """One ticket, and both calls on it."""
    may_ring_back(s)
    s.first.answers().hears(1).presses_accept_key()
    one = await s.phones()
    other = await s.resident.calls(f"sip:{DID}@127.0.0.1:{s.installation.base_port}")
    await s.until("RecordingAnnounced")
    await one.presses("1")
    await s.until("Accepted")
    for call in (one, other):
        await call.holds(1)
        await call.hangs_up()
    assert await s.dials() == [("first", "accepted")]
    assert len(s.all("CallStarted", kind="resident")) == 2
    assert len(s.all("RecordingAttached")) == 3


@pytest.mark.parametrize("name", story.names)
async def test_first_call(told: dict[str, asyncio.Task[None]], name: str) -> None:
    await told[name]
