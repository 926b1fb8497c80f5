"""A message centre that is spoken to directly, by SMPP 3.4 (aiosmpplib): one connection both ways."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from itertools import count
from random import randrange
from urllib.parse import urlsplit

import structlog
from aiosmpplib import (
    ESME,
    AbstractBroker,
    AbstractHook,
    BindMode,
    DeliverSm,
    GSM7BitCodec,
    PhoneNumber,
    SmppMessage,
    SubmitSm,
    SubmitSmResp,
)
from aiosmpplib import SmppCommandStatus as Status
from aiosmpplib.state import NPI, TON

from engine.domain.errors import StoreFailed
from engine.domain.texts import is_gsm, split
from engine.ports import Delivery, Handed, Heard, Incoming, Message, Report
from engine.sms.hooks import e164
from engine.sms.http import Account

log = structlog.get_logger()

ANSWER_SECONDS = 10.0
ENQUIRE_SECONDS = 20.0
AGAIN_SECONDS = 2.0
"""Before a connection that broke is made again."""
UDH_FOLLOWS = 0b0100_0000
LATER = {
    Status.ESME_RTHROTTLED,
    Status.ESME_RMSGQFUL,
    Status.ESME_RSYSERR,
    Status.ESME_RINVBNDSTS,
    Status.ESME_RBINDFAIL,
}
"""Not this message's fault."""
_STATES = {
    "DELIVRD": Delivery.DELIVERED,
    "EXPIRED": Delivery.FAILED,
    "DELETED": Delivery.FAILED,
    "UNDELIV": Delivery.FAILED,
    "REJECTD": Delivery.FAILED,
}
NEEDS = {"system_id": "имя для входа в SMPP", "password": "пароль, не длиннее 8 знаков"}


class SmppProvider:
    """Hands messages over by `submit_sm`; what comes in by `deliver_sm` is told before it is acknowledged."""

    def __init__(self, account: Account) -> None:
        address = urlsplit(account.url)
        self.account = account
        self._host, self._port = address.hostname or "", address.port or 2775
        self._esme: _Line | None = None
        self._queue = _Queue()
        self._references = count(randrange(256))

    async def send(self, message: Message) -> Handed:
        """Raises `ConnectionError` (no connection, no answer, or the centre is busy) and `ValueError` (refused).

        The parts of a long message are submitted one by one, so that each is reported by an id that outlives us: the library, which
        can cut messages itself, loses reports that are faster than its answers.
        """
        if not self._bound:
            raise ConnectionError(f"{self.account.name}: no connection to {self._host}:{self._port}")
        pieces, reference = split(message.body), next(self._references) % 256
        answers = [
            self._submit(message, piece, (reference, len(pieces), place))
            for place, piece in enumerate(pieces, 1)
        ]
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                said = [await answer for answer in answers]
        except TimeoutError as error:
            raise ConnectionError(f"{self.account.name} did not answer in {ANSWER_SECONDS:.0f} s") from error
        finally:
            for answer in answers:
                if not answer.cancel() and not answer.cancelled():
                    answer.exception()  # seen: the first one speaks for all
        for one in said:
            self._judge(Status(one.command_status))
        return Handed(self.account.name, tuple(one.message_id for one in said if one.message_id), True)

    def _submit(
        self, message: Message, piece: str, place: tuple[int, int, int]
    ) -> asyncio.Future[SubmitSmResp]:
        """Queue a part (`place`: the message's reference, of how many parts, which); what the centre will say."""
        gsm, many = is_gsm(message.body), place[1] > 1
        submit = SubmitSm(
            short_message=piece or " ",
            source=_address(self.account.sender),
            destination=PhoneNumber(message.number.lstrip("+"), TON.INTERNATIONAL, NPI.ISDN),
            log_id=f"{message.id}#{place[2]}",
            registered_delivery=1,
            esm_class=UDH_FOLLOWS if many else 0,
            encoding=None if gsm else "ucs2",
        )
        if many:
            body = GSM7BitCodec.get_codec_info().encode(piece)[0] if gsm else piece.encode("utf-16-be")
            submit.set_encoded_message(bytes((5, 0, 3, *place)) + body)
        answer: asyncio.Future[SubmitSmResp] = asyncio.get_running_loop().create_future()
        self._queue.put(submit, answer)
        return answer

    def _judge(self, status: Status) -> None:
        if status is Status.ESME_ROK:
            return
        if status in LATER:
            raise ConnectionError(f"{self.account.name}: {status.name}")
        raise ValueError(f"{self.account.name}: {status.name}")

    async def probe(self) -> str | None:
        """Whether the connection is up; it is enquired about every `ENQUIRE_SECONDS`."""
        return None if self._bound else f"{self.account.name}: no connection to {self._host}:{self._port}"

    async def serve(self, heard: Heard) -> None:
        """Keep the connection up, for ever."""
        while True:
            self._esme = self._new(_Ears(self.account, self._queue, heard))
            try:
                await self._esme.start()
            except Exception as error:
                log.warning("an SMPP connection broke", provider=self.account.name, error=repr(error))
            finally:
                self._esme.close()
            self._queue.drop("the connection broke")
            await asyncio.sleep(AGAIN_SECONDS)

    @property
    def _bound(self) -> bool:
        return self._esme is not None and self._esme.session_state is BindMode.TRANSCEIVER.session_state

    def _new(self, ears: _Ears) -> _Line:
        words = self.account.words
        return _Line(
            smsc_host=self._host,
            smsc_port=self._port,
            system_id=words["system_id"],
            password=words["password"],
            system_type=words.get("system_type", ""),
            enquire_link_interval=ENQUIRE_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            hook=ears,
            broker=self._queue,
            log_level=logging.CRITICAL,  # its lines hold numbers and texts
        )


class _Line(ESME):  # type: ignore[misc]
    """A connection that is made again when it breaks. (The library half-closes its old ones, and leaves them to the collector.)"""

    _mine: asyncio.StreamWriter | None = None

    async def connect(self) -> None:
        self.close()
        try:
            await super().connect()
        finally:
            self._mine = self._writer

    def close(self) -> None:
        """Close what was open."""
        if self._mine is not None:
            self._mine.close()
            self._mine = None


class _Queue(AbstractBroker):  # type: ignore[misc]
    """What is to be submitted. A message that nobody waits for any more is not submitted: it went another way."""

    def __init__(self) -> None:
        self._messages: deque[tuple[SubmitSm, asyncio.Future[SubmitSmResp]]] = deque()
        self._more = asyncio.Event()
        self._answers: dict[str, asyncio.Future[SubmitSmResp]] = {}

    def put(self, message: SubmitSm, answer: asyncio.Future[SubmitSmResp]) -> None:
        self._messages.append((message, answer))
        self._answers[message.log_id] = answer
        answer.add_done_callback(lambda _: self._answers.pop(message.log_id, None))
        self._more.set()

    def answered(self, response: SubmitSmResp) -> None:
        answer = self._answers.get(response.log_id)
        if answer is not None and not answer.done():
            answer.set_result(response)

    def failed(self, id: str, error: Exception) -> None:
        answer = self._answers.get(id)
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def drop(self, why: str) -> None:
        """Nothing that was submitted will be answered any more."""
        for id in list(self._answers):
            self.failed(id, ConnectionError(why))

    async def enqueue(self, message: SmppMessage) -> None:
        raise NotImplementedError("messages are put with who waits for them")

    async def dequeue(self) -> SmppMessage:
        while True:
            while self._messages:
                message, answer = self._messages.popleft()
                if not answer.done():
                    return message
            self._more.clear()
            await self._more.wait()


class _Ears(AbstractHook):  # type: ignore[misc]
    """Hears what the centre says. An exception in here would end the receiver: that is what it does when nothing can be written down."""

    def __init__(self, account: Account, queue: _Queue, heard: Heard) -> None:
        self._account, self._queue, self._heard = account, queue, heard

    async def sending(self, smpp_message: SmppMessage, pdu: bytes, client_id: str) -> None:
        return

    async def send_error(self, smpp_message: SmppMessage, error: Exception, client_id: str) -> None:
        if isinstance(smpp_message, SubmitSm):
            bad = error if isinstance(error, ValueError) else ConnectionError(str(error))
            self._queue.failed(smpp_message.log_id, bad)

    async def received(self, smpp_message: SmppMessage | None, pdu: bytes, client_id: str) -> None:
        match smpp_message:
            case DeliverSm():
                await self._tell(self._read(smpp_message))
            case SubmitSmResp():
                self._queue.answered(smpp_message)
            case _:
                pass

    def _read(self, message: DeliverSm) -> Report | Incoming:
        if not message.is_receipt():
            number = message.source.number
            return Incoming(
                self._account.name,
                e164(number),
                message.short_message or message.message_payload,
                to=e164(message.destination.number),
                companies=self._account.companies,
            )
        receipt = {str(key): str(value) for key, value in message.parse_receipt().items()}
        state = receipt.get("stat", "").upper()
        failed = _STATES.get(state) is Delivery.FAILED
        return Report(
            self._account.name,
            _STATES.get(state, Delivery.WAITING),
            text=message.log_id.rpartition("#")[0] or None,
            reference=receipt.get("id"),
            reason=f"undelivered ({state} {receipt.get('err', '')})" if failed else None,
        )

    async def _tell(self, what: Report | Incoming) -> None:
        """On disk before the centre is told that we have it; if that cannot be, the line is cut and it tells us again."""
        try:
            await self._heard(what)
        except StoreFailed as error:
            log.error("what an SMPP centre said could not be written down", error=str(error))
            raise ConnectionError("the store is away") from error
        except Exception:
            log.exception("what an SMPP centre said could not be understood")


def _address(sender: str) -> PhoneNumber:
    """Our own address: a number of ours, a short code, or a name."""
    if re.fullmatch(r"\+?\d{10,15}", sender):
        return PhoneNumber(sender.lstrip("+"), TON.INTERNATIONAL, NPI.ISDN)
    if sender.isdigit():
        return PhoneNumber(sender, TON.NETWORK_SPECIFIC, NPI.UNKNOWN)
    return PhoneNumber(sender, TON.ALPHANUMERIC, NPI.UNKNOWN)
