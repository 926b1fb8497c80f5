"""How things are said in Russian: numbers, times, addresses, keys. Plain words out, so that any synthesiser reads them right."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, time
from enum import Enum


class Gender(Enum):
    """Of the noun that is counted."""

    MASCULINE = "m"
    FEMININE = "f"
    NEUTER = "n"


class Case(Enum):
    """The two cases that we speak in: «четырнадцать часов», «до четырнадцати часов»."""

    NOMINATIVE = "n"
    GENITIVE = "g"


def _words(words: str) -> tuple[str, ...]:
    return tuple(words.split())


M, F, N = Gender.MASCULINE, Gender.FEMININE, Gender.NEUTER
NOM, GEN = Case.NOMINATIVE, Case.GENITIVE

_DIGITS = _words("ноль один два три четыре пять шесть семь восемь девять")
_ONE = {
    (NOM, M): "один",
    (NOM, F): "одна",
    (NOM, N): "одно",
    (GEN, M): "одного",
    (GEN, F): "одной",
    (GEN, N): "одного",
}
_TWO = {
    (NOM, M): "два",
    (NOM, F): "две",
    (NOM, N): "два",
    (GEN, M): "двух",
    (GEN, F): "двух",
    (GEN, N): "двух",
}
_UNITS = {
    NOM: "ноль - - три четыре пять шесть семь восемь девять десять одиннадцать двенадцать тринадцать четырнадцать "
    "пятнадцать шестнадцать семнадцать восемнадцать девятнадцать",
    GEN: "ноля - - трёх четырёх пяти шести семи восьми девяти десяти одиннадцати двенадцати тринадцати четырнадцати "
    "пятнадцати шестнадцати семнадцати восемнадцати девятнадцати",
}
_TENS = {
    NOM: "- - двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто",
    GEN: "- - двадцати тридцати сорока пятидесяти шестидесяти семидесяти восьмидесяти девяноста",
}
_HUNDREDS = {
    NOM: "- сто двести триста четыреста пятьсот шестьсот семьсот восемьсот девятьсот",
    GEN: "- ста двухсот трёхсот четырёхсот пятисот шестисот семисот восьмисот девятисот",
}
_THOUSAND = {NOM: ("тысяча", "тысячи", "тысяч"), GEN: ("тысячи", "тысяч", "тысяч")}
_WORDS = {case: tuple(_words(table[case]) for table in (_UNITS, _TENS, _HUNDREDS)) for case in (NOM, GEN)}

# Ordinals: stem and the kind of its ending; «третий» is a kind of its own.
_ORDINAL_UNITS = _words(
    "нулев+ перв* втор+ трет~ четвёрт* пят* шест+ седьм+ восьм+ девят* десят* одиннадцат* двенадцат* тринадцат* "
    "четырнадцат* пятнадцат* шестнадцат* семнадцат* восемнадцат* девятнадцат*"
)
_ORDINAL_TENS = _words(
    "- - двадцат* тридцат* сороков+ пятидесят* шестидесят* семидесят* восьмидесят* девяност*"
)
_ORDINAL_HUNDREDS = _words(
    "- сот* двухсот* трёхсот* четырёхсот* пятисот* шестисот* семисот* восьмисот* девятисот*"
)
_ORDINAL_THOUSANDS = _words(
    "- тысячн* двухтысячн* трёхтысячн* четырёхтысячн* пятитысячн* шеститысячн* семитысячн* восьмитысячн* "
    "девятитысячн*"
)
_ENDINGS = {
    (NOM, M): {"*": "ый", "+": "ой", "~": "ий"},
    (NOM, F): {"*": "ая", "+": "ая", "~": "ья"},
    (NOM, N): {"*": "ое", "+": "ое", "~": "ье"},
    (GEN, M): {"*": "ого", "+": "ого", "~": "ьего"},
    (GEN, F): {"*": "ой", "+": "ой", "~": "ьей"},
    (GEN, N): {"*": "ого", "+": "ого", "~": "ьего"},
}

_MONTHS = _words("января февраля марта апреля мая июня июля августа сентября октября ноября декабря")
_KEYS = {"*": "звёздочку", "#": "решётку"}
_LETTERS = dict(
    zip(
        "абвгдежзиклмнопрстуфхцчшщэюя",
        _words("а бэ вэ гэ дэ е жэ зэ и ка эль эм эн о пэ эр эс тэ у эф ха цэ че ша ща э ю я"),
        strict=True,
    )
)

LARGEST = 999_999


def digits(number: str | int) -> str:
    """Digit by digit: «один ноль два четыре». Anything that is no digit is left out."""
    return " ".join(_DIGITS[int(digit)] for digit in str(number) if digit in "0123456789")


def cardinal(number: int, gender: Gender = M, case: Case = NOM) -> str:
    """A number of 0 to 999,999 in words. Raises `ValueError` beyond that."""
    if not 0 <= number <= LARGEST:
        raise ValueError(f"{number} is not within 0 and {LARGEST}")
    thousands, rest = divmod(number, 1000)
    words: list[str] = []
    if thousands:
        words += _below_thousand(thousands, F, case)
        words.append(plural(thousands, *_THOUSAND[case]))
    if rest or not thousands:
        words += _below_thousand(rest, gender, case)
    return " ".join(words)


def _below_thousand(number: int, gender: Gender, case: Case) -> list[str]:
    units, tens, hundreds = _WORDS[case]
    words = []
    if number >= 100:
        words.append(hundreds[number // 100])
    below = number % 100
    if below >= 20:
        words.append(tens[below // 10])
        below %= 10
    if below == 1:
        words.append(_ONE[case, gender])
    elif below == 2:
        words.append(_TWO[case, gender])
    elif below or not words:
        words.append(units[below])
    return words


def plural(number: int, one: str, few: str, many: str) -> str:
    """The form of the noun that goes with the number: одна минута, две минуты, пять минут."""
    if number % 100 // 10 != 1:
        if number % 10 == 1:
            return one
        if number % 10 in (2, 3, 4):
            return few
    return many


def counted(number: int, one: str, few: str, many: str, gender: Gender = M) -> str:
    """A number with its noun: «двадцать одна минута»."""
    return f"{cardinal(number, gender)} {plural(number, one, few, many)}"


def ordinal(number: int, gender: Gender = M, case: Case = NOM) -> str:
    """«второй», «третья», «двадцать первого»: 0 to 9,999. Raises `ValueError` beyond that."""
    if not 0 <= number <= 9_999:
        raise ValueError(f"{number} is not within 0 and 9999")
    # Only the last word of a compound is an ordinal, what goes before it stays a cardinal.
    if number % 1000 == 0 and number:
        before, last = 0, _ORDINAL_THOUSANDS[number // 1000]
    elif number % 100 == 0 and number:
        before, last = number - number % 1000, _ORDINAL_HUNDREDS[number // 100 % 10]
    elif number % 100 < 20:
        before, last = number - number % 100, _ORDINAL_UNITS[number % 100]
    elif number % 10 == 0:
        before, last = number - number % 100, _ORDINAL_TENS[number % 100 // 10]
    else:
        before, last = number - number % 10, _ORDINAL_UNITS[number % 10]
    word = last[:-1] + _ENDINGS[case, gender][last[-1]]
    return f"{cardinal(before)} {word}" if before else word


def time_of_day(at: time, case: Case = NOM) -> str:
    """«четырнадцать часов пять минут»; in the genitive (after «до») «четырнадцати часов пяти минут»."""
    nominative = case is NOM
    hours = (
        plural(at.hour, "час", "часа", "часов") if nominative else plural(at.hour, "часа", "часов", "часов")
    )
    words = f"{cardinal(at.hour, M, case)} {hours}"
    if not at.minute:
        return f"{words} ровно" if nominative else words
    forms = ("минута", "минуты", "минут") if nominative else ("минуты", "минут", "минут")
    return f"{words} {cardinal(at.minute, F, case)} {plural(at.minute, *forms)}"


def day(on: date, case: Case = NOM) -> str:
    """«двадцать первое ноября»; in the genitive «двадцать первого ноября»."""
    return f"{ordinal(on.day, N, case)} {_MONTHS[on.month - 1]}"


def phone(number: str) -> str:
    """A telephone number in the groups in which it is remembered: «восемь, девятьсот шестнадцать, сто двадцать три, …»."""
    plain = re.sub(r"\D", "", number)
    if len(plain) != 11 or plain[0] not in "78":
        return digits(plain)
    groups = (plain[1:4], plain[4:7], plain[7:9], plain[9:11])
    return ", ".join(("восемь", *(_group(group) for group in groups)))


def _group(group: str) -> str:
    """A group of digits, its leading zeros spoken too."""
    bare = group.lstrip("0")
    zeros = ["ноль"] * (len(group) - len(bare))
    return " ".join([*zeros, cardinal(int(bare))] if bare else zeros)


def key(key: str) -> str:
    """A key as it is pressed: «семь», «звёздочку». Raises `ValueError` for what a telephone does not have."""
    if key in _KEYS:
        return _KEYS[key]
    if len(key) == 1 and key in "0123456789":
        return _DIGITS[int(key)]
    raise ValueError(f"no such key: {key}")


def house_number(number: str) -> str:
    """«15», «15а», «15/2», «15к2», «15 корп. 2 стр. 1» as they are said: «пятнадцать корпус два строение один»."""
    words: list[str] = []
    for part in re.findall(r"\d+|[а-яё]+|/", number.lower()):
        if part.isdigit():
            words.append(cardinal(int(part)) if int(part) <= LARGEST else digits(part))
        elif part == "/":
            words.append("дробь")
        elif part in _HOUSE_PARTS:
            words.append(_HOUSE_PARTS[part])
        elif len(part) == 1:
            words.append(_LETTERS.get(part, part))
        else:
            words.append(part)
    return " ".join(words)


_HOUSE_PARTS = {
    **dict.fromkeys(("к", "кор", "корп"), "корпус"),
    **dict.fromkeys(("с", "ст", "стр"), "строение"),
    **dict.fromkeys(("лит", "л"), "литера"),
    **dict.fromkeys(("вл",), "владение"),
}

# ------------------------------------------------------------------------------------------- free text

_ABBREVIATIONS = {
    r"ул\.": "улица",
    r"(?:пр-т|просп\.|пр\.)": "проспект",
    r"(?:пр-д|проезд\.)": "проезд",
    r"пер\.": "переулок",
    r"пл\.": "площадь",
    r"б-р\.?": "бульвар",
    r"наб\.": "набережная",
    r"ш\.": "шоссе",
    r"(?:мкр\.|мкр-н|мкрн\.?)": "микрорайон",
    r"г\.(?=\s*[А-ЯЁ])": "город",
    r"кв\.": "квартира",
    r"(?:под\.|п-д)(?=\s*\d)": "подъезд",
    r"эт\.": "этаж",
    r"корп\.": "корпус",
    r"стр\.": "строение",
    r"тел\.": "телефон",
    r"мин\.": "минут",
    r"сек\.": "секунд",
    r"руб\.": "рублей",
    r"ХВС": "холодного водоснабжения",
    r"ГВС": "горячего водоснабжения",
    r"УК(?=\s)": "управляющая компания",
}
_FEMININE = r"(?:минут|секунд|заяв|квартир|бригад|авари|тысяч|комнат|попыт|ступен)"
_HOUSE = r"\d+(?:[а-яё](?![а-яё]))?(?:\s*(?:/|\b(?:корпус|строение|литера|корп|стр|к|с)\b\.?|[кс](?=\d))\s*\d+(?:[а-яё](?![а-яё]))?)*"


def spoken(text: str) -> str:
    """Text as it should reach a synthesiser: abbreviations in full, numbers in words, one space between words.

    Said twice, nothing changes any more. What it does not know it leaves as it is.
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def _time_words(found: re.Match[str]) -> str:
    before = found["before"] or ""
    return before + time_of_day(time(int(found["hour"]), int(found["minute"])), GEN if before else NOM)


def _date_words(found: re.Match[str]) -> str:
    year = f" {ordinal(int(found['year']), M, GEN)} года" if found["year"] else ""
    try:
        return day(date(int(found["year"] or 2000), int(found["month"]), int(found["day"])), GEN) + year
    except ValueError:  # 30.02, 31.13: no date after all
        return found[0]


def _ordinal_words(found: re.Match[str]) -> str:
    number, suffix = int(found["number"]), found["suffix"]
    if number > 9_999:
        return found[0]
    match suffix:
        case "й" | "ый" | "ой" | "ий":
            return ordinal(number)
        case "я" | "ая":
            return ordinal(number, F)
        case "е" | "ое":
            return ordinal(number, N)
        case "го" | "ого":
            return ordinal(number, M, GEN)
        case _:  # «пятом», «пятому» have the stem of «пятого»
            return ordinal(number, M, GEN)[:-2] + suffix.lstrip("о")


def _number_words(found: re.Match[str]) -> str:
    number, noun = found["number"], found["noun"] or ""
    if len(number) > 6 or (number.startswith("0") and len(number) > 1):
        return digits(number) + noun
    feminine = re.match(rf"\s+{_FEMININE}", noun, re.IGNORECASE) is not None
    words = cardinal(int(number), F if feminine else M)
    if feminine and noun.endswith("у"):  # «через 1 минуту»
        words = re.sub("одна$", "одну", words)
    return words + noun


def _in_full(words: str) -> Callable[[re.Match[str]], str]:
    return lambda found: words if found["next"] is None else f"{words} "


_Replacement = str | Callable[[re.Match[str]], str]
_RULES: tuple[tuple[re.Pattern[str], _Replacement], ...] = (
    (re.compile(r"(?<!\w)\+?[78](?:[ ()-]*\d){10}(?!\w)"), lambda found: phone(found[0])),
    (
        re.compile(
            r"(?P<before>\b(?:[Дд]о|[Сс]|[Пп]осле|[Оо]коло) )?\b(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)\b(?!:\d)"
        ),
        _time_words,
    ),
    (
        re.compile(
            r"(?<![\d.])(?P<day>[0-3]?\d)\.(?P<month>[01]\d)(?:\.(?P<year>[12]\d{3}))?(?![\d.]*\d)(?: г\.)?"
        ),
        _date_words,
    ),
    (re.compile(r"№\s*(?=\d)"), "номер "),
    (
        re.compile(
            r"(?P<before>\b(?:номер|заяв(?:к[аиуе]|кой|ок)))\s+(?P<number>\d[\d-]*)\b(?!-\w)", re.IGNORECASE
        ),
        lambda found: f"{found['before']} {digits(found['number'])}",
    ),
    (re.compile(r"(?<![\w-])\d(?:-\d)+(?![\w-])"), lambda found: digits(found[0])),
    (
        re.compile(rf"(?P<before>\b(?:[Дд]ом(?:а|у|е|ом)?|[Дд]\.))\s*(?P<house>{_HOUSE})(?![\w-])"),
        lambda found: (
            f"{'дом' if found['before'][-1] == '.' else found['before']} {house_number(found['house'])}"
        ),
    ),
    *(
        (re.compile(rf"(?<![\w-]){pattern}(?:(?<=\.)|(?!\w))(?P<next>\s*(?=\w))?"), _in_full(words))
        for pattern, words in _ABBREVIATIONS.items()
    ),
    (
        re.compile(r"\b(?P<number>\d+)-?(?P<suffix>ый|ой|ий|ая|ое|ого|ому|ом|го|му|й|я|е|м)\b"),
        _ordinal_words,
    ),
    (re.compile(r"(?<=\d)\s*%"), " процентов"),
    (
        re.compile(r"(?<![\w.,])(?P<number>\d+)(?![\d]|[.,]\d|\w)(?P<noun>\s+[а-яё]+)?", re.IGNORECASE),
        _number_words,
    ),
)
