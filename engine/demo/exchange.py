"""The parent's end of the switchboard's process: no SIP message waits for what the parent is busy with."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

from engine.demo.child import Child
from engine.demo.switchboard import Address, Invite


class Exchange:
    """`on_invite` hears of every transmission of an INVITE that has no route yet."""

    def __init__(self, on_invite: Callable[[Invite], None], on_death: Callable[[], None]) -> None:
        self._on_invite, self._on_death = on_invite, on_death
        self._child: Child | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def processes(self) -> list[int]:
        return [self._child.process.pid] if self._child is not None else []

    async def open(self, address: Address, log: Path) -> Address:
        """Serve `address` (port 0: any), and return what it has become. Raises `OSError` if it is taken."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as served:
            served.bind(address)
            number = served.fileno()
            self._child = await Child.start("engine.demo.switchboard", number, log=log, files=[number])
            self._reader = asyncio.create_task(self._read(self._child), name="softphones: switchboard")
            host, port = served.getsockname()
            return host, port

    def route(self, call_id: str, port: int) -> None:
        """The call is for the worker on that port: its INVITE, which waits, goes there."""
        if self._child is not None:
            self._child.tell("route", call_id, port=port)

    def release(self, call_id: str) -> None:
        """The call is over."""
        if self._child is not None:
            self._child.tell("release", call_id)

    async def close(self) -> None:
        """End it. May be called twice."""
        child, self._child = self._child, None
        if child is not None and self._reader is not None:
            await child.quit()
            await self._reader

    async def _read(self, child: Child) -> None:
        async for event in child.events():
            del event["event"], event["at"]
            self._on_invite(Invite(**event))
        if self._child is not None:
            self._on_death()
