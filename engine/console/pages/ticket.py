"""One ticket: its head, its timeline, its calls; live, and with what may be done to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from engine.console.api.actions import via
from engine.console.api.calls import change_recording
from engine.console.api.common import company_in, company_of, ticket_asked
from engine.console.guard import DEPS, Principal, check_form
from engine.console.live import Sent, last_seen, stream
from engine.console.pages.desk import desk_of
from engine.console.pages.frame import fragment, looking, page, render, words_of
from engine.console.problems import Problem
from engine.console.timeline import Teller, days, since
from engine.console.views import TicketView
from engine.console.words import duration
from engine.domain.errors import TicketIsClosed
from engine.domain.events import EscalationStarted, Event, RecordingPaused, RecordingResumed
from engine.domain.ticket import Ticket
from engine.domain.wording import place
from engine.flows import verbs
from engine.flows.texts import mailing

SAYINGS = (
    "paused",
    "resumed",
    "not_up",
    "accepted",
    "taken",
    "noted",
    "closed",
    "reopened",
    "is_closed",
    "unfit",
    "calling",
    "desk_in_use",
)


@page
async def ticket(request: web.Request) -> web.StreamResponse:
    """The ticket's page."""
    who = await looking(request)
    _, number, _ = await ticket_asked(request, "read")
    said = request.query.get("said")
    context = await _ticket(request, who, number)
    return render(request, "ticket.html", said=said if said in SAYINGS else None, **context)


@page
async def live(request: web.Request) -> web.StreamResponse:
    """The ticket again, each time that its timeline has grown."""
    who = await looking(request)
    _, number, history = await ticket_asked(request, "read")
    return await stream(request, _redrawn(request, who, number, min(last_seen(request), len(history))))


async def _redrawn(
    request: web.Request, who: Principal, number: int, seen: int
) -> AsyncGenerator[Sent, None]:
    store = request.app[DEPS].store
    while True:
        await store.changed(number, seen, None)
        context = await _ticket(request, who, number)
        seen = len(context["view"].history)
        yield Sent(fragment(request, "_ticket.html", context), str(seen))


async def _ticket(request: web.Request, who: Principal, number: int) -> dict[str, Any]:
    """What `_ticket.html` needs."""
    deps, words = request.app[DEPS], words_of(request)
    view = await TicketView.read(number, deps.store, deps.reader)
    state = view.ticket
    company = company_of(request, state.company)
    house = company.houses.get(state.premises.house or "") if company else None
    zone = ZoneInfo(house.time_zone if house else company.time_zone if company else "Europe/Moscow")
    teller = Teller(words, company, zone)
    lines = teller.tell(view.history)
    people = list(company.contacts.values()) if company else []
    return {
        "number": number,
        "view": view,
        "ticket": state,
        "city": house.city if house else None,
        "place": place(state.premises),
        "company": company.title if company else state.company,
        "several": who.company is None and len(deps.companies()) > 1,
        "zone": zone,
        "days": days(lines, zone, words),
        "since": lambda at: since(state.opened_at, at),
        "taken_after": _taken_after(state),
        "policy": _policy(view.history),
        "mailing": mailing.progress(view.history) if state.channel == "news" else None,
        "name": teller.name,
        "people": people,
        "me": next((person.id for person in people if person.user == who.name), None),
        "may_act": "act" in who.scopes,
        "desk": desk_of(request, who, number, company),
        "contact_name": teller.name,
        "paused": {call.id for call in view.calls if _is_paused(view.history, call.id)},
        "accesses": await deps.accounts.audit(ticket=number) if "review" in who.scopes else (),
        "now": deps.clock.now(),
        "waiting": state.is_open and state.accepted is None,
    }


def _taken_after(ticket: Ticket) -> str | None:
    if ticket.accepted is None or ticket.opened_at is None:
        return None
    return duration((ticket.accepted.at - ticket.opened_at) / timedelta(seconds=1))


def _is_paused(history: Sequence[Event], call: str) -> bool:
    told = [e for e in history if isinstance(e, RecordingPaused | RecordingResumed) and e.call == call]
    return bool(told) and isinstance(told[-1], RecordingPaused)


def _policy(history: Sequence[Event]) -> str | None:
    started = [event for event in history if isinstance(event, EscalationStarted)]
    return started[-1].frozen.title if started else None


@page
async def act(request: web.Request) -> web.StreamResponse:
    """Do what a button says, and show the ticket again."""
    await looking(request)
    who, number, history = await ticket_asked(request, "act")
    await check_form(request)
    given = {name: str(value).strip() for name, value in (await request.post()).items()}
    verb, deps = request.match_info["verb"], request.app[DEPS]
    try:
        said = await _do(request, who, number, history, verb, given)
    except TicketIsClosed:
        said = "is_closed"
    if said not in ("unfit", "is_closed", "taken", "paused", "resumed", "not_up"):
        await deps.audit(deps.clock.now(), who.name, verb, number)
    raise web.HTTPSeeOther(f"/tickets/{number}?said={said}")


async def _do(
    request: web.Request,
    who: Principal,
    number: int,
    history: Sequence[Event],
    verb: str,
    given: dict[str, str],
) -> str:
    """Which of `SAYINGS` tells what became of it."""
    flows, reason = request.app[DEPS].flows, given.get("reason") or None
    match verb:
        case "accept":
            company = company_of(request, company_in(history))
            contact = company.contacts.get(given.get("contact", "")) if company else None
            if contact is None:
                return "unfit"
            held = await verbs.accept(flows, number, contact.id, via(who), contact.name)
            return "accepted" if held.contact == contact.id else "taken"
        case "close":
            await verbs.close(flows, number, who.name, reason)
            return "closed"
        case "reopen":
            await verbs.reopen(flows, number, who.name, reason)
            return "reopened"
        case "note" if given.get("text"):
            await verbs.note(flows, number, who.name, given["text"][:4000])
            return "noted"
        case "pause" | "resume" if given.get("call") in Ticket.of(history).calls:
            try:
                paused = await change_recording(request, who, number, given["call"], verb)
            except Problem:
                return "not_up"
            return "paused" if paused else "resumed"
        case _:
            return "unfit"


ROUTES = [
    web.get(r"/tickets/{number:\d+}", ticket),
    web.get(r"/live/tickets/{number:\d+}", live),
    web.post(r"/tickets/{number:\d+}/{verb:accept|close|reopen|note|pause|resume}", act),
]
