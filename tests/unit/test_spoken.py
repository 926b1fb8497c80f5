"""How things are said in Russian, by table and against num2words."""

from __future__ import annotations

from datetime import date, time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from num2words import num2words

from engine.domain.spoken import (
    GEN,
    LARGEST,
    NOM,
    F,
    Gender,
    M,
    N,
    cardinal,
    counted,
    day,
    digits,
    house_number,
    key,
    ordinal,
    phone,
    spoken,
    time_of_day,
)


def same(ours: str, theirs: str) -> bool:
    return ours.replace("ё", "е") == theirs.replace("ё", "е")


@given(st.integers(0, LARGEST), st.sampled_from(list(Gender)), st.sampled_from([NOM, GEN]))
def test_cardinals_agree_with_num2words(number: int, gender: Gender, case: object) -> None:
    theirs = num2words(number, lang="ru", gender=gender.value, case="n" if case is NOM else "g")
    assert same(cardinal(number, gender, NOM if case is NOM else GEN), theirs)


@given(st.integers(0, 9999), st.sampled_from(list(Gender)), st.sampled_from([NOM, GEN]))
def test_ordinals_agree_with_num2words(number: int, gender: Gender, case: object) -> None:
    theirs = num2words(number, lang="ru", to="ordinal", gender=gender.value, case="n" if case is NOM else "g")
    theirs = theirs.replace("тысяча", "одна тысяча") if 1000 < number < 2000 else theirs
    assert same(ordinal(number, gender, NOM if case is NOM else GEN), theirs)


@pytest.mark.parametrize("number", [-1, LARGEST + 1])
def test_numbers_out_of_range(number: int) -> None:
    with pytest.raises(ValueError, match="not within"):
        cardinal(number)
    with pytest.raises(ValueError, match="not within"):
        ordinal(number)


def test_small_words() -> None:
    assert digits("1024") == "один ноль два четыре"
    assert counted(21, "минута", "минуты", "минут", F) == "двадцать одна минута"
    assert counted(112, "заявка", "заявки", "заявок", F) == "сто двенадцать заявок"
    assert time_of_day(time(14, 5)) == "четырнадцать часов пять минут"
    assert time_of_day(time(16, 0), GEN) == "шестнадцати часов"
    assert time_of_day(time(1, 21), GEN) == "одного часа двадцати одной минуты"
    assert time_of_day(time(0, 0)) == "ноль часов ровно"
    assert day(date(2026, 11, 3)) == "третье ноября"
    assert day(date(2026, 11, 21), GEN) == "двадцать первого ноября"
    assert phone("+79160000042") == "восемь, девятьсот шестнадцать, ноль ноль ноль, ноль ноль, сорок два"
    assert phone("112") == "один один два"
    assert [key(pressed) for pressed in "70*#"] == ["семь", "ноль", "звёздочку", "решётку"]
    assert ordinal(3, F) == "третья"
    assert ordinal(3, N, GEN) == "третьего"
    assert ordinal(40, M) == "сороковой"
    with pytest.raises(ValueError, match="no such key"):
        key("12")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("15", "пятнадцать"),
        ("15а", "пятнадцать а"),
        ("15Б", "пятнадцать бэ"),
        ("15/2", "пятнадцать дробь два"),
        ("15к2", "пятнадцать корпус два"),
        ("15 корп. 2 стр. 1", "пятнадцать корпус два строение один"),
        ("3 лит. А", "три литера а"),
    ],
)
def test_house_numbers(number: str, words: str) -> None:
    assert house_number(number) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Аварийная заявка 1-0-2-4. ул. Ленина, д. 15, кв. 42.",
            "Аварийная заявка один ноль два четыре. улица Ленина, дом пятнадцать, квартира сорок два.",
        ),
        ("Заявка 1024, № 7", "Заявка один ноль два четыре, номер семь"),
        ("Чтобы принять, нажмите 7.", "Чтобы принять, нажмите семь."),
        (
            "бригада приняла в 14:05, срок до 16:00",
            "бригада приняла в четырнадцать часов пять минут, срок до шестнадцати часов",
        ),
        ("ул.Ленина д.15/2к1 стр. 3", "улица Ленина дом пятнадцать дробь два корпус один строение три"),
        ("дом 15 к сожалению", "дом пятнадцать к сожалению"),
        ("у дома 15 нет света", "у дома пятнадцать нет света"),
        ("на 3-м этаже, 5-й этаж, 2-я бригада", "на третьем этаже, пятый этаж, вторая бригада"),
        ("1 заявка, 2 заявки, через 21 минуту", "одна заявка, две заявки, через двадцать одну минуту"),
        ("Прорыв стояка ХВС.", "Прорыв стояка холодного водоснабжения."),
        (
            "Звоните +7 (916) 000-00-42.",
            "Звоните восемь, девятьсот шестнадцать, ноль ноль ноль, ноль ноль, сорок два.",
        ),
        (
            "23.11.2026 г. воды не будет",
            "двадцать третьего ноября две тысячи двадцать шестого года воды не будет",
        ),
        ("г. Москва, пр-т Мира", "город Москва, проспект Мира"),
        ("код 007, 1234567", "код ноль ноль семь, один два три четыре пять шесть семь"),
        ("нет ни одной цифры", "нет ни одной цифры"),
        ("31.02 и 3,5 и 1.2.3", "31.02 и 3,5 и 1.2.3"),
    ],
)
def test_texts(text: str, words: str) -> None:
    assert spoken(text) == words


@given(st.text(alphabet="0123456789 .,:-/№%+()йаяемгокдсулвХВСт\n", max_size=40))
def test_said_twice_nothing_changes(text: str) -> None:
    once = spoken(text)
    assert spoken(once) == once


@given(st.text(max_size=60))
def test_any_text_at_all(text: str) -> None:
    spoken(text)
