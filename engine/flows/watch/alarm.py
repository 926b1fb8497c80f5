"""An alarm reaches a human by whatever way is left: a text, a webhook, a call that Asterisk places without us.

Two kinds. An alarm of a ticket is an event on its timeline, so it survives a crash: its texts go out like any other, its webhooks are
posted here. An alarm of the installation (a dead trunk, a stalled loop) may come when nothing can be written any more: it is
told at once, to everybody whom the companies' policies name for alarms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import structlog

from engine.domain import wording
from engine.domain.company import Company, whom
from engine.domain.errors import NotKnown, VoiceFailed
from engine.domain.events import AlarmRaised, Event, HookFailed, HookPosted
from engine.domain.model import Callee, Urgency
from engine.domain.policy import Target, TargetKind
from engine.domain.ticket import Ticket
from engine.flows.deps import Deps
from engine.ports import Message, Notice, Sound

log = structlog.get_logger()

TELL_SECONDS = 20.0
"""So long may one way take before the next one is tried."""
AGAIN_SECONDS = 600.0
"""An alarm that stands is told again after this time."""
WEBHOOK = f"{TargetKind.WEBHOOK}: "


class Way(StrEnum):
    """How an alarm leaves the house."""

    TEXT = "text"
    HOOK = "hook"
    CALL = "call"


# --- alarms of a ticket ------------------------------------------------------------------------------------------------------------


async def unposted(d: Deps) -> Sequence[tuple[int, int]]:
    """(ticket, seq) of each alarm of an open ticket whose webhooks have not all been told: what a crash left behind."""
    found = []
    for company in d.companies():
        for ticket in await d.store.open_tickets(company.id):
            history = await d.store.history(ticket)
            for seq, event in enumerate(history, start=1):
                if isinstance(event, AlarmRaised) and any(_hooks_left(history, seq, event)):
                    found.append((ticket, seq))
    return found


async def post(ticket: int, seq: int, d: Deps) -> None:
    """Tell the webhooks that the alarm names. Again: only those that have not been told."""
    history = await d.store.history(ticket)
    event = history[seq - 1]
    if not isinstance(event, AlarmRaised):
        return
    for name in tuple(_hooks_left(history, seq, event)):
        settled = await _post_one(name, ticket, seq, event, Ticket.of(history), d)
        await d.store.append(ticket, [settled])


def _hooks_left(history: Sequence[Event], seq: int, alarm: AlarmRaised) -> Iterator[str]:
    told = {e.hook for e in history if isinstance(e, HookPosted | HookFailed) and e.alarm == seq}
    for target in alarm.targets:
        name = target.removeprefix(WEBHOOK)
        if target.startswith(WEBHOOK) and name not in told:
            yield name


async def _post_one(name: str, ticket: int, seq: int, alarm: AlarmRaised, state: Ticket, d: Deps) -> Event:
    try:
        url = d.company(state.company).webhooks[name]
        if d.hooks is None:
            raise ValueError("this installation posts no webhooks")
        await d.hooks.post(_notice(url, ticket, seq, alarm, state))
    except (NotKnown, KeyError, ValueError, ConnectionError) as error:
        log.error("an alarm did not reach a webhook", ticket=ticket, hook=name, error=str(error))
        return HookFailed(at=d.clock.now(), hook=name, alarm=seq, reason=str(error))
    return HookPosted(at=d.clock.now(), hook=name, alarm=seq)


def _notice(url: str, ticket: int, seq: int, alarm: AlarmRaised, state: Ticket) -> Notice:
    body = {
        "ticket": ticket,
        "seq": seq,
        "reason": alarm.reason,
        "company": state.company,
        "cause": state.cause,
        "title": state.title,
        "address": wording.place(state.premises),
        "text": wording.alarm_words(alarm.reason, ticket),
    }
    return Notice(f"{ticket}-{seq}", url, "AlarmRaised", alarm.at, ticket, body)


# --- alarms of the installation ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Standing:
    """An alarm that has not been called off."""

    since: datetime
    detail: str
    told_at: float


@dataclass(eq=False)
class Alarms:
    """Raises and calls off the alarms of the installation; `run` tells them. `standing` is what `/readyz` shows."""

    d: Deps
    standing: dict[str, Standing] = field(default_factory=dict)
    _to_tell: asyncio.Queue[tuple[str, str, Collection[Way]]] = field(
        default_factory=asyncio.Queue, init=False
    )

    async def run(self) -> None:
        """Tell what is raised, each alarm as a task of its own, until cancelled."""
        async with asyncio.TaskGroup() as telling:
            while True:
                alarm = await self._to_tell.get()
                telling.create_task(self._tell(*alarm), name=f"alarm {alarm[0]}")

    def stands(self, reason: str, detail: str = "", *, broken: Collection[Way] = ()) -> None:
        """It is so, now: tell it when it is new, and again from time to time. `broken` are the ways that died with it."""
        now = asyncio.get_running_loop().time()
        known = self.standing.get(reason)
        if known is not None and now - known.told_at < AGAIN_SECONDS:
            return
        since = known.since if known else self.d.clock.now()
        self.standing[reason] = Standing(since, detail, now)
        self.tell(reason, detail, broken=broken)

    def over(self, reason: str) -> None:
        """It is so no more."""
        if self.standing.pop(reason, None) is not None:
            log.warning("an alarm is over", reason=reason)

    def tell(self, reason: str, detail: str = "", *, broken: Collection[Way] = ()) -> None:
        """Tell it once. Whoever could not be texted is called. Returns at once."""
        log.error("ALARM", reason=reason, detail=detail)
        self._to_tell.put_nowait((reason, detail, broken))

    async def _tell(self, reason: str, detail: str, broken: Collection[Way]) -> None:
        words = wording.alarm_words(reason, None, detail)
        name = f"alarm-{reason.replace('_', '-')}-{int(self.d.clock.now().timestamp())}"
        try:
            companies = self.d.companies()
            await asyncio.gather(
                *(self._tell_company(company, name, words, reason, broken) for company in companies)
            )
        except Exception:
            log.exception("an alarm could not be told", reason=reason)

    async def _tell_company(
        self, company: Company, name: str, words: str, reason: str, broken: Collection[Way]
    ) -> None:
        people, hooks = addressees(company, self.d.clock.now())
        ways = [self._tell_person(company, callee, name, words, broken) for callee in people]
        if Way.HOOK not in broken:
            ways += [self._tell_hook(company, hook, name, words, reason) for hook in hooks]
        await asyncio.gather(*ways)

    async def _tell_person(
        self, company: Company, callee: Callee, name: str, words: str, broken: Collection[Way]
    ) -> None:
        number = callee.numbers[0]
        name = f"{name}-{company.id}-{callee.contact}"
        if Way.TEXT not in broken and await self._attempt(
            Way.TEXT, self.d.texts.send(Message(name, number, words, company.id))
        ):
            return
        if Way.CALL not in broken and self.d.alarm_calls is not None:
            await self._attempt(Way.CALL, self.d.alarm_calls.order(name, number, await self._sound(words)))

    async def _tell_hook(self, company: Company, hook: str, name: str, words: str, reason: str) -> None:
        if self.d.hooks is not None:
            body = {"reason": reason, "company": company.id, "text": words}
            notice = Notice(name, company.webhooks[hook], "InstallationAlarm", self.d.clock.now(), None, body)
            await self._attempt(Way.HOOK, self.d.hooks.post(notice))

    async def _attempt(self, way: Way, telling: Awaitable[object]) -> bool:
        """Whether somebody was told by this way. What goes only to the log has reached nobody."""
        try:
            async with asyncio.timeout(TELL_SECONDS):
                said = await telling
        except Exception as error:  # whatever a way dies of, the others are still to be tried
            log.error("an alarm could not be told this way", way=way, error=repr(error))
            return False
        return getattr(said, "provider", said) != "log"

    async def _sound(self, words: str) -> Sound | None:
        try:
            async with asyncio.timeout(TELL_SECONDS):
                return await self.d.voice.speak(words)
        except (VoiceFailed, TimeoutError):
            return None


def addressees(company: Company, now: datetime) -> tuple[tuple[Callee, ...], tuple[str, ...]]:
    """Whom the company's emergency policies name for alarms, people and webhooks; nobody named: its director."""
    targets: dict[Target, None] = {}
    for policy in company.policies:
        if policy.urgency is Urgency.EMERGENCY:
            targets.update(dict.fromkeys(policy.when_exhausted.alarm))
    people = [one for one in targets if one.kind is not TargetKind.WEBHOOK]
    hooks = tuple(
        one.name for one in targets if one.kind is TargetKind.WEBHOOK and one.name in company.webhooks
    )
    if not people and not hooks:
        people = [Target(TargetKind.ROLE, "company.director")]
    return whom(company, people, None, Urgency.EMERGENCY, now).people, hooks
