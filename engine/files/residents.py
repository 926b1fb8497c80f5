"""residents.csv: the known callers, one a line: number, house, flat, name."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from pydantic_core import PydanticCustomError

from engine.domain.finding import Finding, Step
from engine.domain.model import Resident
from engine.files.scalars import closest, phone, shown
from engine.files.source import Place, Tree

COLUMNS = ("number", "house", "flat", "name")
REQUIRED = ("number", "house")


def read_residents(path: Path, file: str) -> tuple[dict[str, Resident], Tree, list[Finding]]:
    """Read the residents by number. The tree places each resident at (number, column); lines and columns are counted from 1."""
    reader = _Reader(file)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reader.complain("file.encoding", Place(error.object[: error.start].count(b"\n") + 1, 1))
    except OSError as error:
        reader.complain("file.unreadable", Place(), reason=error.strerror or str(error))
    else:
        reader.read(text)
    return reader.residents, reader.tree, reader.findings


class _Reader:
    def __init__(self, file: str) -> None:
        self.tree = Tree(file)
        self.residents: dict[str, Resident] = {}
        self.findings: list[Finding] = []

    def complain(self, code: str, place: Place, **words: object) -> None:
        self.findings.append(Finding(code, words=words).at(self.tree.file, place.line, place.column))

    def read(self, text: str) -> None:
        lines = lines_of(text)
        header = next(lines, None)
        if header is None:
            self.complain("yaml.empty", Place())
            return
        names = [name.strip() for name in header[1]]
        for place, name in zip(header[0], names, strict=True):
            if name not in COLUMNS:
                guess = closest(name, list(COLUMNS))
                code = "key.unknown_near" if guess else "csv.header"
                self.complain(code, place, key=name, guess=guess, known=", ".join(COLUMNS))
        for name in REQUIRED:
            if name not in names:
                self.complain("csv.missing", Place(), key=name)
        if not self.findings:
            for places, fields in lines:
                self.row(names, places, fields)

    def row(self, names: list[str], places: list[Place], fields: list[str]) -> None:
        if len(fields) != len(names):
            self.complain("csv.fields", places[0], count=len(fields), columns=len(names))
            return
        row = {name: field.strip() for name, field in zip(names, fields, strict=True)}
        at = dict(zip(names, places, strict=True))
        empty = [name for name in REQUIRED if not row[name]]
        for name in empty:
            self.complain("csv.empty", at[name], key=name)
        if empty:
            return
        try:
            number = phone(row["number"])
        except PydanticCustomError as error:
            self.complain(error.type, at["number"], value=shown(row["number"]))
            return
        if number in self.residents:
            self.complain("number.twice", at["number"], number=number, other=self.residents[number].house)
            return
        self.residents[number] = Resident(
            number, row["house"], row.get("flat") or None, row.get("name") or None
        )
        for name, place in at.items():
            path: tuple[Step, ...] = (number, name)
            self.tree.values[path] = place
        self.tree.values[(number,)] = places[0]


def lines_of(text: str) -> Iterator[tuple[list[Place], list[str]]]:
    """Each non-empty line's fields, with the place of each. Semicolons part them if the first line has more of those."""
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    before = 0
    for fields in reader:
        line, before = before + 1, reader.line_num
        if not any(field.strip() for field in fields):
            continue
        places, column = [], 1
        for field in fields:
            places.append(Place(line, column))
            column += len(field) + 1
        yield places, fields
