"""`ports.Hooks` over HTTP: signed, retried with growing pauses, in order for a ticket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import structlog

from engine.hooks.signing import headers
from engine.ports import Notice

log = structlog.get_logger()

ANSWER_SECONDS = 10.0
PAUSES_SECONDS = (1.0, 2.0, 5.0, 15.0, 60.0, 120.0, 300.0)
"""Between two tries; given up after the last, so after less than ten minutes."""
TRY_LATER = frozenset({408, 425, 429})
"""Refusals that may pass; so may every 5xx."""


@dataclass(slots=True)
class _Queue:
    """Whoever posts to one address about one ticket, one after the other."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class WebHooks:
    """Use it as `async with WebHooks(secret) as hooks:`. `now` is the time that is signed, in seconds since 1970."""

    def __init__(
        self,
        secret: str,
        *,
        pauses: Sequence[float] = PAUSES_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._secret = secret
        self._pauses = tuple(pauses)
        self._now = now
        self._client: aiohttp.ClientSession | None = None
        self._queues: dict[tuple[str, int | None], _Queue] = {}

    async def __aenter__(self) -> WebHooks:
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS))
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def post(self, notice: Notice) -> None:
        """See `ports.Hooks.post`."""
        told = {**notice.body, "id": notice.id, "type": notice.kind, "at": notice.at.isoformat()}
        body = json.dumps(told, ensure_ascii=False, sort_keys=True).encode()
        async with self._turn(notice):
            for pause in (*self._pauses, None):
                problem = await self._try(notice, body)
                if problem is None:
                    return
                log.warning("a webhook did not take a notice", notice=notice.id, problem=problem)
                if pause is not None:
                    await asyncio.sleep(pause)
        raise ConnectionError(f"{notice.url} did not take it, {len(self._pauses) + 1} times: {problem}")

    async def _try(self, notice: Notice, body: bytes) -> str | None:
        """None when it was taken, else why not yet. Raises `ValueError` when it never will be."""
        if self._client is None:
            return "webhooks are closed"
        signed = headers(self._secret, int(self._now()), body, notice.kind, notice.id)
        try:
            async with self._client.post(
                notice.url, data=body, headers=signed, allow_redirects=False
            ) as answer:
                status = answer.status
        except aiohttp.InvalidURL as error:
            raise ValueError(f"{notice.url} is no address to post to; correct it in company.yaml") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return repr(error)
        if status < 300:
            return None
        if status >= 500 or status in TRY_LATER:
            return f"it answered {status}"
        raise ValueError(f"{notice.url} refuses it: {status}")

    @asynccontextmanager
    async def _turn(self, notice: Notice) -> AsyncIterator[None]:
        """After the earlier notices of the same ticket. What is about no ticket waits for nobody."""
        if notice.ticket is None:
            yield
            return
        key = notice.url, notice.ticket
        queue = self._queues.setdefault(key, _Queue())
        queue.users += 1
        try:
            async with queue.turn:
                yield
        finally:
            queue.users -= 1
            if not queue.users:
                del self._queues[key]
