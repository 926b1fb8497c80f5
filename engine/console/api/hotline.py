"""What the hotline tells and takes: news for the callers of some houses, known incidents, meter readings, the catalogue of causes."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from aiohttp import web

from engine.console.api.common import body, company_asked
from engine.console.guard import DEPS, Principal, check_api_write, principal
from engine.console.problems import not_found, unfit
from engine.console.wire import reply
from engine.domain.company import Company
from engine.flows.texts import mailing
from engine.flows.texts import news as flow

COLUMNS = ("at", "company", "house", "flat", "meter", "value", "unusual", "ticket")


class NewNews(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/v1/news`. Without houses: all of the company's. Instants with their offset."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    company: str | None = None
    houses: list[str] = []
    entrance: Annotated[int, msgspec.Meta(ge=1, le=99)] | None = None
    starts: datetime | None = None
    ends: datetime | None = None
    sms: bool = False
    """Also by text, to the residents of those houses who have not asked to be left alone."""


async def tell(request: web.Request) -> web.Response:
    """Callers from those houses hear it from now on, until it ends or its ticket is closed."""
    who = await principal(request, "act")
    await check_api_write(request)
    new = await body(request, NewNews)
    company = _company(request, who, new.company)
    for house in new.houses:
        if house not in company.houses:
            raise unfit("houses", f"у компании нет дома «{house}»")
    for field, at in (("starts", new.starts), ("ends", new.ends)):
        if at is not None and at.tzinfo is None:
            raise unfit(field, "нужно время со смещением: 2026-11-22T10:00:00+03:00")
    if new.starts and new.ends and new.ends <= new.starts:
        raise unfit("ends", "конец раньше начала")
    deps = request.app[DEPS]
    ticket = await flow.give(
        deps.flows, company, new.text, tuple(new.houses), new.entrance, new.starts, new.ends, who.name
    )
    await deps.audit(deps.clock.now(), who.name, "news", ticket)
    texts = 0
    if new.sms:
        texts = await mailing.send(deps.flows, company, ticket, new.text, new.houses, new.entrance)
    return reply({"number": ticket, "texts": texts}, status=HTTPStatus.CREATED)


async def board(request: web.Request) -> web.Response:
    """What a caller would hear: known incidents with their voices, and news, from files and from here."""
    who = await principal(request, "read")
    asked = company_asked(request, who)
    deps = request.app[DEPS]
    incidents, news = [], []
    for company in deps.companies():
        if asked in (None, company.id) and who.sees(company.id):
            view = await deps.flows.board.view(company, deps.flows.store)
            incidents += [{"company": company.id, **msgspec.to_builtins(one)} for one in view.incidents]
            news += [{"company": company.id, **msgspec.to_builtins(one)} for one in view.notices]
    return reply({"incidents": incidents, "news": news})


async def readings(request: web.Request) -> web.Response:
    """Meter readings, the earliest first: `?since=`, `?house=&flat=`, `?format=csv`."""
    who = await principal(request, "read")
    asked, query = company_asked(request, who), request.query
    since = None
    if "since" in query:
        try:
            since = datetime.fromisoformat(query["since"].replace(" ", "+"))
        except ValueError:
            raise unfit("since", "нужно время: 2026-11-01T00:00:00+03:00") from None
        if since.tzinfo is None:
            raise unfit("since", "нужно время со смещением: 2026-11-01T00:00:00+03:00")
    deps, rows = request.app[DEPS], []
    for company in deps.companies():
        if asked in (None, company.id) and who.sees(company.id):
            found = await deps.flows.store.readings(company.id, query.get("house"), query.get("flat"), since)
            rows += [
                {
                    "at": event.at.isoformat(),
                    "company": company.id,
                    "house": event.house,
                    "flat": event.flat,
                    "meter": event.meter,
                    "value": event.value,
                    "unusual": event.unusual,
                    "ticket": ticket,
                }
                for ticket, event in found
            ]
    if query.get("format") != "csv":
        return reply({"readings": rows})
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return web.Response(text=table.getvalue(), content_type="text/csv", charset="utf-8")


async def catalogue(request: web.Request) -> web.Response:
    """The causes of a company, with class, skill, clock and whom they concern; and the menu that leads to them."""
    who = await principal(request, "read")
    causes = _company(request, who, company_asked(request, who)).catalogue
    return reply(
        {
            "causes": [msgspec.to_builtins(one) for one in causes.causes.values()],
            "groups": [msgspec.to_builtins(one) for one in causes.groups.values()],
        }
    )


def _company(request: web.Request, who: Principal, asked: str | None) -> Company:
    """The company that is meant; the only one need not be named."""
    seen = [one for one in request.app[DEPS].companies() if who.sees(one.id)]
    wanted = asked or who.company
    if wanted is None and len(seen) == 1:
        return seen[0]
    if wanted is None:
        raise unfit("company", "обязательное поле: компаний несколько")
    company = next((one for one in seen if one.id == wanted), None)
    if company is None:
        raise not_found(f"Нет компании «{wanted}»")
    return company


ROUTES = [
    web.post("/api/v1/news", tell),
    web.get("/api/v1/incidents", board),
    web.get("/api/v1/readings", readings),
    web.get("/api/v1/catalogue", catalogue),
]
