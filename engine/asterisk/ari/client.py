"""The ARI client: typed operations, and one websocket whose reader only files what comes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn
from uuid import uuid4

import aiohttp
import msgspec
import structlog

from . import model
from .errors import AppReplaced, AriError, ClientClosed, Refused, Unavailable
from .events import Connected, Key, Router, Sink, Subscription, decode
from .operations import Operations
from .rest import MAX_CONNECTIONS, REQUEST_SECONDS, AiohttpRest, AriAddress, refusal

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 5.0  # a ping each, and half of it for the pong: a silent peer is known after 7.5 s
CONNECT_SECONDS = 5.0
FIRST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 5.0
PROOF_SECONDS = 2.0  # an event of our own must be back by then, else the socket is deaf
QUIET_SECONDS = 5.0  # after so long without any event, ask for a proof again
LATER_PROOF_SECONDS = 10.0  # while calls are up the REST side may be busy


class AriClient(Operations):
    """All of ARI under one name: `client.channels.answer(id)`, `client.bridges.addChannel(id, channel=…)`.

    `async with AriClient(address) as client` raises `Refused` at once if the password is wrong. An Asterisk that is
    away is waited for in the background: `connected` tells, calls raise `Unavailable` meanwhile, and each new
    websocket is announced as a `Connected` event. `watch()` raises what cannot be mended (`AppReplaced`).
    """

    def __init__(
        self,
        address: AriAddress,
        *,
        connections: int = MAX_CONNECTIONS,
        request_seconds: float = REQUEST_SECONDS,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._address = address
        self._heartbeat = heartbeat
        self._rest = AiohttpRest(address, connections=connections, timeout=request_seconds)
        self._router = Router()
        self._up = asyncio.Event()
        self._heard_at = 0.0
        self._word = ""
        self._echoed = asyncio.Event()
        self._reader: asyncio.Task[NoReturn] | None = None
        super().__init__(self._rest)

    @property
    def app(self) -> str:
        return self._address.app

    @property
    def connected(self) -> bool:
        """Whether events flow at this moment."""
        return self._up.is_set()

    async def __aenter__(self) -> AriClient:
        await self._rest.open()
        tried: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._stay_connected(tried), name="ari-reader")
        try:
            await tried
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the websocket and every connection; subscriptions end with `ClientClosed`. May be called twice."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        self._router.end(ClientClosed("websocket", "the client was closed"))
        await self._rest.close()

    def listen(self, sink: Sink, *keys: Key) -> Callable[[], None]:
        """Call `sink` with each event under `keys`; it must only file it. Returns the function that ends it."""
        return self._router.listen(sink, *keys)

    def subscribe(self, *keys: Key) -> Subscription:
        """An ordered queue of the events under `keys`, from this moment on."""
        return self._router.subscribe(*keys)

    async def ready(self) -> None:
        """Wait until events flow."""
        await self._up.wait()

    async def watch(self) -> NoReturn:
        """Wait for ever, or until events can never flow again: then raise why."""
        if self._reader is None:
            raise ClientClosed("websocket", "the client is not open")
        await asyncio.shield(self._reader)
        raise AssertionError("the reader never returns")

    async def _stay_connected(self, tried: asyncio.Future[None]) -> NoReturn:
        """The reader: connect, file events until the socket is gone, wait a little longer each time, again."""
        pause, again = FIRST_RETRY_SECONDS, False
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        async with aiohttp.ClientSession(headers=self._address.headers, timeout=timeout) as session:
            while True:
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        websocket = await self._open(session)
                except (Unavailable, Refused, TimeoutError) as error:
                    if isinstance(error, Refused) and not tried.done():
                        tried.set_exception(error)
                    log.warning("ARI not connected", reason=str(error), retry_seconds=round(pause, 2))
                else:
                    pause = FIRST_RETRY_SECONDS
                    await self._read(websocket, tried, again)
                    again = True
                if not tried.done():
                    tried.set_result(None)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, LONGEST_RETRY_SECONDS)

    async def _open(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        request = f"websocket {self._address.url}/events"
        try:
            return await session.ws_connect(
                f"{self._address.url}/events",
                params={"app": self.app},
                heartbeat=self._heartbeat,
                max_msg_size=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 401:
                raise Refused(request, refusal(self._address), 401) from error
            raise Unavailable(request, error.message, error.status) from error
        except aiohttp.ClientError as error:
            raise Unavailable(request, str(error) or type(error).__name__) from error

    async def _read(
        self, websocket: aiohttp.ClientWebSocketResponse, tried: asyncio.Future[None], again: bool
    ) -> None:
        """File events until the socket is gone. Raises AppReplaced."""
        proving = asyncio.create_task(self._prove(websocket, tried, again), name="ari-proof")
        try:
            async for message in websocket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._heard_at = asyncio.get_running_loop().time()
                    self._file(message.data)
        finally:
            self._up.clear()
            proving.cancel()
            await asyncio.gather(proving, return_exceptions=True)
            await websocket.close()
        log.warning("ARI connection lost", close_code=websocket.close_code, reason=str(websocket.exception()))

    async def _prove(
        self, websocket: aiohttp.ClientWebSocketResponse, tried: asyncio.Future[None], again: bool
    ) -> None:
        """Events flow only when one of our own has come back: a socket opened just as the old one died may stay open and silent.

        The first proof announces the connection; later ones are asked for when nothing was heard for a while.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PROOF_SECONDS):
                await self._echo()
            self._up.set()
            log.info("ARI connected", app=self.app, again=again)
            self._router.dispatch(Connected(again=again))
            if not tried.done():
                tried.set_result(None)
            while True:
                await asyncio.sleep(max(0.1, self._heard_at + QUIET_SECONDS - loop.time()))
                if loop.time() - self._heard_at >= QUIET_SECONDS:
                    async with asyncio.timeout(LATER_PROOF_SECONDS):
                        await self._echo()
        except (TimeoutError, AriError) as error:
            log.warning("ARI websocket is silent, connecting anew", reason=str(error) or "no echo")
            await websocket.close()

    async def _echo(self) -> None:
        """Send ourselves an event and wait until it comes."""
        self._word, self._echoed = f"dozvon-{uuid4().hex}", asyncio.Event()
        await self.events.userEvent(self._word, application=self.app)
        await self._echoed.wait()

    def _file(self, text: str) -> None:
        try:
            event = decode(text)
        except msgspec.DecodeError as error:
            log.error("ARI sent something that is not an event", reason=str(error))
            return
        if isinstance(event, model.ApplicationReplaced):
            fatal: AriError = AppReplaced(
                "websocket",
                f"another client has taken over the ARI application «{self.app}»; stop it, or this engine",
            )
            self._router.end(fatal)
            raise fatal
        if isinstance(event, model.ChannelUserevent) and event.eventname == self._word:
            self._echoed.set()
            return
        self._router.dispatch(event)
