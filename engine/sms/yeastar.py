"""A GSM gateway of Yeastar's TG kind: SIM cards, spoken to over its AMI-like port (5038). One connection both ways.

The gateway tells whether the network took a message (`UpdateSMSSend`), never whether it was delivered.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
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
OPTIONS = {"port": "2"}
"""Which SIM sends: the gateway counts its GSM ports from 2."""
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

    async def send(self, message: Message) -> Handed:
        """Raises `ConnectionError`: the gateway is away, has no such card, or refuses us. It does not judge messages."""
        port = self.account.words.get("port") or OPTIONS["port"]
        async with self._one_at_a_time:
            line, id = self._up(), str(next(self._numbers))
            command = f'gsm send sms {port} {message.number} "{quote(message.body, safe="")}" {id}'
            said = await line.ask({"Action": "smscommand", "command": command})
        if said.get("Response", "").lower() == "error":
            raise ConnectionError(f"{self.account.name}: {said.get('Message', 'refused')}")
        return Handed(self.account.name, (id,))

    async def probe(self) -> str | None:
        """Whether the gateway answers."""
        try:
            async with self._one_at_a_time:
                await self._up().ask({"Action": "Ping"})
        except ConnectionError as error:
            return str(error)
        return None

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
                    async with self._one_at_a_time:
                        await line.ask({"Action": "Ping"})
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
            over = text in END or (not text and block.get("Response") != "Follows" and "Content" not in block)
            if over and block:
                whole, block = block, {}
                if "Event" in whole:
                    await self._event(whole, heard)
                elif "Response" in whole:
                    line.answered(whole)

    async def _event(self, event: Fields, heard: Heard) -> None:
        """Tell it, for as long as it cannot be written down: the gateway does not tell twice."""
        what = self._meant(event)
        while what is not None:
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
                return Incoming(
                    name,
                    e164(event.get("Sender", "")),
                    unquote(event.get("Content", "").replace("+", " ")),
                    reference=event.get("ID") or None,
                    companies=self.account.companies,
                )
            case "UpdateSMSSend" if event.get("Status") == "1":
                return Report(name, Delivery.WAITING, reference=event.get("ID"))
            case "UpdateSMSSend":
                return Report(name, Delivery.FAILED, reference=event.get("ID"), reason="undelivered (GSM)")
        return None

    def _up(self) -> _Line:
        if self._line is None:
            raise ConnectionError(f"{self.account.name}: no connection to {self._host}:{self._port}")
        return self._line


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
