"""News for callers: a ticket of its own kind, open for as long as it is to be told."""

from __future__ import annotations

from datetime import datetime

from engine.domain.company import Company
from engine.domain.events import Classified, NoticeGiven, TicketOpened
from engine.domain.incidents import NEWS
from engine.domain.model import Premises, Urgency
from engine.flows.deps import Deps


async def give(
    d: Deps,
    company: Company,
    text: str,
    houses: tuple[str, ...] = (),
    entrance: int | None = None,
    starts: datetime | None = None,
    ends: datetime | None = None,
    by: str | None = None,
) -> int:
    """Tell the callers of these houses (of all, without any); the number of the ticket that holds it, by which it can be closed."""
    now = d.clock.now()
    where = Premises(houses[0], None, company.houses[houses[0]].address) if len(houses) == 1 else Premises()
    opened = TicketOpened(at=now, company=company.id, channel=NEWS, premises=where, text=text)
    classified = Classified(at=now, urgency=Urgency.NORMAL, title="Объявление", by=by)
    notice = NoticeGiven(at=now, text=text, houses=houses, entrance=entrance, starts=starts, ends=ends, by=by)
    return await d.store.open_ticket([opened, classified, notice])
