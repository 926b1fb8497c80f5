"""The telephone network's side of the trunk: one UDP socket that speaks SIP and knows when each message left or arrived.

Arrivals carry the kernel's own time stamps, so that a busy bench does not make the engine look slow.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_SO_TIMESTAMPNS = 35  # Linux: a realtime struct timespec with each datagram
_BUFFER_BYTES = 8 << 20
Headers = dict[str, str]


@dataclass(eq=False)
class Call:
    """One call, rung by the other side or made by us. Instants are UNIX time in nanoseconds."""

    net: Network
    number: str
    id: str
    begun_at: int
    ours: bool
    headers: Headers = field(default_factory=dict)
    local: str = ""
    remote: str = ""
    target: str = ""
    media: tuple[str, int] | None = None
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """Up: ours was answered, or our answer was acknowledged."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    status: int = 0
    """The final status of a call that we made."""
    cancelled_at: int | None = None
    cseq: int = 1

    def rings(self) -> None:
        self.net.reply(self, "180 Ringing", self.headers)

    def refuses(self, status: str) -> int:
        """Give the final response; when it left."""
        self.ended.set()
        return self.net.reply(self, status, self.headers)

    def answers(self) -> int:
        return self.net.reply(self, "200 OK", self.headers, self.net.sdp())

    def hangs_up(self) -> int:
        """BYE, or CANCEL if ours is not up yet; when it left."""
        self.ended.set()
        if self.ours and not self.answered.is_set():
            return self.net.request(self, "CANCEL", self.cseq)
        self.cseq += 1
        return self.net.request(self, "BYE", self.cseq)

    def presses(self, key: str) -> int:
        """Send a key by RFC 4733, as a telephone does; when the first packet that ends it left."""
        assert self.media is not None
        sent = 0
        for step in range(6):
            last = step >= 3
            stamp = struct.pack(
                "!BBHII", 0x80, 101 | (0x80 if step == 0 else 0), self.net.next_rtp(), 8000, 112
            )
            event = struct.pack(
                "!BBH", "0123456789*#".index(key), 0x8A if last else 0x0A, min(step + 1, 4) * 160
            )
            if step == 3:
                sent = time.time_ns()
            self.net.rtp.sendto(stamp + event, self.media)
        return sent


class Network:
    """All telephones at once. `on_invite` is told of each call that rings here; `on_cancel` and `on_bye` of how it ends."""

    def __init__(self, port: int, sip_port: int) -> None:
        self.port, self._asterisk = port, ("127.0.0.1", sip_port)
        self.on_invite: Callable[[Call], object] = lambda call: call.refuses("404 Not Found")
        self.on_cancel: Callable[[Call], None] = lambda _: None
        self.on_bye: Callable[[Call], None] = lambda _: None
        self.calls: dict[str, Call] = {}
        self._numbers = random.Random()
        self._rtp_sequence = 0

    @contextmanager
    def open(self) -> Iterator[Network]:
        """Listen while the block lasts."""
        loop = asyncio.get_running_loop()
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as self._socket,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as self.rtp,
        ):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._socket.setblocking(False)
            self._socket.bind(("127.0.0.1", self.port))
            self.rtp.bind(("127.0.0.1", 0))
            loop.add_reader(self._socket, self._receive)
            try:
                yield self
            finally:
                loop.remove_reader(self._socket)

    def call(self, number: str, caller: str) -> Call:
        """Ring a number on Asterisk's side."""
        tag = self._numbers.randrange(10**12)
        call = Call(self, number, f"{tag}@bench", time.time_ns(), ours=True)
        call.target = f"sip:{number}@{self._asterisk[0]}:{self._asterisk[1]}"
        call.local = f"<sip:{caller}@127.0.0.1:{self.port}>;tag={tag}"
        call.remote = f"<{call.target}>"
        call.headers["via"] = f"SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{tag};rport"
        self.calls[call.id] = call
        self.request(call, "INVITE", 1, self.sdp())
        return call

    def next_rtp(self) -> int:
        self._rtp_sequence = (self._rtp_sequence + 1) & 0xFFFF
        return self._rtp_sequence

    def sdp(self) -> str:
        port = self.rtp.getsockname()[1]
        return (
            "v=0\r\no=b 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
        )

    # What goes out

    def request(self, call: Call, method: str, cseq: int, body: str = "") -> int:
        """Send a request of the call; when it left."""
        via = call.headers["via"]
        if not call.ours or method not in ("INVITE", "CANCEL"):
            branch = self._numbers.randrange(10**12)
            via = f"SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{branch};rport"
        return self._send(
            f"{method} {call.target} SIP/2.0",
            {
                "Via": via,
                "From": call.local,
                "To": call.remote,
                "Call-ID": call.id,
                "CSeq": f"{cseq} {method}",
                "Contact": f"<sip:127.0.0.1:{self.port}>",
                "Max-Forwards": "70",
            },
            body,
        )

    def reply(self, call: Call, status: str, headers: Headers, body: str = "") -> int:
        """Answer a request of the call; when it left."""
        to = call.local if headers["cseq"].endswith("INVITE") else headers["to"]
        return self._send(
            f"SIP/2.0 {status}",
            {
                "Via": headers["via"],
                "From": headers["from"],
                "To": to,
                "Call-ID": call.id,
                "CSeq": headers["cseq"],
                "Contact": f"<sip:127.0.0.1:{self.port}>",
            },
            body,
        )

    def _send(self, start: str, headers: Headers, body: str) -> int:
        kind = "Content-Type: application/sdp\r\n" if body else ""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        text = f"{start}\r\n{lines}{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        left = time.time_ns()
        self._socket.sendto(text.encode(), self._asterisk)
        return left

    # What comes in

    def _receive(self) -> None:
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(65536, 64)
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # nobody listens on the other side (any more)
            at = time.time_ns()
            for level, kind, stamp in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                    seconds, nanoseconds = struct.unpack("qq", stamp)
                    at = seconds * 10**9 + nanoseconds
            head, _, body = data.decode(errors="replace").partition("\r\n\r\n")
            start, *rest = head.split("\r\n")
            headers: Headers = {}
            for name, _, value in (header.partition(":") for header in rest):
                headers.setdefault(name.strip().lower(), value.strip())
            if "call-id" in headers:
                self._take(start, headers, body, at)

    def _take(self, start: str, headers: Headers, body: str, at: int) -> None:
        call = self.calls.get(headers["call-id"])
        if start.startswith("SIP/2.0"):
            if call is not None:
                self._take_reply(call, int(start.split()[1]), headers, body)
            return
        method = start.split()[0]
        if method == "INVITE" and call is None:
            self._take_invite(start, headers, body, at)
        elif method == "CANCEL" and call is not None:
            self.reply(call, "200 OK", headers)
            if not call.ended.is_set():
                self.reply(call, "487 Request Terminated", call.headers)
                call.cancelled_at = at
                call.ended.set()
                self.on_cancel(call)
        elif method == "BYE" and call is not None:
            self.reply(call, "200 OK", headers)
            call.ended.set()
            self.on_bye(call)
        elif method == "ACK" and call is not None:
            if not call.ended.is_set():
                call.answered.set()
        elif method == "OPTIONS":
            self.reply(Call(self, "", headers["call-id"], at, ours=False), "200 OK", headers)

    def _take_invite(self, start: str, headers: Headers, body: str, at: int) -> None:
        number = start.split()[1].removeprefix("sip:").partition("@")[0]
        call = Call(self, number, headers["call-id"], at, ours=False, headers=headers)
        call.local = f"{headers['to']};tag={self._numbers.randrange(10**9)}"
        call.remote = headers["from"]
        call.target = _uri(headers["contact"])
        call.media = _media(body)
        self.calls[call.id] = call
        self.on_invite(call)

    def _take_reply(self, call: Call, status: int, headers: Headers, body: str) -> None:
        if status < 200 or not headers["cseq"].endswith("INVITE"):
            return
        call.remote = headers["to"]
        if status >= 300:
            self._acknowledge_refusal(call, headers)
            call.ended.set()
        else:
            call.target = _uri(headers["contact"])
            call.media = _media(body)
            self.request(call, "ACK", 1)
            call.answered.set()
        call.status = status

    def _acknowledge_refusal(self, call: Call, headers: Headers) -> None:
        fields = {"Via": headers["via"], "From": headers["from"], "To": headers["to"], "Call-ID": call.id}
        self._send(f"ACK {call.target} SIP/2.0", {**fields, "CSeq": "1 ACK", "Max-Forwards": "70"}, "")


def _uri(contact: str) -> str:
    found = re.search(r"<([^>]*)>", contact)
    return found[1] if found else contact


def _media(sdp: str) -> tuple[str, int] | None:
    found = re.search(r"m=audio (\d+)", sdp)
    return ("127.0.0.1", int(found[1])) if found else None
