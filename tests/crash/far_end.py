"""A telephone network that costs nearly nothing: one UDP socket that takes every call in its own mood, and counts what must not be.

A double ring is two calls at one phone at the same time. What an Asterisk that was killed left ringing is put down by `line_broke`, as
the provider's own session timer does.
"""

from __future__ import annotations

import asyncio
import random
import re
import struct
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

ACCEPT_KEYS = "56789"
FRAME = 160
OUR_NUMBERS = "sip:+7495000"


@dataclass(eq=False)
class Dialog:
    """One call at one phone, from its INVITE to its end."""

    number: str
    call_id: str
    headers: dict[str, str]
    offer: str
    peer: tuple[str, int]
    tag: str
    invited_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    last: bytes = b""
    """The last response, for a retransmitted INVITE."""

    @property
    def over(self) -> bool:
        return self.ended_at is not None

    def end(self) -> None:
        self.ended_at = self.ended_at or datetime.now(UTC)


@dataclass(eq=False)
class FarEnd(asyncio.DatagramProtocol):
    """Use it as `async with await FarEnd.on(port, rng) as far_end`."""

    rng: random.Random
    dialogs: dict[str, Dialog] = field(default_factory=dict)
    invites: Counter[str] = field(default_factory=Counter)
    """New calls of walks, by number."""
    alarms: int = 0
    """Calls that Asterisk places by itself, without the companies' caller IDs: an alarm may ring whom the walk rings."""
    doubles: list[tuple[Dialog, datetime]] = field(default_factory=list)
    """The call that was up, and when the other one came."""
    answers: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _sip: asyncio.DatagramTransport | None = None
    _rtp: asyncio.DatagramTransport | None = None

    @classmethod
    async def on(cls, port: int, rng: random.Random) -> FarEnd:
        loop, far_end = asyncio.get_running_loop(), cls(rng)
        far_end._sip, _ = await loop.create_datagram_endpoint(lambda: far_end, ("127.0.0.1", port))
        far_end._rtp, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
        return far_end

    async def __aenter__(self) -> FarEnd:
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for transport in (self._sip, self._rtp):
            if transport is not None:
                transport.close()

    @property
    def live(self) -> list[Dialog]:
        return [dialog for dialog in self.dialogs.values() if not dialog.over]

    def line_broke(self) -> None:
        """Whoever called is gone without a word."""
        for dialog in self.dialogs.values():
            dialog.end()

    # --- SIP -----------------------------------------------------------------------------------------------------------------------

    def error_received(self, error: Exception) -> None:
        """Asterisk is away: what is said to it now is lost."""

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        head, _, body = data.decode().partition("\r\n\r\n")
        line, *rest = head.split("\r\n")
        headers: dict[str, str] = {}
        for name, value in (each.split(":", 1) for each in rest):
            headers.setdefault(name.strip().lower(), value.strip())
        call_id = headers["call-id"]
        match line.split()[0]:
            case "INVITE":
                self._invited(line, headers, body, peer)
            case "CANCEL":
                self._reply("200 OK", headers, peer, "")
                self._finish(call_id, "487 Request Terminated")
            case "BYE":
                self._reply("200 OK", headers, peer, "")
                if call_id in self.dialogs:
                    self.dialogs[call_id].end()
            case "OPTIONS":
                self._reply("200 OK", headers, peer, "")
            case _:
                pass  # an ACK, or a response to our BYE

    def _invited(self, line: str, headers: dict[str, str], body: str, peer: tuple[str, int]) -> None:
        known = self.dialogs.get(headers["call-id"])
        if known is not None:
            if self._sip is not None and known.last:
                self._sip.sendto(known.last, peer)
            return
        number = line.split()[1].removeprefix("sip:").partition("@")[0]
        if OUR_NUMBERS not in headers["from"]:
            self.alarms += 1
            number = f"alarm {number}"
        for other in self.live:
            if other.number == number:
                self.doubles.append((other, datetime.now(UTC)))
        tag = f"f{self.rng.randrange(10**9)}"
        dialog = self.dialogs[headers["call-id"]] = Dialog(
            number, headers["call-id"], headers, body, peer, tag
        )
        if not number.startswith("alarm"):
            self.invites[number] += 1
        task = asyncio.create_task(self._take(dialog), name=f"phone {number}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, dialog: Dialog) -> None:
        """A person's mood."""
        self._respond(dialog, "180 Ringing")
        await asyncio.sleep(self.rng.uniform(0.0, 1.0))
        mood = self.rng.random()
        if mood < 0.25:
            return self._finish(dialog.call_id, "486 Busy Here")
        if mood < 0.35:
            return self._finish(dialog.call_id, "603 Decline")
        if mood < 0.38:
            return self._finish(dialog.call_id, "503 Service Unavailable")
        if mood < 0.60 or dialog.over:
            return None  # it rings until the other side has had enough
        self.answer(dialog)
        await asyncio.sleep(self.rng.uniform(0.3, 2.0))
        if mood < 0.75:
            keys = list(ACCEPT_KEYS)
            self.rng.shuffle(keys)
            for key in keys:  # one of them is the one that was asked for
                await self._press(dialog, key)
        elif mood < 0.88:
            await self._press(dialog, "2")
            await self._press(dialog, "3")
        elif mood < 0.95:
            self._hang_up(dialog)
        return None

    def answer(self, dialog: Dialog) -> None:
        """Pick up. Nothing is said."""
        dialog.answered_at = datetime.now(UTC)
        self.answers += 1
        self._respond(dialog, "200 OK", self._sdp())

    def _finish(self, call_id: str, status: str) -> None:
        dialog = self.dialogs.get(call_id)
        if dialog is not None and not dialog.over and dialog.answered_at is None:
            dialog.end()
            self._respond(dialog, status)

    def _hang_up(self, dialog: Dialog) -> None:
        if dialog.over or self._sip is None:
            return
        dialog.end()
        contact = re.search(r"<([^>]*)>", dialog.headers["contact"])
        assert contact is not None
        port = self._port(self._sip)
        lines = [
            f"BYE {contact[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{self.rng.randrange(10**12)};rport",
            f"From: {dialog.headers['to']};tag={dialog.tag}",
            f"To: {dialog.headers['from']}",
            f"Call-ID: {dialog.call_id}",
            "CSeq: 2 BYE",
            "Max-Forwards: 70",
            "Content-Length: 0",
        ]
        self._sip.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), dialog.peer)

    def _respond(self, dialog: Dialog, status: str, body: str = "") -> None:
        dialog.last = self._reply(status, dialog.headers, dialog.peer, dialog.tag, body)

    def _reply(
        self, status: str, headers: dict[str, str], peer: tuple[str, int], tag: str, body: str = ""
    ) -> bytes:
        assert self._sip is not None
        lines = [
            f"SIP/2.0 {status}",
            f"Via: {headers['via']}",
            f"From: {headers['from']}",
            f"To: {headers['to']}" + (f";tag={tag}" if tag and "tag=" not in headers["to"] else ""),
            f"Call-ID: {headers['call-id']}",
            f"CSeq: {headers['cseq']}",
            f"Contact: <sip:far@127.0.0.1:{self._port(self._sip)}>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        data = ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
        self._sip.sendto(data, peer)
        return data

    # --- sound ---------------------------------------------------------------------------------------------------------------------

    async def _press(self, dialog: Dialog, key: str) -> None:
        """A key by RFC 4733: seven packets, the last three of which say that it was let go."""
        port = re.search(r"m=audio (\d+)", dialog.offer)
        if dialog.over or port is None or self._rtp is None:
            return
        peer, stamp = ("127.0.0.1", int(port[1])), self.rng.randrange(2**31)
        for step in range(1, 8):
            event = struct.pack(
                "!BBH", "0123456789*#".index(key), 0x8A if step > 4 else 0x0A, min(step, 5) * FRAME
            )
            header = struct.pack("!BBHII", 0x80, 101, self.rng.randrange(2**16) & 0xFF00 | step, stamp, 112)
            self._rtp.sendto(header + event, peer)
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.4)

    def _sdp(self) -> str:
        assert self._rtp is not None
        return (
            "v=0\r\no=f 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {self._port(self._rtp)} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\n"
        )

    @staticmethod
    def _port(transport: asyncio.DatagramTransport) -> int:
        return int(transport.get_extra_info("sockname")[1])
