"""What is done from time to time, and what is prepared at the start. Deadlines are not here: the walkers wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from engine.asterisk.ami import Ami, AmiAway
from engine.asterisk.stand_in import AsteriskStandIn
from engine.domain import wording
from engine.domain.company import Company, whom
from engine.domain.errors import VoiceFailed
from engine.domain.model import Urgency
from engine.domain.wording_hotline import words
from engine.domain.wording_operators import fixed_operator_parts
from engine.flows.deps import Deps
from engine.flows.watch import digest
from engine.sentry import Addressees, Sentry
from engine.service import Service
from engine.speech.voice import SpokenVoice

log = structlog.get_logger()

STAND_IN_EVERY_SECONDS = 2
NUMBERS_EVERY_SECONDS = 10
DEADLINES_EVERY_SECONDS = 15
DIGEST_EVERY_SECONDS = 60


def quietly(work: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[None]]:
    """The same, for a scheduler that takes its own cancelling of a job, when it shuts down, for the job's mistake."""

    async def run(*args: object) -> None:
        with suppress(asyncio.CancelledError):
            await work(*args)

    return run


@asynccontextmanager
async def jobs(
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
    scheduler.add_job(
        quietly(service.stood_in), "interval", seconds=STAND_IN_EVERY_SECONDS, name="stand-in", **every
    )
    scheduler.add_job(
        quietly(keep_numbers), "interval", seconds=NUMBERS_EVERY_SECONDS, name="numbers", **every
    )
    scheduler.add_job(
        quietly(deps.deadlines.watch),
        "interval",
        (deps,),
        seconds=DEADLINES_EVERY_SECONDS,
        name="deadlines",
        **every,
    )
    scheduler.add_job(
        quietly(digest.gather), "interval", (deps,), seconds=DIGEST_EVERY_SECONDS, name="digest", **every
    )
    scheduler.add_job(
        quietly(keep_addressees), "interval", seconds=NUMBERS_EVERY_SECONDS, name="alarm", **every
    )
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)


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


@asynccontextmanager
async def prepared(voice: SpokenVoice, deps: Deps, sentry: Sentry) -> AsyncIterator[None]:
    """Render the fixed sentences in the background, the most urgent first, so that no call waits for a voice."""

    async def prepare() -> None:
        greetings = [wording.greeting(company) for company in deps.companies()]
        fixed = (*wording.fixed_parts(), *_menus(deps), *words("ru").fixed(), *fixed_operator_parts())
        await voice.prepare([*greetings, *fixed])
        if any(line.language == "en" for company in deps.companies() for line in company.lines):
            if not voice.speaks("en"):
                log.warning("a line speaks English and no voice does: run `make english`")
            await voice.prepare(words("en").fixed(), "en")
        with suppress(VoiceFailed):
            sentry.sound = await voice.speak(wording.alarm_words("loop_stalled", None))

    task = asyncio.create_task(prepare(), name="prepare voice")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def _menus(deps: Deps) -> Sequence[str]:
    """What an emergency's caller hears first, by company: the first menu, and the advice of a hand-over. The rest is rendered when it is
    first said, and kept."""
    said: dict[str, None] = {}
    for company in deps.companies():
        causes = company.catalogue
        for group in (causes.emergency, causes.ordinary):
            said.update(dict.fromkeys(words("ru").menu(causes.choices(group))))
        advice = (one.said("ru").tell for one in causes.causes.values() if one.hand_over)
        said.update(dict.fromkeys(text for text in advice if text))
    return tuple(said)
