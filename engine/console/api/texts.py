"""Messages sent, with what became of them."""

from __future__ import annotations

from aiohttp import web

from engine.console.api.common import company_asked, limit, number, phone
from engine.console.guard import DEPS, principal
from engine.console.views import text_json
from engine.console.wire import reply


async def texts(request: web.Request) -> web.Response:
    """The newest texts first, of a company, a ticket, a number."""
    who = await principal(request, "read")
    rows = await request.app[DEPS].reader.texts(
        company_asked(request, who),
        ticket=number(request, "ticket", None),
        number=phone("number", request.query.get("number")),
        limit=limit(request),
    )
    return reply({"texts": [text_json(row) for row in rows]})


ROUTES = [web.get("/api/v1/texts", texts)]
