"""What the hotline says and asks, from the greeting to the good-bye. Pure; a generator that reads like the conversation.

    dialogue = talk(setting)
    move = next(dialogue)               # what to do
    move = dialogue.send(answer)        # what came of it; StopIteration at the end

Keys alone are enough for everything; silence always leads on, at last to a message. A caller who speaks instead of pressing is heard:
after an unanswered menu nothing else is asked.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from engine.domain import clocks
from engine.domain.catalogue import OTHER_KEY, Catalogue, Cause, Group
from engine.domain.dialogue_address import ask_address
from engine.domain.dialogue_moves import (
    Announce,
    Ask,
    CallOperator,
    Classify,
    Dialogue,
    HandOver,
    Heard,
    Join,
    Move,
    Say,
    Setting,
    Settle,
    TakeMessage,
    TellNumber,
)
from engine.domain.dialogue_services import readings, status
from engine.domain.incidents import Incident
from engine.domain.model import Premises, Urgency
from engine.domain.wording import Parts

EMERGENCY_KEY, ORDINARY_KEY = "1", "2"
MENU_WAIT_SECONDS = 4.0
MOST_REPEATS = 3
MOST_LEVELS = 6


def talk(s: Setting) -> Dialogue:
    """The whole conversation."""
    w = s.words
    if s.rings_back:
        yield Announce((w.call_back_greeting(s.company), w.call_back))
    else:
        yield Announce((w.greeting(s.company, s.greeting), w.recorded))
    known = _incident_at(s, s.premises)
    if known is not None and not s.crowded and (yield from _joins(s, known, s.premises, early=False)):
        return
    key = yield from _emergency_or_not(s)
    if key == EMERGENCY_KEY:
        yield from _emergency(s)
    elif s.crowded:
        yield Say((w.thanks,))
        return
    elif key == ORDINARY_KEY:
        yield from _ordinary(s)
    else:  # who says nothing is what the company decided such callers to be
        yield Classify(s.company.unclear_is)
        yield from _number(s, w.request_accepted)
        yield TakeMessage((w.leave_message,))
    yield Say((w.thanks,))


def _emergency_or_not(s: Setting) -> Generator[Move, Heard, Heard]:
    """The first question, with the news before it: a key is heard at any moment."""
    w = s.words
    house = s.company.houses.get(s.premises.house or "")
    news = tuple(one.text for one in s.notices if one.concerns(s.premises, house, s.now))
    if s.crowded:
        return (yield Ask("emergency", (w.too_many,), EMERGENCY_KEY, times=1))
    return (yield Ask("emergency", (*news, w.emergency_or_not), EMERGENCY_KEY + ORDINARY_KEY))


def _emergency(s: Setting) -> Dialogue:
    """Somebody is called at once; what it is and where, is learnt meanwhile."""
    w, urgency = s.words, Urgency.EMERGENCY
    yield Classify(urgency)
    yield from _number(s, w.emergency_accepted)
    chosen = yield from _choose(s, s.company.catalogue.emergency)
    if chosen is None:
        yield TakeMessage((w.leave_message,))
        return
    cause = None if chosen == OTHER_KEY else s.company.catalogue.causes[chosen]
    if cause is not None:
        yield Classify(urgency, cause.id, cause.title)
        yield from _advice(s, cause)
    yield from _where_and_message(s, Classify(urgency, cause.id if cause else None), cause)


def _ordinary(s: Setting) -> Dialogue:
    """Not an emergency: a request, readings, a question about a ticket, a message, an operator."""
    w = s.words
    yield Classify(Urgency.NORMAL)
    keys = "1234" + ("0" if s.operators else "")
    parts = (w.services, w.with_operator) if s.operators else (w.services,)
    key = yield Ask("service", parts, keys)
    done = False
    if key == "1":
        yield from _request(s)
        return
    if key == "2":
        done = yield from readings(s)
    elif key == "3":
        done = yield from status(s)
    if done:
        yield Settle("reading" if key == "2" else "status")
        return
    if s.operators and key != "4" and (yield CallOperator()):
        return
    yield from _number(s, w.request_accepted)
    yield TakeMessage((w.leave_message,))
    yield from _repeat(s, None)


def _request(s: Setting) -> Dialogue:
    """A request of the catalogue; its class says who is reached, and how."""
    w = s.words
    chosen = yield from _choose(s, s.company.catalogue.ordinary)
    cause = s.company.catalogue.cause(chosen)
    about = Classify(Urgency.NORMAL)
    if cause is not None:
        about = Classify(cause.urgency, cause.id, cause.title)
        yield about
        yield from _advice(s, cause)
    yield from _number(s, w.request_accepted, cause)
    if chosen is None:
        yield TakeMessage((w.leave_message,))
        return
    yield from _where_and_message(s, about, cause)


def _where_and_message(s: Setting, about: Classify, cause: Cause | None) -> Dialogue:
    """The address; then perhaps it is a known incident; then the caller's own words; then the number once more."""
    w = s.words
    premises = yield from ask_address(s)
    if premises is not None and premises != s.premises:
        yield replace(about, premises=premises)
        known = _incident_at(s, premises)
        if known is not None and (yield from _joins(s, known, premises)):
            return
    ask = cause.said(w.language).ask if cause else None
    message = w.leave_message if premises is None else ask or w.leave_voice
    yield TakeMessage((message,))
    yield from _repeat(s, cause)


def _advice(s: Setting, cause: Cause) -> Dialogue:
    """What to do until somebody comes; and who else must know, at once."""
    w = s.words
    advice = cause.said(w.language).tell
    tell: Parts = (advice,) if advice else ()
    if cause.hand_over is None or not s.company.services.get(cause.hand_over):
        if tell:
            yield Say(tell)
        return
    brief = w.for_service(s.company, cause, s.premises)
    if (yield HandOver(cause.hand_over, (*tell, w.connecting), brief)) is None:
        yield Say((w.not_connected,))


def _choose(s: Setting, group: str) -> Generator[Move, Heard, str | None]:
    """Walk down the menu: a cause's id, `OTHER_KEY`, or None for silence (and for a company without a menu)."""
    catalogue: Catalogue = s.company.catalogue
    for level in range(MOST_LEVELS):
        choices = catalogue.choices(group)
        if not choices:
            return None
        head: Parts = (s.words.what_happened,) if level == 0 else ()
        keys = "".join(key for key, _ in choices) + OTHER_KEY
        parts = (*head, *s.words.menu(choices))
        key = yield Ask(f"cause.{group}", parts, keys, wait=MENU_WAIT_SECONDS, times=1)
        if not isinstance(key, str) or key == OTHER_KEY:
            return OTHER_KEY if key == OTHER_KEY else None
        found: Cause | Group = dict(choices)[key]
        if isinstance(found, Cause):
            return found.id
        group = found.id
    return None


# --- incidents -----------------------------------------------------------------------------------------------------------------------


def _incident_at(s: Setting, premises: Premises) -> Incident | None:
    """The known incident of that place with the most voices."""
    house = s.company.houses.get(premises.house or "")
    known = [one for one in s.incidents if one.concerns(premises, house) and one.ticket != s.ticket]
    return max(known, key=lambda one: one.voices, default=None)


def _joins(
    s: Setting, known: Incident, premises: Premises, early: bool = True
) -> Generator[Move, Heard, bool]:
    """Tell of the incident; whether the caller joined it, and then all is said."""
    w = s.words
    parts = (*w.incident(known, s.zone, s.now), w.incident_question)
    key = yield Ask("incident", parts, "12", times=1, early=early)
    if key != "1":
        return False
    yield Join(known, premises)
    yield TellNumber((w.joined, w.your_number(known.ticket)), known.due)
    yield TakeMessage((w.leave_voice,))
    yield Say((w.thanks,))
    return True


# --- the number ----------------------------------------------------------------------------------------------------------------------


def _number(s: Setting, taken: str, cause: Cause | None = None) -> Dialogue:
    due = clocks.planned(s.opened, cause.clock, s.zone, s.company.limits) if cause else None
    yield TellNumber((taken, *_number_parts(s, cause)), due)


def _number_parts(s: Setting, cause: Cause | None) -> Parts:
    w = s.words
    if cause is None:
        return (w.your_number(s.ticket),)
    due = clocks.planned(s.opened, cause.clock, s.zone, s.company.limits)
    return (w.your_number(s.ticket), w.planned(due, s.zone, s.now))


def _repeat(s: Setting, cause: Cause | None) -> Dialogue:
    """The number and the planned time, again on request."""
    for _ in range(MOST_REPEATS):
        key = yield Ask("again", (s.words.again,), "1", wait=MENU_WAIT_SECONDS, times=1)
        if key is None:
            return
        yield Say(_number_parts(s, cause))
