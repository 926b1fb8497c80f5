"""What a resident is told by text: the number of their ticket, that it was taken and until when to expect somebody, that it is done.

Derived from the timeline alone, so that telling twice is impossible and a restart tells what was still owed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from engine.domain import clocks, wording
from engine.domain.catalogue import Cause
from engine.domain.company import Company
from engine.domain.errors import NotKnown
from engine.domain.events import (
    CallEnded,
    Event,
    NumberTold,
    Reported,
    TextQueued,
    TicketReopened,
)
from engine.domain.ticket import Ticket
from engine.flows.deps import Deps

MOBILE = "+79"
"""Only these can read a text."""
TELLING_CHANNELS = ("phone", "sms", "fallback")
"""A ticket from an app, a page or a sensor is answered there."""


async def tell(ticket: int, d: Deps) -> None:
    """Queue what is owed. Nothing owed: nothing."""
    while True:
        history = await d.store.history(ticket)
        try:
            company = d.company(Ticket.of(history).company)
        except NotKnown:
            return
        owed = due(ticket, history, company, d.clock.now())
        if not owed or await d.store.append(ticket, owed, expect=len(history)):
            return


def due(number: int, history: Sequence[Event], company: Company, now: datetime) -> list[TextQueued]:
    """The texts that the timeline calls for and does not have yet."""
    state = Ticket.of(history)
    if state.channel not in TELLING_CHANNELS or not (state.phone or "").startswith(MOBILE):
        return []
    round_ = sum(isinstance(event, TicketReopened) for event in history)
    bodies: dict[str, str] = {}
    known = state.channel != "phone" or any(
        isinstance(e, NumberTold) or (isinstance(e, CallEnded) and state.is_open) for e in history
    )
    cause = company.catalogue.cause(state.cause)
    if known and (
        cause or state.accepted or not state.live_calls
    ):  # while they speak the planned time may become known
        bodies["number"] = wording.resident_number_text(number, _planned(state, company, cause))
    if state.accepted is not None and known:
        bodies[f"accepted-{round_}"] = wording.resident_accepted_text(
            number, _expected(state, company, history)
        )
    if state.accepted is not None and any(isinstance(e, Reported) and e.what == "done" for e in history):
        bodies[f"done-{round_}"] = wording.resident_done_text(number)
    told = {event.text for event in history if isinstance(event, TextQueued)}
    return [
        TextQueued(at=now, text=text, number=state.phone or "", body=body, template=name.partition("-")[0])
        for name, body in bodies.items()
        if (text := f"{number}-{name}") not in told
    ]


def _planned(state: Ticket, company: Company, cause: Cause | None) -> datetime | None:
    """The planned time, as it is told by phone: only of a known cause."""
    if cause is None or state.opened_at is None:
        return None
    zone = company.zone_of(state.premises.house)
    return clocks.planned(state.opened_at, cause.clock, zone, company.limits).astimezone(ZoneInfo(zone))


def _expected(state: Ticket, company: Company, history: Sequence[Event]) -> datetime | None:
    """Until when the policy wants the brigade to have arrived, in the house's time."""
    policy = next((policy for policy in company.policies if policy.name == state.policy), None)
    within = policy.after_accepting.report_arrival_within if policy else None
    if state.accepted is None or within is None:
        return None
    house = company.houses.get(state.premises.house or "")
    return (state.accepted.at + within).astimezone(ZoneInfo(house.time_zone if house else company.time_zone))
