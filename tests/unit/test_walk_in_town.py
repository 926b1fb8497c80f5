"""The walk from end to end, in virtual time: what each outcome of a robocall leads to, and what must not happen."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from engine.domain.events import (
    Accepted,
    AlarmRaised,
    CallAnswered,
    CallEnded,
    Declined,
    DialEnded,
    DialStarted,
    EscalationExhausted,
    KeyPressed,
    MachineSuspected,
    NoCoverage,
    RecordingAttached,
    RobocallAnswered,
    StepStarted,
    TextFailed,
    TextQueued,
    TextSent,
    TextUndelivered,
)
from engine.domain.model import Contact, Outcome, Via
from engine.domain.policy import How, Sms
from engine.flows import verbs
from engine.flows.deps import Deps
from engine.ports import Delivery, Leg
from tests.fakes.time import virtual
from tests.fakes.town import DIRECTOR, FIRST, SECOND, SUPERVISOR, Town, water_policy

QUIET_SECONDS = 1800
RESERVE = "+79000000011"


@virtual
async def test_demo_story() -> None:
    """First busy, second declines, supervisor does not answer, director accepts: five robocalls, then silence."""
    async with Town.at_work() as town:
        town.phone(FIRST).busy()
        town.phone(SECOND).answers().presses("2", after=1)
        town.phone(SUPERVISOR).rings_out()
        town.phone(DIRECTOR).answers().presses_accept_key()
        ticket = await town.emergency()
        accepted = await town.until(ticket, Accepted)
        await asyncio.sleep(QUIET_SECONDS)

        assert (accepted.contact, accepted.via) == ("director", Via.CALL)
        assert town.dials(ticket) == [
            (FIRST, "busy"),
            (SECOND, "declined"),
            (FIRST, "busy"),
            (SUPERVISOR, "no_answer"),
            (DIRECTOR, "accepted"),
        ]
        assert not town.network.live
        assert not town.network.unexpected
        assert len(town.events(ticket, RecordingAttached)) == 2  # the calls that were up
        assert not town.service.walking


@virtual
async def test_the_call_names_ticket_cause_address_and_key() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).answers().presses_accept_key(after=5)
        ticket = await town.emergency()
        await town.until(ticket, DialEnded)
        words = town.heard(0)
        assert "Аварийная заявка один ноль ноль один." in words
        assert "Прорыв стояка холодной воды." in words
        assert "улица Ленина, дом 15, квартира 42" in words
        assert "Чтобы принять, нажмите семь." in words
        assert words.endswith("Принято. Заявка за вами.")


@virtual
async def test_an_engine_that_dies_with_the_key_has_the_acceptance() -> None:
    """Whoever pressed it and hung up is not asked again, and nobody else is rung."""
    async with Town.at_work() as town:
        town.phone(FIRST).answers().presses_accept_key().hangs_up()
        ticket = await town.emergency()
        await town.until(ticket, KeyPressed)
        await town.restart()
        assert town.events(ticket, Accepted)[0].contact == "plumber1"
        await asyncio.sleep(QUIET_SECONDS)
        assert [number for number, _ in town.dials(ticket)] == [FIRST]


@virtual
async def test_wrong_key_is_answered_aloud_and_accepts_nothing() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).answers().presses("1", after=1).presses_accept_key(after=6)
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        assert "Такой команды нет." in town.heard(0)
        assert len(town.dials(ticket)) == 1


@virtual
async def test_wrong_keys_use_up_no_asking() -> None:
    """Whoever presses keys is there, however often the wrong ones: they are not left as a machine would be."""
    async with Town.at_work() as town:
        town.phone(FIRST).answers().presses("11501", after=1, gap=4).presses_accept_key(after=6)
        ticket = await town.emergency()
        await town.until(ticket, DialEnded)
        assert [outcome for _, outcome in town.dials(ticket)] == ["accepted"]


@virtual
async def test_a_machine_accepts_nothing() -> None:
    """A voicemail that talks and presses nothing is left after three askings."""
    async with Town.at_work() as town:
        town.phone(FIRST).answers()
        town.phone(SECOND).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        assert town.dials(ticket)[0] == (FIRST, "machine")


@virtual
async def test_a_suspected_machine_is_asked_once() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).answers()
        town.phone(SECOND).answers().presses_accept_key()
        town.telephony.machines[FIRST] = "LONGGREETING"
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        assert town.dials(ticket)[0] == (FIRST, "machine")
        assert town.heard(0).count("Чтобы принять, нажмите семь.") == 1
        assert [event.why for event in town.events(ticket, MachineSuspected)] == ["LONGGREETING"]


@virtual
async def test_a_person_who_is_silent_at_first_is_not_lost_to_amd() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).answers().presses_accept_key(after=6)
        town.telephony.machines[FIRST] = "INITIALSILENCE"
        ticket = await town.emergency()
        accepted = await town.until(ticket, Accepted)
        assert accepted.contact == "plumber1"


@virtual
async def test_a_pocket_that_hangs_up_is_no_answer_and_no_acceptance() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).answers().holds(1).hangs_up()
        town.phone(SECOND).answers().presses_accept_key()
        ticket = await town.emergency()
        accepted = await town.until(ticket, Accepted)
        assert accepted.contact == "plumber2"
        assert town.dials(ticket)[0] == (FIRST, "machine")
        assert town.events(ticket, CallEnded)[0].by == "caller"


@virtual
async def test_a_hang_up_is_noticed_however_slow_the_voice_is() -> None:
    async with Town.at_work() as town:
        town.voice.seconds = 4.0
        town.phone(FIRST).answers().hangs_up(1)
        ticket = await town.emergency()
        ended = await town.until(ticket, CallEnded)
        assert ended.by == "caller"
        assert ended.seconds < 1.1


@virtual
async def test_a_talk_whose_end_nobody_saw_is_taken_up_again_at_once() -> None:
    """Asterisk died under it: the person has not hung up, and is not passed over."""
    async with Town.at_work() as town:
        town.phone(FIRST).answers().then.answers().presses_accept_key(after=1)
        ticket = await town.emergency()
        await town.until(ticket, RobocallAnswered)
        await asyncio.sleep(2)
        town.network.calls[0].end(41)
        await town.until(ticket, Accepted)
        await town.until(ticket, DialEnded, 2)
        assert town.dials(ticket) == [(FIRST, "lost"), (FIRST, "accepted")]


@virtual
async def test_declining_moves_on_while_the_reason_is_asked() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).answers().presses("2", after=1).presses("3", after=2)
        town.phone(SECOND).answers().presses_accept_key(after=5)
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        await asyncio.sleep(60)
        ended = town.events(ticket, DialEnded)[0]
        second = town.events(ticket, DialStarted)[1]
        assert ended.outcome is Outcome.DECLINED
        assert (second.at - ended.at).total_seconds() < 0.1
        assert [event.reason for event in town.events(ticket, Declined)] == ["busy_elsewhere"]
        assert [outcome for _, outcome in town.dials(ticket)] == ["declined", "accepted"]


@virtual
async def test_no_coverage_is_asked_for_how_long() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).answers().presses("2", after=1).presses("2", after=2).presses("3", after=2)
        town.phone(SECOND).answers().presses_accept_key(after=9)
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        said = town.events(ticket, NoCoverage)[0]
        assert (said.contact, said.until - said.at) == ("plumber1", timedelta(hours=3))


@virtual
async def test_who_says_nothing_about_how_long_is_left_alone_for_an_hour() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).answers().presses("2", after=1).presses("2", after=2).hangs_up(1)
        town.phone(SECOND).answers().presses_accept_key(after=9)
        ticket = await town.emergency()
        said = await town.until(ticket, NoCoverage)
        assert timedelta(minutes=59) < said.until - said.at <= timedelta(hours=1)


@virtual
async def test_no_coverage_holds_for_the_next_emergency_too() -> None:
    """The plumber is in a basement: the next burst pipe rings somebody else at once."""
    async with Town.at_work() as town:
        town.phone(FIRST).rings_out()
        town.phone(SECOND).answers().presses_accept_key()
        first = await town.emergency()
        until = town.clock.now() + timedelta(hours=2)
        await verbs.decline(town.d, first, "plumber1", Via.SMS, "no_coverage", until)
        await town.until(first, Accepted)
        await asyncio.sleep(60)
        second = await town.emergency()
        accepted = await town.until(second, Accepted, timeout=20)
        assert accepted.contact == "plumber2"
        assert [number for number, _ in town.dials(second)] == [SECOND]


@virtual
async def test_unreachable_moves_on() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).silent()
        town.phone(SECOND).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        assert town.dials(ticket)[0] == (FIRST, "unreachable")


@virtual
async def test_a_dead_trunk_costs_nobody_their_call() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).rejects(503).then.answers().presses_accept_key()
        ticket = await town.emergency()
        accepted = await town.until(ticket, Accepted)
        await town.until(ticket, DialEnded, 2)
        assert accepted.contact == "plumber1"
        assert [outcome for _, outcome in town.dials(ticket)] == ["failed", "accepted"]
        assert [event.trunk for event in town.events(ticket, DialStarted)] == [0, 1]


@virtual
async def test_nobody_answers_then_the_alarm_and_round_again() -> None:
    async with Town.at_work() as town:
        for number in (FIRST, SECOND, SUPERVISOR):
            town.phone(number).rings_out()
        town.phone(DIRECTOR).rings_out().then.answers().presses_accept_key()
        ticket = await town.emergency()
        accepted = await town.until(ticket, Accepted)
        exhausted = town.events(ticket, EscalationExhausted)
        assert accepted.contact == "director"
        assert [event.round for event in exhausted] == [1]
        assert town.events(ticket, AlarmRaised)[0].reason == "exhausted"
        assert any(text.template == "alarm" for text in town.events(ticket, TextQueued))
        second_round = next(e for e in town.events(ticket, StepStarted) if e.round == 2)
        assert (second_round.at - exhausted[0].at).total_seconds() == 120


@virtual
async def test_all_at_once_first_to_accept_wins_and_the_others_fall_silent() -> None:
    async with Town.at_work(water_policy(how=How.ALL_AT_ONCE)) as town:
        town.phone(FIRST).rings(3).answers().presses_accept_key(after=2)
        town.phone(SECOND).rings_out()
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        await asyncio.sleep(QUIET_SECONDS)
        assert sorted(town.dials(ticket)) == [(FIRST, "accepted"), (SECOND, "cancelled")]
        assert len(town.network.calls) == 2
        assert [call.cause for call in town.network.calls if call.number == SECOND] == [26]


@virtual
async def test_both_pick_up_and_the_slower_one_hears_who_took_it() -> None:
    async with Town.at_work(water_policy(how=How.ALL_AT_ONCE)) as town:
        town.phone(FIRST).answers().presses_accept_key(after=3)
        town.phone(SECOND).answers().presses_accept_key(after=4)
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        await asyncio.sleep(QUIET_SECONDS)
        assert len(town.events(ticket, Accepted)) == 1
        assert "Заявку уже принял" in town.heard(1)
        assert "Пётр" in town.heard(1)
        assert dict(town.dials(ticket)) == {FIRST: "accepted", SECOND: "cancelled"}


@virtual
async def test_two_keys_in_the_same_instant_have_one_winner() -> None:
    async with Town.at_work(water_policy(how=How.ALL_AT_ONCE)) as town:
        for number in (FIRST, SECOND):
            town.phone(number).answers().presses_accept_key(after=3)
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        await asyncio.sleep(QUIET_SECONDS)
        assert len(town.events(ticket, Accepted)) == 1
        assert sorted(outcome for _, outcome in town.dials(ticket)) == ["accepted", "cancelled"]


@virtual
async def test_accepting_in_the_console_stops_the_ringing() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).rings_out()
        ticket = await town.emergency()
        await town.until(ticket, DialStarted)
        await asyncio.sleep(2)
        await verbs.accept(town.d, ticket, "supervisor", Via.CONSOLE, "Анна")
        await asyncio.sleep(QUIET_SECONDS)
        assert town.dials(ticket) == [(FIRST, "cancelled")]
        assert town.network.calls[0].ended_at is not None
        assert town.network.calls[0].ended_at < 2.5


@virtual
async def test_closing_stops_everything() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).answers()
        ticket = await town.emergency()
        await town.until(ticket, DialStarted)
        await asyncio.sleep(3)
        await verbs.close(town.d, ticket, "operator", "ложный вызов")
        await asyncio.sleep(QUIET_SECONDS)
        assert town.dials(ticket) == [(FIRST, "cancelled")]
        assert "Заявка уже закрыта" in town.heard(0)
        assert not town.network.live


@virtual
async def test_reopening_walks_again() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        await asyncio.sleep(60)
        await verbs.close(town.d, ticket, "operator")
        await verbs.reopen(town.d, ticket, "resident", "не сделано")
        await town.until(ticket, Accepted, 2)
        assert [event.attempt for event in town.events(ticket, DialStarted)] == ["1001-1", "1001-2"]


@virtual
async def test_everybody_is_texted_and_those_called_in_vain_are_told() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).busy()
        town.phone(SECOND).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        await asyncio.sleep(5)
        sent = [(message.number, message.body.split()[0]) for message in town.outbox.sent]
        assert sent == [(FIRST, "Авария"), (SECOND, "Авария"), (FIRST, "Заявку")]


@virtual
async def test_a_voice_that_fails_leaves_gaps_and_not_silence() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).answers().presses_accept_key(after=1)
        town.voice.broken = True
        ticket = await town.emergency()
        accepted = await town.until(ticket, Accepted)
        assert accepted.contact == "plumber1"


@virtual
async def test_a_store_that_fails_is_asked_again() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).busy()
        town.phone(SECOND).answers().presses_accept_key()
        ticket = await town.emergency()
        town.store.fail_next = 3
        accepted = await town.until(ticket, Accepted)
        assert accepted.contact == "plumber2"
        assert not town.network.live or len(town.network.live) == 1


@virtual
async def test_a_stop_between_answer_and_talk_ends_the_talk_and_not_the_walk() -> None:
    """Just picked up, and in that instant somebody else takes it: the person hears who, and no walk breaks."""
    async with Town.at_work() as town:
        town.phone(FIRST).rings(2).answers()
        ticket = await town.emergency()
        await town.until(ticket, DialStarted)
        attempt = town.service._walkers[ticket].live["1001-1"]
        drawn = attempt._key_of_this_call

        async def while_the_key_is_drawn(leg: Leg, d: Deps) -> str:
            await verbs.accept(town.d, ticket, "supervisor", Via.CONSOLE, "Анна")
            await asyncio.sleep(0.5)
            return await drawn(leg, d)

        attempt._key_of_this_call = while_the_key_is_drawn  # type: ignore[method-assign]
        walker = town.service._walkers[ticket]
        await town.until(ticket, DialEnded)
        assert town.service._walkers.get(ticket, walker) is walker, "the walk broke"
        assert town.dials(ticket) == [(FIRST, "cancelled")]
        assert "Анна" in town.heard(0)


@virtual
async def test_killed_while_it_rings() -> None:
    """The phone that rang falls silent, and the same person is rung again at once: nobody is skipped, nobody twice at a time."""
    async with Town.at_work() as town:
        town.phone(FIRST).rings(5).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, DialStarted)
        await asyncio.sleep(2)
        await town.restart()
        accepted = await town.until(ticket, Accepted)
        await asyncio.sleep(QUIET_SECONDS)
        assert accepted.attempt == "1001-2"
        assert town.dials(ticket) == [(FIRST, "lost"), (FIRST, "accepted")]
        assert not town.network.live


@virtual
async def test_killed_while_it_talks() -> None:
    """The person hears one sentence and the question again, and the key of the first time still accepts."""
    async with Town.at_work() as town:
        town.phone(FIRST).answers().presses_accept_key(after=8)
        ticket = await town.emergency()
        await town.until(ticket, DialStarted)
        await asyncio.sleep(3)
        await town.restart()
        accepted = await town.until(ticket, Accepted)
        await asyncio.sleep(60)
        assert accepted.attempt == "1001-1"
        assert "Простите, связь прерывалась." in town.heard(0)
        assert town.dials(ticket) == [(FIRST, "accepted")]


@virtual
async def test_killed_before_the_thanks() -> None:
    """Who has accepted is not asked again: they are told that the ticket is theirs, and left in peace."""
    async with Town.at_work() as town:
        town.phone(FIRST).answers().presses_accept_key(after=3)
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        await town.restart()
        ended = await town.until(ticket, CallEnded)
        await town.until(ticket, DialEnded)
        assert town.heard(0).endswith("Простите, связь прерывалась. Продолжаем. Принято. Заявка за вами.")
        (answered,) = town.events(ticket, CallAnswered)
        assert ended.seconds == pytest.approx((ended.at - answered.at).total_seconds(), abs=0.1)
        assert town.dials(ticket) == [(FIRST, "accepted")]


# --- a text that does not arrive -----------------------------------------------------------------------------------------------------


def rung(town: Town, ticket: int, nth: int = 0) -> float:
    """When a phone rang, in seconds since the step began."""
    began = town.events(ticket, StepStarted)[0].at
    return (town.events(ticket, DialStarted)[nth].at - began).total_seconds()


@virtual
async def test_who_is_texted_first_has_time_to_read_it() -> None:
    """Reported or not: nothing waits for a report."""
    async with Town.at_work(water_policy(sms=Sms.BEFORE)) as town:
        town.outbox.reports = True
        town.phone(FIRST).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        assert rung(town, ticket) == pytest.approx(30, abs=0.1)


@virtual
async def test_an_undelivered_text_brings_the_call_forward() -> None:
    async with Town.at_work(water_policy(sms=Sms.BEFORE)) as town:
        town.outbox.reports = True
        town.phone(FIRST).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, TextSent, 2)
        await asyncio.sleep(4)
        await town.outbox.report(next(m for m in town.outbox.sent if m.number == FIRST), Delivery.FAILED)
        await town.until(ticket, Accepted)
        assert rung(town, ticket) == pytest.approx(4, abs=0.5)
        assert town.events(ticket, TextUndelivered)[0].provider == "outbox"
        assert town.events(ticket, TextFailed)  # no other provider is left


@virtual
async def test_also_while_the_next_provider_tries() -> None:
    async with Town.at_work(water_policy(sms=Sms.BEFORE)) as town:
        town.outbox.providers, town.outbox.reports = ("one", "two"), True
        town.phone(FIRST).answers().presses_accept_key(after=20)
        ticket = await town.emergency()
        await town.until(ticket, TextSent, 2)
        await town.outbox.report(
            next(m for m in town.outbox.sent if m.number == FIRST), Delivery.FAILED, "one"
        )
        await town.until(ticket, Accepted)
        assert rung(town, ticket) < 1
        assert town.outbox.sent_by[:3] == ["one", "one", "two"]
        assert not town.events(ticket, TextFailed)


@virtual
async def test_a_gateway_that_is_away_brings_the_call_forward() -> None:
    async with Town.at_work(water_policy(sms=Sms.BEFORE)) as town:
        town.outbox.away = {"outbox"}
        town.phone(FIRST).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        assert rung(town, ticket) < 1
        assert {event.reason for event in town.events(ticket, TextUndelivered)} == {"gateway away"}


@virtual
async def test_nobody_overtakes_those_before_them_in_the_tree() -> None:
    """The second's text is lost; the first, who may be reading theirs, still has the first call."""
    async with Town.at_work(water_policy(sms=Sms.BEFORE)) as town:
        town.outbox.reports = True
        town.phone(FIRST).rings_out()
        town.phone(SECOND).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, TextSent, 2)
        await town.outbox.report(next(m for m in town.outbox.sent if m.number == SECOND), Delivery.FAILED)
        await town.until(ticket, Accepted)
        assert [number for number, _ in town.dials(ticket)] == [FIRST, SECOND]
        assert rung(town, ticket) == pytest.approx(30, abs=0.1)


@virtual
async def test_a_text_that_is_lost_goes_to_the_reserve_number() -> None:
    async with Town.at_work() as town:
        town.company.contacts["plumber1"] = Contact("plumber1", "Пётр", (FIRST,), reserve=(RESERVE,))  # type: ignore[index]
        town.outbox.refused = {FIRST}
        town.phone(FIRST).rings_out()
        town.phone(RESERVE).rings_out()
        town.phone(SECOND).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        await asyncio.sleep(60)
        texts = [e.number for e in town.events(ticket, TextQueued) if e.template == "ticket"]
        assert texts[:2] == [FIRST, RESERVE]
        assert texts.count(RESERVE) == 1
