"""Who is on duty."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from engine.console.api.common import company_asked
from engine.console.guard import DEPS, principal
from engine.console.problems import unfit
from engine.console.wire import reply


async def on_call(request: web.Request) -> web.Response:
    """Every roster of the companies that may be seen, at `?at=` (an instant with its offset; now)."""
    who = await principal(request, "read")
    asked, deps = company_asked(request, who), request.app[DEPS]
    at = _instant(request.query.get("at")) or deps.clock.now()
    duties = []
    for company in deps.companies():
        if not who.sees(company.id) or asked not in (None, company.id):
            continue
        for roster in company.rosters.values():
            duty = roster.on_duty(at)
            people = [company.contacts[id] for id in duty.contacts if id in company.contacts]
            duties.append(
                {
                    "company": company.id,
                    "roster": roster.name,
                    "contacts": [
                        {"contact": person.id, "name": person.name, "numbers": person.numbers}
                        for person in people
                    ],
                    "until": duty.until,
                }
            )
    return reply({"at": at, "on_call": duties})


def _instant(given: str | None) -> datetime | None:
    if not given:
        return None
    try:
        at = datetime.fromisoformat(given.replace(" ", "+"))
    except ValueError:
        raise unfit("at", "нужны дата и время, например 2026-11-21T19:00:00+03:00") from None
    if at.tzinfo is None:
        raise unfit("at", "нужно смещение от UTC, например 2026-11-21T19:00:00+03:00")
    return at.astimezone(UTC)


ROUTES = [web.get("/api/v1/on-call", on_call)]
