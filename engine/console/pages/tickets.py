"""The list of tickets, kept fresh by itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from engine.console.api.common import company_asked, number
from engine.console.deps import TicketRow
from engine.console.guard import DEPS, Principal
from engine.console.live import Sent, bursts, stream
from engine.console.pages.frame import fragment, looking, page, render
from engine.console.problems import unfit
from engine.console.words import duration
from engine.domain.company import Company
from engine.domain.errors import FeedLost
from engine.domain.model import Urgency
from engine.domain.ticket import Status

PAGE = 50
SETTLE_SECONDS = 0.2
"""Events come in bursts: the list is drawn once for a burst."""
REDRAW_SECONDS = 60.0
STATES: dict[str, tuple[Status, ...]] = {
    "": (Status.OPEN, Status.ESCALATING, Status.ACCEPTED, Status.DONE),
    "waiting": (Status.OPEN, Status.ESCALATING),
    "accepted": (Status.ACCEPTED, Status.DONE),
    "closed": (Status.CLOSED,),
    "all": (),
}
"""The choices of the state filter; the first is what one sees without choosing."""


@page
async def home(request: web.Request) -> web.StreamResponse:
    """Leads to the list."""
    raise web.HTTPSeeOther("/tickets")


@page
async def tickets(request: web.Request) -> web.StreamResponse:
    """The list with its filters."""
    who = await looking(request)
    companies = [company for company in request.app[DEPS].companies() if who.sees(company.id)]
    return render(
        request,
        "tickets.html",
        companies=companies,
        states=list(STATES),
        urgencies=list(Urgency),
        query_string=request.query_string,
        **await _list(request, who),
    )


@page
async def live(request: web.Request) -> web.StreamResponse:
    """The list again, each time that something in it may have changed."""
    who = await looking(request)
    await _list(request, who)  # a filter that does not fit is told before the stream begins
    return await stream(request, _redrawn(request, who))


async def _redrawn(request: web.Request, who: Principal) -> AsyncGenerator[Sent, None]:
    async with request.app[DEPS].store.feed() as feed, bursts(feed) as burst:
        shown = ""
        while True:
            drawn = fragment(request, "_list.html", await _list(request, who))
            if drawn != shown:
                yield Sent(drawn)
                shown = drawn
            try:
                await burst(REDRAW_SECONDS, SETTLE_SECONDS)
            except FeedLost:
                return  # the browser comes back and gets the list as it is


async def _list(request: web.Request, who: Principal) -> dict[str, Any]:
    """What `_list.html` needs."""
    deps, state, urgency = (
        request.app[DEPS],
        request.query.get("state", ""),
        request.query.get("urgency") or None,
    )
    if state not in STATES:
        raise unfit("state", "нет такого состояния")
    if urgency is not None and urgency not in list(Urgency):
        raise unfit("urgency", "нет такой срочности")
    company = company_asked(request, who) or None
    rows = await deps.reader.tickets(
        company,
        statuses=STATES[state],
        urgency=urgency,
        after=number(request, "before", None),
        limit=PAGE,
    )
    companies = {company.id: company for company in deps.companies()}
    shown = [Row(row, companies.get(row.company)) for row in rows]
    return {
        "rows": sorted(shown, key=lambda row: not row.alarming),
        "several": len(companies) > 1 and who.company is None,
        "older": rows[-1].number if len(rows) == PAGE else None,
        "paged": "before" in request.query,
        "query": request.query,
        "now": deps.clock.now(),
        "waiting": sum(row.alarming for row in shown),
    }


class Row:
    """A ticket as the list shows it. `waiting`: nobody has taken it; `alarming`: and it is an emergency, so it goes on top."""

    def __init__(self, row: TicketRow, company: Company | None) -> None:
        house = company.houses.get(row.house or "") if company else None
        zone = house.time_zone if house else company.time_zone if company else "Europe/Moscow"
        self.ticket, self.zone = row, ZoneInfo(zone)
        self.company = company.title if company else row.company
        self.waiting = row.status in (Status.OPEN, Status.ESCALATING)
        self.alarming = self.waiting and row.urgency == Urgency.EMERGENCY

    @property
    def taken_after(self) -> str | None:
        """How long nobody had it."""
        if self.ticket.accepted_at is None:
            return None
        return duration((self.ticket.accepted_at - self.ticket.opened_at) / timedelta(seconds=1))


ROUTES = [web.get("/", home), web.get("/tickets", tickets), web.get("/live/tickets", live)]
