"""The causes of requests: how urgent each is, who mends it, which clock runs, what to tell; and the menu that leads to it by keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from engine.domain.model import Urgency

MOST_CHOICES = 5
"""A level of the menu offers no more: the ear forgets the first of six."""
OTHER_KEY = "9"


class Spread(StrEnum):
    """Whom a cause concerns besides the caller, and so who is told of it as of a known incident."""

    FLAT = "flat"
    ENTRANCE = "entrance"
    HOUSE = "house"


@dataclass(frozen=True, slots=True)
class Wording:
    """What is said of a cause or of a group, in one language. `tell` is advice, `ask` what the message should contain."""

    title: str
    menu: str | None = None
    """How the menu names it, if shorter than the title."""
    tell: str | None = None
    ask: str | None = None

    @property
    def choice(self) -> str:
        """Its name in a menu."""
        return self.menu or self.title


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause. `clock` names a legal deadline (`engine.domain.clocks`), `hand_over` a service of the company's (gas: 104)."""

    id: str
    urgency: Urgency
    words: Mapping[str, Wording]
    """By language; Russian always."""
    skill: str
    clock: str
    spread: Spread = Spread.FLAT
    synonyms: tuple[str, ...] = ()
    hand_over: str | None = None

    @property
    def title(self) -> str:
        """What it is called on a ticket."""
        return self.words["ru"].title

    def said(self, language: str) -> Wording:
        """The words in that language, Russian if there are none."""
        return self.words.get(language, self.words["ru"])


@dataclass(frozen=True, slots=True)
class Group:
    """A level of the menu: its choices are causes or further groups, by id, the most frequent first."""

    id: str
    choices: tuple[str, ...]
    words: Mapping[str, Wording] = field(default_factory=dict)

    def said(self, language: str) -> Wording:
        """The words in that language, Russian if there are none."""
        return self.words.get(language) or self.words.get("ru") or Wording(self.id)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All causes and the menu. `emergency` and `ordinary` name the groups in which the two kinds of callers start."""

    causes: Mapping[str, Cause] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    emergency: str = "emergency"
    ordinary: str = "ordinary"

    def cause(self, id: str | None) -> Cause | None:
        """The cause of that id, or None."""
        return self.causes.get(id) if id else None

    def choices(self, group: str) -> tuple[tuple[str, Cause | Group], ...]:
        """(key, what it leads to) of one level; nothing for a group that does not exist."""
        found = self.groups.get(group)
        names = found.choices if found else ()
        things = [self.causes.get(name) or self.groups.get(name) for name in names]
        return tuple((str(n), thing) for n, thing in enumerate(things, 1) if thing is not None)

    def overlaid(self, other: Catalogue) -> Catalogue:
        """This one, with the other's causes and groups added or put in place of those of the same id."""
        return replace(self, causes={**self.causes, **other.causes}, groups={**self.groups, **other.groups})

    def urgencies(self) -> dict[str, Urgency]:
        """The class of each cause: what policies must cover."""
        return {name: cause.urgency for name, cause in self.causes.items()}

    def faults(self) -> Iterator[tuple[str, str, str]]:
        """What is wrong with the menu, as (group, choice, code): a choice that names nothing, a level too long, a circle."""
        for group in self.groups.values():
            if len(group.choices) > MOST_CHOICES:
                yield group.id, "", "menu.long"
            for choice in group.choices:
                if choice not in self.causes and choice not in self.groups:
                    yield group.id, choice, "menu.unknown"
                elif choice in self.groups and self._leads(choice, group.id):
                    yield group.id, choice, "menu.circle"

    def _leads(self, start: str, to: str) -> bool:
        seen, ahead = set[str](), [start]
        while ahead:
            name = ahead.pop()
            if name == to:
                return True
            if name not in seen:
                seen.add(name)
                ahead += [one for one in self.groups[name].choices if one in self.groups]
        return False
