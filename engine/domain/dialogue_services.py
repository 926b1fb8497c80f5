"""What needs no brigade: how a ticket stands, and meter readings. Both say whether the caller has what they called for."""

from __future__ import annotations

from collections.abc import Generator

from engine.domain.dialogue_address import ask_address
from engine.domain.dialogue_moves import (
    Ask,
    AskDigits,
    Classify,
    Found,
    Heard,
    LookAtMeters,
    LookUp,
    Meters,
    Move,
    Say,
    Setting,
    TakeReading,
)
from engine.domain.meters import Meter, Verdict, judge
from engine.domain.model import Premises, Urgency

TRIES = 3
MOST_TOLD = 3
READING_CAUSE, READING_TITLE = "service.reading", "Показания счётчиков"


def status(s: Setting) -> Generator[Move, Heard, bool]:
    """The open tickets of a known caller; else a ticket by its number and flat. Three wrong numbers: False."""
    w = s.words
    if s.premises.house is not None:
        found = yield LookUp(premises=s.premises)
        if isinstance(found, Found) and found.tickets:
            yield from _tell(s, found)
            return True
        yield Say((w.no_tickets,))
    for _ in range(TRIES):
        number = yield AskDigits("ticket", (w.ticket_number,), 9)
        if not isinstance(number, str):
            return False
        flat = yield AskDigits("ticket.flat", (w.ticket_flat,), 4)
        if number and isinstance(flat, str):
            found = yield LookUp(int(number), Premises(flat=flat.lstrip("0") or None))
            if isinstance(found, Found) and found.tickets:
                yield from _tell(s, found)
                return True
        yield Say((w.no_such_ticket,))
    return False


def _tell(s: Setting, found: Found) -> Generator[Move, Heard, None]:
    for one in found.tickets[:MOST_TOLD]:
        yield Say(s.words.status(one.number, one.title, one.status, one.due, s.zone, s.now))


def readings(s: Setting) -> Generator[Move, Heard, bool]:
    """Each meter of the flat in turn. False if there was none to read."""
    premises = yield from ask_address(s)
    if premises is None or premises.house is None or premises.flat is None:
        return False
    yield Classify(Urgency.NORMAL, READING_CAUSE, READING_TITLE, premises)
    known = yield LookAtMeters(premises.house, premises.flat)
    meters = known.meters if isinstance(known, Meters) else ()
    if not meters:
        yield Say((s.words.no_meters,))
        return False
    taken = 0
    for meter in meters:
        taken += yield from _reading(s, meter)
    return taken > 0


def _reading(s: Setting, meter: Meter) -> Generator[Move, Heard, bool]:
    """One meter: keyed in, judged, read back, confirmed. The hash alone passes it over."""
    w = s.words
    for _ in range(TRIES):
        digits = yield AskDigits(f"meter.{meter.id}", (*w.meter(meter), w.reading), meter.digits + 3)
        if not isinstance(digits, str) or not digits:
            return False
        value, verdict = int(digits), judge(meter, int(digits), s.now)
        if verdict in (Verdict.LESS, Verdict.LONG):
            yield Say((w.doubt(verdict),))
            continue
        doubt = (w.doubt(verdict),) if verdict is Verdict.MUCH else ()
        key = yield Ask("confirm", (*doubt, w.read_back(value), w.reading_right), "12", times=1)
        if key == "1":
            yield TakeReading(meter, value, verdict is Verdict.MUCH)
            yield Say((w.reading_taken,))
            return True
    return False
