"""Desk phones over the API and the pages: who may sit where, what a talk can be told, and what another company sees of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from engine.console import auth, make_app
from engine.domain.events import PartiesConnected
from engine.files.desks import DeskFile
from engine.flows.operators.desk import Operators
from tests.fakes.console import World, world
from tests.fakes.network import FakeNetwork
from tests.fakes.telephony import FakeTelephony
from tests.fakes.voice import FakeVoice

RESIDENT = "+79160000042"
BURST = {
    "company": "demo",
    "house": "lenina15",
    "cause": "water.riser",
    "urgency": "emergency",
    "phone": RESIDENT,
}


class Desk:
    """A console with an operators' room, its phones in memory."""

    def __init__(self, w: World, network: FakeNetwork, client: TestClient[Any, Any]) -> None:
        self.w, self.network, self.client = w, network, client
        self._secrets: dict[str, str] = {}

    async def headers(self, *scopes: str, company: str | None = None) -> dict[str, str]:
        name, wanted = f"{'-'.join(scopes)}-{company}", scopes or ("read", "act")
        if name not in self._secrets:
            now = self.w.clock.now()
            self._secrets[name] = await auth.add_token(self.w.accounts, name, now, wanted, company)
        return {"Authorization": f"Bearer {self._secrets[name]}"}

    async def asks(
        self, method: str, path: str, body: Any = None, status: int = 200, company: str | None = None
    ) -> Any:
        headers = await self.headers(company=company)
        answer = await self.client.request(method, f"/api/v1{path}", json=body or {}, headers=headers)
        assert answer.status == status, await answer.text()
        return await answer.json(content_type=None)

    async def desks(self, company: str | None = None) -> dict[str, Any]:
        found = await self.asks("GET", "/desks", company=company)
        return {one["desk"]: one for one in found["desks"]}

    async def ticket(self) -> int:
        return int((await self.asks("POST", "/tickets", BURST, 201))["number"])

    async def connected(self, ticket: int) -> None:
        while not any(isinstance(event, PartiesConnected) for event in self.w.store.timelines[ticket]):
            await asyncio.sleep(0.01)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    w = world(tmp_path)
    async with (
        FakeNetwork() as network,
        _room(w, network, tmp_path) as deps,
        TestClient(TestServer(make_app(deps))) as client,
    ):
        yield Desk(w, network, client)


@asynccontextmanager
async def _room(w: World, network: FakeNetwork, folder: Path) -> AsyncIterator[Any]:
    telephony: Any = FakeTelephony(network, sound_seconds=0.02)
    flows = replace(w.deps.flows, phone=telephony, voice=FakeVoice())
    room = Operators(flows, ("operator1", "operator2"), DeskFile(folder / "desks.json"))
    running = asyncio.create_task(room.run(), name="operators")
    await asyncio.sleep(0)
    try:
        yield replace(w.deps, flows=replace(flows, operators=room))
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_sitting_down_and_leaving(desk: Desk) -> None:
    assert not (await desk.desks())["operator1"]["signed_in"]
    sat = await desk.asks(
        "POST", "/desks/operator1/sign-in", {"operator": "Ольга", "skills": {"demo": ["ru"]}}
    )
    assert (sat["operator"], sat["skills"], sat["signed_in"]) == ("Ольга", {"demo": ["ru"]}, True)
    assert any(what == "sign-in operator1" for _, what, *_ in desk.w.accounts.recorded)
    left = await desk.asks("POST", "/desks/operator1/sign-out")
    assert not left["signed_in"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/desks/operator9/sign-in", {}, 404),
        ("/desks/operator1/sign-in", {"skills": {"third": []}}, 422),
        ("/desks/operator1/sign-in", {"operator": ""}, 422),
        ("/desks/operator1/sign-in", {"name": "Ольга"}, 422),
        ("/desks/operator9/sign-out", {}, 404),
        ("/tickets/77/calls", {"desk": "operator1", "to": "resident"}, 404),
    ],
)
async def test_refused(desk: Desk, path: str, body: Any, status: int) -> None:
    await desk.asks("POST", path, body, status)


async def test_an_operator_of_a_company_serves_that_company_alone(desk: Desk) -> None:
    await desk.asks("POST", "/desks/operator1/sign-in", {"skills": {"other": []}}, 422, company="demo")
    sat = await desk.asks("POST", "/desks/operator1/sign-in", company="demo")
    assert sat["skills"] == {"demo": []}
    seen = (await desk.desks(company="other"))["operator1"]
    assert (seen["operator"], seen["skills"], seen["signed_in"]) == (None, {}, True)


async def test_who_may_only_read_sits_nowhere(desk: Desk) -> None:
    answer = await desk.client.post("/api/v1/desks/operator1/sign-in", headers=await desk.headers("read"))
    assert answer.status == 403


async def test_who_is_signed_in_outlives_the_engine(desk: Desk, tmp_path: Path) -> None:
    await desk.asks("POST", "/desks/operator2/sign-in", {"operator": "Вера", "skills": {"demo": ["en"]}})
    kept = DeskFile(tmp_path / "desks.json").load()
    assert [(one.phone, one.operator, one.skills) for one in kept] == [
        ("operator2", "Вера", {"demo": frozenset({"en"})})
    ]
    (tmp_path / "desks.json").write_text("[{")
    assert DeskFile(tmp_path / "desks.json").load() == []


async def test_a_call_from_a_ticket_and_what_it_can_be_told(desk: Desk) -> None:
    ticket = await desk.ticket()
    desk.network.phone("operator1").answers()
    desk.network.phone(RESIDENT).answers()
    path = f"/tickets/{ticket}/calls"
    placed = await desk.asks("POST", path, {"desk": "operator1", "to": "resident"}, 202)
    assert placed["call"] == f"{ticket}-o1"
    await desk.connected(ticket)
    mine = (await desk.desks())["operator1"]
    assert (mine["busy"], mine["ticket"], mine["call"]) == (True, ticket, placed["call"])
    theirs = (await desk.desks(company="other"))["operator1"]
    assert (theirs["busy"], theirs["ticket"], theirs["call"]) == (True, None, None)
    busy = await desk.asks("POST", path, {"desk": "operator1", "to": "resident"}, 409)
    assert busy["code"] == "desk_in_use"
    await desk.asks("POST", f"{path}/{placed['call']}/hold", None, 404, company="other")
    assert (await desk.asks("POST", f"{path}/{placed['call']}/hold"))["held"]
    assert not (await desk.asks("POST", f"{path}/{placed['call']}/resume"))["held"]
    refused = await desk.asks("POST", f"{path}/{placed['call']}/add", {"to": "executor"}, 422)
    assert "никто не принял" in refused["errors"][0]["reason"]
    await desk.asks("POST", f"{path}/{placed['call']}/hang_up")
    for call in desk.network.calls:
        await call.ended(5)
    await desk.asks("POST", f"{path}/{placed['call']}/hold", None, 404)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"desk": "operator9", "to": "resident"}, "desk"),
        ({"desk": "operator1", "to": "executor"}, "to"),
        ({"desk": "operator1", "to": "utility", "name": "gas"}, "to"),
        ({"desk": "operator1", "to": "contact", "name": "nobody"}, "to"),
        ({"desk": "operator1", "to": "everybody"}, "to"),
    ],
)
async def test_who_cannot_be_rung(desk: Desk, body: Any, field: str) -> None:
    ticket = await desk.ticket()
    refused = await desk.asks("POST", f"/tickets/{ticket}/calls", body, 422)
    assert refused["errors"][0]["field"] == field
    assert not desk.network.calls


async def test_the_pages_let_one_sit_down_and_call(desk: Desk) -> None:
    w, client = desk.w, desk.client
    await auth.add_user(w.accounts, "olga", "operator", w.clock.now())
    link = await auth.create_link(w.accounts, "olga", w.clock.now(), "")
    origin = {"Origin": str(client.make_url("")).rstrip("/")}
    assert (await client.post(link, headers=origin)).status == 200
    page = await (await client.get("/desk")).text()
    assert "operator1" in page
    csrf = page.partition('name="csrf" value="')[2].partition('"')[0]
    sat = await client.post(
        "/desk/operator1/sign-in", data={"csrf": csrf, "operator": "Ольга"}, headers=origin
    )
    assert "Ольга" in await sat.text()
    ticket = await desk.ticket()
    desk.network.phone("operator1").answers()
    desk.network.phone(RESIDENT).answers()
    shown = await (await client.get(f"/tickets/{ticket}")).text()
    assert f'action="/tickets/{ticket}/call"' in shown
    said = await client.post(
        f"/tickets/{ticket}/call", data={"csrf": csrf, "desk": "operator1", "to": "resident"}, headers=origin
    )
    assert "Звоним: снимите трубку." in await said.text()
    await desk.connected(ticket)
    shown = await (await client.get(f"/tickets/{ticket}")).text()
    assert f"/tickets/{ticket}/talks/{ticket}-o1/hold" in shown
    await client.post(f"/tickets/{ticket}/talks/{ticket}-o1/hang_up", data={"csrf": csrf}, headers=origin)
    for call in desk.network.calls:
        await call.ended(5)
