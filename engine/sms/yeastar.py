"""A GSM gateway of Yeastar's TG kind: SIM cards, spoken to over its AMI-like port (5038). One connection both ways.

The gateway tells whether the network took a message (`UpdateSMSSend`), never whether it was delivered. Commands, fields and the pace
are as its maker describes them (support.yeastar.com, «How to Use TG SMS API») and as public clients log them: a long message comes in
parts that share an id (empty in some firmwares), counted from 0 or from 1, percent-encoded, some with a byte order mark.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import quote, unquote, urlsplit

import structlog

from engine.domain.errors import StoreFailed
from engine.ports import Delivery, Handed, Heard, Incoming, Message, Report
from engine.sms.hooks import e164
from engine.sms.http import Account

log = structlog.get_logger()

ANSWER_SECONDS = 15.0
CONNECT_SECONDS = 5.0
AGAIN_SECONDS = 2.0
ENQUIRE_SECONDS = 30.0
NEEDS = {"username": "имя пользователя API", "secret": "его пароль"}
OPTIONS = {"port": "2", "pause": "10"}
"""Which SIMs send, as `2` or `2,3`: the gateway counts its GSM ports from 2. Seconds between two messages of one SIM, as its maker asks."""
LONGEST_WAIT_SECONDS = 30.0
"""Whoever would wait longer for a SIM is told that there is none, and may try another provider."""
PARTS_SECONDS = 60.0
"""So long the missing parts of a message are waited for; then what there is has to do."""
_SPAN = re.compile(r"^GSM span (\d+): (.*)$", re.MULTILINE)
END = ("--END COMMAND--", "--END SMS EVENT--")

Fields = Mapping[str, str]


class YeastarProvider:
    """Hands messages over one at a time, as a SIM card sends them."""

    def __init__(self, account: Account) -> None:
        address = urlsplit(account.url)
        self.account = account
        self._host, self._port = address.hostname or "", address.port or 5038
        self._line: _Line | None = None
        self._one_at_a_time = asyncio.Lock()
        self._numbers = count(int(time.time()))
        words = {**OPTIONS, **{name: word for name, word in account.words.items() if word}}
        self._pause = float(words["pause"])
        self._free = {port.strip(): 0.0 for port in words["port"].split(",")}
        """By GSM port, when it may send again."""
        self._down: dict[str, str] = {}
        """By GSM port that cannot send, what the gateway says of it."""
        self._pieces: dict[tuple[str, ...], _Pieces] = {}

    async def send(self, message: Message) -> Handed:
        """Raises `ConnectionError`: the gateway is away or too busy, or refuses us. It does not judge messages."""
        self._up()
        port = await self._turn()
        async with self._one_at_a_time:
            line, id = self._up(), str(next(self._numbers))
            command = f'gsm send sms {port} {message.number} "{quote(message.body, safe="")}" {id}'
            said = await line.ask({"Action": "smscommand", "command": command})
        if said.get("Response", "").lower() == "error":
            raise ConnectionError(f"{self.account.name}: {said.get('Message', 'refused')}")
        return Handed(self.account.name, (id,))

    async def _turn(self) -> str:
        """The GSM port to send by, when its SIM has rested. Raises `ConnectionError` if that would take too long."""
        ports = [port for port in self._free if port not in self._down] or list(self._free)
        port = min(ports, key=self._free.__getitem__)
        now = time.monotonic()
        begin = max(now, self._free[port])
        if begin - now > LONGEST_WAIT_SECONDS:
            raise ConnectionError(f"{self.account.name}: no SIM card is free for {begin - now:.0f} s")
        self._free[port] = begin + self._pause
        await asyncio.sleep(begin - now)
        return port

    async def probe(self) -> str | None:
        """Whether the gateway answers and has a SIM that is registered in its network."""
        try:
            await self._look()
        except ConnectionError as error:
            return str(error)
        if len(self._down) < len(self._free):
            return None
        return f"{self.account.name}: " + "; ".join(
            f"GSM {port}: {said}" for port, said in self._down.items()
        )

    async def _look(self) -> None:
        """Ask after the SIMs. A port of which the gateway says nothing is taken to be well."""
        async with self._one_at_a_time:
            said = await self._up().ask({"Action": "smscommand", "command": "gsm show spans"})
        states = dict(_SPAN.findall(said.get("Output", "")))
        self._down = {
            port: states[port]
            for port in self._free
            if port in states and "Up" not in re.split(r",\s*", states[port])
        }

    async def serve(self, heard: Heard) -> None:
        """Keep the connection up, for ever."""
        while True:
            try:
                await self._talk(heard)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                log.warning("a GSM gateway is away", provider=self.account.name, error=repr(error))
            await asyncio.sleep(AGAIN_SECONDS)

    async def _talk(self, heard: Heard) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(self._host, self._port)
        line = _Line(self.account.name, writer)
        reading = asyncio.create_task(self._read(reader, line, heard), name=f"events of {self.account.name}")
        try:
            words = self.account.words
            said = await line.ask(
                {"Action": "Login", "Username": words["username"], "Secret": words["secret"]}
            )
            if said.get("Response") != "Success":
                raise ConnectionError(f"{self.account.name}: {said.get('Message', 'the login was refused')}")
            self._line = line
            while not reading.done():
                await asyncio.wait({reading}, timeout=ENQUIRE_SECONDS)
                if not reading.done():
                    await self._look()
                for message in self._overdue():
                    await self._tell(message, heard)
            await reading
        finally:
            self._line = None
            writer.close()
            reading.cancel()
            await asyncio.wait({reading})

    async def _read(self, reader: asyncio.StreamReader, line: _Line, heard: Heard) -> None:
        """Answers to whoever asked, events to `heard`, one after the other; ends when the line does."""
        try:
            await self._blocks(reader, line, heard)
        finally:
            line.lost()

    async def _blocks(self, reader: asyncio.StreamReader, line: _Line, heard: Heard) -> None:
        block: dict[str, str] = {}
        while raw := await reader.readline():
            text = raw.decode(errors="replace").rstrip("\r\n")
            name, colon, value = text.partition(":")
            if colon and re.fullmatch(r"[A-Za-z]+", name):
                block[name] = value.strip()
            elif text and text not in END:
                block["Output"] = f"{block.get('Output', '')}{text}\n"
            over = text in END or (not text and block.get("Response") != "Follows")
            if over and block:
                whole, block = block, {}
                if "Event" in whole:
                    await self._event(whole, heard)
                elif "Response" in whole:
                    line.answered(whole)

    async def _event(self, event: Fields, heard: Heard) -> None:
        what = self._meant(event)
        if what is not None:
            await self._tell(what, heard)

    async def _tell(self, what: Report | Incoming, heard: Heard) -> None:
        """Tell it, for as long as it cannot be written down: the gateway does not tell twice."""
        while True:
            try:
                await heard(what)
            except StoreFailed:
                await asyncio.sleep(1)
                continue
            except Exception:
                log.exception("what a GSM gateway said could not be understood")
            return

    def _meant(self, event: Fields) -> Report | Incoming | None:
        name = self.account.name
        match event["Event"]:
            case "ReceivedSMS":
                return self._received(event)
            case "UpdateSMSSend" if event.get("Status") == "1":
                return Report(name, Delivery.WAITING, reference=event.get("ID"))
            case "UpdateSMSSend":
                return Report(name, Delivery.FAILED, reference=event.get("ID"), reason="undelivered (GSM)")
        return None

    def _received(self, event: Fields) -> Incoming | None:
        """The message, if this is all of it."""
        span = event.get("GsmSpan") or event.get("GsmPort") or ""
        key = (span, event.get("Sender", ""), event.get("ID", ""))
        pieces = self._pieces.setdefault(key, _Pieces(event, time.monotonic()))
        text = unquote(event.get("Content", "").replace("+", " ")).removeprefix("\ufeff")
        pieces.texts[_number(event.get("Index"))] = text
        if len(pieces.texts) < _number(event.get("Total")):
            return None
        return self._whole(self._pieces.pop(key))

    def _overdue(self) -> Iterator[Incoming]:
        """What came of messages whose other parts do not come."""
        now = time.monotonic()
        for key in [key for key, pieces in self._pieces.items() if now - pieces.began >= PARTS_SECONDS]:
            yield self._whole(self._pieces.pop(key))

    def _whole(self, pieces: _Pieces) -> Incoming:
        first = pieces.first
        id, sender = first.get("ID"), e164(first.get("Sender", ""))
        return Incoming(
            self.account.name,
            sender,
            "".join(pieces.texts[place] for place in sorted(pieces.texts)),
            reference=f"{id} {first.get('Recvtime', '')} {sender}" if id else None,  # ids come round again
            companies=self.account.companies,
        )

    def _up(self) -> _Line:
        if self._line is None:
            raise ConnectionError(f"{self.account.name}: no connection to {self._host}:{self._port}")
        return self._line


def _number(said: str | None) -> int:
    return int(said) if said and said.isdigit() else 1


@dataclass(slots=True)
class _Pieces:
    """The parts of a message that have come, by their place; `began` is when the first of them did, by the monotonic clock."""

    first: Fields
    began: float
    texts: dict[int, str] = field(default_factory=dict)


@dataclass(eq=False)
class _Line:
    """A connection; one question at a time."""

    name: str
    writer: asyncio.StreamWriter
    _answer: asyncio.Future[Fields] | None = field(default=None, init=False)
    _gone: bool = field(default=False, init=False)

    async def ask(self, action: Fields) -> Fields:
        """Raises `ConnectionError` if there is no answer; then the line is cut, so that no answer is taken for another's."""
        if self._gone:
            raise ConnectionError(f"{self.name}: the connection is lost")
        self._answer = asyncio.get_running_loop().create_future()
        self.writer.write(
            "".join(f"{name}: {value}\r\n" for name, value in action.items()).encode() + b"\r\n"
        )
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.writer.drain()
                return await self._answer
        except TimeoutError as error:
            self.writer.close()
            raise ConnectionError(f"{self.name} did not answer in {ANSWER_SECONDS:.0f} s") from error

    def lost(self) -> None:
        """No answer will come any more."""
        self._gone = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"{self.name}: the connection is lost"))

    def answered(self, fields: Fields) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(fields)
