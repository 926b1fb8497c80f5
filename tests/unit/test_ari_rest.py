"""ARI's REST half, against an HTTP server that plays Asterisk."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from engine.asterisk.ari import errors
from engine.asterisk.ari.operations import Operations
from engine.asterisk.ari.rest import AiohttpRest, AriAddress

CONNECTIONS = 3


class Asterisk:
    """Answers every request with `status` and `body`, after `gate` is open; remembers what was asked."""

    def __init__(self) -> None:
        self.status, self.body = 200, "[]"
        self.requests: list[web.Request] = []
        self.bodies: list[str] = []
        self.at_once = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def serve(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        self.bodies.append(await request.text())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        return web.Response(status=self.status, text=self.body, content_type="application/json")


@pytest_asyncio.fixture
async def asterisk() -> AsyncIterator[Asterisk]:
    yield Asterisk()


@pytest_asyncio.fixture
async def ari(asterisk: Asterisk) -> AsyncIterator[Operations]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", asterisk.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    rest = AiohttpRest(
        AriAddress("127.0.0.1", port, "dozvon", "пароль"), connections=CONNECTIONS, timeout=0.5
    )
    await rest.open()
    yield Operations(rest)
    asterisk.gate.set()
    await rest.close()
    await runner.cleanup()


async def test_the_password_travels_in_a_header_and_never_in_the_url(
    ari: Operations, asterisk: Asterisk
) -> None:
    await ari.channels.list()
    request = asterisk.requests[0]
    kind, _, credentials = request.headers["Authorization"].partition(" ")
    assert (kind, b64decode(credentials).decode()) == ("Basic", "dozvon:пароль")
    assert str(request.rel_url) == "/ari/channels"


async def test_what_is_asked_is_written_as_asterisk_reads_it(ari: Operations, asterisk: Asterisk) -> None:
    asterisk.body = ""
    await ari.bridges.addChannel("b/1", channel=["one", "two"], mute=True)
    request = asterisk.requests[0]
    assert request.raw_path == "/ari/bridges/b%2F1/addChannel?channel=one,two&mute=true"
    await ari.channels.setChannelVars("c", variables={"КЛЮЧ": "семь"})
    assert asterisk.bodies[1] == '{"variables":{"КЛЮЧ":"семь"}}'


async def test_a_plus_stays_a_plus(ari: Operations, asterisk: Asterisk) -> None:
    with pytest.raises(errors.UnexpectedReply):
        await ari.channels.originate(endpoint="PJSIP/+79000000001@trunk", app="dozvon")
    assert "endpoint=PJSIP/%2B79000000001@trunk" in asterisk.requests[0].raw_path


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, errors.BadRequest),
        (401, errors.Refused),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (412, errors.WrongState),
        (418, errors.AriError),
        (422, errors.Unprocessable),
        (500, errors.ServerError),
        (503, errors.ServerError),
    ],
)
async def test_each_status_is_an_error_of_its_own(
    ari: Operations, asterisk: Asterisk, status: int, error: type[errors.AriError]
) -> None:
    asterisk.status, asterisk.body = status, '{"message": "in its own words"}'
    with pytest.raises(error) as raised:
        await ari.channels.answer("c")
    assert type(raised.value) is error
    assert raised.value.status == status
    assert "POST /channels/c/answer" in str(raised.value)
    assert ("in its own words" if status != 401 else "refuses the ARI user «dozvon»") in str(raised.value)
    assert "пароль" not in str(raised.value)


async def test_words_that_are_not_json(ari: Operations, asterisk: Asterisk) -> None:
    asterisk.status, asterisk.body = 500, "<html>out of memory</html>"
    with pytest.raises(errors.ServerError, match="out of memory"):
        await ari.channels.answer("c")


async def test_a_reply_that_does_not_fit(ari: Operations, asterisk: Asterisk) -> None:
    asterisk.body = '[{"id": 7}]'
    with pytest.raises(errors.UnexpectedReply, match="GET /channels"):
        await ari.channels.list()


async def test_no_more_requests_at_once_than_allowed(ari: Operations, asterisk: Asterisk) -> None:
    asterisk.gate.clear()
    asking = [asyncio.create_task(ari.channels.list()) for _ in range(4 * CONNECTIONS)]
    while asterisk.at_once < CONNECTIONS:
        await asyncio.sleep(0)
    asterisk.gate.set()
    await asyncio.gather(*asking)
    assert asterisk.most_at_once == CONNECTIONS
    assert len(asterisk.requests) == 4 * CONNECTIONS


async def test_an_answer_that_does_not_come(ari: Operations, asterisk: Asterisk) -> None:
    asterisk.gate.clear()
    with pytest.raises(errors.Unavailable, match=r"no answer within 0\.5 s"):
        await ari.channels.list()
    assert len(asterisk.requests) == 1
