"""The composition root: builds the adapters, puts them together, and keeps the service and the console at work. It alone knows them all."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from aiohttp import web
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from engine.asterisk.ami import Ami, AmiAddress, AmiAway, AmiFailed
from engine.asterisk.ari.client import AriClient
from engine.asterisk.ari.errors import AriError
from engine.asterisk.ari.rest import AriAddress
from engine.asterisk.call_file import CallFiles
from engine.asterisk.muting import RecordingMute
from engine.asterisk.stand_in import AsteriskStandIn
from engine.asterisk.telephony import AsteriskTelephony
from engine.config import Settings
from engine.console import auth
from engine.console.api import sms as sms_api
from engine.console.app import make_app
from engine.console.deps import Component, ConsoleDeps
from engine.console.deps import Settings as ConsoleSettings
from engine.console.pages import answer
from engine.domain import wording
from engine.domain.company import Company, whom
from engine.domain.errors import DozvonError, VoiceFailed
from engine.domain.finding import Finding, Severity
from engine.domain.model import Urgency
from engine.domain.queueing import Rules
from engine.domain.texts import TextRules
from engine.domain.wording_hotline import words
from engine.domain.wording_operators import fixed_operator_parts
from engine.files.desks import DeskFile
from engine.files.watch import Companies, company_folders, import_company
from engine.flows import deadlines
from engine.flows.alarm import Alarms
from engine.flows.deps import FAILPOINTS, Deps
from engine.flows.desk import Operators
from engine.flows.gate import Gate, Gates
from engine.flows.links import Links
from engine.flows.texting import Post
from engine.flows.watchdog import Probe, Watchdog
from engine.hooks import WebHooks
from engine.ports import Muting, Sound
from engine.recordings import RecordingFolder
from engine.secrets import Secrets, load_or_create_secrets
from engine.sentry import Addressees, Sentry
from engine.service import Service
from engine.share import share_dir
from engine.sms.setup import Configured, OpenTexts, open_texts
from engine.sms.template import TemplateError
from engine.speech import SpokenVoice, find_engines
from engine.speech.melody import make_melody
from engine.store.accounts import Access
from engine.store.store import Store
from engine.up import ALARM_FILE, HEART_FILE
from engine.upkeep import Upkeep, recording_folder

log = structlog.get_logger()

POLICIES = share_dir() / "escalation_policies"
DEMO_COMPANY = Path(__file__).parent / "demo" / "company"
LINK_FILE = "console-link"
SMS_ADDRESSES_FILE = "sms-addresses"
LINK_LIFETIME = timedelta(hours=24)
ADMINISTRATOR = "admin"
STAND_IN_EVERY_SECONDS = 5
NUMBERS_EVERY_SECONDS = 10
DEADLINES_EVERY_SECONDS = 15
SMS_STUCK_SECONDS = 30.0


class CannotStart(DozvonError):
    """The engine cannot do its work as it is set up; the text says why and what to do."""


class SystemClock:
    """`ports.Clock`: the computer's own."""

    def now(self) -> datetime:
        """The current instant, UTC."""
        return datetime.now(UTC)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `CannotStart` (or another `DozvonError`) if that is not possible."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with engine(settings) as built:
        serving = asyncio.create_task(built.service.run(), name="service")
        watching = asyncio.create_task(built.ari.watch(), name="ari watch")
        stopped = asyncio.create_task(stopping.wait(), name="stop signal")
        log.info("the engine is at work", console=settings.console_url)
        guarding = asyncio.create_task(built.watchdog.run(), name="watchdog")
        tasks = {serving, watching, guarding, stopped}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        log.info("the engine stops")
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in done - {stopped}:
            task.result()


@dataclass(frozen=True, slots=True)
class Engine:
    """What `engine` built."""

    service: Service
    deps: Deps
    store: Store
    ari: AriClient
    watchdog: Watchdog


@asynccontextmanager
async def engine(settings: Settings) -> AsyncIterator[Engine]:
    """All adapters open and put together, the console listening; everything closed again, in reverse order, on leaving."""
    clock = SystemClock()
    secrets = load_or_create_secrets(settings.inside("secrets.json"), settings.asterisk.desk_phones)
    settings.inside().mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        folders = await stack.enter_async_context(_companies(settings))
        store = await stack.enter_async_context(Store.open(settings.database))
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
        trunks = tuple(trunk.name for trunk in settings.asterisk.trunks) or ("trunk",)
        phone = await stack.enter_async_context(AsteriskTelephony(ari, trunks=trunks))
        hooks = await stack.enter_async_context(WebHooks(secrets.webhook_secret))
        alarm_calls = CallFiles(settings.inside("asterisk", "spool"), trunks[0])
        texts = await stack.enter_async_context(_texts(settings, secrets))
        links = Links(settings.console_url, secrets.console_secret, settings.sms.link_for)
        deps = Deps(
            store=store,
            phone=phone,
            voice=voice,
            recordings=recordings,
            texts=texts.texts,
            link=links.to if settings.sms.links else lambda _: None,
            texting=_text_rules(settings),
            clock=clock,
            companies=folders,
            gates=_gates(settings),
            hooks=hooks,
            alarm_calls=alarm_calls,
            reached=_killer(settings.failpoint),
            robocall_seconds=settings.calls.robocall_for.total_seconds(),
            message_seconds=settings.calls.message_for.total_seconds(),
        )
        deps = replace(deps, operators=await _operators(settings, deps))
        fallback = AsteriskStandIn(
            settings.recordings, ami.db_put, ami.db_del, settings.inside("sounds"), voice
        )
        service = Service(deps, fallback)
        alarms = Alarms(deps)
        upkeep = Upkeep(settings, deps, recordings, ami.db_put)
        sentry = Sentry(alarm_calls, secrets.webhook_secret, settings.inside(HEART_FILE))
        watchdog = Watchdog(deps, service, alarms, len(trunks), _probes(ami, trunks, upkeep), sentry.beat)
        post = service.post if settings.sms.providers else None
        health = Health(ari, ami, voice, folders, alarms, post, upkeep.components)

        def attach(pages: web.Application) -> None:
            sms_api.attach(pages, texts.hooks, service.heard)
            answer.attach(pages, links)

        await stack.enter_async_context(
            _console(settings, deps, store, recordings, RecordingMute(ari, ami), health, attach)
        )
        await stack.enter_async_context(
            _jobs(service, deps, ami, fallback, sentry, settings.inside(ALARM_FILE))
        )
        await stack.enter_async_context(upkeep.at_work())
        await stack.enter_async_context(_prepared(voice, deps, sentry))
        stack.enter_context(sentry.on_watch())
        yield Engine(service, deps, store, ari, watchdog)


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
                _leave(settings.inside(SMS_ADDRESSES_FILE), lines)
            yield opened
    except TemplateError as error:
        raise CannotStart(str(error)) from error


def _text_rules(settings: Settings) -> TextRules:
    sms = settings.sms
    return TextRules(
        report_within=(sms.report_within_emergency, sms.report_within_urgent, None, None),
        news_per_second=sms.news_per_second,
        at_once=sms.at_once,
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


@asynccontextmanager
async def _console(
    settings: Settings,
    deps: Deps,
    store: Store,
    recordings: RecordingFolder,
    muting: Muting,
    health: Health,
    attach: Callable[[web.Application], None],
) -> AsyncIterator[None]:
    """The console and the API, listening; an administrator's one-time link for whoever may read the data directory."""

    async def put_on_record(
        at: datetime, who: str, what: str, ticket: int | None = None, recording: str | None = None
    ) -> None:
        await store.accounts.record(Access(at, who, what, ticket, recording))

    console = ConsoleDeps(
        flows=deps,
        reader=store.read,
        accounts=store.accounts,
        audit=put_on_record,
        recordings=recordings,
        muting=muting,
        health=health,
        settings=ConsoleSettings(base_url=settings.console_url),
    )
    pages = make_app(console)
    attach(pages)
    runner = web.AppRunner(pages, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.console.host, settings.console_port).start()
        except OSError as error:
            raise CannotStart(
                f"the console's port {settings.console_port} cannot be used ({error.strerror}): "
                f"another program has it; set DOZVON_BASE_PORT (now {settings.base_port}) to another block of ports"
            ) from error
        await _leave_link(settings, store)
        yield
    finally:
        await runner.cleanup()


async def _leave_link(settings: Settings, store: Store) -> None:
    now = datetime.now(UTC)
    await auth.add_user(store.accounts, ADMINISTRATOR, "admin", now)
    link = await auth.create_link(store.accounts, ADMINISTRATOR, now, settings.console_url, LINK_LIFETIME)
    _leave(settings.inside(LINK_FILE), link + "\n")


def _leave(file: Path, text: str) -> None:
    """A secret, in a file that only the owner can read."""
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(text)


@asynccontextmanager
async def _jobs(
    service: Service, deps: Deps, ami: Ami, fallback: AsteriskStandIn, sentry: Sentry, alarm_file: Path
) -> AsyncIterator[None]:
    """What is done from time to time. Deadlines are not here: the walkers wait for them."""
    told_since = ami.health.since

    async def keep_numbers() -> None:
        nonlocal told_since
        if ami.health.since != told_since:
            told_since = ami.health.since
            fallback.forget_kept()
        try:
            for company in deps.companies():
                for line in company.lines:
                    await fallback.keep(line.did, company.id, _on_duty(company, deps.clock.now()))
        except AmiAway:
            return

    async def keep_addressees() -> None:
        found = Addressees.of(deps.companies(), deps.clock.now())
        if found != sentry.addressees:
            sentry.addressees = found
            await asyncio.to_thread(found.write, alarm_file)

    scheduler = AsyncIOScheduler(timezone=UTC)
    every = {"coalesce": True, "max_instances": 1, "next_run_time": datetime.now(UTC)}
    scheduler.add_job(service.stood_in, "interval", seconds=STAND_IN_EVERY_SECONDS, name="stand-in", **every)
    scheduler.add_job(keep_numbers, "interval", seconds=NUMBERS_EVERY_SECONDS, name="numbers", **every)
    scheduler.add_job(
        deadlines.watch, "interval", (deps,), seconds=DEADLINES_EVERY_SECONDS, name="deadlines", **every
    )
    scheduler.add_job(keep_addressees, "interval", seconds=NUMBERS_EVERY_SECONDS, name="alarm", **every)
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)


def _probes(ami: Ami, trunks: Sequence[str], upkeep: Upkeep) -> Mapping[str, Probe]:
    """What the watchdog asks besides: the manager, whether the trunks' far ends answer, and the disk."""

    async def manager() -> str | None:
        return None if ami.health.connected else ami.health.problem or "не отвечает"

    async def reachable() -> str | None:
        try:
            known = await ami.trunks(trunks)
        except (AmiAway, AmiFailed):
            return None  # that is the manager's alarm
        dead = [name for name, found in known.items() if found is None or not found.reachable]
        return ", ".join(dead) or None

    return {"disk_full": upkeep.probe, "manager_away": manager, "trunk_unreachable": reachable}


def _on_duty(company: Company, now: datetime) -> Sequence[str]:
    """Whom the dialplan is to ring by itself: the company's own list, else everybody whom its emergency policies name now, in order."""
    if company.fallback:
        return company.fallback
    numbers: dict[str, None] = {}
    for policy in company.policies:
        if policy.urgency is Urgency.EMERGENCY:
            for step in policy.steps:
                for callee in whom(company, step.ring, None, Urgency.EMERGENCY, now).people:
                    numbers.update(dict.fromkeys(callee.numbers))
    return tuple(numbers)


def _menus(deps: Deps) -> Sequence[str]:
    """What the hotline says of causes, by company: each choice of a menu, and each advice."""
    said: dict[str, None] = {}
    for company in deps.companies():
        for group in company.catalogue.groups:
            said.update(dict.fromkeys(words("ru").menu(company.catalogue.choices(group))))
        for cause in company.catalogue.causes.values():
            said.update(
                dict.fromkeys(text for text in (cause.words["ru"].tell, cause.words["ru"].ask) if text)
            )
    return tuple(said)


@asynccontextmanager
async def _prepared(voice: SpokenVoice, deps: Deps, sentry: Sentry) -> AsyncIterator[None]:
    """Render the fixed sentences in the background, the most urgent first, so that no call waits for a voice."""

    async def prepare() -> None:
        greetings = [wording.greeting(company) for company in deps.companies()]
        fixed = (*wording.fixed_parts(), *words("ru").fixed(), *_menus(deps), *fixed_operator_parts())
        await voice.prepare([*greetings, *fixed])
        with suppress(VoiceFailed):
            sentry.sound = await voice.speak(wording.alarm_words("loop_stalled", None))

    task = asyncio.create_task(prepare(), name="prepare voice")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


class Health:
    """The state of each component, for `/readyz`."""

    def __init__(
        self,
        ari: AriClient,
        ami: Ami,
        voice: SpokenVoice,
        folders: Companies,
        alarms: Alarms,
        post: Post | None,
        recordings: Callable[[], Mapping[str, Component]],
    ) -> None:
        self._ari, self._ami, self._voice, self._folders, self._alarms = ari, ami, voice, folders, alarms
        self._post, self._recordings = post, recordings

    async def __call__(self) -> Mapping[str, Component]:
        """By name; `asterisk` and `store` are essential."""
        return {
            "asterisk": await self._asterisk(),
            "store": Component(True, "open"),
            "ami": self._manager(),
            "watchdog": self._watchdog(),
            "companies": self._companies(),
            "speech": self._speech(),
            "sms": self._sms(),
            **self._recordings(),
        }

    def _sms(self) -> Component:
        if self._post is None:
            return Component(False, "log", "no SMS gateway is configured: texts go to the log")
        health = self._post.health
        wrong = [f"{name}: {problem}" for name, problem in health.providers.items() if problem]
        if health.oldest_seconds >= SMS_STUCK_SECONDS:
            wrong.insert(0, f"urgent texts wait for {health.oldest_seconds:.0f} s: {health.problem}")
        working = len(health.providers) > len(wrong) and health.oldest_seconds < SMS_STUCK_SECONDS
        state = "up" if not wrong else "limping" if working else "failing"
        return Component(working, state, "; ".join(wrong) or f"{health.waiting} waiting")

    async def _asterisk(self) -> Component:
        if not self._ari.connected:
            return Component(False, "away", "Asterisk cannot be reached over ARI")
        try:
            await self._ari.asterisk.ping()
        except AriError as error:
            return Component(False, "failing", str(error))
        return Component(True, "connected")

    def _manager(self) -> Component:
        health = self._ami.health
        return Component(
            health.connected, "connected" if health.connected else "away", health.problem or None
        )

    def _watchdog(self) -> Component:
        standing = self._alarms.standing
        if not standing:
            return Component(True, "quiet")
        told = (f"{reason} since {one.since:%H:%M:%S} UTC: {one.detail}" for reason, one in standing.items())
        return Component(False, "alarm", "; ".join(told))

    def _companies(self) -> Component:
        loaded = self._folders()
        if not loaded:
            return Component(False, "none", "no company is loaded: dozvon import DIR")
        outdated = ", ".join(self._folders.outdated)
        detail = f"{outdated}: the files have mistakes, the last good ones are in force: dozvon check"
        return Component(True, f"{len(loaded)} loaded", detail if outdated else None)

    def _speech(self) -> Component:
        names = self._voice.engines()
        if not names:
            return Component(False, "missing", "no speech synthesis: run `make voices`")
        return Component(True, names[0])
