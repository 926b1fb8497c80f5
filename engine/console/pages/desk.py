"""The operators' part of the pages: sitting down at a desk phone, and calling from a ticket."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from aiohttp import web

from engine.console.api import desk as api
from engine.console.api.common import ticket_asked
from engine.console.guard import DEPS, Principal, check_form, principal
from engine.console.pages.frame import looking, page, render
from engine.console.problems import Problem
from engine.domain.company import Company
from engine.flows.operators.desk import Operators

CALLED = ("resident", "executor", "next")


@page
async def desk(request: web.Request) -> web.StreamResponse:
    """Who sits where, and how many wait."""
    who = await looking(request)
    await principal(request, "read")
    room = api.operators(request)
    shown = [await api.desk_json(request, who, state) for state in room.desks()]
    waiting = [place for place in room.waiting() if who.sees(place.need.company)]
    return render(request, "desk.html", desks=shown, waiting=len(waiting), may_act="act" in who.scopes)


@page
async def sit(request: web.Request) -> web.StreamResponse:
    """Sign in or out by a button."""
    await looking(request)
    who = await principal(request, "act")
    await check_form(request)
    phone, verb, deps = request.match_info["phone"], request.match_info["verb"], request.app[DEPS]
    if verb == "sign-in":
        name = str((await request.post()).get("operator", "")).strip()[:80]
        api.sit_down(request, who, phone, api.SignIn(name or None))
    else:
        api.operators(request).sign_out(phone)
    await deps.audit(deps.clock.now(), who.name, f"{verb} {phone}")
    raise web.HTTPSeeOther("/desk")


@page
async def call(request: web.Request) -> web.StreamResponse:
    """Ring the desk phone, then whoever was chosen."""
    await looking(request)
    who, number, _ = await ticket_asked(request, "act")
    await check_form(request)
    form = await request.post()
    to, _, name = str(form.get("to", "")).partition(":")
    said = "calling"
    try:
        await api.place_call(
            request,
            who,
            number,
            api.NewCall(str(form.get("desk", "")), to, name or None),  # type: ignore[arg-type]
        )
    except Problem as problem:
        if problem.status is not HTTPStatus.CONFLICT:
            raise
        said = "desk_in_use"
    raise web.HTTPSeeOther(f"/tickets/{number}?said={said}")


@page
async def talk(request: web.Request) -> web.StreamResponse:
    """Hold, resume, bring somebody, transfer, hang up."""
    await looking(request)
    who, number, _ = await ticket_asked(request, "act")
    await check_form(request)
    to, _, name = str((await request.post()).get("to", "")).partition(":")
    await api.command_talk(
        request, who, number, request.match_info["call"], request.match_info["verb"], to, name or None
    )
    raise web.HTTPSeeOther(f"/tickets/{number}")


def desk_of(request: web.Request, who: Principal, number: int, company: Company | None) -> dict[str, Any]:
    """What `_desk.html` needs: the phones, whom one may call, and the talks of this ticket that go on."""
    room = request.app[DEPS].flows.operators
    if not isinstance(room, Operators) or company is None or "act" not in who.scopes:
        return {"phones": [], "parties": [], "talks": []}
    states = room.desks()
    mine = next((one.phone for one in states if one.desk is not None and one.desk.operator == who.name), None)
    parties: list[tuple[str, str | None]] = [(to, None) for to in CALLED]
    parties += [("utility", name) for name in company.services]
    parties += [("contact", person) for person in company.contacts]
    return {
        "phones": [one.phone for one in states],
        "mine": mine,
        "parties": parties,
        "talks": [one for one in states if one.ticket == number],
    }


ROUTES = [
    web.get("/desk", desk),
    web.post("/desk/{phone}/{verb:sign-in|sign-out}", sit),
    web.post(r"/tickets/{number:\d+}/call", call),
    web.post(rf"/tickets/{{number:\d+}}/talks/{{call}}/{{verb:{'|'.join(api.VERBS)}}}", talk),
]
