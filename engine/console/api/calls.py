"""Calls and their recordings."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from engine.console.api.common import company_asked, limit, number
from engine.console.deps import RecordingRow
from engine.console.guard import DEPS, Principal, principal
from engine.console.problems import Problem, not_found, unfit
from engine.console.views import call_json
from engine.console.wire import reply
from engine.domain.errors import NotKnown


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
    who, row = await _heard_by(request)
    deps = request.app[DEPS]
    try:
        file = await deps.recordings.listen(row.id, leg, format)
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
    web.get("/api/v1/recordings/{id}", recording),
    web.get("/api/v1/recordings/{id}/peaks", peaks),
]
