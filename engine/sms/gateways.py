"""The configured providers as one way out: in order, the next one where one refuses or is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import aiohttp
import structlog

from engine.ports import Handed, Heard, Message
from engine.sms.http import Account, HttpProvider
from engine.sms.template import Template

log = structlog.get_logger()

AWAY_SECONDS = 15.0
"""A provider that was away is tried after the others for so long."""


class Provider(Protocol):
    """One way out."""

    @property
    def account(self) -> Account: ...

    async def send(self, message: Message) -> Handed:
        """Raises `ConnectionError` (not now) or `ValueError` (never)."""
        ...

    async def probe(self) -> str | None:
        """What is wrong, or None."""
        ...

    async def serve(self, heard: Heard) -> None:
        """Keep up its connection, if it has one of its own, until cancelled."""
        ...


class Gateways:
    """`ports.Texts` over several providers, preferred first."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = providers
        self._away: dict[str, float] = {}

    async def send(self, message: Message, avoid: Collection[str] = ()) -> Handed:
        """See `ports.Texts.send`."""
        now = asyncio.get_running_loop().time()
        mine = [
            provider
            for provider in self._providers
            if provider.account.name not in avoid
            and (not provider.account.companies or message.company in provider.account.companies)
        ]
        if not mine:
            raise LookupError(f"no {'other ' if avoid else ''}provider sends texts for {message.company}")
        mine.sort(key=lambda provider: self._away.get(provider.account.name, 0.0) > now)
        away: list[str] = []
        refused: list[str] = []
        for provider in mine:
            name = provider.account.name
            try:
                handed = await provider.send(message)
            except ConnectionError as error:
                self._away[name] = now + AWAY_SECONDS
                away.append(str(error))
            except ValueError as error:
                refused.append(str(error))
            else:
                self._away.pop(name, None)
                return handed
            if len(mine) > 1:
                log.warning("a provider did not take a text", provider=name, text=message.id)
        if away:
            raise ConnectionError("; ".join(away))
        raise ValueError("; ".join(refused))

    async def probe(self) -> Mapping[str, str | None]:
        """See `ports.Texts.probe`."""
        said = await asyncio.gather(*(provider.probe() for provider in self._providers))
        return {provider.account.name: wrong for provider, wrong in zip(self._providers, said, strict=True)}

    async def serve(self, heard: Heard) -> None:
        """See `ports.Texts.serve`."""
        async with asyncio.TaskGroup() as group:
            for provider in self._providers:
                group.create_task(provider.serve(heard), name=f"texts by {provider.account.name}")


@asynccontextmanager
async def open_http(accounts: Sequence[tuple[Account, Template]]) -> AsyncIterator[list[HttpProvider]]:
    """The providers that are spoken to over HTTP, with a session of theirs."""
    async with aiohttp.ClientSession() as session:
        yield [HttpProvider(account, template, session) for account, template in accounts]
