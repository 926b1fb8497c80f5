"""What callers and operators hear while the two are brought together, Russian first."""

from __future__ import annotations

from engine.domain.company import Company
from engine.domain.model import CallKind
from engine.domain.queueing import Why
from engine.domain.spoken import digits
from engine.domain.ticket import Ticket
from engine.domain.wording import CLASS_WORDS, STAFF_CALLS, Parts, place

CHOICES = (
    "Чтобы оставить сообщение, нажмите один. Чтобы мы вам перезвонили, нажмите два. Или оставайтесь на линии."
)
MESSAGE_ONLY = "Чтобы оставить сообщение, нажмите один. Или оставайтесь на линии."
CONNECTED = "Соединяем с оператором."
WILL_CALL_BACK = "Мы перезвоним вам на этот номер в течение десяти минут. Ваше место в очереди сохранено."
OPERATORS_LEFT = "Операторов сейчас нет."
YOUR_CALL_BACK = "Вы просили перезвонить. Соединяем с оператором. Разговор записывается."
STILL_BUSY = "Вы просили перезвонить. Операторы ещё заняты. Разговор записывается."
CALLING = "Звоним."
NO_ANSWER = "Абонент не отвечает."
A_CALL_BACK = "Обратный звонок."
A_COLLEAGUE = "Звонит сотрудник."
FIRST_WORDS = {Why.PROMISE: A_CALL_BACK, Why.STAFF: A_COLLEAGUE}
GO_BACK = "Чтобы вернуться, нажмите решётку. Или оставайтесь на линии."
SIGNED_IN = "Вы на смене."
SIGNED_OUT = "Смена окончена."
OPERATOR_KEY = "Оператор: ноль."
OPERATOR_CALLS = "Здравствуйте. Вам звонит диспетчер аварийной службы. Разговор записывается."
NO_OPERATOR = "Оператора сейчас нет."


def place_in_queue(number: int, minutes: int) -> Parts:
    """«Ваше место в очереди: три. Примерное время ожидания: четыре минуты.»"""
    return (f"Ваше место в очереди: {number}.", f"Примерное время ожидания: {minutes} {_minutes(minutes)}.")


def _minutes(count: int) -> str:
    if count % 10 == 1 and count % 100 != 11:
        return "минута"
    if count % 10 in (2, 3, 4) and count % 100 not in (12, 13, 14):
        return "минуты"
    return "минут"


def whispered(company: Company, number: int, ticket: Ticket, why: Why = Why.CALLER) -> Parts:
    """What the operator hears before the caller is put through: whose name to answer with, and what is known."""
    kind = CLASS_WORDS[ticket.urgency] if ticket.urgency else "Заявка"
    parts = [f"{company.title}.", f"{kind} {digits(number)}."]
    if why in FIRST_WORDS:
        parts.insert(0, FIRST_WORDS[why])
    if ticket.premises.address:
        parts.append(f"{place(ticket.premises)}.")
    return tuple(parts)


def called(kind: CallKind) -> Parts:
    """What somebody hears whom an operator has rung, before the two are connected."""
    return (STAFF_CALLS,) if kind is CallKind.CALLBACK else (OPERATOR_CALLS,)


def fixed_operator_parts() -> Parts:
    """Every sentence that depends on nothing: rendered at set-up."""
    places = [part for number in range(1, 6) for part in place_in_queue(number, number)]
    return (
        *(CHOICES, MESSAGE_ONLY, CONNECTED, WILL_CALL_BACK, OPERATORS_LEFT, YOUR_CALL_BACK, STILL_BUSY),
        *(CALLING, NO_ANSWER, A_CALL_BACK, A_COLLEAGUE, OPERATOR_CALLS, NO_OPERATOR, OPERATOR_KEY, GO_BACK),
        *(SIGNED_IN, SIGNED_OUT),
        *places,
    )
