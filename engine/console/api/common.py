"""What the API's handlers share: reading a body, a query, a ticket that may be seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import TypeVar

import msgspec
import phonenumbers
from aiohttp import web

from engine.console.guard import DEPS, Principal, principal
from engine.console.problems import Problem, not_found, unfit
from engine.domain.company import Company
from engine.domain.errors import NotKnown
from engine.domain.events import Event, TicketOpened

Body = TypeVar("Body", bound=msgspec.Struct)

_MISSING = re.compile(r"missing required field `(?P<field>[^`]+)`(?: - at `\$\.?(?P<path>[^`]*)`)?")
_UNKNOWN = re.compile(r"contains unknown field `(?P<field>[^`]+)`(?: - at `\$\.?(?P<path>[^`]*)`)?")
_AT = re.compile(r"^(?P<reason>.*) - at `\$\.?(?P<path>[^`]*)`$")


async def body(request: web.Request, kind: type[Body]) -> Body:
    """The JSON body, fitted to `kind`. Raises `Problem` 400 for what is not JSON, 422 for what does not fit."""
    raw = await request.read()
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise _unfit(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"Тело запроса — не JSON: {error}") from None


def _unfit(message: str) -> Problem:
    if found := _MISSING.search(message):
        return unfit(".".join(filter(None, [found["path"], found["field"]])), "обязательное поле")
    if found := _UNKNOWN.search(message):
        return unfit(".".join(filter(None, [found["path"], found["field"]])), "такого поля нет")
    if found := _AT.match(message):
        return unfit(found["path"] or "body", found["reason"])
    return unfit("body", message)


def limit(request: web.Request, most: int = 200, default: int = 50) -> int:
    """`?limit=`, from 1 to `most`."""
    return number(request, "limit", default, 1, most) or default


def number(
    request: web.Request, name: str, default: int | None, least: int = 0, most: int = 2**53
) -> int | None:
    """A whole number of the query. Raises `Problem` 422."""
    given = request.query.get(name)
    if given is None:
        return default
    if not given.isdecimal() or not least <= int(given) <= most:
        raise unfit(name, f"нужно целое число от {least} до {most}")
    return int(given)


def phone(field: str, given: str | None) -> str | None:
    """A number as E.164 («8 916 000-00-42» is read as Russian). Raises `Problem` 422."""
    if not given:
        return None
    try:
        parsed = phonenumbers.parse(given, "RU")
    except phonenumbers.NumberParseException:
        raise unfit(field, "это не номер телефона") from None
    if not phonenumbers.is_possible_number(parsed):
        raise unfit(field, "такого номера телефона быть не может")
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def company_asked(request: web.Request, who: Principal) -> str | None:
    """The company that a list is limited to: theirs, else `?company=`. A foreign one is one that does not exist."""
    asked = request.query.get("company")
    if asked is not None and not who.sees(asked):
        raise not_found(f"Нет компании «{asked}»")
    return who.company or asked


def company_of(request: web.Request, id: str) -> Company | None:
    """A company as it is configured now."""
    return next((company for company in request.app[DEPS].companies() if company.id == id), None)


async def ticket_asked(request: web.Request, scope: str) -> tuple[Principal, int, Sequence[Event]]:
    """Who asks, the number in the path and its timeline; 404 if it does not exist for them."""
    who = await principal(request, scope)
    given = request.match_info["number"]
    missing = not_found(f"Нет заявки {given}")
    if not given.isdecimal() or int(given) > 2**53:
        raise missing
    try:
        history = await request.app[DEPS].store.history(int(given))
    except NotKnown:
        raise missing from None
    if not who.sees(company_in(history)):
        raise missing
    return who, int(given), history


def company_in(history: Sequence[Event]) -> str:
    """Whose ticket it is."""
    first = history[0]
    assert isinstance(first, TicketOpened)
    return first.company
