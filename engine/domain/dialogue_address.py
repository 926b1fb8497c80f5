"""Where it is: the known address read back, else house and flat by keys."""

from __future__ import annotations

import re
from collections.abc import Generator

from engine.domain.catalogue import MOST_CHOICES
from engine.domain.dialogue_moves import Ask, AskDigits, Heard, Move, Say, Setting
from engine.domain.model import House, Premises

TRIES = 2
MOST_PAGES = 4


def ask_address(s: Setting) -> Generator[Move, Heard, Premises | None]:
    """The premises, confirmed by a key; None if it could not be learnt by keys, so that it must be said."""
    if s.premises.house is not None:
        key = yield Ask("address", (s.words.your_address(s.premises), s.words.is_it_right), "12", times=1)
        if key != "2":
            return s.premises
    for _ in range(TRIES):
        house = yield from _ask_house(s)
        if house is None:
            return None
        flat = yield from _ask_flat(s, house)
        premises = Premises(house.id, flat, house.address)
        key = yield Ask("address", (s.words.your_address(premises), s.words.is_it_right), "12", times=1)
        if key != "2":
            return premises
    return None


def _ask_house(s: Setting) -> Generator[Move, Heard, House | None]:
    """From a menu if there are few, else by the house's number."""
    houses = list(s.company.houses.values())
    if len(houses) == 1:
        return houses[0]
    if len(houses) <= MOST_CHOICES:
        return (yield from _from_menu(s, houses))
    for _ in range(TRIES):
        digits = yield AskDigits("house.number", (s.words.house_number,), 4)
        if not isinstance(digits, str):
            return None
        alike = [house for house in houses if _digits(house.number) == digits.lstrip("0")]
        if len(alike) > 1:
            return (yield from _from_menu(s, alike))
        if alike:
            return alike[0]
        yield Say((s.words.no_such_house,))
    return None


def _from_menu(s: Setting, houses: list[House]) -> Generator[Move, Heard, House | None]:
    """Five at a time."""
    for page in range(MOST_PAGES):
        here = houses[page * MOST_CHOICES : (page + 1) * MOST_CHOICES]
        more = len(houses) > (page + 1) * MOST_CHOICES
        choices = [(str(n), house) for n, house in enumerate(here, 1)]
        parts = (s.words.which_house, *s.words.houses(choices), *((s.words.next_houses,) if more else ()))
        keys = "".join(key for key, _ in choices) + ("9" if more else "")
        key = yield Ask("house", parts, keys)
        if not isinstance(key, str):
            return None
        if key != "9":
            return dict(choices)[key]
    return None


def _ask_flat(s: Setting, house: House) -> Generator[Move, Heard, str | None]:
    """The flat; None for a place outside of flats, or if nothing fitting was keyed in."""
    for _ in range(TRIES):
        digits = yield AskDigits("flat", (s.words.which_flat,), 4)
        if not isinstance(digits, str) or not digits:
            return None
        flat = digits.lstrip("0")
        if flat and (house.flats is None or house.flats[0] <= int(flat) <= house.flats[1]):
            return flat
        yield Say((s.words.no_such_flat,))
    return None


def _digits(number: str) -> str:
    """«15а» is found under 15: what can be keyed in of a house's number."""
    found = re.match(r"\d+", number)
    return found[0].lstrip("0") if found else ""
