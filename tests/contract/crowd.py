"""A crowd of telephones on one UDP socket: enough SIP for hundreds of calls at once, and no sound at all.

The last digit of a number says how it takes a call: 1 is busy, 2 rings for ever, any other rings and answers.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

SDP = (
    "v=0\r\no=c 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 8 101\r\n"
    "a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
)


class Crowd(asyncio.DatagramProtocol):
    """`talking` holds the Call-IDs that were answered and not ended; `cancelled` counts the CANCELs, `refused` our calls
    that nobody answered."""

    def __init__(self) -> None:
        self.talking: set[str] = set()
        self.cancelled = 0
        self.refused = 0
        self._invites: dict[str, tuple[dict[str, str], tuple[str, int]]] = {}
        self._met: set[str] = set()
        self._picked_up: set[str] = set()
        self._numbers = count(1)
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    @property
    def port(self) -> int:
        return int(self._transport.get_extra_info("sockname")[1])

    def calls(self, number: str, did: str, to: tuple[str, int]) -> None:
        """Send an INVITE; whoever answers has it until they hang up."""
        id = f"crowd-{next(self._numbers)}"
        sip_from = f"<sip:{number}@127.0.0.1:{self.port}>;tag={id}"
        self._request("INVITE", id, sip_from, f"<sip:{did}@127.0.0.1:{to[1]}>", to, SDP)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        head = data.decode().partition("\r\n\r\n")[0].split("\r\n")
        first, headers = head[0], {}
        for line in head[1:]:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), value.strip())
        if first.startswith("SIP/2.0 "):
            self._answered(int(first.split()[1]), headers, addr)
        else:
            self._asked(first.split()[0], first.split()[1], headers, addr)

    def _asked(self, method: str, uri: str, headers: dict[str, str], addr: tuple[str, int]) -> None:
        id = headers["call-id"]
        match method:
            case "INVITE" if id not in self._met:  # a retransmission is not another call
                self._met.add(id)
                how = (re.search(r"(\d)@", uri) or [""])[1]
                self._invites[id] = (headers, addr)
                if how == "1":
                    return self._reply("486 Busy Here", headers, addr)
                self._reply("180 Ringing", headers, addr)
                if how != "2":
                    asyncio.get_running_loop().call_later(0.01, self._answer, id)
            case "CANCEL":
                self._reply("200 OK", headers, addr)
                if (invite := self._invites.pop(id, None)) is not None:
                    self.cancelled += 1
                    self._reply("487 Request Terminated", *invite)
            case "ACK" if id in self._picked_up:
                self.talking.add(id)
            case "BYE":
                self._picked_up.discard(id)
                self.talking.discard(id)
                self._reply("200 OK", headers, addr)
        return None

    def _answer(self, id: str) -> None:
        if (invite := self._invites.pop(id, None)) is not None:
            self._picked_up.add(id)
            self._reply("200 OK", *invite, SDP)

    def _answered(self, status: int, headers: dict[str, str], addr: tuple[str, int]) -> None:
        if not headers["cseq"].endswith("INVITE") or status < 200:
            return
        id = headers["call-id"]
        self._request("ACK", id, headers["from"], headers["to"], addr)
        if status == 200:
            self.talking.add(id)
        else:
            self.refused += 1

    def _reply(self, status: str, headers: dict[str, str], addr: tuple[str, int], body: str = "") -> None:
        to = headers["to"] if ";tag=" in headers["to"] else f"{headers['to']};tag=crowd"
        lines = [f"{name}: {headers[name.lower()]}" for name in ("Via", "From", "Call-ID", "CSeq")]
        self._send(f"SIP/2.0 {status}", [*lines, f"To: {to}"], addr, body)

    def _request(
        self, method: str, id: str, sip_from: str, to: str, addr: tuple[str, int], body: str = ""
    ) -> None:
        uri = re.search(r"<([^>]*)>", to)
        assert uri is not None
        via = f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{method}{id};rport"
        lines = [
            via,
            f"From: {sip_from}",
            f"To: {to}",
            f"Call-ID: {id}",
            f"CSeq: 1 {method}",
            "Max-Forwards: 70",
        ]
        self._send(f"{method} {uri[1]} SIP/2.0", lines, addr, body)

    def _send(self, first: str, lines: list[str], addr: tuple[str, int], body: str) -> None:
        lines = [*lines, f"Contact: <sip:crowd@127.0.0.1:{self.port}>", f"Content-Length: {len(body)}"]
        if body:
            lines.append("Content-Type: application/sdp")
        self._transport.sendto("\r\n".join([first, *lines, "", body]).encode(), addr)


@asynccontextmanager
async def crowd() -> AsyncIterator[Crowd]:
    transport, made = await asyncio.get_running_loop().create_datagram_endpoint(Crowd, ("127.0.0.1", 0))
    try:
        yield made
    finally:
        transport.close()
