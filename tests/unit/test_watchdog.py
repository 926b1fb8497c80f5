"""What must never happen unseen is found within ten seconds, mended, and told by a way that did not die with it."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from engine import up
from engine.asterisk.call_file import CallFiles
from engine.config import Settings
from engine.domain.events import (
    Accepted,
    AlarmRaised,
    DialStarted,
    EscalationExhausted,
    HookFailed,
    HookPosted,
    StepStarted,
)
from engine.domain.policy import Exhaustion, Target, TargetKind
from engine.flows.watch.alarm import Alarms, unposted
from engine.flows.watch.watchdog import FAILED_DIALS_IN_A_ROW, Watchdog
from engine.hooks import WebHooks, sign, verify
from engine.ports import Notice, Sound
from engine.secrets import load_or_create_secrets
from engine.sentry import Addressees, Sentry
from tests.fakes.time import virtual
from tests.fakes.town import DIRECTOR, FIRST, SECOND, SUPERVISOR, Town, water_policy

FOUND_SECONDS = 10.0


class OrderedCalls:
    """`ports.AlarmCalls` that keeps the orders."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, str]] = []

    async def order(self, name: str, number: str, sound: Sound | None) -> None:
        self.orders.append((name, number))


class Posted:
    """`ports.Hooks` that keeps what was posted; refuses or is away when it is told to."""

    def __init__(self, *troubles: Exception) -> None:
        self.notices: list[Notice] = []
        self._troubles = list(troubles)

    async def post(self, notice: Notice) -> None:
        if self._troubles:
            raise self._troubles.pop(0)
        self.notices.append(notice)


@asynccontextmanager
async def guarded(town: Town, **deps: object) -> AsyncIterator[Alarms]:
    """A watchdog beside the town's service."""
    alarms = Alarms(replace(town.d, **deps))
    watching = asyncio.create_task(Watchdog(town.d, town.service, alarms).run(), name="watchdog")
    await asyncio.sleep(0)
    try:
        yield alarms
    finally:
        watching.cancel()
        await asyncio.wait({watching})


def nobody_answers(town: Town, *but: str) -> None:
    for number in {FIRST, SECOND, SUPERVISOR, DIRECTOR} - set(but):
        town.phone(number).rings_out()


# --- the walks ---------------------------------------------------------------------------------------------------------------------


@virtual
async def test_a_walk_without_a_walker_is_taken_up() -> None:
    async with Town.at_work() as town, guarded(town):
        nobody_answers(town, SECOND)
        town.phone(SECOND).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, DialStarted)
        await asyncio.sleep(3)
        town.service._walks[ticket].cancel()  # as no bug should
        died = town.clock.now()
        await town.until(ticket, AlarmRaised, timeout=FOUND_SECONDS)
        accepted = await town.until(ticket, Accepted, timeout=60)
        assert accepted.contact == "plumber2"
        assert (town.events(ticket, AlarmRaised)[0].at - died).total_seconds() < FOUND_SECONDS
        assert town.events(ticket, AlarmRaised)[0].reason == "walk_lost"
        assert [m.number for m in town.outbox.sent if "остановился" in m.body] == [DIRECTOR]
        await asyncio.sleep(60)
        assert not town.service.walking


@virtual
async def test_a_walker_that_hangs_is_replaced() -> None:
    async with Town.at_work() as town, guarded(town):
        nobody_answers(town, SECOND)
        town.phone(SECOND).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, DialStarted)

        async def hang() -> None:
            await asyncio.get_running_loop().create_future()

        town.service._walkers[ticket]._turn = hang  # type: ignore[method-assign,assignment]
        raised = await town.until(ticket, AlarmRaised, timeout=60)
        assert raised.reason == "walk_lost"
        accepted = await town.until(ticket, Accepted, timeout=30)
        assert accepted.contact == "plumber2"


@virtual
async def test_a_walk_that_does_its_work_is_left_alone() -> None:
    """Hours of a walk that nobody answers, and of one that was taken: no alarm but the policy's own."""
    async with Town.at_work() as town, guarded(town) as alarms:
        nobody_answers(town)
        ticket = await town.emergency()
        await asyncio.sleep(3 * 3600)
        assert {event.reason for event in town.events(ticket, AlarmRaised)} == {"exhausted"}
        town.phone(FIRST).answers().presses_accept_key()
        await town.until(ticket, Accepted)
        await asyncio.sleep(3600)
        assert {event.reason for event in town.events(ticket, AlarmRaised)} == {"exhausted"}
        assert not alarms.standing


@virtual
async def test_a_store_that_cannot_write_is_told_and_no_call_is_cut_for_it() -> None:
    async with Town.at_work() as town, guarded(town) as alarms:
        nobody_answers(town, SECOND)
        town.phone(SECOND).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, DialStarted)
        town.store.fail_next = 10_000
        await asyncio.sleep(6 + FOUND_SECONDS)
        assert "store_failed" in alarms.standing
        assert any("база данных" in message.body for message in town.outbox.sent)
        town.store.fail_next = 0
        assert (await town.until(ticket, Accepted, timeout=60)).contact == "plumber2"
        await asyncio.sleep(FOUND_SECONDS)
        assert not alarms.standing
        assert not town.events(ticket, AlarmRaised)


# --- the parts ---------------------------------------------------------------------------------------------------------------------


@virtual
async def test_asterisk_away_is_told_by_text_and_called_off_when_it_is_back() -> None:
    async with Town.at_work() as town:
        calls = OrderedCalls()
        async with guarded(town, alarm_calls=calls) as alarms:
            await asyncio.sleep(5)
            town.telephony.away = True
            await asyncio.sleep(FOUND_SECONDS)
            assert "asterisk_away" in alarms.standing
            told = [message for message in town.outbox.sent if "станцией" in message.body]
            assert [message.number for message in told] == [DIRECTOR]
            assert not calls.orders, "Asterisk is what died: it will ring nobody"
            await asyncio.sleep(1200)
            assert len([m for m in town.outbox.sent if "станцией" in m.body]) == 3, (
                "told again each ten minutes"
            )
            town.telephony.away = False
            await asyncio.sleep(FOUND_SECONDS)
            assert not alarms.standing


@virtual
async def test_a_moment_without_asterisk_alarms_nobody() -> None:
    async with Town.at_work() as town, guarded(town) as alarms:
        for _ in range(5):
            town.telephony.away = True
            await asyncio.sleep(2)
            town.telephony.away = False
            await asyncio.sleep(3)
        assert not alarms.standing
        assert not town.outbox.sent


@virtual
async def test_a_trunk_whose_calls_fail_in_a_row_is_dead() -> None:
    async with Town.at_work() as town, guarded(town) as alarms:
        for number in (FIRST, SECOND, SUPERVISOR, DIRECTOR):
            town.phone(number).rejects(503)
        ticket = await town.emergency()
        await town.until(ticket, DialStarted, FAILED_DIALS_IN_A_ROW + 1)
        await asyncio.sleep(FOUND_SECONDS)
        assert "trunk_dead" in alarms.standing
        assert any("звонки не проходят" in message.body for message in town.outbox.sent)
        town.phone(FIRST).answers().presses_accept_key()
        await town.until(ticket, Accepted)
        await asyncio.sleep(FOUND_SECONDS)
        assert "trunk_dead" not in alarms.standing


# --- the clock ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-1, -24, 1])
def test_a_clock_that_is_set_puts_no_walk_to_sleep(hours: int) -> None:
    @virtual
    async def story() -> None:
        async with Town.at_work() as town, guarded(town):
            nobody_answers(town, DIRECTOR)
            town.phone(DIRECTOR).answers().presses_accept_key()
            ticket = await town.emergency()
            await town.until(ticket, DialStarted)
            town.clock.skew = timedelta(hours=hours)
            accepted = await town.until(ticket, Accepted, timeout=120)
            assert accepted.contact == "director"
            assert [event.index for event in town.events(ticket, StepStarted)] == [0, 1, 2]
            assert any("часы" in message.body for message in town.outbox.sent)

    story()


@virtual
async def test_a_clock_put_right_by_a_second_alarms_nobody() -> None:
    async with Town.at_work() as town, guarded(town):
        await asyncio.sleep(10)
        town.clock.skew = timedelta(seconds=1)
        await asyncio.sleep(10)
        town.clock.skew = timedelta(seconds=-4)
        await asyncio.sleep(10)
        assert not town.outbox.sent


@virtual
async def test_a_clock_set_back_before_a_restart() -> None:
    """The new engine finds a timeline that is an hour ahead of its clock, and walks on from there."""
    async with Town.at_work() as town:
        nobody_answers(town, DIRECTOR)
        town.phone(DIRECTOR).answers().presses_accept_key()
        ticket = await town.emergency()
        await town.until(ticket, DialStarted)
        town.clock.skew = timedelta(hours=-1)
        await town.restart()
        assert (await town.until(ticket, Accepted, timeout=120)).contact == "director"


# --- the ways out ------------------------------------------------------------------------------------------------------------------


@virtual
async def test_who_cannot_be_texted_is_called() -> None:
    async with Town.at_work() as town:

        class NoGateway:
            async def send(self, message: object) -> str:
                raise ConnectionError("the gateway is away")

        calls = OrderedCalls()
        async with guarded(town, alarm_calls=calls, texts=NoGateway()) as alarms:
            alarms.tell("clock_jumped", "+3600 с")
            await asyncio.sleep(1)
        assert [number for _, number in calls.orders] == [DIRECTOR]


def hook_policy() -> object:
    policy = water_policy()
    alarm = (Target(TargetKind.ROLE, "company.director"), Target(TargetKind.WEBHOOK, "duty"))
    return replace(policy, when_exhausted=Exhaustion(every=timedelta(minutes=2), alarm=alarm))


@virtual
async def test_the_policys_webhooks_are_told_and_once() -> None:
    async with Town.at_work(hook_policy()) as town:  # type: ignore[arg-type]
        town.company = replace(town.company, webhooks={"duty": "http://127.0.0.1:9/alarm"})
        nobody_answers(town)
        hooks = Posted()
        town.service._d = replace(town.d, hooks=hooks)
        ticket = await town.emergency()
        await town.until(ticket, EscalationExhausted, 2)
        await town.until(ticket, HookPosted, 2)
        assert [notice.body["reason"] for notice in hooks.notices] == ["exhausted", "exhausted"]
        assert [notice.url for notice in hooks.notices] == ["http://127.0.0.1:9/alarm"] * 2
        assert hooks.notices[0].body["ticket"] == ticket
        assert "никто не принял" in str(hooks.notices[0].body["text"])
        assert not await unposted(town.d)


@virtual
async def test_what_a_crash_left_untold_is_told_at_the_next_start() -> None:
    async with Town.at_work(hook_policy()) as town:  # type: ignore[arg-type]
        town.company = replace(town.company, webhooks={"duty": "http://127.0.0.1:9/alarm"})
        nobody_answers(town)

        class Never(Posted):
            async def post(self, notice: Notice) -> None:
                await asyncio.get_running_loop().create_future()

        town.service._d = replace(town.d, hooks=Never())
        ticket = await town.emergency()
        await town.until(ticket, EscalationExhausted)
        await asyncio.sleep(1)
        assert [one[0] for one in await unposted(town.d)] == [ticket]
        hooks = Posted()
        await town.restart()
        town.service._d = replace(town.d, hooks=hooks)
        await town.until(ticket, HookPosted, timeout=10)
        assert len(hooks.notices) == 1


@virtual
async def test_a_webhook_that_vanished_is_a_fact_and_no_trouble() -> None:
    async with Town.at_work(hook_policy()) as town:  # type: ignore[arg-type]
        nobody_answers(town)
        ticket = await town.emergency()
        failed = await town.until(ticket, HookFailed)
        assert failed.hook == "duty"
        await town.until(ticket, EscalationExhausted, 2)


# --- webhooks over HTTP ------------------------------------------------------------------------------------------------------------


class Receiver:
    """A real HTTP server that answers with the given statuses, the last one for ever, and verifies what it gets."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[dict[str, object]] = []
        self.genuine: list[bool] = []
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Receiver]:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body, said = await request.read(), request.headers
        stamp, signature = said["X-Dozvon-Timestamp"], said["X-Dozvon-Signature"]
        self.genuine.append(verify("secret", stamp, body, signature, int(time.time())))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status < 300:
            self.got.append(json.loads(body))
        return web.Response(status=status)


def notice(url: str, id: str, ticket: int | None = 7) -> Notice:
    return Notice(id, url, "AlarmRaised", datetime(2026, 11, 21, tzinfo=UTC), ticket, {"reason": "тест"})


async def test_a_notice_is_signed_and_retried() -> None:
    async with (
        Receiver(503, 429, 204).listening() as receiver,
        WebHooks("secret", pauses=(0.01,) * 3) as hooks,
    ):
        await hooks.post(notice(receiver.url, "7-1"))
        assert [one["id"] for one in receiver.got] == ["7-1"]
        assert receiver.got[0]["reason"] == "тест"
        assert receiver.genuine == [True] * 3


async def test_notices_of_a_ticket_stay_in_order_while_the_first_is_retried() -> None:
    async with (
        Receiver(500, 500, 200).listening() as receiver,
        WebHooks("secret", pauses=(0.02,) * 3) as hooks,
    ):
        posts = [asyncio.create_task(hooks.post(notice(receiver.url, f"7-{n}"))) for n in range(20)]
        await asyncio.gather(*posts)
        assert [one["id"] for one in receiver.got] == [f"7-{n}" for n in range(20)]
        assert not hooks._queues


async def test_a_refusal_is_final_and_silence_is_not_for_ever() -> None:
    async with Receiver(400).listening() as receiver, WebHooks("secret", pauses=(0.01,)) as hooks:
        with pytest.raises(ValueError, match="400"):
            await hooks.post(notice(receiver.url, "7-1"))
        with pytest.raises(ConnectionError, match="2 times"):
            await hooks.post(notice("http://127.0.0.1:9/hook", "7-2"))


@pytest.mark.parametrize(
    ("stamp", "signature"),
    [("", ""), ("٣", "sha256="), ("99999999999999999999", "x"), ("-1", "ü"), ("1", "sha256=" + "0" * 64)],
)
def test_a_forged_signature_is_refused_whatever_it_is(stamp: str, signature: str) -> None:
    assert not verify("secret", stamp, b"{}", signature, 1)


def test_the_manuals_check_of_a_signature_works() -> None:
    manual = (Path(__file__).parents[2] / "docs/escalation.md").read_text()
    told: dict[str, object] = {}
    exec(re.findall(r"```python\n(.*?)```", manual, re.DOTALL)[0], told)
    genuine = told["genuine"]
    assert callable(genuine)
    assert genuine("secret", "17", b"{}", sign("secret", 17, b"{}"))
    assert not genuine("secret", "17", b"{ }", sign("secret", 17, b"{}"))


# --- a call that Asterisk places by itself -----------------------------------------------------------------------------------------


def spool(folder: Path) -> Path:
    for name in ("tmp", "outgoing"):
        (folder / name).mkdir()
    return folder


async def test_an_order_for_an_alarm_call(tmp_path: Path) -> None:
    calls = CallFiles(spool(tmp_path), "trunk", "+74950000112")
    await calls.order("alarm-1", "+79000000004", Sound("sound:/var/sounds/abc"))
    lines = (tmp_path / "outgoing" / "alarm-1.call").read_text().splitlines()
    assert lines[0] == "Channel: PJSIP/+79000000004@trunk"
    assert "Context: dozvon-alarm" in lines
    assert "Setvar: ALARM=/var/sounds/abc" in lines
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("number", ["", "112\nApplication: System", "+7900@evil", "12a", "../x"])
async def test_nothing_but_a_number_gets_into_the_spool(tmp_path: Path, number: str) -> None:
    with pytest.raises(ValueError, match="plain number"):
        await CallFiles(spool(tmp_path), "trunk").order("alarm-1", number, None)
    with pytest.raises(ValueError, match="plain number"):
        await CallFiles(tmp_path, "trunk").order("../alarm", "112", None)
    assert not list((tmp_path / "outgoing").iterdir())


# --- the loop itself ---------------------------------------------------------------------------------------------------------------


def sentry(tmp_path: Path, ended: threading.Event, hooks: Sequence[str] = ()) -> Sentry:
    return Sentry(
        CallFiles(spool(tmp_path), "trunk"),
        "secret",
        tmp_path / "heartbeat",
        ended.set,
        stalled_seconds=0.3,
        hopeless_seconds=0.9,
        addressees=Addressees((DIRECTOR,), tuple(hooks)),
    )


async def test_a_loop_that_stands_still_is_told_and_ended(tmp_path: Path) -> None:
    ended = threading.Event()
    with sentry(tmp_path, ended, ["http://127.0.0.1:9/nobody"]).on_watch() as watch:
        watch.beat()
        deadline = time.monotonic() + 10
        while not ended.is_set() and time.monotonic() < deadline:
            time.sleep(0.01)  # a loop that stands still is what is tested
        assert ended.is_set()
        orders = list((tmp_path / "outgoing").iterdir())
        assert [DIRECTOR in order.read_text() for order in orders] == [True]
    assert not (tmp_path / "heartbeat").exists()


async def test_a_loop_that_turns_is_left_alone(tmp_path: Path) -> None:
    ended = threading.Event()
    with sentry(tmp_path, ended).on_watch() as watch:
        for _ in range(30):
            watch.beat()
            await asyncio.sleep(0.05)
    assert not ended.is_set()
    assert not list((tmp_path / "outgoing").iterdir())


def test_the_addressees_are_left_for_the_supervisor(tmp_path: Path) -> None:
    file = tmp_path / "alarm.json"
    assert Addressees.read(file) == Addressees()
    Addressees((DIRECTOR,), ("http://127.0.0.1:9/x",)).write(file)
    assert Addressees.read(file) == Addressees((DIRECTOR,), ("http://127.0.0.1:9/x",))
    assert file.stat().st_mode & 0o077 == 0
    file.write_text("{damaged")
    assert Addressees.read(file) == Addressees()


async def test_a_frozen_engine_is_ended_by_the_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lives, and its heart file grows old: it is killed, to be started again, and the alarm goes out without it."""
    monkeypatch.setattr(up, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(up, "HEART_POLL_SECONDS", 0.05)
    settings = Settings.model_validate({"data_dir": str(tmp_path)})
    (tmp_path / "asterisk" / "spool").mkdir(parents=True)
    spool(tmp_path / "asterisk" / "spool")
    Addressees((DIRECTOR,)).write(tmp_path / up.ALARM_FILE)
    secrets = load_or_create_secrets(tmp_path / "secrets.json")
    said: list[str] = []
    installation = up._Installation(settings, secrets, ("sleep",), ("sleep",), said.append)
    installation.engine = await asyncio.create_subprocess_exec("sleep", "100")
    watching = asyncio.create_task(installation._watch_heart())
    heart = tmp_path / up.HEART_FILE
    for _ in range(10):  # as long as the heart beats, nothing happens
        heart.touch()
        await asyncio.sleep(0.05)
    assert installation.engine.returncode is None
    assert await asyncio.wait_for(installation.engine.wait(), 10) == -9
    async with asyncio.timeout(10):
        while not (orders := list((tmp_path / "asterisk/spool/outgoing").iterdir())):
            await asyncio.sleep(0.02)
    watching.cancel()
    await asyncio.wait({watching})
    assert DIRECTOR in orders[0].read_text()
    assert "no sign of life" in said[0]
