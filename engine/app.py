"""The composition root: builds the adapters, puts them together, and keeps the service and the console at work. It alone knows them all."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.asterisk.ami import Ami, AmiAddress
from engine.asterisk.ari.client import AriClient
from engine.asterisk.ari.rest import AriAddress
from engine.asterisk.call_file import CallFiles
from engine.asterisk.muting import RecordingMute
from engine.asterisk.stand_in import AsteriskStandIn
from engine.asterisk.telephony import AsteriskTelephony
from engine.config import CannotStart, Settings
from engine.console.api import sms as sms_api
from engine.console.pages import answer
from engine.domain.errors import StoreFailed
from engine.domain.finding import Finding, Severity
from engine.domain.queueing import Rules
from engine.domain.texts import TextRules
from engine.files.desks import DeskFile
from engine.files.watch import Companies, company_folders, import_company
from engine.flows.deps import FAILPOINTS, Deps
from engine.flows.operators.desk import Operators
from engine.flows.residents.callers import Callers, CallLimits
from engine.flows.staff.gate import Gate, Gates
from engine.flows.texts.links import Links
from engine.flows.watch.alarm import Alarms
from engine.flows.watch.duty import Duty
from engine.flows.watch.watchdog import Watchdog
from engine.front import console, leave
from engine.health import Health, probes
from engine.hooks import WebHooks
from engine.jobs import jobs, prepared
from engine.ports import Sound
from engine.secrets import Secrets, load_or_create_secrets
from engine.sentry import Sentry
from engine.service import Service
from engine.share import share_dir
from engine.sms.setup import Configured, OpenTexts, open_texts
from engine.sms.template import TemplateError
from engine.speech.engines import find_engines
from engine.speech.melody import make_melody
from engine.speech.voice import SpokenVoice
from engine.store.store import Store
from engine.up import ALARM_FILE, HEART_FILE
from engine.upkeep import Upkeep, recording_folder

log = structlog.get_logger()

POLICIES = share_dir() / "escalation_policies"
DEMO_COMPANY = Path(__file__).parent / "demo" / "company"
SMS_ADDRESSES_FILE = "sms-addresses"


class SystemClock:
    """`ports.Clock`: the computer's own."""

    def now(self) -> datetime:
        """The current instant, UTC."""
        return datetime.now(UTC)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `CannotStart` (or another `DozvonError`) if that is not possible.

    Calls that are up at that moment stay up, for the next engine: then this one leaves as if it had been killed, which is what the
    whole house is proven against, but with everything on disk. Ending its flows in order would hang up on everybody.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with engine(settings, stopping) as built:
        if built is None:
            return
        serving = asyncio.create_task(built.service.run(), name="service")
        watching = asyncio.create_task(built.ari.watch(), name="ari watch")
        stopped = asyncio.create_task(stopping.wait(), name="stop signal")
        log.info("the engine is at work", console=settings.console_url)
        guarding = asyncio.create_task(built.watchdog.run(), name="watchdog")
        on_duty = asyncio.create_task(built.duty.kept(), name="duty")
        tasks = {serving, watching, guarding, on_duty, stopped}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ends = [_why(task) for task in done - {stopped}]
        log.info("the engine stops", calls=built.phone.legs, reason=ends[0] if ends else "told to")
        if stopped in done and built.phone.legs:
            with suppress(StoreFailed):
                await built.store.do(_nothing)  # whatever waits to be written is before this in the line
            log.info("calls go on without this engine; the next one takes them up")
            os._exit(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in done - {stopped}:
            task.result()


def _why(ended: asyncio.Task[Any]) -> str:
    """What a task says that should have gone on as long as the engine."""
    error = None if ended.cancelled() else ended.exception()
    return f"{ended.get_name()} ended" if error is None else str(error) or repr(error)


async def _nothing(_: AsyncConnection) -> None:
    """A transaction that writes nothing."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What `engine` built."""

    service: Service
    deps: Deps
    store: Store
    ari: AriClient
    phone: AsteriskTelephony
    watchdog: Watchdog
    duty: Duty


@asynccontextmanager
async def engine(settings: Settings, stopping: asyncio.Event) -> AsyncIterator[Engine | None]:
    """All adapters open and put together, the console listening; everything closed again, in reverse order, on leaving.

    None: it was stopped while it waited for its turn, beside another engine on the same database.
    """
    clock = SystemClock()
    secrets = load_or_create_secrets(settings.inside("secrets.json"), settings.asterisk.desk_phones)
    settings.inside().mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        folders = await stack.enter_async_context(_companies(settings))
        store = await stack.enter_async_context(Store.open(settings.database))
        trunks = tuple(trunk.name for trunk in settings.asterisk.trunks) or ("trunk",)
        alarm_calls = CallFiles(settings.inside("asterisk", "spool"), trunks[0])
        sentry = Sentry(alarm_calls, secrets.webhook_secret, settings.inside(HEART_FILE))
        duty = Duty(store, f"{socket.gethostname()}:{settings.inside()}", sentry.beat)
        if not await duty.taken(stopping):
            yield None
            return
        voice = await stack.enter_async_context(
            SpokenVoice(
                find_engines(settings.voice.prefix.absolute(), settings.voice.name),
                settings.inside("sounds", "spoken"),
            ).open()
        )
        recordings = await stack.enter_async_context(recording_folder(settings, folders))
        address = AriAddress(settings.asterisk.host, settings.base_port + 2, "dozvon", secrets.ari_password)
        manager = AmiAddress(settings.asterisk.host, settings.base_port + 1, "dozvon", secrets.ami_password)
        ami = await stack.enter_async_context(Ami(manager))
        ari = await stack.enter_async_context(AriClient(address))
        phone = await stack.enter_async_context(AsteriskTelephony(ari, trunks=trunks))
        hooks = await stack.enter_async_context(WebHooks(secrets.webhook_secret))
        texts = await stack.enter_async_context(_texts(settings, secrets))
        links = Links(settings.console_url, secrets.console_secret, settings.sms.link_for)
        deps = Deps(
            store=store,
            phone=phone,
            voice=voice,
            recordings=recordings,
            texts=texts.texts,
            link=links.to if settings.sms.links else lambda _: None,
            engine=duty.engine,
            texting=_text_rules(settings),
            clock=clock,
            companies=folders,
            gates=_gates(settings),
            hooks=hooks,
            alarm_calls=alarm_calls,
            reached=_killer(settings.failpoint),
            callers=Callers(
                CallLimits(settings.calls.calls_of_a_caller, at_once=settings.calls.calls_at_once)
            ),
            robocall_seconds=settings.calls.robocall_for.total_seconds(),
            message_seconds=settings.calls.message_for.total_seconds(),
        )
        deps = replace(deps, operators=await _operators(settings, deps))
        fallback = AsteriskStandIn(
            settings.recordings, ami.db_put, ami.db_del, settings.inside("sounds"), voice
        )
        service = Service(deps, fallback)
        alarms = Alarms(deps)
        muting = await stack.enter_async_context(RecordingMute(ari, ami))
        upkeep = Upkeep(settings, deps, recordings, muting, ami.db_put)
        post = service.post if settings.sms.providers else None
        asked = probes(ami, trunks, upkeep, post)
        watchdog = Watchdog(deps, service, alarms, len(trunks), asked, sentry.beat)
        health = Health(ari, ami, voice, folders, alarms, post, upkeep.components)

        def attach(pages: web.Application) -> None:
            sms_api.attach(pages, texts.hooks, service.heard)
            answer.attach(pages, links)

        await stack.enter_async_context(console(settings, deps, store, recordings, muting, health, attach))
        await stack.enter_async_context(
            jobs(service, deps, ami, fallback, sentry, settings.inside(ALARM_FILE))
        )
        await stack.enter_async_context(upkeep.at_work())
        await stack.enter_async_context(prepared(voice, deps, sentry))
        stack.enter_context(sentry.on_watch())
        yield Engine(service, deps, store, ari, phone, watchdog, duty)


async def _operators(settings: Settings, deps: Deps) -> Operators:
    """The operators' room: its rules, its music, and who was signed in when it closed."""
    part = settings.operators
    rules = Rules(**{name: getattr(part, name) for name in Rules.__slots__})
    music = part.music
    if music is None:
        music = await asyncio.to_thread(make_melody, settings.inside("sounds", "hold.wav"))
    return Operators(
        deps,
        settings.asterisk.desk_phones,
        DeskFile(settings.inside("desks.json")),
        rules,
        Sound(f"sound:{music.absolute().with_suffix('')}"),
    )


def _gates(settings: Settings) -> Gates:
    """What each trunk's owner allows. The demo company's trunk has the limits of a small line."""
    return Gates(
        *(
            Gate(
                rate=trunk.calls_a_second,
                burst=max(1, int(trunk.calls_a_second / 2)),
                channels=trunk.max_channels,
            )
            for trunk in settings.asterisk.trunks
        )
    )


@asynccontextmanager
async def _texts(settings: Settings, secrets: Secrets) -> AsyncIterator[OpenTexts]:
    """The text providers; the addresses at which they are to call us are left for whoever may read the data directory."""
    configured = [Configured(**provider.model_dump()) for provider in settings.sms.providers]
    our_url = settings.sms.callback_url or settings.console_url
    try:
        async with open_texts(configured, our_url, secrets.console_secret) as opened:
            if opened.addresses:
                lines = "".join(f"{name}: {url}\n" for name, url in opened.addresses.items())
                leave(settings.inside(SMS_ADDRESSES_FILE), lines)
            yield opened
    except TemplateError as error:
        raise CannotStart(str(error)) from error


def _text_rules(settings: Settings) -> TextRules:
    sms = settings.sms
    return TextRules(
        report_within=(sms.report_within_emergency, sms.report_within_urgent, None, None),
        news_per_second=sms.news_per_second,
        at_once=sms.at_once,
        probe_to=sms.probe_to,
        probe_every=sms.probe_every,
    )


def _killer(failpoint: str | None) -> Callable[[str], None]:
    """Kills this process at the named point, as the power going off would."""
    if failpoint is not None and failpoint not in FAILPOINTS:
        raise CannotStart(f"no failpoint is called {failpoint}; there are {', '.join(FAILPOINTS)}")

    def reached(point: str) -> None:
        if point == failpoint:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached


@asynccontextmanager
async def _companies(settings: Settings) -> AsyncIterator[Companies]:
    """The companies, kept fresh. An installation that has none and no trunk of its own gets the demo company."""
    if not company_folders(settings.companies) and not settings.asterisk.trunks:
        await asyncio.to_thread(import_company, DEMO_COMPANY, settings.companies, POLICIES)
    folders = Companies(settings.companies, POLICIES, _tell_findings)
    await asyncio.to_thread(folders.refresh)
    watching = asyncio.create_task(folders.watch(), name="companies")
    try:
        yield folders
    finally:
        watching.cancel()
        await asyncio.wait({watching})


def _tell_findings(name: str, fresh: bool, findings: tuple[Finding, ...]) -> None:
    """What was wrong with a company's files, a line each, with file, line, column and the mend."""
    for finding in findings:
        severe = finding.severity is Severity.ERROR
        (log.error if severe else log.warning)(
            "a company's file", company=name, finding=finding.line_of_text()
        )
    log.info("a company was read" if fresh else "a company stays as it was", company=name)
