"""The operator pauses what is recorded, by the API and by the button; the supervisor sees who listened."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from engine.console import make_app
from engine.domain.errors import TelephonyAway
from engine.domain.events import CallAnswered, CallEnded, CallStarted, RecordingPaused, RecordingResumed
from engine.domain.model import CallKind
from tests.fakes.console import World, world
from tests.unit.test_console_api import bearer, opened, problem
from tests.unit.test_console_pages import enter, ours


class Mute:
    def __init__(self) -> None:
        self.muted: dict[str, bool] = {}
        self.away = False

    async def mute(self, call: str, muted: bool) -> None:
        if self.away:
            raise TelephonyAway("no Asterisk")
        self.muted[call] = muted


@pytest.fixture
def mute() -> Mute:
    return Mute()


@pytest.fixture
def w(tmp_path: Path, mute: Mute) -> World:
    made = world(tmp_path)
    return dataclasses.replace(made, deps=dataclasses.replace(made.deps, muting=mute))


@pytest.fixture
async def client(w: World) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(make_app(w.deps))) as client:
        yield client


async def a_call(w: World, client: TestClient[Any, Any]) -> int:
    number = int((await opened(client, await bearer(w, "act")))["number"])
    now = w.clock.now()
    begun = CallStarted(at=now, call="call-1", kind=CallKind.RESIDENT, number="+79160000042")
    await w.store.append(number, [begun, CallAnswered(at=now, call="call-1")])
    return number


async def test_paused_and_resumed_over_the_api(client: TestClient[Any, Any], w: World, mute: Mute) -> None:
    number = await a_call(w, client)
    path, headers = "/api/v1/calls/call-1/recording", await bearer(w, "read", "act")
    for do in ("pause", "resume"):
        answer = await client.post(path, json={"do": do}, headers=headers)
        assert await answer.json() == {"call": "call-1", "paused": do == "pause"}
        assert mute.muted == {"call-1": do == "pause"}
    facts = [type(e) for e in await w.store.history(number)][-2:]
    assert facts == [RecordingPaused, RecordingResumed]
    assert [what for _, what, _, about in w.accounts.recorded if about == "call-1"] == [
        "recording pause",
        "recording resume",
    ]


async def test_what_cannot_be_paused(client: TestClient[Any, Any], w: World, mute: Mute) -> None:
    number = await a_call(w, client)
    path, headers = "/api/v1/calls/call-1/recording", await bearer(w, "read", "act")
    await problem(await client.post(path, json={"do": "erase"}, headers=headers), 422)
    await problem(await client.post(path, json={"do": "pause"}, headers=await bearer(w, "read")), 403)
    foreign = await bearer(w, "read", "act", company="other")
    await problem(await client.post(path, json={"do": "pause"}, headers=foreign), 404)
    await problem(await client.post(path.replace("call-1", "no"), json={"do": "pause"}, headers=headers), 404)
    mute.away = True
    await problem(await client.post(path, json={"do": "pause"}, headers=headers), 503)
    assert not any(isinstance(e, RecordingPaused) for e in await w.store.history(number)), (
        "nothing was paused"
    )
    mute.away = False
    await w.store.append(number, [CallEnded(at=w.clock.now(), call="call-1", seconds=3.0)])
    await problem(await client.post(path, json={"do": "pause"}, headers=headers), 409)
    assert not mute.muted


async def test_the_button_and_the_access_log(client: TestClient[Any, Any], w: World, mute: Mute) -> None:
    number = await a_call(w, client)
    csrf = await enter(client, w, "olga", "supervisor")
    form = {"csrf": csrf, "call": "call-1"}
    assert "Приостановить запись" in await (await client.get(f"/tickets/{number}")).text()
    answer = await client.post(f"/tickets/{number}/pause", data=form, headers=ours(client))
    page = await answer.text()
    assert mute.muted == {"call-1": True}
    assert "Продолжить запись" in page
    assert "Кто слушал, скачивал и менял" in page
    assert "приостановил(а) запись" in page
    stray = await client.post(
        f"/tickets/{number}/pause", data=form | {"call": "call-2"}, headers=ours(client)
    )
    assert "Не получилось" in await stray.text()
    await client.post(f"/tickets/{number}/resume", data=form, headers=ours(client))
    assert mute.muted == {"call-1": False}


async def test_an_operator_does_not_see_who_listened(client: TestClient[Any, Any], w: World) -> None:
    number = await a_call(w, client)
    await enter(client, w, "ivan", "operator")
    page = await (await client.get(f"/tickets/{number}")).text()
    assert "Приостановить запись" in page
    assert "Кто слушал" not in page


async def test_waiting_recordings_are_measured(client: TestClient[Any, Any]) -> None:
    assert "dozvon_recordings_waiting 0.0" in await (await client.get("/metrics")).text()
