"""What people hear and read, Russian first. One place, so that the words stay short, polite and true.

Speech is made of parts, each said and cached by itself: a part whose voice fails is skipped, and what matters most (which key accepts)
is a fixed part that was rendered at set-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

from engine.domain.colleagues import Colleague, Stands
from engine.domain.company import Company
from engine.domain.model import Premises, Urgency
from engine.domain.spoken import digits
from engine.domain.spoken import key as key_name
from engine.domain.texts import first_that_fits, shortened
from engine.domain.ticket import Ticket

Parts = tuple[str, ...]

# --- the resident ------------------------------------------------------------------------------------------------------------------

RECORDED = "Разговор записывается."
EMERGENCY_OR_NOT = "Если у вас авария, нажмите один. Если нет, нажмите два."
EMERGENCY_ACCEPTED = "Авария принята, бригаду уже вызываем."
REQUEST_ACCEPTED = "Заявка принята."
LEAVE_MESSAGE = "Назовите адрес и скажите, что случилось. Закончив, нажмите решётку или положите трубку."
THANKS = "Спасибо. До свидания."
BACK_AGAIN = "Простите, связь прерывалась. Продолжаем."


def greeting(company: Company) -> str:
    """The company by name, as it greets."""
    return company.greeting or f"Здравствуйте! Аварийно-диспетчерская служба, {company.title}."


def your_number(ticket: int) -> str:
    """The ticket's number, digit by digit."""
    return f"Номер вашей заявки: {digits(ticket)}."


# --- the robocall ------------------------------------------------------------------------------------------------------------------

CLASS_WORDS = {
    Urgency.EMERGENCY: "Аварийная заявка",
    Urgency.URGENT: "Срочная заявка",
    Urgency.NORMAL: "Заявка",
}
MENU = "Отказаться: два. Повторить: три. Соединить с жильцом: четыре."
ACCEPTED = "Принято. Заявка за вами."
DECLINED = "Понятно, вызываем следующего."
WHY_DECLINED = "Скажите почему. Не могу выехать: один. Нет связи: два. Занят на другой заявке: три."
HOW_LONG = "На сколько часов: от одного до девяти."
THANK_YOU = "Спасибо."
WRONG_KEY = "Такой команды нет."
TICKET_CLOSED = "Заявка уже закрыта. Спасибо."
NO_KEY = "Ответа нет, вызываем следующего. До свидания."

CALLBACK_MENU = "Принять: один. Отказаться: два. Соединить с жильцом: четыре."
YOURS = "Заявка за вами."
REPORT_MENU = "Прибыли: один. Авария локализована: два. Работы закончены: три. Соединить с жильцом: четыре. Отказаться: пять."
CONNECTING = "Соединяем с жильцом."
NO_RESIDENT = "Номер жильца неизвестен."
RESIDENT_AWAY = "Жилец не отвечает."
RESIDENT_TALKS = "Жилец сейчас говорит с другим сотрудником или службой. Попробуйте немного позже."
STAFF_CALLS = "Здравствуйте. С вами соединяется сотрудник аварийной службы. Разговор записывается."

DECLINE_REASONS = {"1": "cannot_go", "2": "no_coverage", "3": "busy_elsewhere"}


def briefing(number: int, ticket: Ticket) -> Parts:
    """«Аварийная заявка один ноль два четыре. Прорыв стояка холодной воды. Улица Ленина, дом пятнадцать, квартира сорок два.»"""
    kind = CLASS_WORDS[ticket.urgency or Urgency.EMERGENCY]
    what = ticket.title or ticket.text or "Подробности в записи разговора"
    return (f"{kind} {digits(number)}.", _sentence(what), _sentence(place(ticket.premises)))


def accept_prompt(key: str) -> str:
    """«Чтобы принять, нажмите семь.»"""
    return f"Чтобы принять, нажмите {key_name(key)}."


def taken_by(name: str | None) -> Parts:
    """What a person hears whose ticket somebody else has just taken."""
    return (
        ("Заявку уже принял другой сотрудник:", f"{name}.", "Спасибо.")
        if name
        else ("Заявка уже принята. Спасибо.",)
    )


def arrival_question(number: int) -> Parts:
    """Asked of the acceptor when the time to report arrival has run out."""
    return (
        f"Заявка {digits(number)}: вы не сообщили о прибытии.",
        "Прибыли: нажмите один. Ещё в пути: два. Не сможете приехать: три.",
    )


def done_question(number: int) -> Parts:
    """Asked of the acceptor when the time to report completion has run out."""
    return (
        f"Заявка {digits(number)}: вы не сообщили о выполнении.",
        "Работы закончены: нажмите один. Ещё работаете: два. Нужна помощь: три.",
    )


FALLBACK = {
    "fallback-greeting": "Здравствуйте! Аварийная служба. Разговор записывается. После сигнала назовите адрес и скажите, что случилось.",
    "fallback-hold": "Оставайтесь на линии, вызываем дежурного.",
    "fallback-confirm": "Звонок с аварийной линии. Чтобы ответить жильцу, нажмите один.",
}
"""What the dialplan says by itself while the engine is away, by the names that it looks for."""


def fixed_parts() -> Parts:
    """Every sentence that does not depend on a ticket: rendered at set-up."""
    menus = (MENU, ACCEPTED, DECLINED, WHY_DECLINED, HOW_LONG, THANK_YOU, WRONG_KEY, TICKET_CLOSED, NO_KEY)
    connecting = (
        CALLBACK_MENU,
        YOURS,
        REPORT_MENU,
        CONNECTING,
        NO_RESIDENT,
        RESIDENT_AWAY,
        RESIDENT_TALKS,
        STAFF_CALLS,
    )
    hotline = (
        RECORDED,
        EMERGENCY_OR_NOT,
        EMERGENCY_ACCEPTED,
        REQUEST_ACCEPTED,
        LEAVE_MESSAGE,
        THANKS,
        BACK_AGAIN,
    )
    return menus + connecting + hotline + tuple(accept_prompt(key) for key in "156789")


# --- texts -------------------------------------------------------------------------------------------------------------------------


STANDS_WORDS = {
    Stands.GAVE_UP: "принимал",
    Stands.RINGING: "звоним",
    Stands.DECLINED: "отказ",
    Stands.NO_COVERAGE: "вне связи",
    Stands.NO_ANSWER: "нет ответа",
    Stands.CALLED: "вызван",
}


COLLECTIVE = ("одного", "двоих", "троих", "четверых", "пятерых", "шестерых", "семерых")


def called_words(others: Sequence[Colleague]) -> tuple[str, ...]:
    """«Отказ: Борис; нет ответа: Пётр», «Звали: Борис, Пётр», «Звали двоих», «Звали 2»: ever shorter. Nothing if nobody was called yet."""
    if not others:
        return ()
    groups = [
        f"{STANDS_WORDS[stands]}: {', '.join(one.name for one in group)}"
        for stands, group in groupby(others, key=lambda one: one.stands)
    ]
    told = "; ".join(groups)
    first_names = ", ".join(one.name.split()[0] for one in others)
    counted = [f"Звали {many}" for many in COLLECTIVE[len(others) - 1 : len(others)]]
    return told[0].upper() + told[1:], f"Звали: {first_names}", *counted, f"Звали {len(others)}"


def ticket_text(
    number: int, ticket: Ticket, link: str | None = None, others: Sequence[Colleague] = ()
) -> str:
    """«Авария №1024: прорыв стояка. Ленина, 15, кв. 42. Звали: Пётр. Принять: 1», in one part of an SMS if that can be.

    What is left out first: the words around the answer and the address's, how `others` (who was called before) stand and how to
    decline, the end of the cause, then their names. A link makes it two parts.
    """
    kind = {Urgency.EMERGENCY: "Авария", Urgency.URGENT: "Срочно"}.get(
        ticket.urgency or Urgency.EMERGENCY, "Заявка"
    )
    what = ticket.title or ticket.text or "см. запись разговора"
    answers = ("Принять: ответьте 1, отказ: 2", "Принять: 1, отказ: 2")
    places = (place(ticket.premises), short_place(ticket.premises))
    whole = [f"{kind} №{number}: {what}. {at}. {how}" for at, how in zip(places, answers, strict=True)]
    cut = [f"{kind} №{number}: {some}. {places[1]}. {answers[1]}" for some in shortened(what)]
    end = f" или {link}" if link else ""
    bodies = [*_with_others(f"{kind} №{number}", what, places, answers, called_words(others)), *whole, *cut]
    return first_that_fits(f"{body}{end}".replace("….", "…") for body in bodies)


def _with_others(
    head: str, what: str, places: tuple[str, str], answers: tuple[str, str], told: Sequence[str]
) -> Iterator[str]:
    """The same with who was called before. Rather than leave one word of the cause, they are counted."""
    if not told:
        return
    for at, how in zip(places, answers, strict=True):
        yield f"{head}: {what}. {at}. {told[0]}. {how}"
    causes = list(shortened(what))
    for others in told:
        for some in causes if others is told[-1] else causes[:-1] or causes:
            for how in (answers[1], "Принять: 1"):
                yield f"{head}: {some}. {places[1]}. {others}. {how}"


def confirmed_text(number: int, ticket: Ticket) -> str:
    """To who accepted by text."""
    what = ticket.title or ticket.text or "подробности по телефону"
    reach = f" Тел. жильца {ticket.phone}." if ticket.phone else ""
    whole = f"Принято, №{number} за вами.{reach} {what}. {place(ticket.premises)}"
    return first_that_fits([whole, f"Принято, №{number} за вами.{reach}"]) if reach else whole


def noted_text(number: int, what: str) -> str:
    """To who declined or reported by text. `what` is in words."""
    return f"№{number}: записано, {what}."


def no_coverage_text(until: datetime) -> str:
    """To who said that they are out of coverage; `until` in their own time."""
    return f"Записано: нет связи до {until:%H:%M}. До этого не звоним."


def which_text(numbers: Sequence[int]) -> str:
    """To who answered while several tickets wait for them."""
    listed = ", ".join(f"№{number}" for number in numbers)
    return f"Какая заявка? Открыты {listed}. Ответьте с номером: 1 {numbers[0]}"


PROBE_TEXT = "Проверка SMS аварийной службы. Отвечать не нужно."
NOTHING_OPEN = "Открытых заявок для вас нет."


def not_open_text(number: int) -> str:
    """To who named a ticket that does not exist or is closed."""
    return f"Заявки №{number} нет среди открытых."


def resident_number_text(number: int, due: datetime | None = None) -> str:
    """To the resident: the number of what they asked for, and until when it is to be done, in the house's time."""
    return f"Ваша заявка №{number} зарегистрирована." + (
        f" Плановый срок: до {due:%H:%M %d.%m}." if due else ""
    )


def resident_done_text(number: int) -> str:
    """To the resident, when the work is reported done."""
    return f"Заявка №{number} выполнена. Если это не так, ответьте на это сообщение."


def taken_text(number: int, name: str | None) -> str:
    """To those who were called in vain."""
    return (
        f"Заявку №{number} принял: {name}. Выезжать не нужно." if name else f"Заявка №{number} уже принята."
    )


def resident_accepted_text(number: int, by: datetime | None = None) -> str:
    """To the resident, when somebody has taken the ticket; `by` is when they are to arrive, in the house's time."""
    return f"Ваша заявка №{number} принята бригадой." + (f" Прибудут до {by:%H:%M}." if by else "")


def alarm_text(number: int, ticket: Ticket, round_: int) -> str:
    """To the alarm's addressees, when the whole tree was walked in vain."""
    return f"ТРЕВОГА: заявку №{number} никто не принял, круг {round_}. {place(ticket.premises)}"


DIGEST_LINES = 5


def digest_text(requests: Sequence[tuple[int, Ticket]]) -> str:
    """«Новые заявки (2): №1031 скрипит дверь, Ленина, 15; №1032 не горит лампа, Ленина, 17.»"""
    if len(requests) == 1:
        number, ticket = requests[0]
        return f"Заявка №{number}: {_about(ticket)}."
    lines = [f"№{number} {_about(ticket)}" for number, ticket in requests[:DIGEST_LINES]]
    left = len(requests) - DIGEST_LINES
    more = f"; и ещё {left}" if left > 0 else ""
    return f"Новые заявки ({len(requests)}): {'; '.join(lines)}{more}."


def _about(ticket: Ticket) -> str:
    what = (ticket.title or ticket.text or "см. запись разговора").rstrip(".")
    return f"{what}, {short_place(ticket.premises)}"


ALARMS = {
    "exhausted": "заявку никто не принял, обзвон идёт снова",
    "arrival_not_reported": "о прибытии не сообщили, обзвон идёт дальше",
    "done_not_reported": "о выполнении не сообщили, обзвон идёт дальше",
    "walk_lost": "обзвон остановился и запущен снова",
    "asterisk_away": "нет связи с телефонной станцией",
    "manager_away": "станция не отвечает на служебные запросы",
    "trunk_dead": "звонки не проходят",
    "trunk_unreachable": "оператор связи не отвечает",
    "clock_jumped": "часы сервера перевели",
    "loop_stalled": "диспетчерская программа зависла",
    "engine_silent": "диспетчерская программа не отвечает и запущена снова",
    "store_failed": "база данных не отвечает",
    "disk_full": "на диске кончается место",
    "sms_stuck": "SMS не уходят",
}


def alarm_words(reason: str, ticket: int | None, detail: str = "") -> str:
    """«ТРЕВОГА: телефонная линия не работает (trunk).» What it is about in words; the reason itself if there are none for it."""
    about = f"заявка №{ticket}, " if ticket is not None else ""
    return f"ТРЕВОГА: {about}{ALARMS.get(reason, reason)}{f' ({detail})' if detail else ''}."


def short_place(premises: Premises) -> str:
    """«Ленина, 15, кв. 42»: as short as an address can be without doubt."""
    words = place(premises)
    for long, short in (
        (", дом ", ", "),
        (", квартира ", ", кв. "),
        ("улица ", ""),
        ("проспект ", "пр. "),
        ("переулок ", "пер. "),
    ):
        words = words.replace(long, short)
    return words


def place(premises: Premises) -> str:
    """The address with the flat, as far as it is known."""
    if not premises.address:
        return "Адрес не назван"
    return f"{premises.address}, квартира {premises.flat}" if premises.flat else premises.address


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
