"""Tickets: open one, list them, read one."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, TypedDict

import msgspec
from aiohttp import web

from engine.console.api.common import body, company_asked, limit, number, phone, ticket_asked
from engine.console.guard import DEPS, Principal, check_api_write, principal
from engine.console.problems import Problem, unfit
from engine.console.views import TicketView, row_json
from engine.console.wire import reply
from engine.domain.company import Company
from engine.domain.events import TicketOpened
from engine.domain.model import Urgency
from engine.domain.ticket import Status
from engine.flows import verbs

Words = Annotated[str, msgspec.Meta(max_length=4000)]
Short = Annotated[str, msgspec.Meta(max_length=200)]


class NewTicket(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/v1/tickets`. `premises` is the flat (or another place in the house)."""

    company: str | None = None
    house: str | None = None
    premises: Short | None = None
    cause: Short | None = None
    urgency: Urgency | None = None
    title: Short | None = None
    text: Words | None = None
    phone: Short | None = None
    applicant: Short | None = None


async def create(request: web.Request) -> web.Response:
    """Open a ticket; with an `Idempotency-Key` the same one again."""
    who = await principal(request, "act")
    await check_api_write(request)
    new = await body(request, NewTicket)
    company = _company(request, who, new.company)
    if new.house is not None and new.house not in company.houses:
        raise unfit("house", f"у компании нет дома «{new.house}»")
    caller = phone("phone", new.phone)
    key = request.headers.get("Idempotency-Key")
    deps = request.app[DEPS]
    ticket = await verbs.open_ticket(
        deps.flows,
        company,
        channel="api",
        urgency=_urgency(company, new),
        cause=new.cause,
        title=new.title,
        house=new.house,
        flat=new.premises,
        text=new.text,
        phone=caller,
        applicant=new.applicant,
        by=who.name,
        key=f"{who.name}:{key}" if key else None,
    )
    view = await TicketView.read(ticket, deps.store, deps.reader)
    first = view.history[0]
    assert isinstance(first, TicketOpened)
    asked = (company.id, caller, new.house, new.premises, new.text)
    if (first.company, first.phone, first.premises.house, first.premises.flat, first.text) != asked:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "Этот Idempotency-Key уже открыл другую заявку", ticket=ticket
        )
    await deps.audit(deps.clock.now(), who.name, "open", ticket)
    return reply(view.json(), status=201, headers={"Location": f"/api/v1/tickets/{ticket}"})


def _company(request: web.Request, who: Principal, asked: str | None) -> Company:
    seen = [company for company in request.app[DEPS].companies() if who.sees(company.id)]
    if asked is None and len(seen) == 1:
        return seen[0]
    if asked is None:
        raise unfit("company", "обязательное поле")
    found = next((company for company in seen if company.id == asked), None)
    if found is None:
        raise unfit("company", f"нет компании «{asked}»")
    return found


def _urgency(company: Company, new: NewTicket) -> Urgency:
    """As given; else that of the cause in the catalogue; else that of the policy made for this very cause."""
    if new.urgency is not None:
        return new.urgency
    if (known := company.catalogue.cause(new.cause)) is not None:
        return known.urgency
    for policy in company.policies:
        if new.cause and policy.covers(new.cause) and policy.causes != ("*",):
            return policy.urgency
    raise unfit("urgency", "обязательное поле, пока по причине срочность не известна")


async def many(request: web.Request) -> web.Response:
    """The list, newest first; `next` is the `before` of the following page."""
    who = await principal(request, "read")
    most = limit(request)
    rows = await request.app[DEPS].reader.tickets(
        **filters(request, who), after=number(request, "before", None), limit=most
    )
    following = rows[-1].number if len(rows) == most else None
    return reply({"tickets": [row_json(row) for row in rows], "next": following})


class Filters(TypedDict):
    """What a list of tickets is limited to."""

    company: str | None
    statuses: tuple[str, ...]
    urgency: str | None
    house: str | None
    phone: str | None


def filters(request: web.Request, who: Principal) -> Filters:
    """The filters in a list's address. Raises `Problem` 422."""
    statuses = tuple(given for given in request.query.getall("status", []) if given)
    urgency = request.query.get("urgency") or None
    for status in statuses:
        _known("status", status, list(Status))
    if urgency:
        _known("urgency", urgency, list(Urgency))
    return Filters(
        company=company_asked(request, who),
        statuses=statuses,
        urgency=urgency,
        house=request.query.get("house") or None,
        phone=phone("phone", request.query.get("phone")),
    )


def _known(field: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise unfit(field, f"нет такого значения «{given}»; есть: {', '.join(known)}")


async def one(request: web.Request) -> web.Response:
    """A whole ticket: with calls, recordings, texts, deadlines."""
    _, ticket, _ = await ticket_asked(request, "read")
    deps = request.app[DEPS]
    return reply((await TicketView.read(ticket, deps.store, deps.reader)).json())


ROUTES = [
    web.get("/api/v1/tickets", many),
    web.post("/api/v1/tickets", create),
    web.get("/api/v1/tickets/{number}", one),
]
