"""What every way out for texts promises: the one in memory, and real gateways (Kannel; an SMSC by SMPP; a GSM gateway)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote_plus, unquote

import pytest
import smpp34
from aiohttp import web
from aiosmpplib import GSM7BitCodec

from engine.console import guard
from engine.console.api import sms
from engine.domain.errors import StoreFailed
from engine.domain.events import Event, TextDelivered, TextFailed, TextQueued, TextSent, TicketOpened
from engine.domain.texts import TextRules
from engine.flows.deps import Deps
from engine.flows.texts.texting import Post
from engine.ports import Delivery, Incoming, Message, Report, Texts
from engine.sms import yeastar
from engine.sms.setup import Configured, open_texts
from engine.store import Store
from tests.e2e import kannel
from tests.fakes.texts import Outbox
from tests.ports import free_ports

SECRET = "a secret"
WAIT_SECONDS = 20.0
LONG = "Внимание! " + "Отключение холодной воды по улице Ленина, дом 15. " * 5


class World(Protocol):
    """A way out, and the network behind it."""

    texts: Texts
    heard: list[Report | Incoming]
    reports: bool

    def arrived(self) -> list[tuple[str, str]]: ...

    async def writes(self, number: str, body: str) -> None: ...

    async def goes(self) -> None: ...

    async def comes_back(self) -> None: ...


async def until(found: Callable[[], Any], timeout: float = WAIT_SECONDS) -> Any:
    async with asyncio.timeout(timeout):
        while not (result := found()):
            await asyncio.sleep(0.02)
    return result


# --- the worlds --------------------------------------------------------------------------------------------------------------------


class MemoryWorld:
    reports = True

    def __init__(self) -> None:
        self.texts = Outbox()
        self.texts.reports = True
        self.heard: list[Report | Incoming] = []
        self._reported = 0

    def arrived(self) -> list[tuple[str, str]]:
        for message in self.texts.sent[self._reported :]:
            self._reported += 1
            self.heard.append(Report("outbox", Delivery.DELIVERED, reference=f"outbox/{message.id}"))
        return [(message.number, message.body) for message in self.texts.sent]

    async def writes(self, number: str, body: str) -> None:
        await self.texts.writes(number, body)

    async def goes(self) -> None:
        self.texts.away = {"outbox"}

    async def comes_back(self) -> None:
        self.texts.away = set()


@asynccontextmanager
async def memory(folder: Path) -> AsyncIterator[MemoryWorld]:
    world = MemoryWorld()

    async def hear(what: Report | Incoming) -> None:
        world.heard.append(what)

    serving = asyncio.create_task(world.texts.serve(hear))
    await asyncio.sleep(0)
    yield world
    serving.cancel()
    await asyncio.wait({serving})


@dataclass
class KannelWorld:
    texts: Texts
    gateway: kannel.Kannel
    heard: list[Report | Incoming] = field(default_factory=list)
    listener: Callable[[Report | Incoming], Awaitable[None]] | None = None
    reports: bool = True

    def arrived(self) -> list[tuple[str, str]]:
        return self.gateway.arrived()

    async def writes(self, number: str, body: str) -> None:
        await self.gateway.writes(number, body)

    async def goes(self) -> None:
        await self.gateway.kill("smsbox")

    async def comes_back(self) -> None:
        await self.gateway.start_smsbox()

    async def hear(self, what: Report | Incoming) -> None:
        self.heard.append(what)
        if self.listener is not None:
            await self.listener(what)


@asynccontextmanager
async def with_kannel(folder: Path) -> AsyncIterator[KannelWorld]:
    if kannel.MISSING:
        pytest.skip(f"no {', '.join(kannel.MISSING)}: apt install kannel kannel-extras")
    async with AsyncExitStack() as stack:
        gateway = kannel.Kannel(folder)
        app = web.Application(middlewares=[guard.problems])
        runner = web.AppRunner(app)
        credentials = {"username": "dozvon", "password": "secret", "smsc": "fake1"}
        configured = Configured("kannel", "kannel", gateway.url, "7999", credentials)
        [port] = free_ports(1)
        opened = await stack.enter_async_context(open_texts([configured], f"http://127.0.0.1:{port}", SECRET))
        world = KannelWorld(opened.texts, gateway)
        sms.attach(app, opened.hooks, world.hear)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        gateway.hook = opened.addresses["kannel"]
        stack.push_async_callback(gateway.stop)
        await gateway.start()
        yield world


class SmppWorld:
    """A message centre (smpp34's server), and what it does: takes, reports, delivers what people write."""

    reports = True

    def __init__(self, texts: Texts, port: int) -> None:
        self.texts, self.port = texts, port
        self.heard: list[Report | Incoming] = []
        self.parts: list[smpp34.SubmitSmEvent] = []
        self.refuse: dict[str, int] = {}
        """By number, the status with which its messages are refused."""
        self.broken = 0
        """How many times more nothing can be written down."""
        self.sessions = 0
        self._server: smpp34.Server | None = None
        self._session: smpp34.Esme | None = None
        self._running: asyncio.Task[None] | None = None

    async def comes_back(self) -> None:
        self._server = smpp34.Server(host="127.0.0.1", port=self.port, system_id="SMSC")
        await self._server.start()
        self._running = asyncio.create_task(self._serve(self._server))
        known = self.sessions
        async with asyncio.timeout(
            WAIT_SECONDS
        ):  # the two ends know of each other some turns of the loop apart
            while self.sessions == known or set((await self.texts.probe()).values()) != {None}:
                await asyncio.sleep(0.02)

    async def goes(self) -> None:
        assert self._server is not None
        assert self._running is not None
        self._running.cancel()
        await asyncio.wait({self._running})
        await self._server.stop()
        if self._session is not None:
            with suppress(Exception):
                await self._session.unbind()
        async with asyncio.timeout(WAIT_SECONDS):
            while set((await self.texts.probe()).values()) == {None}:
                await asyncio.sleep(0.02)

    async def _serve(self, server: smpp34.Server) -> None:
        while True:
            event = await server.next()
            if isinstance(event, smpp34.Esme):
                self._session = event
                self.sessions += 1
            elif isinstance(event, smpp34.SubmitSmEvent):
                if event.destination_addr in self.refuse:
                    event.reject(self.refuse[event.destination_addr])
                    continue
                self.parts.append(event)
                id = f"m{len(self.parts)}"
                event.accept(message_id=id)
                if event.registered_delivery:
                    await self._report(event, id)

    async def _report(self, event: smpp34.SubmitSmEvent, id: str) -> None:
        assert self._session is not None
        receipt = f"id:{id} sub:001 dlvrd:001 submit date:2611211200 done date:2611211201 stat:DELIVRD err:000 text:"
        await self._session.deliver_sm(
            source_addr=event.destination_addr,
            destination_addr=event.source_addr,
            esm_class=0x04,
            short_message=receipt.encode(),
        )

    def arrived(self) -> list[tuple[str, str]]:
        whole: list[tuple[str, str]] = []
        joined: dict[tuple[str, int], dict[int, str]] = {}
        for part in self.parts:
            number, body = f"+{part.destination_addr}", bytes(part.short_message)
            if not part.esm_class & 0x40:
                whole.append((number, _decoded(body or _payload(part), part.data_coding)))
                continue
            reference, of, place = body[3], body[4], body[5]
            pieces = joined.setdefault((number, reference), {})
            pieces[place] = _decoded(body[6:], part.data_coding)
            if len(pieces) == of:
                whole.append((number, "".join(pieces[at] for at in sorted(pieces))))
        return whole

    async def writes(self, number: str, body: str) -> None:
        assert self._session is not None
        await self._session.deliver_sm(
            source_addr=number.lstrip("+"),
            source_addr_ton=1,
            source_addr_npi=1,
            destination_addr="7999",
            data_coding=8,
            short_message=body.encode("utf-16-be"),
        )

    async def hear(self, what: Report | Incoming) -> None:
        if self.broken:
            self.broken -= 1
            raise StoreFailed("the disk is full; make room on it")
        self.heard.append(what)


def _payload(part: smpp34.SubmitSmEvent) -> bytes:
    return next((bytes(tlv.value) for tlv in part.tlvs if tlv.tag == 0x0424), b"")


def _decoded(body: bytes, coding: int) -> str:
    """As a phone reads it: UCS-2, or the SMSC's default alphabet."""
    return body.decode("utf-16-be") if coding == 8 else GSM7BitCodec.get_codec_info().decode(body)[0]


@asynccontextmanager
async def with_smpp(folder: Path) -> AsyncIterator[SmppWorld]:
    [port] = free_ports(1)
    credentials = {"system_id": "dozvon", "password": "secret"}
    configured = Configured("centre", "smpp", f"smpp://127.0.0.1:{port}", "7999", credentials)
    async with open_texts([configured], "http://127.0.0.1:9", SECRET) as opened:
        world = SmppWorld(opened.texts, port)
        serving = asyncio.create_task(opened.texts.serve(world.hear))
        try:
            await world.comes_back()
            yield world
            await world.goes()
        finally:
            serving.cancel()
            await asyncio.wait({serving})


class YeastarWorld:
    """A TG gateway as its manual describes it: login, `smscommand`, events."""

    reports = False

    def __init__(self, texts: Texts, port: int) -> None:
        self.texts, self.port = texts, port
        self.heard: list[Report | Incoming] = []
        self.spans = {"2": "Power on, Provisioned, Up, Active,Standard"}
        self.sent_by: list[str] = []
        self._arrived: list[tuple[str, str]] = []
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def opens(self) -> None:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)

    async def comes_back(self) -> None:
        await self.opens()
        await self.is_up()

    async def is_up(self) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while set((await self.texts.probe()).values()) != {None}:
                await asyncio.sleep(0.05)

    async def goes(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        self._writers.clear()
        async with asyncio.timeout(WAIT_SECONDS):
            while set((await self.texts.probe()).values()) == {None}:
                await asyncio.sleep(0.05)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        writer.write(b"Asterisk Call Manager/1.1\r\n")
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                block = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
                writer.write(self._answer(fields).encode())

    def _answer(self, fields: dict[str, str]) -> str:
        if fields["Action"] == "Login":
            good = fields["Secret"] == "secret"
            return (
                "Response: Success\r\nMessage: Authentication accepted\r\n\r\n"
                if good
                else "Response: Error\r\n\r\n"
            )
        if fields["command"] == "gsm show spans":
            states = "".join(f"GSM span {port}: {said}\r\n" for port, said in self.spans.items())
            return f"Response: Follows\r\nPrivilege: SMSCommand\r\n{states}--END COMMAND--\r\n\r\n"
        found = re.fullmatch(r'gsm send sms (\d+) (\S+) "(.*)" (\d+)', fields["command"])
        assert found is not None
        self.sent_by.append(found[1])
        self._arrived.append((found[2], unquote(found[3])))
        said = "Response: Follows\r\nPrivilege: SMSCommand\r\nSMS is being sent\r\n--END COMMAND--\r\n\r\n"
        sent = f"Event: UpdateSMSSend\r\nPrivilege: all,smscommand\r\nID: {found[4]}\r\nStatus: 1\r\n--END SMS EVENT--\r\n\r\n"
        return said + sent

    def arrived(self) -> list[tuple[str, str]]:
        return self._arrived

    async def writes(self, number: str, body: str) -> None:
        await self.writes_part(number, body)

    async def writes_part(self, number: str, body: str, index: int = 1, total: int = 1, id: str = "") -> None:
        event = (
            f"Event: ReceivedSMS\r\nPrivilege: all,smscommand\r\nID: {id}\r\nGsmSpan: 2\r\n"
            f"Sender: {number}\r\nRecvtime: 2026-11-21 20:00:00\r\nIndex: {index}\r\nTotal: {total}\r\n"
            f"Smsc: +79000000000\r\nContent: {quote_plus(body)}\r\n--END SMS EVENT--\r\n\r\n"
        )
        self._writers[-1].write(event.encode())

    async def hear(self, what: Report | Incoming) -> None:
        self.heard.append(what)


@asynccontextmanager
async def with_yeastar(folder: Path, **options: str) -> AsyncIterator[YeastarWorld]:
    [port] = free_ports(1)
    credentials = {"username": "api", "secret": "secret", "pause": "0", **options}
    configured = Configured("gsm", "yeastar", f"ami://127.0.0.1:{port}", "", credentials)
    async with open_texts([configured], "http://127.0.0.1:9", SECRET) as opened:
        world = YeastarWorld(opened.texts, port)
        await world.opens()
        serving = asyncio.create_task(opened.texts.serve(world.hear))
        try:
            await world.is_up()
            yield world
            await world.goes()
        finally:
            serving.cancel()
            await asyncio.wait({serving})


@pytest.fixture(params=[memory, with_kannel, with_smpp, with_yeastar], ids=lambda world: world.__name__)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with request.param(tmp_path) as one:
        yield one


# --- the promises ------------------------------------------------------------------------------------------------------------------


async def test_a_message_arrives_whole_and_is_reported(world: World) -> None:
    for id, body in (("1-1", "Да"), ("1-2", LONG), ("1-3", "plain: {[€]} & 100%")):
        handed = await world.texts.send(Message(id, "+79000000001", body, "demo"))
        assert handed.reports is world.reports
        await until(lambda body=body: ("+79000000001", body) in world.arrived())
        if not handed.reports:
            continue
        named = {id, *handed.references}
        report = await until(
            lambda named=named: next(
                (r for r in world.heard if isinstance(r, Report) and named & {r.text, r.reference}), None
            )
        )
        assert (report.provider, report.state) == (handed.provider, Delivery.DELIVERED)


async def test_a_provider_that_is_avoided_is_not_asked(world: World) -> None:
    first = await world.texts.send(Message("1-1", "+79000000001", "x", "demo"))
    with pytest.raises(LookupError):
        await world.texts.send(Message("1-1", "+79000000001", "x", "demo"), avoid=[first.provider])
    await asyncio.sleep(0.2)
    assert len(world.arrived()) == 1


async def test_away_and_back(world: World) -> None:
    assert set((await world.texts.probe()).values()) == {None}
    await world.goes()
    assert None not in (await world.texts.probe()).values()
    with pytest.raises(ConnectionError):
        await world.texts.send(Message("1-1", "+79000000001", "x", "demo"))
    await world.comes_back()
    await world.texts.send(Message("1-2", "+79000000001", "y", "demo"))
    assert set((await world.texts.probe()).values()) == {None}
    await until(lambda: ("+79000000001", "y") in world.arrived())


async def test_what_comes_in(world: World) -> None:
    for body in ("Да", "нет связи до 18", "+ №1024 & 100% <ё>"):
        await world.writes("+79000000001", body)
        await until(lambda body=body: [m for m in world.heard if isinstance(m, Incoming) and m.body == body])
    messages = [message for message in world.heard if isinstance(message, Incoming)]
    assert {message.number for message in messages} == {"+79000000001"}


async def test_a_sim_card_that_is_down_is_passed_over_and_each_has_its_rest(tmp_path: Path) -> None:
    async with with_yeastar(tmp_path, port="2,3", pause="0.2") as world:
        world.spans["3"] = "Power on, Provisioned, Up, Active,Standard"
        began = asyncio.get_running_loop().time()
        for n in range(4):
            await world.texts.send(Message(f"1-{n}", "+79000000001", "x", "demo"))
        assert sorted(world.sent_by) == ["2", "2", "3", "3"]
        assert asyncio.get_running_loop().time() - began >= 0.2
        world.spans["2"] = "Power on, Provisioned, Undetected SIM Card, Active,Standard"
        assert set((await world.texts.probe()).values()) == {None}
        await world.texts.send(Message("1-9", "+79000000001", "x", "demo"))
        assert world.sent_by[-1] == "3"
        world.spans["3"] = "Power off"
        [wrong] = (await world.texts.probe()).values()
        assert wrong is not None
        assert "Undetected SIM Card" in wrong
        world.spans["3"] = "Power on, Provisioned, Up, Active,Standard"
        assert set((await world.texts.probe()).values()) == {None}


async def test_a_sim_card_with_no_time_is_said_at_once(tmp_path: Path) -> None:
    """Another provider may have it; nobody is kept waiting in the queue's hands."""
    async with with_yeastar(tmp_path, pause="100") as world:
        await world.texts.send(Message("1-1", "+79000000001", "x", "demo"))
        with pytest.raises(ConnectionError, match="no SIM card is free"):
            await world.texts.send(Message("1-2", "+79000000001", "x", "demo"))


@pytest.mark.parametrize("first", [0, 1])
async def test_a_long_message_of_a_sim_card_is_joined(tmp_path: Path, first: int) -> None:
    """The parts share an id, come in any order, and one message is not taken for another's repetition."""
    async with with_yeastar(tmp_path) as world:
        await world.writes_part("+79000000001", "\ufeffу подъезда", first + 1, 2, id="244")
        await world.writes_part("+79000000002", "Да", id="244")
        await world.writes_part("+79000000001", "\ufeffСтою ", first, 2, id="244")
        heard = await until(lambda: [m for m in world.heard if isinstance(m, Incoming)][:2][1:])
        assert (heard[0].number, heard[0].body) == ("+79000000001", "Стою у подъезда")
        assert len({message.reference for message in world.heard if isinstance(message, Incoming)}) == 2


async def test_what_came_of_a_message_is_told_when_its_rest_does_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yeastar, "PARTS_SECONDS", 0.2)
    monkeypatch.setattr(yeastar, "ENQUIRE_SECONDS", 0.1)
    async with with_yeastar(tmp_path) as world:
        await world.writes_part("+79000000001", "1 ", 1, 2, id="7")
        [message] = await until(lambda: world.heard)
        assert isinstance(message, Incoming)
        assert message.body == "1 "


# --- the sorting office on a real gateway ------------------------------------------------------------------------------------------


class SystemTime:
    def now(self) -> datetime:
        return datetime.now(UTC)


@asynccontextmanager
async def office(world: KannelWorld, folder: Path) -> AsyncIterator[tuple[Store, Callable[[], Post]]]:
    """A real store, and sorting offices on it; a new one takes over from the one before, as after a crash."""
    async with Store.open(f"sqlite:///{folder / 'dozvon.sqlite'}") as store:
        nobody: Any = None
        d = Deps(
            store=store,
            phone=nobody,
            voice=nobody,
            recordings=nobody,
            texts=world.texts,
            clock=SystemTime(),
            companies=lambda: (),
            texting=TextRules(),
        )
        running: list[asyncio.Task[None]] = []

        def open_one() -> Post:
            for task in running:
                task.cancel()
            post = Post(d)
            world.listener = lambda what: (
                post.reported(what) if isinstance(what, Report) else asyncio.sleep(0)
            )
            running.append(asyncio.create_task(post.run()))
            return post

        yield store, open_one
        for task in running:
            task.cancel()
        await asyncio.wait(running)


async def queued(store: Store, count: int, per_ticket: int = 20) -> dict[int, list[str]]:
    """That many texts on timelines: by ticket, their ids."""
    found: dict[int, list[str]] = {}
    for start in range(0, count, per_ticket):
        now = datetime.now(UTC)
        ticket = await store.open_ticket([TicketOpened(at=now, company="demo", channel="api")])
        texts = [
            TextQueued(
                at=now, text=f"{ticket}-{n}", number=f"+79000{n:06}", body=f"Текст {n}", contact="someone"
            )
            for n in range(start, min(start + per_ticket, count))
        ]
        await store.append(ticket, texts)
        found[ticket] = [text.text for text in texts]
    return found


async def facts(store: Store, tickets: dict[int, list[str]]) -> dict[type, int]:
    counts: dict[type, int] = {}
    for ticket in tickets:
        for event in await store.history(ticket):
            counts[type(event)] = counts.get(type(event), 0) + 1
    return counts


async def texts_in(store: Store, tickets: dict[int, list[str]], *kinds: type[Event]) -> set[str]:
    """The texts of which at least one such event tells."""
    told = [event for ticket in tickets for event in await store.history(ticket) if isinstance(event, kinds)]
    return {event.text for event in told}  # type: ignore[attr-defined]


async def all_delivered(
    store: Store, tickets: dict[int, list[str]], count: int, timeout: float
) -> dict[type, int]:
    async with asyncio.timeout(timeout):
        while (found := await facts(store, tickets)).get(TextDelivered, 0) < count:
            await asyncio.sleep(0.1)
    return found


async def test_a_gateway_that_dies_among_messages_loses_none(tmp_path: Path) -> None:
    """smsbox is killed among 200 texts, then bearerbox, with the engine's office dying in between: all arrive; doubles are counted.

    Of the delivery reports, only those may be missing that a dying box was about to tell: bearerbox keeps a report on disk until
    smsbox has taken it, but smsbox owns it from then until we have answered, and keeps that queue in memory alone; no setting of
    Kannel's changes it. How many were owed at each death is measured. For what matters the office asks again by itself: an urgent
    text without a report goes by the next provider.
    """
    count, owed = 200, 0

    def not_yet_told() -> int:
        told = {report.text for report in world.heard if isinstance(report, Report)}
        return len({number for number, _ in world.arrived()}) - len(told)

    async with with_kannel(tmp_path) as world, office(world, tmp_path) as (store, open_one):
        tickets = await queued(store, count)
        post = open_one()
        for ticket, texts in tickets.items():
            for text in texts:
                post.take(ticket, text)
        await until(lambda: len(world.arrived()) >= 20)
        await world.gateway.kill("smsbox")
        owed += not_yet_told()
        await asyncio.sleep(0.5)
        await world.gateway.start_smsbox()
        await until(lambda: len(world.arrived()) >= 80)
        post = open_one()  # the engine died too: what waits is read from disk
        for ticket, text in await store.unsent_texts():
            post.take(ticket, text)
        await until(lambda: len(world.arrived()) >= 120)
        await world.gateway.kill("smsbox")
        owed += not_yet_told()
        await world.gateway.restart_bearerbox()
        everybody = {f"+79000{n:06}" for n in range(count)}
        await until(lambda: {number for number, _ in world.arrived()} == everybody, 60)
        await until(lambda: post.health.waiting == 0)
        with suppress(TimeoutError):
            await all_delivered(store, tickets, count, 5)
        found = await facts(store, tickets)
        assert TextFailed not in found
        # Bearerbox had taken it, and smsbox died before it said so: sent again, unless the report came first and made that needless.
        assert set().union(*tickets.values()) == await texts_in(store, tickets, TextSent, TextDelivered)
        assert (
            found[TextSent] >= count - 3 * TextRules().at_once
        )  # in the carriers' hands at the three deaths
        assert found[TextSent] <= count + 4
        doubles = len(world.arrived()) - count
        print(
            f"{count} texts, {doubles} arrived twice, {found[TextDelivered]} reported, {owed} were owed at the deaths, "
            f"{post.health.repeated_reports} again"
        )
        assert doubles <= 12  # at most what each death found in the carriers' hands, and in Kannel's
        assert found[TextDelivered] >= count - owed


async def test_a_thousand_at_once_and_an_emergency_overtakes(tmp_path: Path) -> None:
    """1,000 texts wait for a real gateway; the emergency that comes last is among the next to arrive."""
    async with with_kannel(tmp_path) as world, office(world, tmp_path) as (store, open_one):
        now = datetime.now(UTC)
        ordinary: dict[int, list[str]] = {}
        for start in range(0, 1000, 50):
            ticket = await store.open_ticket([TicketOpened(at=now, company="demo", channel="api")])
            ids = [f"{ticket}-{n}" for n in range(start, start + 50)]
            await store.append(
                ticket,
                [
                    TextQueued(at=now, text=i, number="+79160000000", body=f"Вода {i}", template="number")
                    for i in ids
                ],
            )
            ordinary[ticket] = ids
        post = open_one()
        began = asyncio.get_running_loop().time()
        for ticket, ids in ordinary.items():
            for id in ids:
                post.take(ticket, id)
        await until(lambda: len(world.arrived()) >= 100)
        urgent = await store.open_ticket([TicketOpened(at=now, company="demo", channel="api")])
        alarm = TextQueued(
            at=datetime.now(UTC), text=f"{urgent}-1", number="+79000000001", body="Авария", contact="p"
        )
        before = len(world.arrived())
        asked = asyncio.get_running_loop().time()
        await store.append(urgent, [alarm])
        post.take(urgent, alarm.text)
        await until(lambda: ("+79000000001", "Авария") in world.arrived())
        seconds = asyncio.get_running_loop().time() - asked
        place = world.arrived().index(("+79000000001", "Авария"))
        await all_delivered(store, ordinary, 1000, 120)
        whole = asyncio.get_running_loop().time() - began
        print(
            f"overtook all but {place - before} of {1000 - before}, in {seconds * 1000:.0f} ms; 1,001 texts in {whole:.1f} s"
        )
        assert place - before < 100
        assert len(world.arrived()) == 1001


# --- what only a message centre can do ---------------------------------------------------------------------------------------------


async def test_a_centre_that_is_busy_and_one_that_refuses(tmp_path: Path) -> None:
    async with with_smpp(tmp_path) as world:
        world.refuse = {"79000000001": 0x58, "79000000002": 0x14, "79000000003": 0x0B}
        for number in ("+79000000001", "+79000000002"):
            with pytest.raises(ConnectionError, match=r"THROTTLED|MSGQFUL"):
                await world.texts.send(Message(f"1-{number}", number, "Да", "demo"))
        with pytest.raises(ValueError, match="RINVDSTADR"):
            await world.texts.send(Message("1-3", "+79000000003", "Да", "demo"))
        await world.texts.send(Message("1-4", "+79000000004", "Да", "demo"))


async def test_what_cannot_be_written_down_is_told_again(tmp_path: Path) -> None:
    """The store is away while somebody writes: the line is cut, unacknowledged; after it the gateway works on."""
    async with with_smpp(tmp_path) as world:
        world.broken = 1
        with suppress(Exception):  # whichever way the library tells of a line that was cut
            await world.writes("+79000000001", "Да")
        assert not world.broken
        async with asyncio.timeout(WAIT_SECONDS):
            while world.sessions < 2:
                await asyncio.sleep(0.02)
        assert not world.heard
        await world.writes("+79000000001", "Да")
        await until(lambda: world.heard)
