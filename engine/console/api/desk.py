"""Operators: who sits at which desk phone, and the calls that they make from a ticket."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from engine.console.api.common import body, company_in, company_of, ticket_asked
from engine.console.guard import DEPS, Principal, check_api_write, principal
from engine.console.problems import Problem, not_found, unfit
from engine.console.wire import reply
from engine.domain.errors import NotKnown
from engine.flows.operators.desk import DeskInUse, DeskState, Operators
from engine.flows.operators.parties import party_for
from engine.flows.operators.party import Party

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
To = Literal["resident", "executor", "next", "contact", "utility"]


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """Who sits down; without a name the user. `skills` by company (languages of its lines); none: every company that they may see."""

    operator: Name | None = None
    skills: dict[str, list[Name]] = {}


class NewCall(msgspec.Struct, forbid_unknown_fields=True):
    """Which desk phone rings first, and whom then; `name` is a contact's id or a utility's name."""

    desk: Name
    to: To
    name: Name | None = None


class Bring(msgspec.Struct, forbid_unknown_fields=True):
    """Who is to come to a talk."""

    to: To
    name: Name | None = None


def operators(request: web.Request) -> Operators:
    """The operators' room. Raises `Problem` 404 where there is none."""
    room = request.app[DEPS].flows.operators
    if not isinstance(room, Operators):
        raise not_found("Операторов в этой установке нет")
    return room


async def desks(request: web.Request) -> web.Response:
    """Every desk phone: who sits there, and what goes on; and how many wait."""
    who = await principal(request, "read")
    room = operators(request)
    shown = [await desk_json(request, who, state) for state in room.desks()]
    waiting = [place for place in room.waiting() if who.sees(place.need.company)]
    return reply({"desks": shown, "waiting": len(waiting)})


async def desk_json(request: web.Request, who: Principal, state: DeskState) -> dict[str, Any]:
    """A desk phone, without what is another company's."""
    deps, desk, ticket = request.app[DEPS], state.desk, state.ticket
    theirs = ticket is None or who.sees(company_in(await deps.store.history(ticket)))
    named = desk is not None and (who.company is None or not desk.skills or who.company in desk.skills)
    return {
        "desk": state.phone,
        "operator": desk.operator if desk and named else None,
        "skills": {company: sorted(skills) for company, skills in desk.skills.items() if who.sees(company)}
        if desk
        else {},
        "signed_in": desk is not None,
        "busy": state.busy,
        "ticket": ticket if theirs else None,
        "call": state.call if theirs else None,
        "held": state.held,
    }


async def sign_in(request: web.Request) -> web.Response:
    """Somebody sits down at the phone."""
    who = await principal(request, "act")
    await check_api_write(request)
    given = await body(request, SignIn)
    sit_down(request, who, request.match_info["phone"], given)
    return await _desk(request, who)


def sit_down(request: web.Request, who: Principal, phone: str, given: SignIn) -> None:
    """Sign in, for no other company than the principal's own."""
    known = {company.id for company in request.app[DEPS].companies() if who.sees(company.id)}
    if unknown := given.skills.keys() - known:
        raise unfit("skills", f"нет компании «{min(unknown)}»")
    skills = {company: frozenset(names) for company, names in given.skills.items()}
    if not skills and who.company is not None:
        skills = {who.company: frozenset()}
    operators(request).sign_in(phone, given.operator or who.name, skills)


async def sign_out(request: web.Request) -> web.Response:
    """Nobody sits there any more; a talk that goes on is not touched."""
    who = await principal(request, "act")
    await check_api_write(request)
    operators(request).sign_out(request.match_info["phone"])
    return await _desk(request, who)


async def _desk(request: web.Request, who: Principal) -> web.Response:
    phone, deps = request.match_info["phone"], request.app[DEPS]
    await deps.audit(deps.clock.now(), who.name, f"{request.path.rpartition('/')[2]} {phone}")
    state = next(one for one in operators(request).desks() if one.phone == phone)
    return reply(await desk_json(request, who, state))


async def call(request: web.Request) -> web.Response:
    """The desk phone rings, then the other side. Returns at once; the timeline tells what becomes of it."""
    who, ticket, _ = await ticket_asked(request, "act")
    await check_api_write(request)
    given = await body(request, NewCall)
    leg = await place_call(request, who, ticket, given)
    return reply({"call": leg, "ticket": ticket, "desk": given.desk}, HTTPStatus.ACCEPTED)


async def place_call(request: web.Request, who: Principal, ticket: int, given: NewCall) -> str:
    """Begin the call; the operator's leg. Raises `Problem` 409 when the phone is in use, 422 for whoever cannot be rung."""
    deps, room = request.app[DEPS], operators(request)
    party = await _party(request, ticket, given.to, given.name)
    company = company_of(request, party.company or "")
    assert company is not None
    if given.desk not in {state.phone for state in room.desks()}:
        raise unfit("desk", f"телефона «{given.desk}» нет")
    try:
        leg = await room.call(ticket, given.desk, party, company, who.name)
    except DeskInUse as error:
        raise Problem(HTTPStatus.CONFLICT, str(error), code="desk_in_use") from None
    await deps.audit(deps.clock.now(), who.name, f"call {given.to}", ticket)
    return leg


async def command(request: web.Request) -> web.Response:
    """Hold, resume, three-way (`add`), transfer, hang up: of a talk that goes on now."""
    who, ticket, _ = await ticket_asked(request, "act")
    await check_api_write(request)
    verb, leg = request.match_info["verb"], request.match_info["call"]
    given = await body(request, Bring) if verb in ("add", "transfer") else Bring("resident")
    held = await command_talk(request, who, ticket, leg, verb, given.to, given.name)
    return reply({"call": leg, "ticket": ticket, "held": held})


async def command_talk(
    request: web.Request, who: Principal, ticket: int, leg: str, verb: str, to: str, name: str | None
) -> bool:
    """Do it; whether the talk is held then. Raises `NotKnown` for a talk that does not go on, `Problem` 422 for whoever cannot be rung."""
    deps, table = request.app[DEPS], operators(request).table(ticket, leg)
    match verb:
        case "hold":
            table.hold()
        case "resume":
            table.resume()
        case "hang_up":
            table.close()
        case _:
            table.bring(await _party(request, ticket, to, name), transfer=verb == "transfer")
    await deps.audit(deps.clock.now(), who.name, f"call {verb}", ticket)
    return table.held


async def _party(request: web.Request, ticket: int, to: str, name: str | None) -> Party:
    deps = request.app[DEPS]
    history = await deps.store.history(ticket)
    company = company_of(request, company_in(history))
    if company is None:
        raise not_found("Компания этой заявки больше не настроена")
    try:
        return party_for(company, ticket, history, to, name, deps.clock.now())
    except NotKnown as error:
        raise unfit("to", str(error)) from None


VERBS = ("hold", "resume", "add", "transfer", "hang_up")
ROUTES = [
    web.get("/api/v1/desks", desks),
    web.post("/api/v1/desks/{phone}/sign-in", sign_in),
    web.post("/api/v1/desks/{phone}/sign-out", sign_out),
    web.post("/api/v1/tickets/{number}/calls", call),
    web.post(f"/api/v1/tickets/{{number}}/calls/{{call}}/{{verb:{'|'.join(VERBS)}}}", command),
]
