"""News by text: to whom, how fast, until when, and how far it is."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from engine.domain.events import TextFailed, TextQueued
from engine.domain.model import House, Resident
from engine.flows import verbs
from engine.flows.texts import mailing, news
from tests.fakes.time import virtual
from tests.fakes.town import Town

TEXT = "Завтра с 10 до 12 отключат холодную воду."


def settle(town: Town) -> None:
    """Two houses: 300 people in the first, with four entrances; 20 in the second; and a landline."""
    first = House("lenina15", "Москва", "улица Ленина", "15", flats=(1, 300), entrances=4)
    second = House("mira23", "Москва", "проспект Мира", "23")
    people = [Resident(f"+79160{n:06}", "lenina15", str(n)) for n in range(1, 301)]
    people += [Resident(f"+79170{n:06}", "mira23", str(n)) for n in range(20)]
    people.append(Resident("+74951234567", "lenina15", "1"))
    residents = {one.number: one for one in people}
    town.company = replace(town.company, houses={"lenina15": first, "mira23": second}, residents=residents)


@virtual
async def test_house_entrance_and_who_said_stop() -> None:
    async with Town.at_work() as town:
        settle(town)
        whole = await news.give(town.d, town.company, TEXT)
        assert await mailing.send(town.d, town.company, whole, TEXT) == 320
        await asyncio.sleep(80)
        await town.outbox.writes("+79160000001", "стоп")
        await town.outbox.writes("+79160000002", "СТОП")
        ticket = await news.give(town.d, town.company, TEXT, ("lenina15",), 1)
        assert await mailing.send(town.d, town.company, ticket, TEXT, ("lenina15",), 1) == 73
        assert await mailing.send(town.d, town.company, ticket, TEXT, ("lenina15",), 1) == 0  # told once
        numbers = {event.number for event in town.events(ticket, TextQueued)}
        assert numbers == {f"+79160{n:06}" for n in range(3, 76)}


@virtual
async def test_an_emergency_is_never_refused() -> None:
    async with Town.at_work() as town:
        await town.outbox.writes("+79000000001", "стоп")
        town.phone("+79000000001").rings_out()
        ticket = await town.emergency()
        await asyncio.sleep(5)
        assert any(message.number == "+79000000001" for message in town.outbox.sent)
        assert town.events(ticket, TextQueued)


@virtual
async def test_progress_and_the_stop_button() -> None:
    async with Town.at_work() as town:
        settle(town)
        ticket = await news.give(town.d, town.company, TEXT)
        await mailing.send(town.d, town.company, ticket, TEXT)
        await asyncio.sleep(20.1)
        far = mailing.progress(await town.store.history(ticket))
        assert (far.queued, far.failed) == (320, 0)
        assert 95 <= far.sent <= 105
        await verbs.close(town.d, ticket, "operator")
        await asyncio.sleep(80)
        end = mailing.progress(await town.store.history(ticket))
        assert end.waiting == 0
        assert end.sent <= 106
        assert {event.reason for event in town.events(ticket, TextFailed)} == {"closed"}
