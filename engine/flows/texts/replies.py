"""Texts come in: staff accept, decline and report by them, residents add to their ticket or open one. Nothing is lost: what is not
understood stays on the ticket for the operator.

The deed comes first and the text on the timeline last. A gateway that tells the same text again finds it there, and nothing is done twice;
one that tells it again because we died in between finds deeds that can be done twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import structlog

from engine.domain import wording
from engine.domain.company import Company
from engine.domain.errors import NotKnown, TicketIsClosed
from engine.domain.events import Event, NoCoverage, TextQueued, TextReceived
from engine.domain.model import Contact, Via
from engine.domain.replies import REPORTS, Meaning, Reply, understand
from engine.domain.ticket import Ticket
from engine.domain.walk import Walk
from engine.flows import verbs
from engine.flows.deps import Deps
from engine.ports import Incoming

log = structlog.get_logger()

ANSWERS_PER_HOUR = 20
"""To one number; a machine that answers our answers is not answered for ever."""
REPORT_WORDS = {
    Meaning.ON_THE_WAY: "в пути",
    Meaning.ARRIVED: "прибыли",
    Meaning.LOCALISED: "локализовано",
    Meaning.DONE: "выполнено",
}


@dataclass(frozen=True, slots=True)
class Open:
    """An open ticket that concerns the one who writes."""

    number: int
    ticket: Ticket

    def taken_by(self, contact: str) -> bool:
        """Whether it is theirs."""
        return self.ticket.accepted is not None and self.ticket.accepted.contact == contact


class Replies:
    """Takes in texts. One to an engine."""

    def __init__(self, d: Deps) -> None:
        self._d = d
        self._answered: dict[str, deque[datetime]] = {}

    async def take(self, incoming: Incoming) -> None:
        """Act on a text and keep it. Told again: nothing. Raises `StoreFailed`: then the gateway is to tell it again."""
        text = f"in-{incoming.provider}-{incoming.reference or uuid4()}"
        if await self._d.store.ticket_of_text(text) is not None:
            log.info("a text was told again", text=text)
            return
        if not incoming.number.startswith("+"):
            log.info("a text from no telephone is left alone", number=incoming.number)
            return
        companies = [c for c in self._d.companies() if not incoming.companies or c.id in incoming.companies]
        for company in companies:
            if (contact := _contact(company, incoming.number)) is not None:
                letter = Letter(self, incoming, text, company, contact)
                if await letter.from_staff():
                    return
                break
        await self._from_resident(incoming, text, companies)

    async def _from_resident(self, incoming: Incoming, text: str, companies: Sequence[Company]) -> None:
        """Attach it to the ticket that is open for this number; else it opens one."""
        company = _company_of(incoming, companies)
        if company is None:
            log.error("a text came in and no company is configured", text=text)
            return
        now = self._d.clock.now()
        meaning = understand(incoming.body, now, ZoneInfo(company.time_zone)).meaning
        tickets = await self._d.store.tickets_with(incoming.number)
        if meaning in (Meaning.STOP, Meaning.START) and tickets:
            await self.keep(tickets[0], incoming, text, meaning)
            return
        for number in tickets:
            state = Ticket.of(await self._d.store.history(number))
            if state.is_open and state.channel != "news" and state.phone == incoming.number:
                await self.keep(number, incoming, text, Meaning.NOTE)
                return
        home = company.residents.get(incoming.number)
        number = await verbs.open_ticket(
            self._d,
            company,
            channel="sms",
            urgency=company.unclear_is,
            house=home.house if home and home.house in company.houses else None,
            flat=home.flat if home else None,
            text=incoming.body,
            phone=incoming.number,
            key=f"text {text}",
        )
        await self.keep(number, incoming, text, Meaning.NOTE)

    async def keep(
        self,
        ticket: int,
        incoming: Incoming,
        text: str,
        meaning: Meaning,
        contact: str | None = None,
        *answers: Event,
    ) -> None:
        """The text on the ticket's timeline, with what we answer to it."""
        received = TextReceived(
            at=self._d.clock.now(),
            text=text,
            number=incoming.number,
            body=incoming.body,
            contact=contact,
            meaning=meaning,
            provider=incoming.provider,
        )
        await self._d.store.append(ticket, [received, *answers])

    def may_answer(self, number: str) -> bool:
        """Whether this number may be sent one more answer within the hour."""
        now = self._d.clock.now()
        times = self._answered.setdefault(number, deque(maxlen=ANSWERS_PER_HOUR))
        if len(times) == ANSWERS_PER_HOUR and now - times[0] < timedelta(hours=1):
            log.warning("a number gets no more answers for now", number=number)
            return False
        times.append(now)
        return True


@dataclass(frozen=True, slots=True)
class Letter:
    """One text from a member of staff, and what is to be done about it."""

    desk: Replies
    incoming: Incoming
    text: str
    company: Company
    contact: Contact

    async def from_staff(self) -> bool:
        """Do what it says. False if there is no ticket that it could be about: then they write as anybody."""
        d, who = self.desk._d, self.contact
        reply = understand(self.incoming.body, d.clock.now(), ZoneInfo(who.time_zone))
        every = await self._open_tickets()
        if reply.ticket is not None:
            return await self._named(reply, every)
        waiting = [one for one in every if one.ticket.accepted is None]
        mine = [one for one in every if one.taken_by(who.id)]
        match reply.meaning:
            case Meaning.NO_COVERAGE if every:
                await self._no_coverage(reply, waiting, every)
            case Meaning.ACCEPT | Meaning.ON_THE_WAY if waiting or mine:
                await self._do_one_of(
                    reply, mine if reply.meaning is Meaning.ON_THE_WAY and mine else waiting or mine
                )
            case Meaning.DECLINE if waiting or mine:
                await self._do_one_of(reply, waiting or mine)
            case Meaning.ARRIVED | Meaning.LOCALISED | Meaning.DONE if mine or waiting:
                await self._do_one_of(reply, mine or waiting)
            case Meaning.ACCEPT | Meaning.DECLINE | Meaning.NO_COVERAGE if every:
                await self._do(reply, every[0])  # somebody else has it: they are told who
            case Meaning.NOTE | Meaning.STOP | Meaning.START if not every:
                return False
            case _:
                return await self._keep_on_latest(reply, every)
        return True

    async def _open_tickets(self) -> list[Open]:
        """The open tickets for which they were texted, phoned or which they took, the latest first."""
        d, who = self.desk._d, self.contact
        numbers: dict[int, None] = {}
        for telephone in (self.incoming.number, *who.numbers, *who.reserve):
            numbers.update(dict.fromkeys(await d.store.tickets_with(telephone)))
        named = [n for n in await d.store.escalating() if n not in numbers]
        found: list[Open] = []
        for number in sorted({*numbers, *named}, reverse=True):
            history = await d.store.history(number)
            ticket = Ticket.of(history)
            if not ticket.is_open or ticket.company != self.company.id or ticket.channel == "news":
                continue
            texted = any(isinstance(e, TextQueued) and e.contact == who.id for e in history)
            if texted or who.id in Walk.of(number, history).known or Open(number, ticket).taken_by(who.id):
                found.append(Open(number, ticket))
        return found

    async def _named(self, reply: Reply, every: Sequence[Open]) -> bool:
        """They gave a number: that ticket, if it is open and their company's."""
        assert reply.ticket is not None
        one = next((one for one in every if one.number == reply.ticket), None)
        if one is None:
            try:
                ticket = Ticket.of(await self.desk._d.store.history(reply.ticket))
            except NotKnown:
                ticket = Ticket()
            if ticket.is_open and ticket.company == self.company.id and ticket.channel != "news":
                one = Open(reply.ticket, ticket)
        if one is None:
            if not every:
                return False
            await self._keep(every[0].number, Meaning.NOTE, wording.not_open_text(reply.ticket))
        elif reply.meaning is Meaning.NO_COVERAGE:
            await self._no_coverage(reply, [one] if one.ticket.accepted is None else [], [one])
        else:
            await self._do(reply, one)
        return True

    async def _do_one_of(self, reply: Reply, candidates: Sequence[Open]) -> None:
        """The only one, else they are asked which."""
        if len(candidates) == 1:
            await self._do(reply, candidates[0])
        else:
            asked = wording.which_text([one.number for one in candidates])
            await self._keep(candidates[0].number, Meaning.NOTE, asked)

    async def _do(self, reply: Reply, one: Open) -> None:
        """Carry it out. A text that says nothing of the kind is a remark on that ticket."""
        d, who = self.desk._d, self.contact
        if reply.meaning not in REPORTS | {Meaning.ACCEPT, Meaning.DECLINE}:
            await self._keep(one.number, reply.meaning)
            return
        try:
            if reply.meaning is Meaning.DECLINE:
                await verbs.decline(d, one.number, who.id, Via.SMS, reply.reason)
                await self._keep(one.number, reply.meaning, wording.noted_text(one.number, "отказ"))
                return
            if not one.taken_by(who.id):  # who reports has come, so has taken it
                winner = await verbs.accept(d, one.number, who.id, Via.SMS, who.name)
                if winner.contact != who.id:
                    await self._keep(one.number, reply.meaning, wording.taken_text(one.number, winner.name))
                    return
        except TicketIsClosed:
            await self._keep(one.number, reply.meaning, wording.not_open_text(one.number))
            return
        if reply.meaning in REPORTS:
            await verbs.report(d, one.number, who.id, Via.SMS, reply.meaning.value)
            said = wording.noted_text(one.number, REPORT_WORDS[reply.meaning])
        else:
            said = wording.confirmed_text(one.number, one.ticket)
        await self._keep(one.number, reply.meaning, said)

    async def _no_coverage(self, reply: Reply, waiting: Sequence[Open], every: Sequence[Open]) -> None:
        """They cannot be reached until then: every walk that waits for them moves on. What they have taken stays theirs."""
        d, who = self.desk._d, self.contact
        assert reply.until is not None
        for one in waiting:
            await verbs.decline(d, one.number, who.id, Via.SMS, "no_coverage", reply.until)
        if not waiting:
            said = NoCoverage(at=d.clock.now(), contact=who.id, until=reply.until, via=Via.SMS)
            await d.store.append(every[0].number, [said])
        local = reply.until.astimezone(ZoneInfo(who.time_zone))
        await self._keep((waiting or every)[0].number, reply.meaning, wording.no_coverage_text(local))

    async def _keep_on_latest(self, reply: Reply, every: Sequence[Open]) -> bool:
        """A remark, or an answer that nothing waits for. False if they have no ticket at all."""
        if every:
            await self._keep(every[0].number, reply.meaning)
            return True
        latest = await self.desk._d.store.tickets_with(self.incoming.number, 1)
        if not latest:
            return False
        await self._keep(latest[0], reply.meaning, wording.NOTHING_OPEN)
        return True

    async def _keep(self, ticket: int, meaning: Meaning, answer: str | None = None) -> None:
        answers = []
        if answer is not None and self.desk.may_answer(self.incoming.number):
            answers.append(
                TextQueued(
                    at=self.desk._d.clock.now(),
                    text=f"{self.text}-answer",
                    number=self.incoming.number,
                    body=answer,
                    contact=self.contact.id,
                    template="answer",
                )
            )
        await self.desk.keep(ticket, self.incoming, self.text, meaning, self.contact.id, *answers)


def _contact(company: Company, number: str) -> Contact | None:
    """The member of staff whose number it is."""
    for contact in company.contacts.values():
        if number in contact.numbers or number in contact.reserve:
            return contact
    return None


def _company_of(incoming: Incoming, companies: Sequence[Company]) -> Company | None:
    """Whom a stranger means: by the number they wrote to, else by where they live, else the first."""
    by_line = next((c for c in companies if c.line(incoming.to)), None)
    by_home = next((c for c in companies if incoming.number in c.residents), None)
    return by_line or by_home or next(iter(companies), None)
