"""Whom an operator may ring from a ticket: the resident, the executor, the next person of the tree, a member of staff, a utility."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from engine.domain.company import Company, whom
from engine.domain.errors import NotKnown
from engine.domain.events import Event
from engine.domain.model import CallKind, Contact, Urgency
from engine.domain.ticket import Ticket
from engine.domain.walk import Walk
from engine.flows.operators.party import Party

THIRD_PARTY = "t"
KINDS = ("resident", "executor", "next", "contact", "utility")


def party_for(
    company: Company, ticket: int, history: Sequence[Event], to: str, name: str | None, now: datetime
) -> Party:
    """Who `to` is now; `name` is the contact's id, or the utility's name. Raises `NotKnown`, saying what is missing (Russian)."""
    state = Ticket.of(history)
    match to:
        case "resident":
            if state.phone is None:
                raise NotKnown("номер жителя в заявке не указан")
            return _party(company, state.phone, CallKind.CALLBACK)
        case "executor":
            if state.accepted is None:
                raise NotKnown("заявку ещё никто не принял")
            return _staff(company, _contact(company, state.accepted.contact))
        case "next":
            return _staff(company, next_of_the_tree(company, ticket, history, now))
        case "contact":
            return _staff(company, _contact(company, name))
        case "utility":
            numbers = company.services.get(name or "", ())
            if not numbers:
                known = ", ".join(company.services) or "ни одной"
                raise NotKnown(f"службы «{name}» у компании нет; есть: {known}")
            return _party(company, numbers[0], CallKind.UTILITY)
        case _:
            raise NotKnown(f"кто такой «{to}»? бывают: {', '.join(KINDS)}")


def next_of_the_tree(company: Company, ticket: int, history: Sequence[Event], now: datetime) -> Contact:
    """The first person of the steps after the acceptor's (or after the one that is being rung). Raises `NotKnown`."""
    walk = Walk.of(ticket, history)
    if walk.policy is None:
        raise NotKnown("по заявке никого не обзванивали: следующего нет")
    state = Ticket.of(history)
    here = walk.index
    if state.accepted is not None:
        here = walk.places.get(state.accepted.contact, (0, here))[1]
    for step in walk.policy.steps[here + 1 :]:
        found = whom(company, step.ring, state.premises.house, state.urgency or Urgency.EMERGENCY, now)
        for callee in found.people:
            return _contact(company, callee.contact)
    raise NotKnown("выше по списку никого нет")


def _contact(company: Company, id: str | None) -> Contact:
    contact = company.contacts.get(id or "")
    if contact is None or not contact.numbers:
        raise NotKnown(f"у компании нет сотрудника «{id}» с номером")
    return contact


def _staff(company: Company, contact: Contact) -> Party:
    return _party(company, contact.numbers[0], CallKind.OPERATOR, contact.id)


def _party(company: Company, number: str, kind: CallKind, contact: str | None = None) -> Party:
    if not company.may_dial(number):
        raise NotKnown(f"на номер {number} звонить не разрешено: добавьте его в allowed_numbers")
    return Party(THIRD_PARTY, kind, number, contact=contact, caller_id=company.caller_id, company=company.id)
