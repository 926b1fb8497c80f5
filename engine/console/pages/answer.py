"""The page behind the link in a text: what happened, where, how it sounded, and two big buttons. No sign-in: the link is the key."""

from __future__ import annotations

from http import HTTPStatus
from zoneinfo import ZoneInfo

from aiohttp import web

from engine.console.guard import DEPS, check_form
from engine.console.pages.frame import page, render
from engine.console.problems import Problem, not_found
from engine.domain.errors import NotKnown
from engine.domain.wording import place
from engine.flows.texts import links as flow
from engine.flows.texts.links import Asked, Links

LINKS: web.AppKey[Links] = web.AppKey("links")


def attach(app: web.Application, links: Links) -> None:
    """Offer the pages in this application."""
    app[LINKS] = links
    app.router.add_get("/a/{token}", show)
    app.router.add_post("/a/{token}", take)
    app.router.add_get("/a/{token}/{recording}", listen)


@page
async def show(request: web.Request) -> web.StreamResponse:
    """The page. Looking burns nothing: previewers look too."""
    return _render(request, await _asked(request))


@page
async def take(request: web.Request) -> web.StreamResponse:
    """The answer, once."""
    await check_form(request)
    given = str((await request.post()).get("answer", ""))
    try:
        asked = await flow.answer(
            request.app[DEPS].flows, request.app[LINKS], request.match_info["token"], given
        )
    except PermissionError:
        return _render(request, await _asked(request), HTTPStatus.GONE)
    except ValueError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
    if asked is None:
        raise not_found("Такой ссылки нет")
    return _render(request, asked)


@page
async def listen(request: web.Request) -> web.StreamResponse:
    """A recording of the resident's call, while the link lives. Each listening is put on record."""
    deps, asked = request.app[DEPS], await _asked(request)
    recording = request.match_info["recording"]
    if recording not in asked.recordings or deps.clock.now() >= asked.until:
        raise not_found("Такой записи нет")
    try:
        file = await deps.recordings.listen(recording)
    except (NotKnown, ValueError):
        raise not_found("Такой записи нет") from None
    await deps.audit(deps.clock.now(), f"link:{asked.contact}", "listen", asked.number, recording)
    return web.FileResponse(file.path, headers={"Content-Type": file.content_type})


async def _asked(request: web.Request) -> Asked:
    asked = await flow.look(request.app[DEPS].flows, request.app[LINKS], request.match_info["token"])
    if asked is None:
        raise not_found("Такой ссылки нет")
    return asked


def _render(request: web.Request, asked: Asked, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    deps, ticket = request.app[DEPS], asked.ticket
    company = next((one for one in deps.companies() if one.id == ticket.company), None)
    zone = ZoneInfo(company.time_zone if company else "Europe/Moscow")
    accepted = ticket.accepted
    return render(
        request,
        "answer.html",
        status.value,
        asked=asked,
        ticket=ticket,
        what=ticket.title or ticket.text or "Подробности в записи разговора",
        place=place(ticket.premises),
        opened=ticket.opened_at.astimezone(zone) if ticket.opened_at else None,
        can_answer=asked.open_at(deps.clock.now()) and accepted is None,
        mine=accepted is not None and accepted.contact == asked.contact,
        accepted=accepted,
        token=request.match_info["token"],
    )
