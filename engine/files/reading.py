"""Applies a shape to a part of a tree: the value, or every mistake at its place, in our own words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from engine.domain.finding import Finding
from engine.files.scalars import closest, shown
from engine.files.shapes import Shape
from engine.files.source import Keys, Tree

Shaped = TypeVar("Shaped", bound=Shape)

_CODES = {
    "missing": "key.missing",
    "extra_forbidden": "key.unknown",
    "model_type": "value.mapping",
    "dict_type": "value.mapping",
    "list_type": "value.list",
    "tuple_type": "value.list",
    "string_type": "value.text",
    "int_parsing": "value.number",
    "int_type": "value.number",
    "int_from_float": "value.number",
    "too_short": "value.too_few",
    "too_long": "value.too_many",
    "greater_than_equal": "value.range",
    "less_than_equal": "value.range",
    "enum": "value.choice",
    "literal_error": "value.choice",
}


def read_shape(
    shape: type[Shaped], tree: Tree, prefix: Keys = ()
) -> tuple[Shaped | None, list[Finding], list[Keys]]:
    """Read the part of `tree` at `prefix`. Returns the shape (None if it does not fit), the findings, and the paths they are about."""
    data = tree.get(prefix)
    known: dict[int, list[str]] = {}
    try:
        return shape.model_validate(data, context=known), [], []
    except ValidationError as error:
        findings: list[Finding] = []
        paths: list[Keys] = []
        for mistake in error.errors(include_url=False):
            path = (*prefix, *(step for step in mistake["loc"] if step != "[key]"))
            if mistake["type"] == "too_short" and len(tree.nearest(path)) >= mistake["ctx"]["min_length"]:
                continue  # long enough, but its items do not fit: they are named themselves
            paths.append(path)
            findings.append(_finding(mistake, path, tree, known))
        return None, findings, paths


def salvage(shape: type[Shaped], tree: Tree, prefix: Keys, paths: Iterable[Keys]) -> Shaped | None:
    """What can be read if the keys at `paths` are left out of `tree`; None if that is not enough.

    It serves to look for further mistakes only. Items of lists are never left out, so that the places of the others stay true.
    """
    for path in paths:
        above = tree.get(path[:-1])
        if len(path) <= len(prefix) or not isinstance(above, dict) or path[-1] not in above:
            return None
        del above[str(path[-1])]
    return read_shape(shape, tree, prefix)[0]


def _finding(mistake: Any, path: Keys, tree: Tree, known: Mapping[int, list[str]]) -> Finding:
    kind, words = str(mistake["type"]), dict(mistake.get("ctx") or {})
    code = _CODES.get(kind, kind)
    value = mistake["input"]
    about_key = False
    if code == "key.missing":
        words = {"key": path[-1]}
        place = tree.find(path[:-1])
        return Finding(code, path, words, file=tree.file, line=place.line, column=place.column)
    if code == "key.unknown":
        names = known.get(id(tree.nearest(path[:-1])), [])
        guess = closest(str(path[-1]), names)
        code, about_key = "key.unknown_near" if guess else code, True
        words = {"key": path[-1], "guess": guess, "known": ", ".join(names)}
    elif value is None and code != "target.one":
        code, words = "value.empty", {}
    elif code == "value.choice":
        words = {
            "value": shown(value),
            "known": str(words.get("expected", "")).replace("'", "").replace(" or ", ", "),
        }
    elif code == "value.range":
        words = {"value": shown(value), "limit": words.get("ge", words.get("le"))}
    elif code == "value.too_few":
        code = "value.empty_list" if words.get("min_length") == 1 else code
    elif not words or kind in _CODES:
        words = {**words, "value": shown(value)}
    about_key = about_key or (code == "value.id" and tree.get(path) != value)
    place = tree.find(path, key=about_key)
    return Finding(
        code, path, words, about_key=about_key, file=tree.file, line=place.line, column=place.column
    )
