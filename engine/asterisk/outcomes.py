"""How a dial ended, read from Q.850, SIP and whether it rang: `Dial`'s own status says the same for half of them."""

from __future__ import annotations

from engine.domain.model import Outcome

BUSY = {486, 600}
DECLINED = {603, 607, 608}
NO_SUCH_PHONE = {404, 410, 484, 604}
CANCELLED = {487}
# Said after ringing these speak of the person, said at once of the phone (480, 408) or of the trunk (403).
AFTER_RINGING = {480: Outcome.NO_ANSWER, 408: Outcome.NO_ANSWER, 403: Outcome.DECLINED}
AT_ONCE = {480: Outcome.UNREACHABLE, 408: Outcome.UNREACHABLE, 403: Outcome.FAILED}

BY_CAUSE = {
    1: Outcome.UNREACHABLE,  # unallocated number
    17: Outcome.BUSY,
    20: Outcome.UNREACHABLE,  # subscriber absent
    21: Outcome.DECLINED,
    22: Outcome.UNREACHABLE,  # number changed
    26: Outcome.CANCELLED,  # answered elsewhere: only we say that
    27: Outcome.UNREACHABLE,  # destination out of order
    28: Outcome.UNREACHABLE,  # address incomplete
}
RINGING_ENDED = {16, 18, 19, 31, 127}  # normal clearing, no response, no answer, unspecified


def outcome_of(cause: int | None, tech_cause: int | None, rang: bool) -> Outcome:
    """The outcome of a dial that never came up; `tech_cause` is the SIP status, or 0 or None where there is none.

    Whatever is not known to be the person's doing is `failed`: the trunk's fault, not charged to the person.
    """
    sip = tech_cause or 0
    if sip in BUSY:
        return Outcome.BUSY
    if sip in DECLINED:
        return Outcome.DECLINED
    if sip in NO_SUCH_PHONE:
        return Outcome.UNREACHABLE
    if sip in CANCELLED:
        return Outcome.CANCELLED
    if sip in AT_ONCE:
        return AFTER_RINGING[sip] if rang else AT_ONCE[sip]
    if sip >= 400:
        return Outcome.FAILED
    if cause in BY_CAUSE:
        return BY_CAUSE[cause]
    if cause in RINGING_ENDED:
        return Outcome.NO_ANSWER if rang else Outcome.UNREACHABLE
    return Outcome.FAILED
