"""What a resident hears on the hotline, in Russian and in English. Numbers that must be remembered are said digit by digit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from engine.domain.catalogue import OTHER_KEY, Cause, Group
from engine.domain.company import Company
from engine.domain.incidents import Incident
from engine.domain.meters import Meter, MeterKind, Verdict
from engine.domain.model import House, Premises
from engine.domain.spoken import digits
from engine.domain.spoken import key as key_name
from engine.domain.ticket import Status
from engine.domain.wording import Parts, place

_KEYS_EN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, slots=True)
class Words:
    """One language's sentences. Build with `words(language)`."""

    language: str
    recorded: str
    emergency_or_not: str
    emergency_accepted: str
    request_accepted: str
    leave_message: str
    leave_voice: str
    thanks: str
    back_again: str
    what_happened: str
    other: str
    services: str
    with_operator: str
    incident_question: str
    joined: str
    is_it_right: str
    which_house: str
    next_houses: str
    house_number: str
    no_such_house: str
    which_flat: str
    no_such_flat: str
    again: str
    connecting: str
    not_connected: str
    no_operator: str
    ticket_number: str
    ticket_flat: str
    no_such_ticket: str
    no_tickets: str
    no_meters: str
    reading: str
    reading_taken: str
    reading_right: str
    too_many: str
    call_back: str
    is_it_done: str
    mark: str
    sorry: str

    def digits(self, number: str | int) -> str:
        """Digit by digit."""
        if self.language == "ru":
            return digits(number)
        return " ".join(_KEYS_EN[int(one)] for one in str(number) if one.isdigit())

    def key(self, key: str) -> str:
        """A key as it is pressed."""
        return key_name(key) if self.language == "ru" else _KEYS_EN[int(key)] if key.isdigit() else key

    def greeting(self, company: Company, own: str | None = None) -> str:
        """The company by name; a line may have a greeting of its own."""
        if self.language == "ru":
            ours = f"Здравствуйте! Аварийно-диспетчерская служба, {company.title}."
            return own or company.greeting or ours
        return own or f"Hello! Emergency dispatch service of {company.title}."

    def your_number(self, ticket: int) -> str:
        """The ticket's number."""
        said = self.digits(ticket)
        return f"Номер вашей заявки: {said}." if self.language == "ru" else f"Your ticket number is {said}."

    def planned(self, due: datetime, zone: str, now: datetime) -> str:
        """Until when it is to be done, by the clock of the house."""
        at = self.clock(due, zone, now)
        return f"Плановый срок: до {at}." if self.language == "ru" else f"It is planned to be done by {at}."

    def clock(self, at: datetime, zone: str, now: datetime) -> str:
        """«14:05», with the day if it is another one; the synthesiser's text turns it into words."""
        local, today = at.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone)).date()
        if local.date() == today:
            return f"{local:%H:%M}"
        return (
            f"{local:%H:%M} {local:%d.%m}"
            if self.language == "ru"
            else f"{local:%H:%M} on {local:%B} {local.day}"
        )

    def menu(self, choices: Sequence[tuple[str, Cause | Group]]) -> Parts:
        """«Течёт вода: один. … Другое: девять.» Each choice is a part of its own, and cached by itself."""
        named = [f"{what.said(self.language).choice}: {self.key(key)}." for key, what in choices]
        return (*named, f"{self.other}: {self.key(OTHER_KEY)}.")

    def your_address(self, premises: Premises) -> str:
        """The address, read back."""
        at = place(premises)
        return f"Ваш адрес: {at}." if self.language == "ru" else f"Your address: {at}."

    def houses(self, choices: Sequence[tuple[str, House]]) -> Parts:
        """Houses with their keys."""
        return tuple(f"{house.address}: {self.key(key)}." for key, house in choices)

    def incident(self, known: Incident, zone: str, now: datetime) -> Parts:
        """What is known, when it was accepted, and until when it is to be done."""
        ru = self.language == "ru"
        parts = [
            f"По вашему дому известна авария: {known.title}."
            if ru
            else "There is a known incident at your house."
        ]
        if known.accepted_at is not None:
            at = self.clock(known.accepted_at, zone, now)
            who = known.accepted_by
            if ru:
                parts.append(f"Бригада приняла её в {at}." + (f" Ответственный: {who}." if who else ""))
            else:
                parts.append(f"A crew accepted it at {at}." + (f" Responsible: {who}." if who else ""))
        else:
            parts.append("Бригаду уже вызываем." if ru else "A crew is being called.")
        if known.due is not None and known.due > now:
            parts.append(self.planned(known.due, zone, now))
        return tuple(parts)

    def status(
        self, number: int, title: str | None, state: Status, due: datetime | None, zone: str, now: datetime
    ) -> Parts:
        """How a ticket stands."""
        ru = self.language == "ru"
        states = _STATES_RU if ru else _STATES_EN
        head = f"Заявка {digits(number)}" if ru else f"Ticket {self.digits(number)}"
        parts = [f"{head}: {title}." if title and ru else f"{head}.", states[state]]
        if due is not None and due > now and state not in (Status.DONE, Status.CLOSED):
            parts.append(self.planned(due, zone, now))
        return tuple(parts)

    def meter(self, meter: Meter) -> Parts:
        """Which meter is asked about, and its last reading."""
        ru = self.language == "ru"
        name = (_METERS_RU if ru else _METERS_EN)[meter.kind]
        where = f", {meter.place}" if meter.place else ""
        parts = [
            f"{name}{where}." if not meter.serial else f"{name}{where}, {self.digits(meter.serial[-4:])}."
        ]
        if meter.last is not None:
            parts.append(f"Прошлое показание: {meter.last}." if ru else f"The last reading was {meter.last}.")
        return tuple(parts)

    def doubt(self, verdict: Verdict) -> str:
        """Why a reading is asked for once more."""
        return (_DOUBTS_RU if self.language == "ru" else _DOUBTS_EN)[verdict]

    def read_back(self, value: int) -> str:
        """The reading as it was understood, digit by digit."""
        return (
            f"Вы набрали: {digits(value)}." if self.language == "ru" else f"You entered {self.digits(value)}."
        )

    def for_service(self, company: Company, cause: Cause, premises: Premises) -> Parts:
        """What the service hears before it is connected: of worth even if the caller has left, as they were told to."""
        where = place(premises)
        return (f"{company.title}, аварийная служба.", f"{cause.title}.", f"{where}.", "Соединяем с жильцом.")

    def call_back_greeting(self, company: Company) -> str:
        """To the resident whom we ring."""
        ru = self.language == "ru"
        return (
            f"Здравствуйте! Это аварийная служба, {company.title}."
            if ru
            else f"Hello! This is {company.title}."
        )

    def fixed(self) -> Parts:
        """Every sentence that depends on nothing: rendered at set-up."""
        return tuple(
            value
            for name in self.__slots__
            if name != "language" and isinstance(value := getattr(self, name), str)
        )


def words(language: str) -> Words:
    """The sentences of a language; Russian for one that we do not speak."""
    return ENGLISH if language == "en" else RUSSIAN


_STATES_RU = {
    Status.OPEN: "Она зарегистрирована.",
    Status.ESCALATING: "Вызываем бригаду.",
    Status.ACCEPTED: "Бригада приняла её и работает.",
    Status.DONE: "Работы закончены.",
    Status.CLOSED: "Она закрыта.",
}
_STATES_EN = {
    Status.OPEN: "It is registered.",
    Status.ESCALATING: "A crew is being called.",
    Status.ACCEPTED: "A crew has accepted it.",
    Status.DONE: "The work is done.",
    Status.CLOSED: "It is closed.",
}
_METERS_RU = {
    MeterKind.COLD: "Холодная вода",
    MeterKind.HOT: "Горячая вода",
    MeterKind.DAY: "Электричество, день",
    MeterKind.NIGHT: "Электричество, ночь",
    MeterKind.POWER: "Электричество",
    MeterKind.GAS: "Газ",
    MeterKind.HEAT: "Отопление",
}
_METERS_EN = {
    MeterKind.COLD: "Cold water",
    MeterKind.HOT: "Hot water",
    MeterKind.DAY: "Electricity by day",
    MeterKind.NIGHT: "Electricity by night",
    MeterKind.POWER: "Electricity",
    MeterKind.GAS: "Gas",
    MeterKind.HEAT: "Heating",
}
_DOUBTS_RU = {
    Verdict.LESS: "Это меньше прошлого показания.",
    Verdict.MUCH: "Это намного больше обычного.",
    Verdict.LONG: "У этого счётчика столько цифр нет.",
}
_DOUBTS_EN = {
    Verdict.LESS: "That is less than the last reading.",
    Verdict.MUCH: "That is far more than usual.",
    Verdict.LONG: "This meter has fewer digits.",
}

RUSSIAN = Words(
    language="ru",
    recorded="Разговор записывается.",
    emergency_or_not="Если у вас авария, нажмите один. Если нет, нажмите два.",
    emergency_accepted="Авария принята, бригаду уже вызываем.",
    request_accepted="Заявка принята.",
    leave_message="Назовите адрес и скажите, что случилось. Закончив, нажмите решётку или положите трубку.",
    leave_voice="Скажите, что случилось у вас. Закончив, нажмите решётку или положите трубку.",
    thanks="Спасибо. До свидания.",
    back_again="Простите, связь прерывалась. Продолжаем.",
    what_happened="Что случилось?",
    other="Другое",
    services="Сделать заявку: один. Передать показания: два. Узнать о заявке: три. Оставить сообщение: четыре.",
    with_operator="Оператор: ноль.",
    incident_question="Если вы звоните об этом, нажмите один. Если о другом, нажмите два.",
    joined="Ваш голос добавлен к этой аварии.",
    is_it_right="Верно: один. Другой адрес: два.",
    which_house="Выберите дом.",
    next_houses="Другие дома: девять.",
    house_number="Наберите номер дома и решётку.",
    no_such_house="Такого дома у нас нет.",
    which_flat="Наберите номер квартиры и решётку. Если это не в квартире, нажмите только решётку.",
    no_such_flat="Такой квартиры в этом доме нет.",
    again="Повторить номер заявки: один.",
    connecting="Соединяем.",
    not_connected="Соединить не удалось. Позвоните сами: сто двенадцать.",
    no_operator="Операторы сейчас заняты.",
    ticket_number="Наберите номер заявки и решётку.",
    ticket_flat="Наберите номер квартиры и решётку.",
    no_such_ticket="Такой заявки нет.",
    no_tickets="Открытых заявок по вашей квартире нет.",
    no_meters="Счётчики вашей квартиры нам не известны.",
    reading="Наберите показание до запятой и решётку. Пропустить: только решётка.",
    reading_taken="Показание принято.",
    reading_right="Верно: один. Набрать снова: два.",
    too_many="С вашего номера слишком много звонков. Если у вас авария, нажмите один.",
    call_back="Связь прервалась, мы перезваниваем. Разговор записывается.",
    is_it_done="Нам сообщили, что работы закончены. Сделано: нажмите один. Не сделано: два.",
    mark="Оцените работу от одного до пяти.",
    sorry="Заявка открыта снова, вызываем бригаду.",
)

ENGLISH = Words(
    language="en",
    recorded="This call is recorded.",
    emergency_or_not="If this is an emergency, press one. If not, press two.",
    emergency_accepted="Your emergency is registered. We are calling a crew.",
    request_accepted="Your request is registered.",
    leave_message="Please say the address and what has happened. Then press hash, or hang up.",
    leave_voice="Please say what has happened at your place. Then press hash, or hang up.",
    thanks="Thank you. Goodbye.",
    back_again="Sorry, the line was interrupted. Let us go on.",
    what_happened="What has happened?",
    other="Something else",
    services="Make a request: one. Meter readings: two. Ask about a ticket: three. Leave a message: four.",
    with_operator="Operator: zero.",
    incident_question="If you are calling about this, press one. If not, press two.",
    joined="Your voice has been added to this incident.",
    is_it_right="Right: one. Another address: two.",
    which_house="Choose the house.",
    next_houses="Other houses: nine.",
    house_number="Enter the number of the house and press hash.",
    no_such_house="We have no such house.",
    which_flat="Enter the number of the flat and press hash. If it is not in a flat, press hash alone.",
    no_such_flat="There is no such flat in this house.",
    again="To hear the ticket number again, press one.",
    connecting="Connecting you.",
    not_connected="The connection failed. Please call one one two yourself.",
    no_operator="All operators are busy now.",
    ticket_number="Enter the ticket number and press hash.",
    ticket_flat="Enter the number of the flat and press hash.",
    no_such_ticket="There is no such ticket.",
    no_tickets="There are no open tickets of your flat.",
    no_meters="We know of no meters in your flat.",
    reading="Enter the reading before the comma and press hash. To skip it, press hash alone.",
    reading_taken="The reading is taken.",
    reading_right="Right: one. Enter it again: two.",
    too_many="There have been too many calls from your number. If this is an emergency, press one.",
    call_back="We were cut off and are calling you back. This call is recorded.",
    is_it_done="We are told that the work is done. If it is, press one. If not, press two.",
    mark="How was the work? Press one to five, five is best.",
    sorry="The ticket is open again. We are calling a crew.",
)
