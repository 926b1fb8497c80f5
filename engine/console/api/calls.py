"""Calls and their recordings."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

import msgspec
from aiohttp import web

from engine.console.api.common import body, company_asked, limit, number
from engine.console.deps import RecordingRow
from engine.console.guard import DEPS, Principal, check_api_write, principal
from engine.console.problems import Problem, not_found, unfit
from engine.console.views import call_json
from engine.console.wire import reply
from engine.domain.errors import NotKnown, TelephonyAway
from engine.flows.records import keeping


async def calls(request: web.Request) -> web.Response:
    """The newest calls first, of a company, of one ticket (`?ticket=`)."""
    who = await principal(request, "read")
    company, ticket, reader = (
        company_asked(request, who),
        number(request, "ticket", None),
        request.app[DEPS].reader,
    )
    most = limit(request)
    if ticket is None:
        rows = await reader.calls(company, limit=most)
    else:
        rows = [row for row in await reader.calls_of(ticket) if company in (None, row.company)][::-1][:most]
    return reply({"calls": [call_json(row) for row in rows]})


async def recording(request: web.Request) -> web.StreamResponse:
    """The sound itself; ranges are honoured, each access is put on record."""
    leg, format = request.query.get("leg", "both"), request.query.get("format", "wav")
    if leg not in ("in", "out", "both"):
        raise unfit("leg", "нужно in, out или both")
    if format not in ("wav", "opus", "flac"):
        raise unfit("format", "нужно wav, opus или flac")
    levels = request.query.get("levels", "original")
    if levels not in ("original", "even"):
        raise unfit("levels", "нужно original или even")
    who, row = await _heard_by(request)
    deps = request.app[DEPS]
    try:
        file = await deps.recordings.listen(row.id, leg, format, levels)
    except NotKnown:
        raise not_found(f"Нет записи {row.id}") from None
    except ValueError as error:
        raise Problem(HTTPStatus.NOT_ACCEPTABLE, f"Записи нет в таком виде: {error}") from None
    what = "download" if "download" in request.query else "listen"
    if _from_its_start(request):
        await deps.audit(deps.clock.now(), who.name, what, row.ticket, row.id)
    response = web.FileResponse(file.path, headers={"Content-Type": file.content_type})
    if what == "download":
        response.headers["Content-Disposition"] = f'attachment; filename="{row.id}-{leg}.{format}"'
    return response


class RecordingAsked(msgspec.Struct, forbid_unknown_fields=True):
    """Whether the call is to be recorded."""

    do: Literal["pause", "resume"]


async def pause_or_resume(request: web.Request) -> web.Response:
    """Keep nothing of a call that is up from now on (a card's number is said), or record it again. The gap is marked."""
    who = await principal(request, "act")
    await check_api_write(request)
    deps, call = request.app[DEPS], request.match_info["call"]
    row = await deps.reader.call(call)
    if row is None or not who.sees(row.company):
        raise not_found(f"Нет звонка {call}")
    do = (await body(request, RecordingAsked)).do
    paused = await change_recording(request, who, row.ticket, call, do)
    return reply({"call": call, "paused": paused})


async def change_recording(request: web.Request, who: Principal, ticket: int, call: str, do: str) -> bool:
    """Pause or resume; returns whether it is paused now. Raises `Problem` 409 if the call is not up, 503 if Asterisk is away."""
    deps = request.app[DEPS]
    if deps.muting is None:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Запись здесь нельзя приостановить")
    change = keeping.pause if do == "pause" else keeping.resume
    try:
        await change(deps.flows, call, who.name, deps.muting)
    except (keeping.NotUp, NotKnown):
        raise Problem(HTTPStatus.CONFLICT, f"Звонок {call} не идёт", code="not_up") from None
    except TelephonyAway:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Телефонная станция не отвечает") from None
    await deps.audit(deps.clock.now(), who.name, f"recording {do}", ticket, call)
    return do == "pause"


def _from_its_start(request: web.Request) -> bool:
    """A player asks for one file in many ranges: the first of them is the access."""
    return request.headers.get("Range", "bytes=0-").replace(" ", "").startswith("bytes=0-")


async def peaks(request: web.Request) -> web.StreamResponse:
    """What the player draws: `left` (far end) and `right` (our side), `peaks_a_second`, of `full_scale`."""
    _, row = await _heard_by(request)
    try:
        drawn = await request.app[DEPS].recordings.peaks(row.id)
    except NotKnown:
        raise not_found(f"Нет записи {row.id}") from None
    return web.FileResponse(drawn, headers={"Content-Type": "application/json"})


async def _heard_by(request: web.Request) -> tuple[Principal, RecordingRow]:
    """Who asks, and which recording; 404 unless it is theirs to hear."""
    who = await principal(request, "read")
    id = request.match_info["id"]
    row = await request.app[DEPS].reader.recording(id)
    if row is None or not who.sees(row.company):
        raise not_found(f"Нет записи {id}")
    return who, row


ROUTES = [
    web.get("/api/v1/calls", calls),
    web.post("/api/v1/calls/{call}/recording", pause_or_resume),
    web.get("/api/v1/recordings/{id}", recording),
    web.get("/api/v1/recordings/{id}/peaks", peaks),
]
