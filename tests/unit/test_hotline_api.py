"""News, incidents, readings and the catalogue over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from engine.console import auth, make_app
from engine.domain.events import Classified, MeterRead, TicketOpened
from engine.domain.model import Premises, Urgency
from engine.flows.residents.board import FRESH_SECONDS
from tests.fakes.console import World, world


@pytest.fixture
def w(tmp_path: Path) -> World:
    return world(tmp_path)


@pytest.fixture
async def client(w: World) -> AsyncIterator[TestClient[Any, Any]]:
    secret = await auth.add_token(w.accounts, "token", w.clock.now(), ("read", "act"), "demo")
    headers = {"Authorization": f"Bearer {secret}"}
    async with TestClient(TestServer(make_app(w.deps)), headers=headers) as client:
        yield client


async def test_news_is_told_until_its_ticket_is_closed(client: TestClient[Any, Any]) -> None:
    news = {"text": "Завтра отключат воду.", "houses": ["lenina15"], "ends": "2026-11-23T14:00:00+03:00"}
    answer = await client.post("/api/v1/news", json=news)
    assert answer.status == 201, await answer.text()
    number = (await answer.json())["number"]
    told = (await (await client.get("/api/v1/incidents")).json())["news"]
    assert [(one["text"], one["houses"]) for one in told] == [("Завтра отключат воду.", ["lenina15"])]
    await client.post(f"/api/v1/tickets/{number}/close", json={})
    await asyncio.sleep(FRESH_SECONDS)
    assert (await (await client.get("/api/v1/incidents")).json())["news"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": "x", "houses": ["nowhere"]}, "houses"),
        ({"text": ""}, "text"),
        ({"text": "x", "ends": "2026-11-23T14:00:00"}, "ends"),
        ({"text": "x", "starts": "2026-11-23T14:00:00Z", "ends": "2026-11-23T13:00:00Z"}, "ends"),
        ({"text": "x", "wer": 1}, "wer"),
    ],
)
async def test_news_that_does_not_fit(client: TestClient[Any, Any], body: dict[str, Any], field: str) -> None:
    answer = await client.post("/api/v1/news", json=body)
    assert answer.status == 422
    assert (await answer.json(content_type=None))["errors"][0]["field"] == field


async def test_readings_as_json_and_as_a_table(client: TestClient[Any, Any], w: World) -> None:
    now = w.clock.now()
    opened = TicketOpened(at=now, company="demo", channel="phone")
    about = Classified(
        at=now, urgency=Urgency.NORMAL, cause="service.reading", premises=Premises("lenina15", "42")
    )
    read = MeterRead(at=now, house="lenina15", flat="42", meter="cold", value=130)
    ticket = await w.deps.store.open_ticket([opened, about, read])
    (row,) = (await (await client.get("/api/v1/readings")).json())["readings"]
    assert (row["meter"], row["value"], row["ticket"]) == ("cold", 130, ticket)
    assert not (await (await client.get("/api/v1/readings?house=lenina15&flat=41")).json())["readings"]
    assert not (await (await client.get("/api/v1/readings?since=2030-01-01T00:00:00Z")).json())["readings"]
    table = await (await client.get("/api/v1/readings?format=csv")).text()
    assert table.splitlines()[0] == "at,company,house,flat,meter,value,unusual,ticket"
    assert ",lenina15,42,cold,130," in table
    assert (await client.get("/api/v1/readings?since=yesterday")).status == 422


async def test_the_catalogue(client: TestClient[Any, Any]) -> None:
    assert (await client.get("/api/v1/catalogue")).status == 200
    assert (await client.get("/api/v1/catalogue?company=other")).status == 404
