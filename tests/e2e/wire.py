"""A telephone made of two UDP sockets: just enough SIP and RTP to test Asterisk without any softphone's help."""

import asyncio
import contextlib
import random
import re
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

FRAME_SECONDS = 0.02
_NOISE = random.Random(112).randbytes(160)  # A-law: loud, never silent
_SILENCE = b"\xd5" * 160


class _Inbox(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.put_nowait((data, addr))

    def error_received(self, exc: Exception) -> None:
        """Nobody listens on the other side (yet): what a telephone hears is silence."""


@dataclass
class Phone:
    """One call at a time. `said`: start lines of all that was received; `frames`: RTP packets heard."""

    number: str
    transport: asyncio.DatagramTransport
    inbox: _Inbox
    rtp: asyncio.DatagramTransport
    rtp_inbox: _Inbox
    said: list[str] = field(default_factory=list)
    talking: bool = True
    caller: str = ""
    _media: asyncio.Task[None] | None = None
    _keys: list[str] = field(default_factory=list)
    _dialogue: dict[str, str] = field(default_factory=dict)
    _peer: tuple[str, int] = ("", 0)

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])

    @property
    def frames(self) -> int:
        return self.rtp_inbox.received.qsize()

    async def calls(self, did: str, port: int) -> int:
        """Send an INVITE and acknowledge its final answer, whose status is returned."""
        self._peer = ("127.0.0.1", port)
        self._dialogue = {
            "uri": f"sip:{did}@127.0.0.1:{port}",
            "local": f"<sip:{self.number}@127.0.0.1:{self.port}>;tag=w{random.randrange(10**9)}",
            "remote": f"<sip:{did}@127.0.0.1:{port}>",
            "call": f"{random.randrange(10**12)}@wire",
        }
        self._request("INVITE", 1, self._sdp())
        while True:
            status, headers, body = await self._next()
            if status.startswith("SIP/2.0 1"):
                continue
            self._dialogue["remote"] = headers["to"]
            self._request("ACK", 1)
            code = int(status.split()[1])
            if code == 200:
                self._start_media(body)
            return code

    async def rings(self) -> str:
        """Wait for an INVITE; return the number that it asks for."""
        while True:
            line, headers, body = await self._next()
            if line.startswith("INVITE"):
                break
        uri = line.split()[1]
        self._dialogue = {
            "uri": re.search(r"<([^>]*)>", headers["contact"])[1],  # type: ignore[index]
            "local": headers["to"] + f";tag=w{random.randrange(10**9)}",
            "remote": headers["from"],
            "call": headers["call-id"],
        }
        self._invite, self._offer, self.caller = headers, body, headers["from"]
        return uri.removeprefix("sip:").split("@")[0]

    def answers(self) -> None:
        self._reply("200 OK", self._invite, self._sdp())
        self._start_media(self._offer)

    def refuses(self, status: str = "486 Busy Here") -> None:
        self._reply(status, self._invite)

    def presses(self, digit: str) -> None:
        self._keys.append(digit)

    def hangs_up(self) -> None:
        self._request("BYE", 2)

    async def is_hung_up(self) -> None:
        """Wait for the other side's BYE and confirm it."""
        while True:
            line, headers, _ = await self._next()
            if line.startswith("BYE"):
                self._reply("200 OK", headers)
                return

    def close(self) -> None:
        if self._media:
            self._media.cancel()
        self.transport.close()
        self.rtp.close()

    async def _next(self) -> tuple[str, dict[str, str], str]:
        data, self._peer = await self.inbox.received.get()
        head, _, body = data.decode().partition("\r\n\r\n")
        line, *rest = head.split("\r\n")
        headers: dict[str, str] = {}
        for name, value in (header.split(":", 1) for header in rest):
            headers.setdefault(name.strip().lower(), value.strip())
        self.said.append(line)
        return line, headers, body

    def _request(self, method: str, cseq: int, body: str = "") -> None:
        d = self._dialogue
        self._send(
            f"{method} {d['uri']} SIP/2.0",
            [
                f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{random.randrange(10**12)};rport",
                f"From: {d['local']}",
                f"To: {d['remote']}",
                f"Call-ID: {d['call']}",
                f"CSeq: {cseq} {method}",
                f"Contact: <sip:{self.number}@127.0.0.1:{self.port}>",
                "Max-Forwards: 70",
            ],
            body,
        )

    def _reply(self, status: str, headers: dict[str, str], body: str = "") -> None:
        to = self._dialogue["local"] if headers["cseq"].endswith("INVITE") else headers["to"]
        self._send(
            f"SIP/2.0 {status}",
            [
                f"Via: {headers['via']}",
                f"From: {headers['from']}",
                f"To: {to}",
                f"Call-ID: {headers['call-id']}",
                f"CSeq: {headers['cseq']}",
                f"Contact: <sip:{self.number}@127.0.0.1:{self.port}>",
            ],
            body,
        )

    def _send(self, line: str, headers: list[str], body: str) -> None:
        if body:
            headers = [*headers, "Content-Type: application/sdp"]
        text = "\r\n".join([line, *headers, f"Content-Length: {len(body)}", "", body])
        self.transport.sendto(text.encode(), self._peer)

    def _sdp(self) -> str:
        port = self.rtp.get_extra_info("sockname")[1]
        return (
            "v=0\r\no=w 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
        )

    def _start_media(self, sdp: str) -> None:
        port = int(re.search(r"m=audio (\d+)", sdp)[1])  # type: ignore[index]
        self._media = asyncio.create_task(self._stream(("127.0.0.1", port)), name=f"rtp of {self.number}")

    async def _stream(self, peer: tuple[str, int]) -> None:
        sequence, stamp = 0, 0

        def send(kind: int, payload: bytes) -> None:
            nonlocal sequence
            sequence += 1
            self.rtp.sendto(struct.pack("!BBHII", 0x80, kind, sequence, stamp, 112) + payload, peer)

        while True:
            if self._keys:
                digit = "0123456789*#".index(self._keys.pop(0))
                for step in range(1, 8):
                    send(101, struct.pack("!BBH", digit, 0x8A if step > 4 else 0x0A, min(step, 5) * 160))
            else:
                send(8, _NOISE if self.talking else _SILENCE)
            stamp += 160
            await asyncio.sleep(FRAME_SECONDS)


@contextlib.asynccontextmanager
async def phone(number: str, port: int = 0) -> AsyncIterator[Phone]:
    """A telephone on `port` of loopback (any free one, when 0)."""
    loop = asyncio.get_running_loop()
    transport, inbox = await loop.create_datagram_endpoint(_Inbox, ("127.0.0.1", port))
    rtp, rtp_inbox = await loop.create_datagram_endpoint(_Inbox, ("127.0.0.1", 0))
    made = Phone(number, transport, inbox, rtp, rtp_inbox)
    try:
        yield made
    finally:
        made.close()
