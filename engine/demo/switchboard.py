"""One SIP address for all softphones: a UDP forwarder in front of the worker processes, in a process of its own (`child`).

It is a stateless proxy (RFC 3261, 16.11) that keeps one thing: which worker has which Call-ID. A request goes down with a Via of
ours on top, a response goes up without it; nothing else is touched. It reads no more of a message than its first line and
four headers. A new INVITE is told of, each time that it comes, and waits for its route; a `silent` phone is one that never gets any.

Commands: `route {call, port}`, `release {call}`, `quit`. Events: `ready`, `invite {call_id, number, caller, caller_name, headers}`.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import cast
from urllib.parse import unquote

from engine.demo import child

Address = tuple[str, int]

ROUTE_KEPT_SECONDS = 64.0
"""64 × T1 and a margin: nothing of a finished call is retransmitted after that."""

_REQUEST = re.compile(rb"(?P<method>[A-Z]+) (?P<uri>\S+) SIP/2\.0\r\n")
_CALL_ID = re.compile(rb"^(?:Call-ID|i)[ \t]*:[ \t]*(\S+)", re.I | re.M)
_TOP_VIA = re.compile(rb"^(?:Via|v)[ \t]*:[^\r\n]*\r\n", re.I | re.M)
_HEADER = re.compile(r"^([A-Za-z-]+)[ \t]*:[ \t]*(.*?)\r?$", re.M)
_TO_TAG = re.compile(rb"^(?:To|t)[ \t]*:[^\r\n]*;tag=", re.I | re.M)
_FROM = re.compile(r'(?:"?(?P<name>[^"<]*?)"?\s*<)?sips?:(?P<user>[^@;>]+)@')
_USER = re.compile(r"sips?:([^@;>]+)@")


@dataclass(frozen=True, slots=True)
class Invite:
    """What a ringing phone can know: the number dialled, who calls, and every header as it came."""

    call_id: str
    number: str
    caller: str
    caller_name: str
    headers: dict[str, str] = field(repr=False)

    @classmethod
    def parse(cls, message: bytes) -> Invite:
        """Read an INVITE; raises `ValueError` on anything else."""
        first, call_id = _REQUEST.match(message), _CALL_ID.search(message)
        if first is None or first["method"] != b"INVITE" or call_id is None:
            raise ValueError("not an INVITE with a Call-ID")
        text = message.partition(b"\r\n\r\n")[0].decode(errors="replace")
        headers = {name.title(): value for name, value in reversed(_HEADER.findall(text))}
        number = _USER.match(first["uri"].decode())
        caller, name = caller_of(headers.get("From", headers.get("F", "")))
        return cls(
            call_id=call_id[1].decode(),
            number=unquote(number[1]) if number else "",
            caller=caller,
            caller_name=name,
            headers=headers,
        )


def caller_of(address: str) -> tuple[str, str]:
    """The user and the display name of a From header; empty where there is none."""
    found = _FROM.search(address)
    return (unquote(found["user"]), found["name"] or "") if found else ("", "")


@dataclass(slots=True)
class _Route:
    upstream: Address
    worker: Address
    released_at: float | None = None


@dataclass(slots=True)
class _Unrouted:
    """An INVITE that has no worker yet."""

    message: bytes
    caller: Address
    came_at: float
    cancel: bytes = b""
    """What its caller sent when it grew tired of waiting."""


class Switchboard(asyncio.DatagramProtocol):
    """Forwards SIP between whoever calls its address and the workers. `on_invite` hears of each INVITE that has no route."""

    def __init__(self, on_invite: Callable[[Invite], None]) -> None:
        self._on_invite = on_invite
        self._routes: dict[bytes, _Route] = {}
        self._unrouted: dict[bytes, _Unrouted] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._address: Address = ("", 0)

    def route(self, call_id: str, worker: Address) -> None:
        """From now on the call is that worker's; an INVITE that waits for this goes there at once."""
        waiting = self._unrouted.pop(call_id.encode(), None)
        if waiting is not None:
            self._routes[call_id.encode()] = _Route(waiting.caller, worker)
            for message in filter(None, (waiting.message, waiting.cancel)):
                self._send(with_via(message, self._address), worker)

    def release(self, call_id: str) -> None:
        """The call is over: keep its route for retransmissions, then drop it."""
        now = time.monotonic()
        if (route := self._routes.get(call_id.encode())) is not None:
            route.released_at = now
        self._routes = {
            each: kept
            for each, kept in self._routes.items()
            if kept.released_at is None or now - kept.released_at < ROUTE_KEPT_SECONDS
        }
        self._unrouted = {
            each: kept for each, kept in self._unrouted.items() if now - kept.came_at < ROUTE_KEPT_SECONDS
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # no subclass of it before 3.12
        self._address = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: Address) -> None:
        call_id = _CALL_ID.search(data)
        if call_id is None:
            return  # keep-alives
        route = self._routes.get(call_id[1])
        if route is None:
            self._meet(call_id[1], data, addr)
        elif data.startswith(b"SIP/2.0 "):
            if addr == route.worker:
                self._send(without_top_via(data), route.upstream)
        elif addr != route.worker:
            route.upstream = addr
            self._send(with_via(data, self._address), route.worker)

    def _meet(self, call_id: bytes, message: bytes, caller: Address) -> None:
        """A message of a call that has no route."""
        if message.startswith(b"INVITE ") and not _TO_TAG.search(message):
            self._unrouted[call_id] = _Unrouted(message, caller, time.monotonic())
            self._on_invite(Invite.parse(message))
        elif message.startswith(b"CANCEL ") and call_id in self._unrouted:
            self._unrouted[call_id].cancel = message

    def _send(self, data: bytes, to: Address) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, to)


def with_via(request: bytes, here: Address) -> bytes:
    """The request with a Via of ours on top. Its branch follows from the one below it, so a retransmission, a CANCEL and
    the ACK of a refusal carry the same branch as their INVITE (RFC 3261, 16.11)."""
    top = _TOP_VIA.search(request)
    if top is None:
        return request
    branch = hashlib.sha1(top[0], usedforsecurity=False).hexdigest()[:20]
    via = f"Via: SIP/2.0/UDP {here[0]}:{here[1]};rport;branch=z9hG4bK{branch}\r\n".encode()
    return request[: top.start()] + via + request[top.start() :]


def without_top_via(response: bytes) -> bytes:
    """The response without its topmost Via, which is ours."""
    return _TOP_VIA.sub(b"", response, count=1)


async def _serve(address: socket.socket) -> None:
    loop, over, commands = asyncio.get_running_loop(), asyncio.Event(), child.Commands()
    _, board = await loop.create_datagram_endpoint(
        lambda: Switchboard(lambda invite: child.tell(1, "invite", **asdict(invite))), sock=address
    )

    def obey() -> None:
        for command in commands.read():
            match command["do"]:
                case "route":
                    board.route(command["call"], ("127.0.0.1", command["port"]))
                case "release":
                    board.release(command["call"])
                case "quit":
                    over.set()
        if commands.over:
            loop.remove_reader(0)
            over.set()

    loop.add_reader(0, obey)
    child.tell(1, "ready")
    await over.wait()


def main() -> None:
    """`python -m engine.demo.switchboard SOCKET PARENT_PID`: the number of the UDP socket to serve, which was inherited."""
    if child.begin(int(sys.argv[2])):
        asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
