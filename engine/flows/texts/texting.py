"""Texts go out, the urgent ones first; what became of each is a fact of its ticket. The intent is on disk before.

`Post` is the sorting office: several carriers hand texts over in the order of their lanes, one carries news at a measured pace, a watch
looks for reports that do not come and for a gateway that takes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

import structlog

from engine.domain.errors import StoreFailed
from engine.domain.events import AlarmRaised, TextDelivered, TextFailed, TextQueued, TextSent, TextUndelivered
from engine.domain.texts import Fate, Lane, lane, needless, parts
from engine.domain.ticket import Ticket
from engine.flows.deps import Deps
from engine.flows.texts.awaited import Awaited
from engine.flows.texts.probing import Prober
from engine.flows.texts.quiet import Ears
from engine.ports import Delivery, Message, Report

log = structlog.get_logger()

PAUSES_SECONDS = (1.0, 2.0, 5.0, 10.0, 15.0)
"""Between two tries to hand a text to a gateway that is away."""
TICK_SECONDS = 5.0
PROBE_EVERY = timedelta(seconds=60)
PROBE_AGAIN = timedelta(seconds=10)
"""While something is wrong."""
HAND_OVER_SECONDS = 60.0
"""No provider may take longer than this to answer; its own time-outs are shorter."""
CLAIM_SECONDS = HAND_OVER_SECONDS + 15.0
"""So long a text is its engine's own; whoever shares the database sends it after that, if it is not sent by then."""
REMEMBER_FOR = timedelta(days=3)
"""Reports that come later than this are not waited for after a restart."""


@dataclass(frozen=True, slots=True)
class PostHealth:
    """How sending goes. `oldest_seconds` is how long the oldest urgent text has waited; `problem` is what the last try said."""

    waiting: int
    oldest_seconds: float
    problem: str | None
    providers: Mapping[str, str | None]
    repeated_reports: int
    unknown_reports: int


class Post:
    """Sends whatever `take` is given, while `run` runs. One to an engine."""

    def __init__(self, d: Deps) -> None:
        self._d = d
        self._rules = d.texting
        self._incoming: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        self._queue: asyncio.PriorityQueue[tuple[int, int, int, str]] = asyncio.PriorityQueue()
        self._news: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        self._order = count()
        self._waiting: dict[str, tuple[int, Lane, datetime]] = {}
        self._tries: dict[str, int] = {}
        self._again: dict[str, tuple[int, str | None]] = {}
        """Texts to be sent once more, by another provider: how often they were sent by then, and what the network said of the last time
        (None: nothing, for too long)."""
        self._handing: dict[str, asyncio.Future[None]] = {}
        self._awaited = Awaited()
        self._ears = Ears()
        self._prober = Prober(d, self._ears)
        self._alarmed: set[int] = set()
        self._problem: str | None = None
        self._providers: Mapping[str, str | None] = {}
        self._probed: datetime | None = None
        self._repeated = self._unknown = 0
        self._group: asyncio.TaskGroup | None = None

    @property
    def health(self) -> PostHealth:
        """As it is now."""
        now = self._d.clock.now()
        urgent = [now - since for _, where, since in self._waiting.values() if where <= Lane.URGENT]
        oldest = max(urgent, default=timedelta(0)).total_seconds()
        providers = {name: problem or self._ears.quiet.get(name) for name, problem in self._providers.items()}
        return PostHealth(len(self._waiting), oldest, self._problem, providers, self._repeated, self._unknown)

    @property
    def stuck(self) -> str | None:
        """What is wrong, if urgent texts wait for too long, no provider would take one, or one lets them vanish; else None."""
        health = self.health
        if health.oldest_seconds >= self._rules.alarm_after.total_seconds():
            return f"срочные ждут {health.oldest_seconds:.0f} с: {health.problem or 'нет ответа'}"
        if health.providers and all(health.providers.values()):
            return "; ".join(problem for problem in health.providers.values() if problem)
        return "; ".join(self._ears.quiet.values()) or None

    def take(self, ticket: int, text: str) -> None:
        """A text is on the timeline and wants sending. Twice: once."""
        self._incoming.put_nowait((ticket, text))

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            try:
                async with asyncio.TaskGroup() as self._group:
                    own = self._group.create_task
                    own(self._sort(), name="texts: sorting")
                    for number in range(self._rules.at_once):
                        own(self._carry(), name=f"texts: carrier {number + 1}")
                    own(self._carry_news(), name="texts: news")
                    own(self._watch(), name="texts: watch")
                    await self._recall()
            except* Exception:
                log.exception("sending texts broke and is taken up again")
            for ticket, text in await self._unsent():
                self.take(ticket, text)

    # --- from the queue to the network ---------------------------------------------------------------------------------------------

    async def _sort(self) -> None:
        while True:
            ticket, text = await self._incoming.get()
            if text in self._waiting:
                continue
            try:
                history = await self._d.store.history(ticket)
            except StoreFailed:
                self._later(ticket, text, TICK_SECONDS)
                continue
            fate = Fate.of(text, history)
            if fate.queued is None or fate.over or fate.sent:
                continue
            where = lane(fate.queued, Ticket.of(history[:50]).urgency)  # the class is told at the beginning
            self._waiting[text] = (ticket, where, fate.queued.at)
            self._put(where, ticket, text)

    def _put(self, where: Lane, ticket: int, text: str) -> None:
        if where is Lane.NEWS:
            self._news.put_nowait((ticket, text))
        else:
            self._queue.put_nowait((where, next(self._order), ticket, text))

    async def _carry(self) -> None:
        while True:
            _, _, ticket, text = await self._queue.get()
            await self._hand_over(ticket, text)

    async def _carry_news(self) -> None:
        while True:
            ticket, text = await self._news.get()
            await self._hand_over(ticket, text)
            await asyncio.sleep(1 / self._rules.news_per_second)

    async def _hand_over(self, ticket: int, text: str) -> None:
        """One try. Whatever goes wrong with it, the carrier goes on, and the text comes back."""
        done = asyncio.get_running_loop().create_future()
        self._handing[text] = done
        again: float | None = TICK_SECONDS
        try:
            async with asyncio.timeout(HAND_OVER_SECONDS):
                again = await self._try(ticket, text)
        except TimeoutError:
            log.warning("a text could not be handed over in time", text=text)
        except StoreFailed as error:
            log.error("what became of a text could not be written down", text=text, error=str(error))
        except Exception:
            log.exception("handing a text over broke", text=text)
        finally:
            del self._handing[text]
            done.set_result(None)
        if again is None:
            self._waiting.pop(text, None)
            self._tries.pop(text, None)
            self._again.pop(text, None)
        else:
            self._later(ticket, text, again)

    def _later(self, ticket: int, text: str, seconds: float) -> None:
        async def come_back() -> None:
            await asyncio.sleep(seconds)
            if text in self._again:
                self._queue.put_nowait((Lane.URGENT, next(self._order), ticket, text))
            elif text in self._waiting:
                self._put(self._waiting[text][1], ticket, text)
            else:
                self.take(ticket, text)

        assert self._group is not None
        self._group.create_task(come_back(), name=f"text {text} waits")

    async def _try(self, ticket: int, text: str) -> float | None:
        """Hand it over if it is still wanted. Returns None when that is settled, or after how many seconds to try again."""
        d = self._d
        if self._settled(Fate.of(text, await d.store.history(ticket)), text):
            return None
        if not await d.store.claim(f"text {text}", d.engine, CLAIM_SECONDS):
            return TICK_SECONDS  # another engine is about it
        history = await d.store.history(ticket)  # it may have been, before
        fate = Fate.of(text, history)
        queued = fate.queued
        if queued is None or self._settled(fate, text):
            return None
        now, state = d.clock.now(), Ticket.of(history)
        if not fate.sent and (why := needless(queued, state)):
            await d.store.append(ticket, [TextFailed(at=now, text=text, reason=why)])
            return None
        where = lane(queued, state.urgency)
        _, said = self._again.get(text, (0, None))
        message = Message(text, queued.number, queued.body, state.company)
        try:
            handed = await d.texts.send(message, avoid=fate.tried)
        except ConnectionError as away:
            self._problem = str(away)
            if not fate.sent and None not in fate.undelivered and _calls_to_come(queued):
                told = TextUndelivered(at=now, text=text, provider=None, reason="gateway away")
                await d.store.append(ticket, [told])
            if now - queued.at < self._rules.give_up_after[where]:
                log.warning("no text gateway can be reached", text=text, error=str(away))
                return self._pause(text)
            said = said or "gateway away"
        except (LookupError, ValueError) as refused:
            said = said or (None if fate.sent else str(refused))
        else:
            d.reached("texting.sent")
            self._problem = None
            self._providers = {**self._providers, handed.provider: None}
            sent = TextSent(
                at=d.clock.now(),
                text=text,
                provider=handed.provider,
                parts=parts(queued.body),
                references=handed.references,
                reports=handed.reports,
            )
            self._awaited.remember(ticket, sent, self._rules.report_within[where])
            if sent.reports:
                self._ears.sent(sent.provider, ticket, text, sent.at)
            await d.store.append(ticket, [sent])
            return None
        if (
            said
        ):  # all have refused it, or failed to deliver it; one that was sent and merely not reported stays so
            await d.store.append(ticket, [TextFailed(at=now, text=text, reason=said)])
        return None

    def _settled(self, fate: Fate, text: str) -> bool:
        """Whether there is nothing to send (any more, or again)."""
        times, _ = self._again.get(text, (0, None))
        return fate.queued is None or fate.over or len(fate.sent) != times

    def _pause(self, text: str) -> float:
        self._tries[text] = tries = self._tries.get(text, 0) + 1
        return PAUSES_SECONDS[min(tries, len(PAUSES_SECONDS)) - 1]

    # --- what the network says -----------------------------------------------------------------------------------------------------

    async def reported(self, report: Report) -> None:
        """A delivery report. When this returns it is on disk, or it said nothing new."""
        if self._ears.heard(report):
            return
        place = await self._place_of(report)
        if place is None:
            self._unknown += 1
            log.warning("a delivery report names no text of ours", provider=report.provider)
            return
        if report.state is Delivery.WAITING:
            return
        ticket, text = place
        while True:
            history = await self._d.store.history(ticket)
            fate = Fate.of(text, history)
            if fate.delivered:
                self._repeated += 1
                return
            now = self._d.clock.now()
            news: TextDelivered | TextUndelivered = TextDelivered(at=now, text=text)
            if report.state is Delivery.FAILED:
                if fate.failed or fate.returned is not None or fate.tried[-1:] != (report.provider,):
                    return  # it is known, or was about a provider that has been replaced already
                reason = report.reason or "undelivered"
                news = TextUndelivered(at=now, text=text, provider=report.provider, reason=reason)
            elif not self._awaited.whole(fate, report):
                return
            if await self._d.store.append(ticket, [news], expect=len(history)):
                self._awaited.settled(text)
                if isinstance(news, TextUndelivered):
                    self._send_again(ticket, text, fate, news.reason)
                return

    async def _place_of(self, report: Report) -> tuple[int, str] | None:
        """Which text it is about. One that is being handed over right now is waited for: reports can be faster than answers."""
        if report.text is not None:
            if (handing := self._handing.get(report.text)) is not None:
                await asyncio.wait({handing})
            ticket = await self._d.store.ticket_of_text(report.text)
            return None if ticket is None else (ticket, report.text)
        if self._awaited.place(report) is None and self._handing:
            await asyncio.wait(set(self._handing.values()))
        return self._awaited.place(report)

    def _send_again(self, ticket: int, text: str, fate: Fate, said: str | None) -> None:
        """By the next provider, if there is one. `said` is why the last one's was not delivered; None: it has not said anything."""
        waits = text in self._again
        self._again[text] = len(fate.sent), said
        if waits:
            return
        self._queue.put_nowait((Lane.URGENT, next(self._order), ticket, text))

    # --- the watch -----------------------------------------------------------------------------------------------------------------

    async def _unsent(self) -> Sequence[tuple[int, str]]:
        """What waits, after something broke: nothing is remembered that is not on disk."""
        self._waiting.clear()
        self._again.clear()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                return await self._d.store.unsent_texts()
            except StoreFailed:
                log.error("the store does not say which texts wait, and is asked again")

    async def _recall(self) -> None:
        """What an earlier engine sent, and nobody has reported on yet."""
        for ticket, text in await self._d.store.unreported_texts(self._d.clock.now() - REMEMBER_FOR):
            history = await self._d.store.history(ticket)
            fate = Fate.of(text, history)
            awaited = [sent for sent in fate.sent if sent.reports]
            if fate.queued is not None and not fate.over and awaited:
                where = lane(fate.queued, Ticket.of(history).urgency)
                for sent in awaited:
                    self._awaited.remember(ticket, sent, self._rules.report_within[where])
                if fate.returned is not None:
                    self._send_again(ticket, text, fate, fate.returned)

    async def _watch(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:
                log.exception("watching the texts broke")
            await asyncio.sleep(TICK_SECONDS)

    async def _look(self) -> None:
        now = self._d.clock.now()
        for ticket, text, provider in self._awaited.overdue(now):
            fate = Fate.of(text, await self._d.store.history(ticket))
            if not fate.over and fate.tried[-1:] == (provider,) and text not in self._again:
                log.warning("no delivery report in time", text=text, provider=provider)
                self._send_again(ticket, text, fate, None)
        stuck = {
            ticket
            for ticket, where, since in self._waiting.values()
            if where <= Lane.URGENT and now - since >= self._rules.alarm_after
        }
        for ticket in stuck - self._alarmed:
            log.error("urgent texts are stuck", ticket=ticket, problem=self._problem)
            await self._d.store.append(ticket, [AlarmRaised(at=now, reason="sms_stuck")])
        self._alarmed = stuck
        await self._ears.listen(now, self._d.store)
        if (turn := self._prober.turn(now)) is not None:
            assert self._group is not None
            probe = self._prober.probe(turn, list(self._providers))
            self._group.create_task(probe, name=f"texts: probe {turn}")
        every = PROBE_AGAIN if any(self._providers.values()) else PROBE_EVERY
        if self._probed is None or now - self._probed >= every:
            self._probed = now
            self._providers = await self._d.texts.probe()


def _calls_to_come(queued: TextQueued) -> bool:
    """Whether somebody's walk should know at once that the text does not get through."""
    return queued.template == "ticket" and queued.contact is not None
