"""The catalogue of causes: the shipped one, and what a company's own `catalogue.yaml` adds to it or puts in its place."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from engine.domain.catalogue import Catalogue, Cause, Group, Spread, Wording
from engine.domain.clocks import LAWS
from engine.domain.finding import Finding
from engine.domain.model import Urgency
from engine.files.reading import read_shape
from engine.files.scalars import Id, Words, as_list, closest
from engine.files.shapes import Shape
from engine.files.source import Keys, Tree, read_yaml

SHIPPED = Path(__file__).parent / "catalogue.yaml"


def _wording(value: object) -> object:
    """A title alone may be written without its mapping."""
    return {"title": value} if isinstance(value, str) else value


def _group(value: object) -> object:
    """A group that nobody has to name may be a mere list of choices."""
    return {"choices": value} if isinstance(value, list) else value


class WordingShape(Shape):
    """What is said in another language."""

    title: Words
    menu: Words | None = None
    tell: Words | None = None
    ask: Words | None = None


English = Annotated[WordingShape | None, BeforeValidator(_wording)]


class CauseShape(Shape):
    """One cause."""

    title: Words = Field(description="как причина называется в заявке")
    urgency: Urgency = Field(description="класс: emergency, urgent, normal")
    skill: Words = Field(description="кто это чинит")
    clock: Words = Field(description="срок: имя часов из docs/hotline.md")
    menu: Words | None = Field(None, description="как причина звучит в меню")
    spread: Spread = Field(Spread.FLAT, description="кого касается: flat, entrance, house")
    synonyms: Annotated[tuple[Words, ...], BeforeValidator(as_list)] = ()
    hand_over: Id | None = Field(None, description="с кем соединить сразу: имя из services в company.yaml")
    tell: Words | None = Field(None, description="что сказать звонящему сразу")
    ask: Words | None = Field(None, description="о чём попросить рассказать")
    en: English = None


class GroupShape(Shape):
    """A level of the menu."""

    choices: Annotated[tuple[Id, ...], BeforeValidator(as_list), Field(min_length=1)]
    title: Words | None = None
    en: English = None


class CatalogueShape(Shape):
    """catalogue.yaml."""

    version: Literal["1"] = "1"
    causes: dict[Id, CauseShape] = Field(default_factory=dict)
    groups: dict[Id, Annotated[GroupShape, BeforeValidator(_group)]] = Field(default_factory=dict)


@cache
def shipped_catalogue() -> Catalogue:
    """The catalogue that comes with Dozvon. Raises `ValueError` if it is broken, which a test would have found."""
    catalogue, findings = read_catalogue(SHIPPED, SHIPPED.name, Catalogue())
    if findings:
        raise ValueError("\n".join(str(one) for one in findings))
    return catalogue


def read_catalogue(path: Path, file: str, base: Catalogue) -> tuple[Catalogue, list[Finding]]:
    """`base` with the file's causes and groups in it; with any error, `base` as it is and the findings."""
    tree, findings = read_yaml(path, file)
    if tree is None:
        return base, findings
    shape, wrong, _ = read_shape(CatalogueShape, tree)
    findings += wrong
    if shape is None:
        return base, findings
    for name, cause in shape.causes.items():
        if cause.clock not in LAWS:
            words = {"value": cause.clock, **_hint(cause.clock, LAWS)}
            findings.append(_at(tree, "clock.unknown", ("causes", name, "clock"), words))
    found = base.overlaid(
        Catalogue(
            {name: _cause(name, cause) for name, cause in shape.causes.items()},
            {name: _level(name, group) for name, group in shape.groups.items()},
        )
    )
    for group, choice, code in found.faults():
        words = {"group": group, "name": choice, **_hint(choice, {**found.causes, **found.groups})}
        findings.append(_at(tree, code, ("groups", group), words))
    return (base if findings else found), findings


def _at(tree: Tree, code: str, path: Keys, words: Mapping[str, object]) -> Finding:
    place = tree.find(path)
    return Finding(code, path, words).at(tree.file, place.line, place.column)


def _hint(name: str, known: Mapping[str, object]) -> dict[str, str]:
    guess = closest(name, list(known))
    return {
        "hint_ru": f"вероятно, «{guess}»" if guess else "назовите другое",
        "hint_en": f"did you mean {guess}?" if guess else "name another one",
    }


def _cause(name: str, shape: CauseShape) -> Cause:
    words = {"ru": Wording(shape.title, shape.menu, shape.tell, shape.ask)}
    return Cause(
        id=name,
        urgency=shape.urgency,
        words=words | _english(shape.en),
        skill=shape.skill,
        clock=shape.clock,
        spread=shape.spread,
        synonyms=shape.synonyms,
        hand_over=shape.hand_over,
    )


def _level(name: str, shape: GroupShape) -> Group:
    words: dict[str, Any] = {"ru": Wording(shape.title)} if shape.title else {}
    return Group(name, shape.choices, words | _english(shape.en))


def _english(shape: WordingShape | None) -> dict[str, Wording]:
    return {"en": Wording(shape.title, shape.menu, shape.tell, shape.ask)} if shape else {}
