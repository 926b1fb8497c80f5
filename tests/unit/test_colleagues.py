"""Whoever is called next reads who was called before, and how they stand, in one part of an SMS if that can be."""

from __future__ import annotations

import asyncio

import pytest

from engine.domain.colleagues import Colleague, Stands, colleagues
from engine.domain.events import Accepted, DialEnded, EscalationResumed, TextQueued
from engine.domain.model import Premises, Urgency, Via
from engine.domain.texts import parts
from engine.domain.ticket import Ticket
from engine.domain.wording import called_words, ticket_text
from engine.flows import verbs
from tests.fakes.time import virtual
from tests.fakes.town import FIRST, SECOND, SUPERVISOR, Town

PETR, BORIS = Colleague("Пётр", Stands.NO_ANSWER), Colleague("Борис", Stands.DECLINED)
LINK = " или https://dozvon.example.ru/a/1001-5-abcdefghijkl"


@virtual
async def test_the_supervisor_reads_who_was_called() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).rings_out()
        town.phone(SECOND).answers().presses("2", after=1).hangs_up(1)
        town.phone(SUPERVISOR).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, Accepted)
        first, second, third = [e for e in town.events(ticket, TextQueued) if e.template == "ticket"]
        assert "Звали" not in first.body
        assert "Звали 1" in second.body
        assert third.body == f"Авария №{ticket}: Прорыв стояка… Ленина, 15, кв. 42. Звали 2. Принять: 1"
        history = town.store.timelines[ticket][: town.store.timelines[ticket].index(third)]
        assert colleagues(history, "supervisor") == (BORIS, PETR)


@virtual
async def test_who_had_it_and_reports_nothing_comes_first() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, DialEnded)
        await verbs.decline(town.d, ticket, "plumber1", Via.SMS, "cannot_go")
        await town.until(ticket, EscalationResumed)
        others = colleagues(town.store.timelines[ticket], "plumber2")
        assert others[0] == Colleague("Пётр", Stands.GAVE_UP)


@virtual
async def test_a_phone_that_rings_is_said_to_ring() -> None:
    async with Town.at_work() as town:
        town.phone(FIRST).rings_out()
        ticket = await town.emergency()
        await asyncio.sleep(1)
        assert colleagues(town.store.timelines[ticket], "x") == (Colleague("Пётр", Stands.RINGING),)
        assert colleagues(town.store.timelines[ticket], "plumber1") == ()


@pytest.mark.parametrize(
    ("title", "address", "others", "end", "says"),
    [
        ("Лифт: человек", "улица Мира, дом 5", (), "", "Мира, 5. Принять: 1, отказ: 2"),
        ("Лифт: человек", "улица Мира, дом 5", (BORIS,), "", "Мира, 5. Отказ: Борис. Принять: 1"),
        ("Лифт: человек", "улица Мира, дом 5", (BORIS, PETR), "", "Мира, 5. Звали: Борис, Пётр. Принять: 1"),
        (
            "Лифт: человек",
            "улица Мира, дом 5",
            (BORIS, PETR),
            LINK,
            "Отказ: Борис; нет ответа: Пётр. Принять: 1",
        ),
        ("Лифт: человек", "улица Мира, дом 5", (PETR,) * 5, "", "Мира, 5. Звали пятерых. Принять: 1"),
        ("Лифт: человек", "улица Мира, дом 5", (PETR,) * 30, "", "Мира, 5. Звали 30. Принять: 1"),
    ],
)
def test_as_much_as_fits(
    title: str, address: str, others: tuple[Colleague, ...], end: str, says: str
) -> None:
    ticket = Ticket(urgency=Urgency.EMERGENCY, title=title, premises=Premises(address=address))
    body = ticket_text(1024, ticket, end.removeprefix(" или ") or None, others)
    assert parts(body) == (2 if end else 1)
    assert says in body
    assert body.startswith("Авария №1024: Лифт")
    assert body.endswith(end)


def test_in_words() -> None:
    ringing = Colleague("Анна Олеговна", Stands.RINGING)
    assert called_words((ringing, BORIS, PETR)) == (
        "Звоним: Анна Олеговна; отказ: Борис; нет ответа: Пётр",
        "Звали: Анна, Борис, Пётр",
        "Звали троих",
        "Звали 3",
    )
    assert called_words(()) == ()
