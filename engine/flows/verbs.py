"""What people do to a ticket, by whatever way they do it: accept, decline, report, close, reopen, note. Each is one conditional write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from engine.domain.company import Company
from engine.domain.errors import NotKnown, TicketIsClosed
from engine.domain.events import (
    Accepted,
    Classified,
    Declined,
    EscalationResumed,
    EscalationStarted,
    Event,
    IncidentJoined,
    KeyPressed,
    NoCoverage,
    Noted,
    Reported,
    TicketClosed,
    TicketOpened,
    TicketReopened,
)
from engine.domain.model import Premises, Urgency, Via
from engine.domain.policy import choose_policy
from engine.domain.ticket import Ticket
from engine.domain.walk import Walk
from engine.flows.deps import Deps

REPORTS = ("arrived", "localised", "done", "on_the_way")
Result = TypeVar("Result")


async def accept(
    d: Deps,
    ticket: int,
    contact: str,
    via: Via,
    name: str | None = None,
    attempt: str | None = None,
    pressed: KeyPressed | None = None,
) -> Accepted:
    """Take the ticket for `contact`. Returns the acceptance that holds: this one, or the earlier one of somebody else.

    First to accept wins, once, however many try at the same moment. The key that was `pressed` for it is written with it: no death of
    ours comes between. Raises `TicketIsClosed` (and writes nothing), `NotKnown`.
    """
    by_key: list[Event] = [pressed] if pressed is not None else []

    def decide(history: Sequence[Event], now: datetime) -> tuple[list[Event], Accepted]:
        state = Ticket.of(history)
        if not state.is_open:
            raise TicketIsClosed(f"заявка №{ticket} закрыта; чтобы принять её, сначала откройте её снова")
        if state.accepted is not None:
            return by_key, state.accepted
        mine = Accepted(at=now, contact=contact, via=via, name=name, attempt=attempt)
        return [*by_key, mine], mine

    return await _conditionally(d, ticket, decide)


async def decline(
    d: Deps,
    ticket: int,
    contact: str,
    via: Via,
    reason: str | None = None,
    no_coverage_until: datetime | None = None,
) -> None:
    """Say that `contact` will not come. Whoever had accepted gives it back: the walk goes on with the next step at once."""

    def decide(history: Sequence[Event], now: datetime) -> tuple[list[Event], None]:
        walk = Walk.of(ticket, history)
        events: list[Event] = [Declined(at=now, contact=contact, via=via, reason=reason)]
        if no_coverage_until is not None:
            events.append(NoCoverage(at=now, contact=contact, until=no_coverage_until, via=via))
        if walk.accepted is not None and walk.accepted.contact == contact and not walk.closed:
            index = walk.places.get(contact, (walk.round, -1))[1] + 1
            events.append(EscalationResumed(at=now, reason="given_back", index=index))
        return events, None

    await _conditionally(d, ticket, decide)


async def no_coverage(d: Deps, company: str, now: datetime) -> dict[str, NoCoverage]:
    """Who of the company's staff is out of coverage now, by the last thing that they said about it on any open ticket."""
    last: dict[str, NoCoverage] = {}
    for ticket in await d.store.open_tickets(company):
        for event in await d.store.history(ticket):
            if isinstance(event, NoCoverage) and (
                event.contact not in last or event.at > last[event.contact].at
            ):
                last[event.contact] = event
    return {contact: said for contact, said in last.items() if said.until > now}


async def report(d: Deps, ticket: int, contact: str, via: Via, what: str) -> None:
    """Record progress: arrived, localised, done, on_the_way. Raises `ValueError` for any other word."""
    if what not in REPORTS:
        raise ValueError(f"«{what}» — не отчёт; бывают: {', '.join(REPORTS)}")
    await d.store.append(ticket, [Reported(at=d.clock.now(), what=what, contact=contact, via=via)])


async def close(d: Deps, ticket: int, by: str, reason: str | None = None) -> None:
    """Close the ticket; its walk stops. Closing a closed one changes nothing."""

    def decide(history: Sequence[Event], now: datetime) -> tuple[list[Event], None]:
        return ([TicketClosed(at=now, by=by, reason=reason)] if Ticket.of(history).is_open else []), None

    await _conditionally(d, ticket, decide)


async def reopen(d: Deps, ticket: int, by: str, reason: str | None = None) -> None:
    """Open the ticket again; an emergency's walk begins anew, by the policy as it is now. An open one stays as it is."""

    def decide(history: Sequence[Event], now: datetime) -> tuple[list[Event], None]:
        state = Ticket.of(history)
        if state.is_open and state.status != "done":
            return [], None
        events: list[Event] = [TicketReopened(at=now, by=by, reason=reason)]
        if state.urgency is not None:
            events += escalation_of(d.company(state.company), state.urgency, state.cause, now)
        return events, None

    await _conditionally(d, ticket, decide)


async def note(d: Deps, ticket: int, by: str, text: str) -> None:
    """Put a remark on the timeline."""
    await d.store.append(ticket, [Noted(at=d.clock.now(), by=by, text=text)])


async def open_ticket(
    d: Deps,
    company: Company,
    *,
    channel: str,
    urgency: Urgency,
    cause: str | None = None,
    title: str | None = None,
    house: str | None = None,
    flat: str | None = None,
    text: str | None = None,
    phone: str | None = None,
    applicant: str | None = None,
    key: str | None = None,
    by: str | None = None,
) -> int:
    """A ticket from any channel but a call; an emergency starts its walk in the same commit. Raises `NotKnown` for the house."""
    if house is not None and house not in company.houses:
        raise NotKnown(f"дома «{house}» нет у компании «{company.id}»; известны: {', '.join(company.houses)}")
    now = d.clock.now()
    known = company.catalogue.cause(cause)
    title = title or (known.title if known else None)
    premises = premises_of(company, house, flat)
    opened = TicketOpened(
        at=now,
        company=company.id,
        channel=channel,
        phone=phone,
        premises=premises,
        applicant=applicant,
        text=text,
    )
    classified = Classified(at=now, urgency=urgency, cause=cause, title=title, premises=premises, by=by)
    return await d.store.open_ticket(
        [opened, classified, *escalation_of(company, urgency, cause, now)], key=key
    )


RANK = {Urgency.NORMAL: 0, Urgency.URGENT: 1, Urgency.EMERGENCY: 2}


async def classify(
    d: Deps,
    company: Company,
    ticket: int,
    by: str,
    urgency: Urgency,
    cause: str | None = None,
    title: str | None = None,
    premises: Premises | None = None,
    keys: Sequence[Event] = (),
) -> None:
    """Say what a ticket is about; what is None stays as it was, and a class is never taken back. `keys` go into the same commit.

    An emergency's walk starts with it. A walk that nobody has accepted yet begins anew if the cause, now known, has another policy:
    an electrician is wanted, not the plumber.
    """

    def decide(history: Sequence[Event], now: datetime) -> tuple[list[Event], None]:
        state = Ticket.of(history)
        held = state.urgency or urgency
        said = max(urgency, held, key=lambda one: RANK[one])
        new = (said, cause or state.cause, title or state.title, premises or state.premises)
        events: list[Event] = [*keys]
        if (state.urgency, state.cause, state.title, state.premises) != new:
            events.append(
                Classified(at=now, urgency=said, cause=cause, title=title, premises=premises, by=by)
            )
        if state.is_open and state.accepted is None:
            for started in escalation_of(company, said, cause or state.cause, now):
                if isinstance(started, EscalationStarted) and started.policy != state.policy:
                    events.append(started)
        return events, None

    await _conditionally(d, ticket, decide)


async def join(d: Deps, incident: int, voice: int, call: str, premises: Premises, phone: str | None) -> bool:
    """Count the caller of ticket `voice` among those whom the incident concerns; their own ticket is closed, its recording stays there.

    False if the incident is over meanwhile: then nothing has changed. Again: nothing more.
    """
    joined = IncidentJoined(
        at=d.clock.now(), call=call, incident=incident, voice=voice, premises=premises, phone=phone
    )

    def add(history: Sequence[Event], now: datetime) -> tuple[list[Event], bool]:
        state = Ticket.of(history)
        if not state.is_open or state.status == "done":
            return [], False
        there = any(isinstance(event, IncidentJoined) and event.voice == voice for event in history)
        return ([] if there else [joined]), True

    if not await _conditionally(d, incident, add):
        return False

    def leave(history: Sequence[Event], now: datetime) -> tuple[list[Event], None]:
        if any(isinstance(event, IncidentJoined) and event.incident == incident for event in history):
            return [], None
        closed = [TicketClosed(at=now, by="dozvon", reason=f"та же авария: заявка {incident}")]
        return [joined, *(closed if Ticket.of(history).is_open else [])], None

    await _conditionally(d, voice, leave)
    return True


def premises_of(company: Company, house: str | None, flat: str | None) -> Premises:
    """The premises with their address frozen in words."""
    known = company.houses.get(house) if house else None
    return Premises(house, flat, known.address if known else None)


def escalation_of(company: Company, urgency: Urgency, cause: str | None, now: datetime) -> list[Event]:
    """The event that starts the walk of such a ticket; nothing if its class is never walked."""
    policy = choose_policy(company.policies, urgency, cause)
    if policy is None or urgency is Urgency.NORMAL:
        return []
    return [EscalationStarted(at=now, policy=policy.name, frozen=policy)]


async def _conditionally(
    d: Deps, ticket: int, decide: Callable[[Sequence[Event], datetime], tuple[list[Event], Result]]
) -> Result:
    """Read, decide, append if nothing came between; else again. Ends, because every conflict is somebody's success."""
    while True:
        history = await d.store.history(ticket)
        events, result = decide(history, d.clock.now())
        if not events or await d.store.append(ticket, events, expect=len(history)):
            return result
