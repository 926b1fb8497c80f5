"""What somebody meant by a text: `1`, `да`, `принял 1024`, `нет связи до 18`, `прибыл`. Careful: what is not clear is a remark.

A wrong «accept» would stop a walk, a missed one costs a robocall: so a question, a contradiction or a long story is never an answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class Meaning(StrEnum):
    """What a text says."""

    ACCEPT = "accept"
    DECLINE = "decline"
    NO_COVERAGE = "no_coverage"
    ON_THE_WAY = "on_the_way"
    ARRIVED = "arrived"
    LOCALISED = "localised"
    DONE = "done"
    STOP = "stop"
    """No more news, please."""
    START = "start"
    NOTE = "note"
    """None of these: kept for a human to read."""


REPORTS = frozenset({Meaning.ON_THE_WAY, Meaning.ARRIVED, Meaning.LOCALISED, Meaning.DONE})


@dataclass(frozen=True, slots=True)
class Reply:
    """A text, understood. `ticket` is the number that it names, `until` the end of «no coverage», `reason` why they decline."""

    meaning: Meaning
    ticket: int | None = None
    until: datetime | None = None
    reason: str | None = None


NO_COVERAGE_FOR = timedelta(hours=1)
"""If they did not say until when."""
MORNING = time(8)
LONGEST_ANSWER_WORDS = 7

_WORDS: dict[Meaning, str] = {
    Meaning.ACCEPT: "да принял приняла приняли принято принимаю беру взял взяла ок окей хорошо согласен согласна yes ok da prinyal",
    Meaning.DECLINE: "нет отказ отказываюсь занят занята заболел заболела болею no net otkaz",
    Meaning.ON_THE_WAY: "еду едем выехал выехала выехали выезжаю выезжаем бегу edu",
    Meaning.ARRIVED: "прибыл прибыла прибыли приехал приехала приехали подъехал pribyl",
    Meaning.LOCALISED: "локализовал локализовала локализовали локализовано локализована перекрыл перекрыла перекрыли перекрыто",
    Meaning.DONE: "готово сделал сделала сделали сделано выполнил выполнено закончил закончили устранил устранили устранено починил "
    "починили завершено завершил gotovo done",
    Meaning.STOP: "стоп stop отписка отписаться отпишите",
    Meaning.START: "старт start подписаться подписка",
}
_MEANING_OF = {word: meaning for meaning, words in _WORDS.items() for word in words.split()}
_PHRASES: tuple[tuple[str, Meaning], ...] = (
    (
        r"\b(?:нет|без|вне|не будет|пропала|плохая)\s+(?:связи|сети|зоны|связь|сеть)\b|\bвне\s+зоны\b",
        Meaning.NO_COVERAGE,
    ),
    (r"\bне\s+(?:могу|смогу|поеду|приеду|выйду|возьму|буду|беру|принимаю)\b", Meaning.DECLINE),
    (r"\bна\s+месте\b", Meaning.ARRIVED),
    (r"\bв\s+пути\b", Meaning.ON_THE_WAY),
    (r"\bне\s+(?:присылайте|присылать|надо\s+сообщений)\b", Meaning.STOP),
)
_DIGITS = {"1": Meaning.ACCEPT, "2": Meaning.DECLINE}
_BUSY = re.compile(r"\b(?:занят\w*|на другой|другая заявка|на заявке)\b")
_UNTIL_CLOCK = re.compile(r"\b(?:до|по)\s+(\d{1,2})(?:\s*[:.\-ч]\s*(\d{2}))?(?:\s*(?:ч|час\w*))?(?!\d)")
_FOR_HOURS = re.compile(r"\b(?:на\s+)?(?:(\d{1,2})\s*)?(?:ч|час|часа|часов)\b")
_FOR_MINUTES = re.compile(r"\b(\d{1,3})\s*(?:м|мин|минут\w*)\b")
_KEYBOARD = str.maketrans("qwertyuiop[]asdfghjkl;'zxcvbnm,.`", "йцукенгшщзхъфывапролджэячсмитьбюё")
_LOOK_ALIKE = str.maketrans("aceopxykmhtb", "асеорхукмнтв")
"""Latin letters that look like Russian ones."""
_FILLERS = frozenset(
    (
        *(
            "я",
            "мы",
            "и",
            "а",
            "ну",
            "все",
            "уже",
            "по",
            "на",
            "номер",
            "заявка",
            "заявку",
            "заявке",
            "спасибо",
        ),
        *("буду", "скоро", "сейчас", "щас", "понял", "поняла", "понятно"),
    )
)
_WEAK = frozenset(("да", "нет", "1", "2", "+", "ок", "ok", "окей", "yes", "no", "da", "net", "хорошо"))
"""Words that begin many other sentences («нет воды»): they answer only where nothing else is said."""


def understand(body: str, now: datetime, zone: ZoneInfo) -> Reply:
    """What the text means to a member of staff whose clocks show `zone`. Never raises."""
    text = re.sub(r"[👍✅]", " + ", body).lower().replace("ё", "е").strip()
    question = "?" in text
    ticket, text = _ticket(text)
    text = re.sub(r"[^\w\s:.,\-+\[\];'`]", " ", text)
    found = _coverage(text, now, zone)
    if found is not None and not question:
        return Reply(Meaning.NO_COVERAGE, ticket, found.astimezone(UTC), "no_coverage")
    meanings, words = _meanings(text)
    if question or len(words) > LONGEST_ANSWER_WORDS or len(meanings) != 1:
        return Reply(Meaning.NOTE, ticket)
    meaning = meanings.pop()
    if meaning is Meaning.DECLINE:
        return Reply(meaning, ticket, reason="busy_elsewhere" if _BUSY.search(text) else "cannot_go")
    return Reply(meaning, ticket)


def _ticket(text: str) -> tuple[int | None, str]:
    """The ticket's number, three digits or more, and the text without it. Two different ones are none."""
    found = re.findall(r"(?<![\d:.])№?\s*(\d{3,9})(?![\d:]|\.\d)", text)
    rest = re.sub(r"(?<![\d:.])№?\s*\d{3,9}(?![\d:]|\.\d)", " ", text)
    return (int(found[0]) if len(set(found)) == 1 else None), rest


def _coverage(text: str, now: datetime, zone: ZoneInfo) -> datetime | None:
    """Until when they say that they are out of coverage; None if they do not say so."""
    if not re.search(_PHRASES[0][0], text):
        return None
    local = now.astimezone(zone)
    if re.search(r"\bдо\s+(?:утра|завтра)\b", text):
        morning = datetime.combine(local.date(), MORNING, zone)
        return morning if "завтра" not in text and morning > local else morning + timedelta(days=1)
    if (clock := _UNTIL_CLOCK.search(text)) and int(clock[1]) < 24 and int(clock[2] or 0) < 60:
        until = datetime.combine(local.date(), time(int(clock[1]), int(clock[2] or 0)), zone)
        return until if until > local else until + timedelta(days=1)
    if minutes := _FOR_MINUTES.search(text):
        return now + timedelta(minutes=int(minutes[1]))
    if hours := _FOR_HOURS.search(text):
        return now + timedelta(hours=int(hours[1] or 1))
    return now + NO_COVERAGE_FOR


def _meanings(text: str) -> tuple[set[Meaning], list[str]]:
    """Everything that the text could mean, and its words."""
    meanings: set[Meaning] = set()
    for phrase, meaning in _PHRASES[1:]:
        if re.search(phrase, text):
            meanings.add(meaning)
            text = re.sub(phrase, " ", text)
    words = [word for raw in text.split() if (word := _bare(raw)) and word not in _FILLERS]
    unknown = 0
    for before, word in zip(["", *words], words, strict=False):
        meaning_of_word = _word(word)
        if meaning_of_word is None:
            unknown += word != "не"
        else:
            meanings.add(Meaning.NOTE if before == "не" else meaning_of_word)
    if unknown and not any(word not in _WEAK and _word(word) for word in words):
        return {Meaning.NOTE}, words
    if meanings == {Meaning.ACCEPT, Meaning.ON_THE_WAY}:
        meanings = {Meaning.ON_THE_WAY}  # «принял, еду»: who is on the way has taken it
    if meanings == {Meaning.ACCEPT, Meaning.DONE} or meanings == {Meaning.ACCEPT, Meaning.ARRIVED}:
        meanings.discard(Meaning.ACCEPT)  # «да, готово»
    return meanings, words


def _bare(raw: str) -> str:
    """A word without the punctuation around it."""
    return raw.strip(".,:;-'`[]")


def _word(word: str) -> Meaning | None:
    """The meaning of one word; typos, a wrong keyboard layout and Latin look-alikes forgiven."""
    if word in _DIGITS:
        return _DIGITS[word]
    if word and set(word) == {"+"}:
        return Meaning.ACCEPT
    if word.startswith("+") and word[1:] in _DIGITS:
        return _DIGITS[word[1:]]
    word = word.lstrip("+")
    for candidate in dict.fromkeys((word, word.translate(_KEYBOARD), word.translate(_LOOK_ALIKE))):
        if candidate in _MEANING_OF:
            return _MEANING_OF[candidate]
    if len(word) >= 5:
        close = {
            meaning for known, meaning in _MEANING_OF.items() if len(known) >= 5 and _one_slip(word, known)
        }
        if len(close) == 1:
            return close.pop()
    return None


def _one_slip(word: str, known: str) -> bool:
    """Whether one letter too many, too few, another, or two swapped make the one of the other."""
    if abs(len(word) - len(known)) > 1 or word == known:
        return word == known
    start = 0
    while start < min(len(word), len(known)) and word[start] == known[start]:
        start += 1
    one, other = word[start:], known[start:]
    if len(one) == len(other):
        return one[1:] == other[1:] or (len(one) > 1 and one[:2] == other[1::-1] and one[2:] == other[2:])
    return one[1:] == other if len(one) > len(other) else one == other[1:]
