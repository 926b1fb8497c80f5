"""What a company knows of its houses besides their addresses: the flats' meters (meters.csv), planned outages and news (outages.yaml)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from engine.domain.finding import Finding
from engine.domain.incidents import Notice
from engine.domain.meters import Meter, MeterKind
from engine.domain.model import House
from engine.files.reading import read_shape
from engine.files.residents import lines_of
from engine.files.scalars import Id, Moment, Words, as_list, closest, day, shown
from engine.files.shapes import Shape
from engine.files.source import Place, read_yaml

COLUMNS = ("house", "flat", "kind", "digits", "place", "serial", "last", "last_at", "id")
REQUIRED = ("house", "flat", "kind")


class OutageShape(Shape):
    """A planned outage, or news. Times are those of the company's zone."""

    text: Words
    houses: Annotated[tuple[Id, ...], BeforeValidator(as_list)] = ()
    entrance: int | None = Field(None, ge=1, le=99)
    starts: Moment | None = Field(None, alias="from")
    ends: Moment | None = Field(None, alias="to")


class OutagesShape(Shape):
    """outages.yaml."""

    outages: tuple[OutageShape, ...] = ()


def read_outages(
    path: Path, file: str, houses: Collection[str], zone: str
) -> tuple[tuple[Notice, ...], list[Finding]]:
    """The news of the file. A house that does not exist is an error: somebody would hear nothing."""
    tree, findings = read_yaml(path, file)
    if tree is None:
        return (), findings
    shape, wrong, _ = read_shape(OutagesShape, tree)
    findings += wrong
    if shape is None:
        return (), findings
    for number, outage in enumerate(shape.outages):
        for house in outage.houses:
            if house not in houses:
                place = tree.find(("outages", number, "houses"))
                words = {"name": house, **_hint(house, houses)}
                findings.append(Finding("house.unknown", words=words).at(file, place.line, place.column))
    return tuple(
        Notice(one.text, one.houses, one.entrance, _utc(one.starts, zone), _utc(one.ends, zone))
        for one in shape.outages
    ), findings


def _utc(moment: datetime | None, zone: str) -> datetime | None:
    return moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) if moment else None


def _hint(name: str, known: Collection[str]) -> dict[str, str]:
    guess = closest(name, list(known))
    return {
        "hint_ru": f"вероятно, «{guess}»" if guess else f"есть: {', '.join(known)}",
        "hint_en": f"did you mean {guess}?" if guess else f"there are: {', '.join(known)}",
    }


def read_meters(path: Path, file: str, houses: dict[str, House]) -> tuple[tuple[Meter, ...], list[Finding]]:
    """The meters, one a line. `digits` are those before the comma (5 if it is not said), `last` and `last_at` the last known reading."""
    reader = _Meters(file, houses)
    try:
        reader.read(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        reader.complain("file.encoding", Place(error.object[: error.start].count(b"\n") + 1, 1))
    except OSError as error:
        reader.complain("file.unreadable", Place(), reason=error.strerror or str(error))
    return tuple(reader.meters.values()), reader.findings


class _Meters:
    def __init__(self, file: str, houses: dict[str, House]) -> None:
        self.file, self.houses = file, houses
        self.meters: dict[str, Meter] = {}
        self.findings: list[Finding] = []

    def complain(self, code: str, place: Place, **words: object) -> None:
        self.findings.append(Finding(code, words=words).at(self.file, place.line, place.column))

    def read(self, text: str) -> None:
        lines = lines_of(text)
        header = next(lines, None)
        if header is None:
            return self.complain("yaml.empty", Place())
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
                if len(fields) != len(names):
                    self.complain("csv.fields", places[0], count=len(fields), columns=len(names))
                else:
                    row = {name: field.strip() for name, field in zip(names, fields, strict=True)}
                    self.row(row, dict(zip(names, places, strict=True)))
        return None

    def row(self, row: dict[str, str], at: dict[str, Place]) -> None:
        before = len(self.findings)
        for name in REQUIRED:
            if not row[name]:
                self.complain("csv.empty", at[name], key=name)
        if row["house"] and row["house"] not in self.houses:
            self.complain("house.unknown", at["house"], name=row["house"], **_hint(row["house"], self.houses))
        kinds = [kind.value for kind in MeterKind]
        if row["kind"] and row["kind"] not in kinds:
            self.complain("value.choice", at["kind"], value=shown(row["kind"]), known=", ".join(kinds))
        for name in ("digits", "last"):
            if row.get(name) and not row[name].isdecimal():
                self.complain("value.number", at[name], value=shown(row[name]))
        last_at = None
        if row.get("last_at"):
            try:
                last_at = datetime.combine(day(row["last_at"]), datetime.min.time(), UTC)
            except PydanticCustomError as error:
                self.complain(error.type, at["last_at"], value=shown(row["last_at"]))
        if len(self.findings) > before:
            return
        name = row.get("id") or self.name(row)
        self.meters[name] = Meter(
            id=name,
            house=row["house"],
            flat=row["flat"],
            kind=MeterKind(row["kind"]),
            digits=int(row.get("digits") or 5),
            place=row.get("place") or None,
            serial=row.get("serial") or None,
            last=int(row["last"]) if row.get("last") else None,
            last_at=last_at,
        )

    def name(self, row: dict[str, str]) -> str:
        """By house, flat and kind; the serial number tells two of a kind apart."""
        plain = f"{row['house']}-{row['flat']}-{row['kind']}"
        if plain not in self.meters:
            return plain
        return f"{plain}-{row.get('serial') or len(self.meters)}"
