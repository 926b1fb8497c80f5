"""The page behind a link: for one person, for one answer, for two hours."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from engine.console.app import make_app
from engine.console.pages import answer as pages
from engine.domain.events import (
    Accepted,
    CallStarted,
    Declined,
    LinkUsed,
    NoCoverage,
    RecordingAttached,
    TextQueued,
)
from engine.domain.model import CallKind, Urgency, Via
from engine.flows import verbs
from engine.flows.texts import links as flow
from engine.flows.texts.links import Links
from tests.fakes import console as fakes
from tests.fakes.time import virtual
from tests.fakes.town import FIRST, Town

LINKS = Links("http://127.0.0.1:15063/", "secret")


async def texted(town: Town) -> tuple[int, str]:
    """A ticket whose first plumber has been texted, and the link in it."""
    town.phone(FIRST).rings_out()
    ticket = await town.emergency()
    queued = await town.until(ticket, TextQueued)
    return ticket, LINKS.to(queued.text).rpartition("/")[2]


def test_a_link_reads_back_and_no_other_does() -> None:
    for text in ("1024-7", "1001-alarm-1-director", "x"):
        token = LINKS.to(text).rpartition("/")[2]
        assert LINKS.text_of(token) == text
        assert Links("", "another").text_of(token) is None
        for wrong in (token[:-1], token + "x", token.replace(text, "1025-7"), "", "-", "x" * 12):
            assert LINKS.text_of(wrong) is None


def test_the_secret_is_not_shown() -> None:
    assert "secret" not in repr(LINKS)


@virtual
async def test_accepting_once() -> None:
    async with Town.at_work() as town:
        ticket, token = await texted(town)
        before = await flow.look(town.d, LINKS, token)
        assert before is not None
        assert (before.number, before.contact, before.name, before.used) == (ticket, "plumber1", "Пётр", None)
        asked = await flow.answer(town.d, LINKS, token, "accept")
        assert asked is not None
        assert asked.used == "accept"
        accepted = town.events(ticket, Accepted)[0]
        assert (accepted.contact, accepted.via) == ("plumber1", Via.LINK)
        with pytest.raises(PermissionError):
            await flow.answer(town.d, LINKS, token, "decline")
        assert not town.events(ticket, Declined)


@virtual
async def test_twenty_fingers_at_once_answer_once() -> None:
    async with Town.at_work() as town:
        ticket, token = await texted(town)
        answers = await asyncio.gather(
            *(flow.answer(town.d, LINKS, token, "accept" if n % 2 else "decline") for n in range(20)),
            return_exceptions=True,
        )
        assert sum(not isinstance(one, PermissionError) for one in answers) == 1
        assert len(town.events(ticket, LinkUsed)) == 1
        assert len(town.events(ticket, Accepted)) + len(town.events(ticket, Declined)) == 1


@virtual
async def test_an_hour_without_coverage() -> None:
    async with Town.at_work() as town:
        ticket, token = await texted(town)
        await flow.answer(town.d, LINKS, token, "no_coverage")
        until = town.events(ticket, NoCoverage)[0].until
        assert timedelta(minutes=59) < until - town.clock.now() <= timedelta(hours=1)


@virtual
async def test_too_late_or_closed() -> None:
    async with Town.at_work() as town:
        ticket, token = await texted(town)
        await asyncio.sleep(7201)
        with pytest.raises(PermissionError):
            await flow.answer(town.d, LINKS, token, "accept")
        assert not town.events(ticket, LinkUsed)
        other, token = await texted(town)
        await verbs.close(town.d, other, "operator")
        with pytest.raises(PermissionError):
            await flow.answer(town.d, LINKS, token, "accept")


async def test_the_page(tmp_path: Path) -> None:
    """What a smartphone sees: the ticket, how it sounded, the buttons; then what came of it. A stranger sees nothing."""
    world = fakes.world(tmp_path)
    app = make_app(world.deps)
    pages.attach(app, LINKS)
    flows, now = world.deps.flows, world.clock.now()
    house = world.deps.companies()[0]
    ticket = await verbs.open_ticket(
        flows,
        house,
        channel="phone",
        urgency=Urgency.EMERGENCY,
        title="Прорыв <стояка>",
        house="lenina15",
        flat="42",
    )
    text = TextQueued(at=now, text=f"{ticket}-9", number="+79000000001", body="…", contact="plumber1")
    call = CallStarted(at=now, call="c1", kind=CallKind.RESIDENT, number="+79160000042")
    kept = RecordingAttached(at=now, recording="c1", call="c1", seconds=1.0)
    foreign = RecordingAttached(at=now, recording="c2", call="c2", seconds=1.0)
    await world.store.append(ticket, [text, call, kept, foreign])
    fakes.write_talk(tmp_path, "c1", 1.0)
    path = LINKS.to(text.text).removeprefix("http://127.0.0.1:15063")
    async with TestClient(TestServer(app)) as client:
        origin = {"Origin": str(client.make_url("/")).rstrip("/")}
        for _ in range(2):  # looking burns nothing
            seen = await (await client.get(path)).text()
        assert "Прорыв &lt;стояка&gt;" in seen
        assert "улица Ленина, дом 15, квартира 42" in seen
        assert 'value="accept"' in seen
        assert (await client.get(f"{path}/c1")).status == 200
        assert (await client.get(f"{path}/c2")).status == 404  # not the resident's
        assert (await client.get("/a/1024-7-xxxxxxxxxxxx")).status == 404
        assert (await client.post(path, data={"answer": "accept"})).status == 403  # not from our page
        assert (await client.post(path, data={"answer": "dance"}, headers=origin)).status == 422
        taken = await client.post(path, data={"answer": "accept"}, headers=origin)
        assert "Заявка за вами" in await taken.text()
        again = await client.post(path, data={"answer": "decline"}, headers=origin)
        assert again.status == 410
        assert "Заявка за вами" in await again.text()
