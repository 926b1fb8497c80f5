"""The HTTP API: what it answers, to whom, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.console import auth, make_app
from engine.console.deps import Component
from engine.domain.events import CallEnded, CallStarted, RecordingAttached
from engine.domain.model import CallKind
from tests.fakes.console import World, world, write_talk

BURST = {
    "company": "demo",
    "house": "lenina15",
    "premises": "42",
    "cause": "water.riser",
    "urgency": "emergency",
    "title": "Прорыв стояка холодной воды",
    "text": "Течёт с потолка",
    "phone": "8 916 000-00-42",
}


@pytest.fixture
def w(tmp_path: Path) -> World:
    return world(tmp_path)


@pytest.fixture
async def client(w: World) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(make_app(w.deps))) as client:
        yield client


async def bearer(w: World, *scopes: str, company: str | None = None) -> dict[str, str]:
    name = f"{'-'.join(scopes)}-{company}"
    secret = await auth.add_token(w.accounts, name, w.clock.now(), scopes or ("read", "act"), company)
    return {"Authorization": f"Bearer {secret}"}


async def opened(client: TestClient[Any, Any], headers: dict[str, str], **changes: Any) -> dict[str, Any]:
    answer = await client.post("/api/v1/tickets", json={**BURST, **changes}, headers=headers)
    assert answer.status == 201, await answer.text()
    return await answer.json()  # type: ignore[no-any-return]


async def problem(answer: ClientResponse, status: int) -> dict[str, Any]:
    assert answer.status == status, await answer.text()
    assert answer.content_type == "application/problem+json"
    body: dict[str, Any] = await answer.json(content_type=None)
    assert body["status"] == status
    return body


async def test_health(client: TestClient[Any, Any], w: World) -> None:
    assert (await client.get("/healthz")).status == 200
    ready = await client.get("/readyz")
    assert ready.status == 200
    assert (await ready.json())["components"]["sms"] == {"ready": False, "state": "log only", "detail": None}
    w.components["asterisk"] = Component(False, "away", "start it")
    away = await client.get("/readyz")
    assert away.status == 503
    assert (await away.json())["components"]["asterisk"]["state"] == "away"


async def test_metrics(client: TestClient[Any, Any], w: World) -> None:
    await opened(client, await bearer(w))
    text = await (await client.get("/metrics")).text()
    assert 'dozvon_component_ready{component="asterisk"} 1.0' in text
    assert 'dozvon_tickets{status="escalating"} 1.0' in text


async def test_an_emergency_opens_and_is_read_back(client: TestClient[Any, Any], w: World) -> None:
    headers = await bearer(w)
    ticket = await opened(client, headers)
    assert ticket["phone"] == "+79160000042"
    assert ticket["premises"]["address"] == "улица Ленина, дом 15"
    assert (ticket["status"], ticket["policy"]) == ("escalating", "water")
    read = await client.get(f"/api/v1/tickets/{ticket['number']}", headers=headers)
    assert await read.json() == ticket
    events = (await (await client.get(f"/api/v1/tickets/{ticket['number']}/events", headers=headers)).json())[
        "events"
    ]
    assert [(event["seq"], event["type"]) for event in events] == [
        (1, "TicketOpened"),
        (2, "Classified"),
        (3, "EscalationStarted"),
    ]
    assert events[0]["at"].endswith("Z")
    assert len(events[0]["at"]) == len("2026-11-21T11:05:00.001000Z")
    assert events[2]["frozen"]["steps"][0]["ring_for"] == "PT25S"


async def test_urgency_follows_from_the_cause(client: TestClient[Any, Any], w: World) -> None:
    headers = await bearer(w)
    assert (await opened(client, headers, urgency=None))["urgency"] == "emergency"
    refused = await client.post(
        "/api/v1/tickets", json={**BURST, "urgency": None, "cause": "door.closer"}, headers=headers
    )
    assert (await problem(refused, 422))["errors"][0]["field"] == "urgency"


async def test_the_same_key_opens_one_ticket(client: TestClient[Any, Any], w: World) -> None:
    headers = {**await bearer(w), "Idempotency-Key": "k1"}
    first, second = await opened(client, headers), await opened(client, headers)
    assert first["number"] == second["number"]
    assert len(w.store.timelines) == 1
    other = await client.post("/api/v1/tickets", json={**BURST, "text": "другое"}, headers=headers)
    assert (await problem(other, 422))["ticket"] == first["number"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"company": None}, "company"),
        ({"company": "nobody"}, "company"),
        ({"house": "mira1"}, "house"),
        ({"urgency": "very"}, "urgency"),
        ({"phone": "12"}, "phone"),
        ({"phone": "abc"}, "phone"),
        ({"phone": 89160000042}, "phone"),
        ({"text": "я" * 4001}, "text"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_body_that_does_not_fit(
    client: TestClient[Any, Any], w: World, changes: dict[str, Any], field: str
) -> None:
    answer = await client.post("/api/v1/tickets", json={**BURST, **changes}, headers=await bearer(w))
    wrong = (await problem(answer, 422))["errors"][0]
    assert wrong["field"] == field
    assert wrong["reason"]
    assert not w.store.timelines


async def test_what_is_not_json(client: TestClient[Any, Any], w: World) -> None:
    await problem(await client.post("/api/v1/tickets", data=b"{", headers=await bearer(w)), 400)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
bodies = st.fixed_dictionaries({}, optional={key: anything | st.just(value) for key, value in BURST.items()})


@settings(max_examples=80, deadline=None)
@given(bodies=st.lists(bodies | anything, min_size=10, max_size=10), raw=st.binary(max_size=40))
def test_no_body_breaks_it(bodies: list[Any], raw: bytes) -> None:
    async def send() -> None:
        w = world(Path())
        async with TestClient(TestServer(make_app(w.deps))) as client:
            headers = await bearer(w)
            sent = [json.dumps(body).encode() for body in bodies]
            for body in [*sent, raw]:
                before = len(w.store.timelines)
                answer = await client.post("/api/v1/tickets", data=body, headers=headers)
                assert answer.status in (201, 400, 422), body
                assert (answer.status == 201) == (len(w.store.timelines) == before + 1)

    asyncio.run(send())


async def test_one_winner(client: TestClient[Any, Any], w: World) -> None:
    headers = await bearer(w)
    number = (await opened(client, headers))["number"]
    path = f"/api/v1/tickets/{number}/accept"
    answers = await asyncio.gather(
        *(client.post(path, json={"contact": who}, headers=headers) for who in ("plumber1", "plumber2"))
    )
    assert sorted(answer.status for answer in answers) == [200, 409]
    won, lost = sorted(answers, key=lambda answer: answer.status)
    winner = (await won.json())["accepted"]
    assert winner["via"] == "api"
    assert (await problem(lost, 409))["accepted"]["contact"] == winner["contact"]
    again = await client.post(path, json={"contact": winner["contact"]}, headers=headers)
    assert again.status == 200


async def test_actions_in_turn(client: TestClient[Any, Any], w: World) -> None:
    headers = await bearer(w)
    number = (await opened(client, headers))["number"]

    async def act(name: str, **body: Any) -> dict[str, Any]:
        answer = await client.post(f"/api/v1/tickets/{number}/{name}", json=body, headers=headers)
        assert answer.status == 200, await answer.text()
        return await answer.json()  # type: ignore[no-any-return]

    await act("decline", contact="plumber2", reason="нет связи")
    await act("accept", contact="plumber1")
    assert (await act("report", what="arrived"))["reported"][0]["contact"] == "plumber1"
    assert (await act("report", what="done"))["status"] == "done"
    await act("note", text="Нужен новый кран")
    assert (await act("close", reason="сделано"))["status"] == "closed"
    refused = await client.post(
        f"/api/v1/tickets/{number}/accept", json={"contact": "director"}, headers=headers
    )
    assert (await problem(refused, 409))["code"] == "closed"
    assert (await act("reopen", reason="снова течёт"))["status"] == "escalating"
    assert [what for _, what, _, _ in w.accounts.recorded] == [
        "open", "decline", "accept", "report arrived", "report done", "note", "close", "reopen",
    ]  # fmt: skip


async def test_who_acts_must_be_known(client: TestClient[Any, Any], w: World) -> None:
    headers = await bearer(w)
    number = (await opened(client, headers))["number"]
    for body in ({}, {"contact": "ghost"}):
        answer = await client.post(f"/api/v1/tickets/{number}/accept", json=body, headers=headers)
        assert (await problem(answer, 422))["errors"][0]["field"] == "contact"
    answer = await client.post(f"/api/v1/tickets/{number}/report", json={"what": "asleep"}, headers=headers)
    assert (await problem(answer, 422))["errors"][0]["field"] == "what"


async def test_tokens_have_scopes(client: TestClient[Any, Any], w: World) -> None:
    assert "Bearer" in (await client.get("/api/v1/tickets")).headers["WWW-Authenticate"]
    await problem(await client.get("/api/v1/tickets", headers={"Authorization": "Bearer nope"}), 401)
    reader = await bearer(w, "read")
    assert (await client.get("/api/v1/tickets", headers=reader)).status == 200
    await problem(await client.post("/api/v1/tickets", json=BURST, headers=reader), 403)
    await w.accounts.revoke_token("read-None", w.clock.now())
    await problem(await client.get("/api/v1/tickets", headers=reader), 401)


async def test_nobody_sees_another_company(client: TestClient[Any, Any], w: World, tmp_path: Path) -> None:
    ours = await bearer(w, "read", "act", company="demo")
    theirs = await bearer(w, "read", "act", company="other")
    number = (await opened(client, ours))["number"]
    await attach(w, number, "call-1", tmp_path)
    for path in ("", "/events"):
        assert (await client.get(f"/api/v1/tickets/{number}{path}", headers=ours)).status == 200
        foreign = await problem(await client.get(f"/api/v1/tickets/{number}{path}", headers=theirs), 404)
        missing = await problem(await client.get(f"/api/v1/tickets/9999{path}", headers=theirs), 404)
        assert foreign["detail"].replace(str(number), "9999") == missing["detail"]
    for path in ("/api/v1/recordings/call-1", "/api/v1/recordings/call-1/peaks"):
        await problem(await client.get(path, headers=theirs), 404)
    await problem(await client.post(f"/api/v1/tickets/{number}/close", headers=theirs), 404)
    await problem(await client.post("/api/v1/tickets", json=BURST, headers=theirs), 422)
    await problem(await client.get("/api/v1/tickets?company=demo", headers=theirs), 404)
    for resource in ("tickets", "calls", "texts"):
        assert (await (await client.get(f"/api/v1/{resource}", headers=theirs)).json())[resource] == []
    duties = (await (await client.get("/api/v1/on-call", headers=theirs)).json())["on_call"]
    assert {duty["company"] for duty in duties} == {"other"}


async def test_lists_are_filtered_and_paged(client: TestClient[Any, Any], w: World) -> None:
    headers = await bearer(w)
    for urgency in ("emergency", "normal", "normal"):
        await opened(client, headers, urgency=urgency)

    async def numbers(query: str) -> list[int]:
        body = await (await client.get(f"/api/v1/tickets?{query}", headers=headers)).json()
        return [row["number"] for row in body["tickets"]]

    assert await numbers("") == [1003, 1002, 1001]
    assert await numbers("urgency=normal") == [1003, 1002]
    assert await numbers("status=escalating&status=closed") == [1001]
    assert await numbers("limit=2") == [1003, 1002]
    assert await numbers("limit=2&before=1002") == [1001]
    assert await numbers("phone=%2B79160000042&house=lenina15&company=demo") == [1003, 1002, 1001]
    for query in ("limit=0", "before=x", "status=asleep", "urgency=very"):
        await problem(await client.get(f"/api/v1/tickets?{query}", headers=headers), 422)


async def attach(w: World, number: int, call: str, folder: Path, seconds: float = 2.0) -> None:
    write_talk(folder, call, seconds)
    now = w.clock.now
    await w.store.append(
        number,
        [
            CallStarted(at=now(), call=call, kind=CallKind.RESIDENT, number="+79160000042"),
            CallEnded(at=now(), call=call, by="caller", seconds=seconds),
            RecordingAttached(at=now(), recording=call, call=call, seconds=seconds),
        ],
    )


async def test_recordings_in_ranges(client: TestClient[Any, Any], w: World, tmp_path: Path) -> None:
    headers = await bearer(w)
    number = (await opened(client, headers))["number"]
    await attach(w, number, "call-1", tmp_path)
    calls = (await (await client.get(f"/api/v1/calls?ticket={number}", headers=headers)).json())["calls"]
    url = calls[0]["recording"]["url"]
    whole = await client.get(url, headers=headers)
    assert (whole.status, whole.content_type) == (200, "audio/wav")
    body = await whole.read()
    part = await client.get(url, headers={**headers, "Range": "bytes=100-199"})
    assert part.status == 206
    assert await part.read() == body[100:200]
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(body)}"
    assert (await client.get(url, headers={**headers, "Range": f"bytes={len(body)}-"})).status == 416
    download = await client.get(f"{url}?download", headers=headers)
    assert "attachment" in download.headers["Content-Disposition"]
    heard = [entry for entry in w.accounts.recorded if entry[3]]
    assert heard == [("token:-None", what, number, "call-1") for what in ("listen", "download")]
    peaks = await (await client.get(f"{url}/peaks", headers=headers)).json()
    assert len(peaks["left"]) == len(peaks["right"]) == 20
    await problem(await client.get(f"{url}?leg=up", headers=headers), 422)
    await problem(await client.get(f"{url}?format=opus", headers=headers), 406)
    await problem(await client.get("/api/v1/recordings/nope", headers=headers), 404)


async def read_events(answer: ClientResponse, count: int) -> tuple[list[dict[str, Any]], int]:
    """So many server-sent events, and how many heartbeats came between."""
    found: list[dict[str, Any]] = []
    beats = 0
    while len(found) < count:
        line = (await asyncio.wait_for(answer.content.readline(), 5)).decode().rstrip("\n")
        if line.startswith(":"):
            beats += 1
        elif line.startswith("data: "):
            found.append(json.loads(line.removeprefix("data: ")))
    return found, beats


async def test_the_timeline_streams(client: TestClient[Any, Any], w: World) -> None:
    headers = await bearer(w)
    number = (await opened(client, headers))["number"]
    stream = {**headers, "Accept": "text/event-stream"}
    async with client.get(f"/api/v1/tickets/{number}/events", headers=stream) as answer:
        assert answer.content_type == "text/event-stream"
        first, _ = await read_events(answer, 3)
        assert [event["seq"] for event in first] == [1, 2, 3]
        while not (await answer.content.readline()).startswith(b": alive"):
            pass
        await client.post(f"/api/v1/tickets/{number}/accept", json={"contact": "plumber1"}, headers=headers)
        then, _ = await read_events(answer, 1)
        assert (then[0]["seq"], then[0]["type"], then[0]["via"]) == (4, "Accepted", "api")
    resumed = {**stream, "Last-Event-ID": "3"}
    async with client.get(f"/api/v1/tickets/{number}/events", headers=resumed) as answer:
        again, _ = await read_events(answer, 1)
        assert again == then


async def test_streams_end_with_the_server(w: World) -> None:
    async with TestClient(TestServer(make_app(w.deps))) as client:
        headers = await bearer(w)
        number = (await opened(client, headers))["number"]
        stream = {**headers, "Accept": "text/event-stream"}
        answer = await client.get(f"/api/v1/tickets/{number}/events", headers=stream)
        async with asyncio.timeout(5):
            await client.server.close()
            await answer.read()


async def test_on_call(client: TestClient[Any, Any], w: World) -> None:
    headers = await bearer(w, company="demo")
    body = await (await client.get("/api/v1/on-call?at=2026-11-21T03:00:00%2B03:00", headers=headers)).json()
    assert body["at"] == "2026-11-21T00:00:00.000000Z"
    assert [person["contact"] for person in body["on_call"][0]["contacts"]] == ["plumber1", "plumber2"]
    for at in ("tomorrow", "2026-11-21T03:00:00"):
        await problem(await client.get(f"/api/v1/on-call?at={at}", headers=headers), 422)


async def test_unknown_paths_are_problems_too(client: TestClient[Any, Any]) -> None:
    await problem(await client.get("/api/v1/nothing"), 404)
    await problem(await client.delete("/api/v1/tickets"), 405)


async def test_openapi_is_what_the_routes_are(w: World, client: TestClient[Any, Any]) -> None:
    document = await (await client.get("/api/v1/openapi.json")).json()
    described = {
        (method.upper(), path) for path, operations in document["paths"].items() for method in operations
    }
    routed = {
        (route.method, route.resource.canonical)
        for route in make_app(w.deps).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    public = {(m, p) for m, p in routed if p.startswith("/api/") or p in ("/healthz", "/readyz", "/metrics")}
    assert described == public
    schemas = document["components"]["schemas"]
    used = {part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]}
    assert used <= schemas.keys()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}
