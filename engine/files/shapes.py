"""The shapes of the files: which keys there are, what each may hold. What they mean together, the pure floor checks.

One class is one mapping of a file; the description of a field is what an editor shows. `reading` applies them.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from engine.domain.company import KEEP_DAYS
from engine.domain.model import Urgency
from engine.domain.policy import How, Sms
from engine.files.scalars import (
    Clocks,
    Day,
    DayCount,
    Duration,
    Flats,
    Id,
    Moment,
    Phone,
    PhoneOrShort,
    Prefix,
    Url,
    Words,
    Zone,
    as_list,
    shown,
    wrong,
)


class Shape(BaseModel):
    """A mapping whose keys are known."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _remember(cls, data: Any, info: ValidationInfo) -> Any:
        """Note which keys are known here, so that an unknown one can be answered with the one that was meant."""
        if info.context is not None and isinstance(data, dict):
            info.context[id(data)] = [field.alias or name for name, field in cls.model_fields.items()]
        return data


Ids = Annotated[tuple[Id, ...], BeforeValidator(as_list), Field(min_length=1)]
Crew = Annotated[tuple[Id, ...], BeforeValidator(as_list)]


class TargetShape(Shape):
    """Whom to reach: exactly one of the keys."""

    on_call: Id | None = Field(None, description="график: кто по нему дежурит")
    contact: Id | None = Field(None, description="сотрудник")
    role: str | None = Field(None, description="роль дома или компании: house.engineer, company.director")
    team: Id | None = Field(None, description="бригада из company.yaml")
    KINDS: ClassVar[tuple[str, ...]] = ("on_call", "contact", "role", "team")

    @model_validator(mode="after")
    def _one(self) -> TargetShape:
        if len(self.model_fields_set) != 1 or getattr(self, next(iter(self.model_fields_set))) is None:
            raise wrong("target.one", kinds=", ".join(self.KINDS))
        role = self.role
        if role is not None and (
            role.partition(".")[0] not in ("house", "company") or not role.partition(".")[2]
        ):
            raise wrong("target.role", value=shown(role))
        return self


class AlarmShape(TargetShape):
    """Whom to alarm: a person as in a step, or a webhook."""

    webhook: Id | None = Field(None, description="вебхук из company.yaml")
    KINDS: ClassVar[tuple[str, ...]] = (*TargetShape.KINDS, "webhook")


class StepShape(Shape):
    """A rung of the tree."""

    name: Id = Field(description="имя ступени, латиницей; не повторяется в политике")
    ring: Annotated[tuple[TargetShape, ...], BeforeValidator(as_list), Field(min_length=1)] = Field(
        description="кому звонить: одна цель или список"
    )
    how: How = Field(How.ONE_BY_ONE, description="по очереди или всем сразу")
    sms: Sms = Field(Sms.TOGETHER, description="когда послать SMS")
    ring_for: Duration = Field("25s", description="сколько звонит один вызов", validate_default=True)
    calls: int = Field(1, ge=1, le=20, description="сколько раз звонить каждому")
    again_after: Duration = Field(
        "20s", description="пауза перед вторым звонком тому же", validate_default=True
    )
    give_up_after: Duration = Field(
        "3m", description="через столько переходим дальше в любом случае", validate_default=True
    )


class ForShape(Shape):
    """Which tickets the policy is for."""

    urgency: Urgency = Field(description="класс заявки")
    causes: Annotated[tuple[Words, ...], BeforeValidator(as_list), Field(min_length=1)] = Field(
        ("*",), description="причины, шаблоны: water.*"
    )


def forever(value: object) -> object:
    """`repeat: forever`."""
    return None if isinstance(value, str) and value.strip() == "forever" else value


class ExhaustionShape(Shape):
    """What happens when nobody accepted."""

    repeat: Annotated[
        Annotated[int, Field(ge=0, le=1000)] | None,
        BeforeValidator(forever),
    ] = Field(None, json_schema_extra={"anyOf": [{"const": "forever"}, {"type": "integer", "minimum": 0}]})
    every: Duration = Field("2m", description="пауза перед новым кругом", validate_default=True)
    alarm: Annotated[tuple[AlarmShape, ...], BeforeValidator(as_list)] = Field(
        (), description="кого поднять тревогой"
    )


class AfterShape(Shape):
    """The clocks that start with the acceptance."""

    report_arrival_within: Duration | None = Field(None, description="срок доклада о прибытии")
    report_done_within: Duration | None = Field(None, description="срок доклада о завершении")


class PolicyShape(Shape):
    """An escalation policy."""

    version: Literal["1"] = Field("1", description="версия языка политик: 1", json_schema_extra={"const": 1})
    name: Id = Field(description="имя политики, как имя файла")
    title: Words = Field(description="название для людей")
    for_: ForShape = Field(alias="for", description="для каких заявок")
    steps: Annotated[tuple[StepShape, ...], Field(min_length=1)] = Field(description="ступени, сверху вниз")
    when_exhausted: ExhaustionShape = Field(default_factory=lambda: ExhaustionShape.model_validate({}))
    after_accepting: AfterShape = Field(default_factory=lambda: AfterShape.model_validate({}))


class LineShape(Shape):
    """A number that residents dial."""

    did: Phone
    language: Literal["ru", "en"] = "ru"
    greeting: Words | None = None


class CalendarShape(Shape):
    """Working days: a country's own, and what the company knows better (transfers that were announced lately)."""

    country: Literal["RU", "none"] = "RU"
    days_off: Annotated[tuple[Day, ...], BeforeValidator(as_list)] = ()
    workdays: Annotated[tuple[Day, ...], BeforeValidator(as_list)] = ()


class RecordingsShape(Shape):
    """How recordings are kept."""

    keep_for: DayCount = Field(KEEP_DAYS, ge=1, description="сколько хранить")
    keep_for_class: dict[Urgency, Annotated[DayCount, Field(ge=1)]] = Field(
        default_factory=dict, description="иной срок для класса заявки: emergency, urgent, normal"
    )
    form: Literal["opus", "flac", "wav"] | None = Field(None, description="в каком виде; flac — без потерь")
    encrypt: bool = Field(False, description="шифровать на диске")


class CompanyShape(Shape):
    """company.yaml."""

    id: Id
    title: Words
    time_zone: Zone = "Europe/Moscow"
    greeting: Words | None = None
    caller_id: Phone | None = None
    lines: tuple[LineShape, ...] = ()
    roles: dict[Id, Id] = Field(default_factory=dict)
    teams: dict[Id, Ids] = Field(default_factory=dict)
    allowed_numbers: Annotated[tuple[Prefix, ...], BeforeValidator(as_list), Field(min_length=1)] = ("+7",)
    webhooks: dict[Id, Url] = Field(default_factory=dict)
    fallback: Annotated[tuple[PhoneOrShort, ...], BeforeValidator(as_list)] = ()
    unclear_is: Urgency = Urgency.NORMAL
    services: dict[Id, Annotated[tuple[PhoneOrShort, ...], BeforeValidator(as_list)]] = Field(
        default_factory=dict
    )
    deadlines: dict[Id, Duration] = Field(default_factory=dict)
    policies: Annotated[tuple[Id, ...], BeforeValidator(as_list)] = ()
    calendar: CalendarShape = Field(default_factory=lambda: CalendarShape.model_validate({}))
    recordings: RecordingsShape = Field(default_factory=lambda: RecordingsShape.model_validate({}))


class HouseShape(Shape):
    """One building of houses.yaml."""

    city: Words
    street: Words
    number: Words
    time_zone: Zone | None = None
    flats: Flats | None = None
    entrances: int = Field(1, ge=1, le=99)
    roles: dict[Id, Id] = Field(default_factory=dict)


class DaysOffShape(Shape):
    """Whole days, both inclusive, on which a person is not on duty."""

    contact: Id
    first: Day = Field(alias="from")
    last: Day | None = Field(None, alias="to")
    instead: Id | None = None


class OwnDaysOffShape(Shape):
    """The same, in the person's own entry."""

    first: Day = Field(alias="from")
    last: Day | None = Field(None, alias="to")
    instead: Id | None = None


class ContactShape(Shape):
    """One member of staff of contacts.yaml."""

    name: Words
    numbers: Annotated[tuple[PhoneOrShort, ...], BeforeValidator(as_list)] = ()
    reserve: Annotated[tuple[PhoneOrShort, ...], BeforeValidator(as_list)] = ()
    time_zone: Zone | None = None
    awake: Clocks | None = None
    skills: Annotated[tuple[Words, ...], BeforeValidator(as_list)] = ()
    user: Words | None = None
    days_off: Annotated[tuple[OwnDaysOffShape, ...], BeforeValidator(as_list)] = ()


class RotationShape(Shape):
    """Crews that take turns."""

    every: DayCount
    since: Day
    crews: Annotated[tuple[Crew, ...], Field(min_length=1)]


class ShiftShape(Shape):
    """A shift; `from` and `to` are `08:00` or `mon 08:00`."""

    name: Words | None = None
    starts: Words = Field(alias="from")
    ends: Words = Field(alias="to")
    days: Annotated[tuple[Words, ...], BeforeValidator(as_list)] = ()
    who: Crew | None = None
    rotate: RotationShape | None = None
    since: Day | None = None
    until: Day | None = None


class OverrideShape(Shape):
    """Who is on duty instead of whoever the plan names."""

    start: Moment = Field(alias="from")
    end: Moment = Field(alias="to")
    who: Crew
    why: Words | None = None


class SwapShape(Shape):
    """Two people stand for each other."""

    start: Moment = Field(alias="from")
    end: Moment = Field(alias="to")
    between: Annotated[tuple[Id, ...], Field(min_length=2, max_length=2)]
    why: Words | None = None


class RosterShape(Shape):
    """One on-call schedule of rosters.yaml."""

    title: Words | None = None
    time_zone: Zone | None = None
    always: Crew = ()
    shifts: tuple[ShiftShape, ...] = ()
    ical: Annotated[tuple[Words, ...], BeforeValidator(as_list)] = ()
    overrides: tuple[OverrideShape, ...] = ()
    swaps: tuple[SwapShape, ...] = ()
    days_off: tuple[DaysOffShape, ...] = ()
