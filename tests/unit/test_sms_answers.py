"""Texts that come in, in virtual time: what staff's do to tickets, what residents' become."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from zoneinfo import ZoneInfo

from engine.domain import clocks, wording
from engine.domain.events import (
    Accepted,
    Classified,
    Declined,
    DialEnded,
    DialStarted,
    EscalationResumed,
    NoCoverage,
    Reported,
    TextQueued,
    TextReceived,
    TextSent,
    TicketOpened,
)
from engine.domain.model import Outcome, Urgency, Via
from engine.domain.texts import parts
from engine.domain.ticket import Ticket
from engine.files.catalogue import shipped_catalogue
from engine.flows import verbs
from engine.flows.texts.replies import ANSWERS_PER_HOUR
from engine.ports import Incoming
from tests.fakes.time import virtual
from tests.fakes.town import DID, FIRST, RESIDENT, SECOND, Town

STRANGER = "+79160009999"


def answers(town: Town, ticket: int) -> list[str]:
    """What we wrote back."""
    return [text.body for text in town.events(ticket, TextQueued) if text.template == "answer"]


async def ringing(town: Town) -> int:
    """An emergency whose first phone rings."""
    town.phone(FIRST).rings_out()
    ticket = await town.emergency()
    await town.until(ticket, DialStarted)
    await asyncio.sleep(1)
    return ticket


@virtual
async def test_accepting_silences_the_phone() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        await town.outbox.writes(FIRST, "1", "m1")
        ended = await town.until(ticket, DialEnded)
        accepted = town.events(ticket, Accepted)[0]
        assert (accepted.contact, accepted.via, accepted.name) == ("plumber1", Via.SMS, "Пётр")
        assert ended.outcome is Outcome.CANCELLED
        received = town.events(ticket, TextReceived)[0]
        assert (received.meaning, received.contact, received.text) == ("accept", "plumber1", "in-outbox-m1")
        assert answers(town, ticket)[0].startswith(f"Принято, №{ticket} за вами.")
        await asyncio.sleep(600)
        assert len(town.events(ticket, DialStarted)) == 1


@virtual
async def test_told_again_is_done_once() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        for _ in range(3):
            await town.outbox.writes(FIRST, "1", "m1")
        await town.restart()
        await asyncio.sleep(1)
        await town.outbox.writes(FIRST, "1", "m1")
        assert (
            len(town.events(ticket, TextReceived))
            == len(town.events(ticket, Accepted))
            == len(answers(town, ticket))
            == 1
        )


@virtual
async def test_declining_moves_on() -> None:
    async with Town.at_work() as town:
        town.phone(SECOND).answers().presses_accept_key()
        ticket = await ringing(town)
        await town.outbox.writes(FIRST, "нет")
        accepted = await town.until(ticket, Accepted)
        assert accepted.contact == "plumber2"
        assert town.dials(ticket)[0] == (FIRST, "cancelled")
        assert town.events(ticket, Declined)[0].via is Via.SMS


@virtual
async def test_no_coverage_moves_every_walk_on_and_is_remembered() -> None:
    async with Town.at_work() as town:
        town.phone(SECOND).answers().presses_accept_key()
        ticket = await ringing(town)
        await town.outbox.writes(FIRST, "нет связи до 9:30")
        await town.until(ticket, Accepted)
        until = town.events(ticket, NoCoverage)[0].until
        assert (until.hour, until.minute) == (6, 30)  # Moscow's half past nine
        assert answers(town, ticket) == ["Записано: нет связи до 09:30. До этого не звоним."]


@virtual
async def test_the_slower_one_is_told_who_has_it() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        await verbs.accept(town.d, ticket, "supervisor", Via.CONSOLE, "Анна")
        await town.outbox.writes(FIRST, "принял")
        assert len(town.events(ticket, Accepted)) == 1
        assert answers(town, ticket) == [f"Заявку №{ticket} принял: Анна. Выезжать не нужно."]


@virtual
async def test_with_several_open_they_are_asked_which() -> None:
    async with Town.at_work() as town:
        first, second = await ringing(town), await ringing(town)
        await asyncio.sleep(2)
        await town.outbox.writes(FIRST, "1")
        assert answers(town, second) == [
            f"Какая заявка? Открыты №{second}, №{first}. Ответьте с номером: 1 {second}"
        ]
        await town.outbox.writes(FIRST, f"1 {first}")
        await town.until(first, Accepted)
        await town.outbox.writes(FIRST, "да")  # one is left
        await town.until(second, Accepted)


@virtual
async def test_an_unknown_number_is_said_to_be_unknown() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        await town.outbox.writes(FIRST, "1 7777")
        assert answers(town, ticket) == ["Заявки №7777 нет среди открытых."]
        assert not town.events(ticket, Accepted)


@virtual
async def test_from_arrival_to_done_and_back() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).rings_out()
        ticket = await ringing(town)
        await town.outbox.writes(FIRST, "еду")
        await town.outbox.writes(FIRST, "на месте")
        await town.outbox.writes(FIRST, f"{ticket} готово")
        assert [(r.what, r.via) for r in town.events(ticket, Reported)] == [
            ("on_the_way", Via.SMS),
            ("arrived", Via.SMS),
            ("done", Via.SMS),
        ]
        assert len(town.events(ticket, Accepted)) == 1


@virtual
async def test_who_gives_it_back_sets_the_walk_going() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        await town.outbox.writes(FIRST, "1")
        await town.until(ticket, Accepted)
        await town.outbox.writes(FIRST, "не могу")
        resumed = await town.until(ticket, EscalationResumed)
        assert resumed.reason == "given_back"


@virtual
async def test_a_remark_stays_on_the_ticket() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        await town.outbox.writes(FIRST, "нужен ключ от подвала, где его взять?")
        received = town.events(ticket, TextReceived)[0]
        assert (received.meaning, received.body) == ("note", "нужен ключ от подвала, где его взять?")
        assert not answers(town, ticket)
        assert not town.events(ticket, Accepted)


@virtual
async def test_an_answer_after_everything_is_over() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        await verbs.close(town.d, ticket, "operator")
        await town.outbox.writes(FIRST, "1")
        assert answers(town, ticket) == ["Открытых заявок для вас нет."]


@virtual
async def test_a_stranger_opens_a_ticket_and_then_adds_to_it() -> None:
    async with Town.at_work() as town:
        await town.outbox.writes(STRANGER, "В подъезде пахнет газом", "s1")
        await town.outbox.writes(STRANGER, "В подъезде пахнет газом", "s1")
        await town.outbox.writes(STRANGER, "Ленина 15, второй подъезд", "s2")
        assert len(town.store.timelines) == 1
        (ticket,) = town.store.timelines
        opened = town.events(ticket, TicketOpened)[0]
        assert (opened.channel, opened.phone, opened.text) == ("sms", STRANGER, "В подъезде пахнет газом")
        assert [text.body for text in town.events(ticket, TextReceived)] == [
            "В подъезде пахнет газом",
            "Ленина 15, второй подъезд",
        ]
        await asyncio.sleep(1)
        assert town.outbox.sent[0].number == STRANGER
        assert town.outbox.sent[0].body == f"Ваша заявка №{ticket} зарегистрирована."


@virtual
async def test_a_resident_is_known_and_their_house_too() -> None:
    async with Town.at_work() as town:
        await town.outbox.hears(Incoming("outbox", RESIDENT, "нет горячей воды", to=DID, reference="r1"))
        (ticket,) = town.store.timelines
        opened = town.events(ticket, TicketOpened)[0]
        assert (opened.premises.house, opened.premises.flat) == ("lenina15", "42")


@virtual
async def test_a_bank_is_not_a_resident() -> None:
    async with Town.at_work() as town:
        for sender in ("900", "MTS", "Tinkoff"):
            await town.outbox.writes(sender, "Ваш код 1234")
        assert not town.store.timelines


@virtual
async def test_no_more_news_and_news_again() -> None:
    async with Town.at_work() as town:
        opened = TicketOpened(at=town.clock.now(), company="demo", channel="news")
        queued = TextQueued(
            at=town.clock.now(), text="n1", number=STRANGER, body="Отключение", template="news"
        )
        ticket = await town.store.open_ticket([opened, queued])
        await town.outbox.writes(STRANGER, "Стоп")
        assert await town.store.news_refused() == {STRANGER}
        await asyncio.sleep(1)
        await town.outbox.writes(STRANGER, "старт")
        assert await town.store.news_refused() == frozenset()
        await town.outbox.writes(STRANGER, "у нас прорвало трубу")  # not lost among the news
        assert len(town.store.timelines) == 2
        assert len(town.events(ticket, TextReceived)) == 2


@virtual
async def test_a_machine_that_answers_answers_is_not_answered_for_ever() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        for _ in range(ANSWERS_PER_HOUR + 10):
            await town.outbox.writes(FIRST, "1 7777")
        assert len(answers(town, ticket)) == ANSWERS_PER_HOUR
        await asyncio.sleep(3601)
        await town.outbox.writes(FIRST, "1 7777")
        assert len(answers(town, ticket)) == ANSWERS_PER_HOUR + 1


@virtual
async def test_a_resident_is_told_number_acceptance_and_completion() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).rings_out()
        opened = TicketOpened(at=town.clock.now(), company="demo", channel="fallback", phone=RESIDENT)
        ticket = await town.store.open_ticket([opened])
        await asyncio.sleep(1)
        await town.restart()
        await verbs.accept(town.d, ticket, "plumber1", Via.CONSOLE, "Пётр")
        await verbs.report(town.d, ticket, "plumber1", Via.CONSOLE, "done")
        await asyncio.sleep(5)
        bodies = [message.body for message in town.outbox.sent if message.number == RESIDENT]
        assert bodies == [
            f"Ваша заявка №{ticket} зарегистрирована.",
            f"Ваша заявка №{ticket} принята бригадой.",
            f"Заявка №{ticket} выполнена. Если это не так, ответьте на это сообщение.",
        ]


@virtual
async def test_a_resident_is_told_the_planned_time_in_one_part() -> None:
    async with Town.at_work() as town:
        now = town.clock.now()
        opened = TicketOpened(at=now, company="demo", channel="sms", phone=RESIDENT)
        known = Classified(at=now, urgency=Urgency.NORMAL, cause="entrance.repair", title="Ремонт подъезда")
        town.company = replace(town.company, catalogue=shipped_catalogue())
        cause = town.company.catalogue.cause(known.cause)
        assert cause is not None
        due = clocks.planned(now, cause.clock, "Europe/Moscow").astimezone(ZoneInfo("Europe/Moscow"))
        ticket = await town.store.open_ticket([opened, known])
        await town.until(ticket, TextSent)
        [message] = town.outbox.sent
        assert message.body == f"Ваша заявка №{ticket} зарегистрирована. Плановый срок: до {due:%H:%M %d.%m}."
        assert parts(message.body) == 1


@virtual
async def test_a_text_to_staff_is_one_part() -> None:
    async with Town.at_work() as town:
        ticket = await ringing(town)
        body = town.events(ticket, TextQueued)[0].body
        assert parts(body) == 1
        assert body == f"Авария №{ticket}: Прорыв стояка… Ленина, 15, кв. 42. Принять: 1, отказ: 2"
        with_link = wording.ticket_text(
            ticket, Ticket.of(town.store.timelines[ticket]), "https://dozvon.example.ru/a/1001-5-abcdefghijkl"
        )
        assert parts(with_link) == 2
        assert with_link.endswith("Принять: 1, отказ: 2 или https://dozvon.example.ru/a/1001-5-abcdefghijkl")
        urgent = await verbs.open_ticket(
            town.d, town.company, channel="api", urgency=Urgency.NORMAL, title="Скрипит дверь", phone=RESIDENT
        )
        assert not town.events(urgent, TextQueued)
