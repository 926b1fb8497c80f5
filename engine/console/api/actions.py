"""What may be done to a ticket: accept, decline, report, close, reopen, note."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from engine.console.api.common import body, company_in, company_of, ticket_asked
from engine.console.guard import DEPS, Principal, check_api_write
from engine.console.problems import Problem, unfit
from engine.console.views import TicketView, acceptance_json
from engine.console.wire import reply
from engine.domain.model import Contact, Via
from engine.domain.ticket import Ticket
from engine.flows import verbs

Words = Annotated[str, msgspec.Meta(max_length=2000)]


class Acceptance(msgspec.Struct, forbid_unknown_fields=True):
    """By whom; without `contact` the one that the user is."""

    contact: str | None = None


class Refusal(msgspec.Struct, forbid_unknown_fields=True):
    """By whom, and why."""

    contact: str | None = None
    reason: Words | None = None


class Progress(msgspec.Struct, forbid_unknown_fields=True):
    """How far it has got."""

    what: Literal["on_the_way", "arrived", "localised", "done"]
    contact: str | None = None


class Because(msgspec.Struct, forbid_unknown_fields=True):
    """Why a ticket is closed or opened again."""

    reason: Words | None = None


class Note(msgspec.Struct, forbid_unknown_fields=True):
    """A remark."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]


async def accept(request: web.Request) -> web.Response:
    """First to come wins; to the others 409 says who did."""
    who, ticket, company = await _asked(request)
    given = await body(request, Acceptance)
    contact = contact_of(request, who, company, given.contact)
    held = await verbs.accept(request.app[DEPS].flows, ticket, contact.id, via(who), contact.name)
    if held.contact != contact.id:
        name = held.name or held.contact
        raise Problem(
            HTTPStatus.CONFLICT,
            f"Заявку {ticket} уже принял(а) {name}",
            code="taken",
            accepted=acceptance_json(held),
        )
    return await _done(request, who, ticket, "accept")


async def decline(request: web.Request) -> web.Response:
    """The walk moves on at once."""
    who, ticket, company = await _asked(request)
    given = await body(request, Refusal)
    contact = contact_of(request, who, company, given.contact)
    await verbs.decline(request.app[DEPS].flows, ticket, contact.id, via(who), given.reason)
    return await _done(request, who, ticket, "decline")


async def report(request: web.Request) -> web.Response:
    """Progress after the acceptance; without `contact` by whoever accepted."""
    who, ticket, company = await _asked(request)
    given = await body(request, Progress)
    deps = request.app[DEPS]
    accepted = Ticket.of(await deps.store.history(ticket)).accepted
    contact = given.contact or (accepted.contact if accepted else None)
    reporter = contact_of(request, who, company, contact)
    await verbs.report(deps.flows, ticket, reporter.id, via(who), given.what)
    return await _done(request, who, ticket, f"report {given.what}")


async def close(request: web.Request) -> web.Response:
    """The ticket is closed and its walk stops."""
    who, ticket, _ = await _asked(request)
    given = await body(request, Because)
    await verbs.close(request.app[DEPS].flows, ticket, who.name, given.reason)
    return await _done(request, who, ticket, "close")


async def reopen(request: web.Request) -> web.Response:
    """The ticket is open again; an emergency is walked anew."""
    who, ticket, _ = await _asked(request)
    given = await body(request, Because)
    await verbs.reopen(request.app[DEPS].flows, ticket, who.name, given.reason)
    return await _done(request, who, ticket, "reopen")


async def note(request: web.Request) -> web.Response:
    """A remark on the timeline."""
    who, ticket, _ = await _asked(request)
    given = await body(request, Note)
    await verbs.note(request.app[DEPS].flows, ticket, who.name, given.text)
    return await _done(request, who, ticket, "note")


def via(who: Principal) -> Via:
    """By which way this principal speaks."""
    return Via.API if who.csrf is None else Via.CONSOLE


def contact_of(request: web.Request, who: Principal, company: str, given: str | None) -> Contact:
    """Whom an action is by: the one given, else the one that the user is. Raises `Problem` 422."""
    configured = company_of(request, company)
    people = configured.contacts if configured else {}
    if given is None:
        contact = next((person for person in people.values() if person.user == who.name), None)
        if contact is None:
            raise unfit("contact", "обязательное поле: кто это")
        return contact
    if given not in people:
        raise unfit("contact", f"у компании нет сотрудника «{given}»")
    return people[given]


async def _asked(request: web.Request) -> tuple[Principal, int, str]:
    who, ticket, history = await ticket_asked(request, "act")
    await check_api_write(request)
    return who, ticket, company_in(history)


async def _done(request: web.Request, who: Principal, ticket: int, what: str) -> web.Response:
    deps = request.app[DEPS]
    await deps.audit(deps.clock.now(), who.name, what, ticket)
    return reply((await TicketView.read(ticket, deps.store, deps.reader)).json())


ACTIONS = {
    "accept": accept,
    "decline": decline,
    "report": report,
    "close": close,
    "reopen": reopen,
    "note": note,
}
ROUTES = [web.post(f"/api/v1/tickets/{{number}}/{name}", handler) for name, handler in ACTIONS.items()]
