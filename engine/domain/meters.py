"""Meters and their readings: which a flat has, and whether a reading can be true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engine.domain.events import Event, MeterRead


class MeterKind(StrEnum):
    """What is measured; the unit follows from it (m³, kWh, Gcal in thousandths)."""

    COLD = "cold"
    HOT = "hot"
    DAY = "day"
    NIGHT = "night"
    POWER = "power"
    GAS = "gas"
    HEAT = "heat"


USUAL_A_MONTH: Mapping[MeterKind, int] = {
    MeterKind.COLD: 30,
    MeterKind.HOT: 25,
    MeterKind.DAY: 800,
    MeterKind.NIGHT: 500,
    MeterKind.POWER: 1200,
    MeterKind.GAS: 400,
    MeterKind.HEAT: 3000,
}
"""More units than that in a month are asked about once more: about three times what a family of four uses."""
MONTH_SECONDS = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Meter:
    """One meter of a flat. `digits` are those before the comma; `last` is the reading that the company knows, and since when."""

    id: str
    house: str
    flat: str
    kind: MeterKind
    digits: int = 5
    place: str | None = None
    serial: str | None = None
    last: int | None = None
    last_at: datetime | None = None


class Verdict(StrEnum):
    """What is to be thought of a reading."""

    PLAUSIBLE = "plausible"
    LESS = "less"
    """Less than the last one: not taken, unless the meter has just begun anew at zero."""
    MUCH = "much"
    """Far more than usual: taken if confirmed."""
    LONG = "long"
    """More digits than the meter has."""


def judge(meter: Meter, value: int, now: datetime) -> Verdict:
    """Whether a reading can be true, given the last one."""
    size = 10**meter.digits
    if value >= size:
        return Verdict.LONG
    if meter.last is None:
        return Verdict.PLAUSIBLE
    used = value - meter.last
    months = 1.0
    if meter.last_at is not None:
        months = max(1.0, (now - meter.last_at).total_seconds() / MONTH_SECONDS)
    usual = USUAL_A_MONTH[meter.kind] * months
    if used < 0:
        used += size  # it may have passed its largest number and begun at zero
        return Verdict.PLAUSIBLE if used <= usual else Verdict.LESS
    return Verdict.PLAUSIBLE if used <= usual else Verdict.MUCH


def brought_up(meters: Iterable[Meter], readings: Iterable[Event]) -> tuple[Meter, ...]:
    """The meters with the latest of the readings as their last ones."""
    latest: dict[str, MeterRead] = {}
    for event in readings:
        if isinstance(event, MeterRead) and (event.meter not in latest or event.at >= latest[event.meter].at):
            latest[event.meter] = event
    return tuple(_with(meter, latest.get(meter.id)) for meter in meters)


def _with(meter: Meter, read: MeterRead | None) -> Meter:
    if read is None or (meter.last_at is not None and read.at < meter.last_at):
        return meter
    return Meter(
        meter.id,
        meter.house,
        meter.flat,
        meter.kind,
        meter.digits,
        meter.place,
        meter.serial,
        read.value,
        read.at,
    )
