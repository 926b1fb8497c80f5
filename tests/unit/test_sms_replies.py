"""What staff write, and what is made of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.replies import Meaning, Reply, understand

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MOSCOW = ZoneInfo("Europe/Moscow")


def heard(body: str) -> Reply:
    return understand(body, NOON, MOSCOW)


@pytest.mark.parametrize(
    "body",
    [
        "1",
        "1.",
        "«1»",
        "да",
        "Да!",
        "ДА",
        "принял",
        "Принял.",
        "приняла",
        "принято",
        "беру",
        "+",
        "++",
        "👍",
        "ок",
        "1 спасибо",
        "прниял",
        "принл",
        "приннял",
        "lf",
        "ghbyzk",
        "дa",
        "da",
        "prinyal",
        "да, принял",
        "Заявку принял",
    ],
)
def test_accepts(body: str) -> None:
    assert heard(body) == Reply(Meaning.ACCEPT)


@pytest.mark.parametrize(
    "body", ["1 1024", "1024 1", "+1024", "1024 да", "№1024 принял", "принял заявку 1024", "1-1024"]
)
def test_accepts_a_numbered_one(body: str) -> None:
    assert heard(body) == Reply(Meaning.ACCEPT, 1024)


@pytest.mark.parametrize(
    "body", ["2", "нет", "Нет.", "НЕТ!", "не могу", "нет, не могу", "ytn", "отказ", "заболел", "не поеду"]
)
def test_declines(body: str) -> None:
    assert heard(body) == Reply(Meaning.DECLINE, reason="cannot_go")


def test_declines_being_busy() -> None:
    assert heard("занят на другой заявке") == Reply(Meaning.DECLINE, reason="busy_elsewhere")


@pytest.mark.parametrize(
    ("body", "hours"),
    [
        ("нет связи до 18", 3),
        ("Нет связи до 18:30", 3.5),
        ("нет связи до 18.30", 3.5),
        ("до 18 нет связи", 3),
        ("нет связи до 18 часов", 3),
        ("нет связи до 9", 18),
        ("нет сети на 2 часа", 2),
        ("нет связи час", 1),
        ("без связи 40 мин", 40 / 60),
        ("нет связи до утра", 17),
        ("вне зоны", 1),
        ("нет связи", 1),
    ],
)
def test_no_coverage_until(body: str, hours: float) -> None:
    assert heard(body) == Reply(Meaning.NO_COVERAGE, None, NOON + timedelta(hours=hours), "no_coverage")


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        ("прибыл", Meaning.ARRIVED),
        ("Я на месте", Meaning.ARRIVED),
        ("прибли", Meaning.ARRIVED),
        ("готово", Meaning.DONE),
        ("гтово", Meaning.DONE),
        ("да, готово", Meaning.DONE),
        ("Сделано, спасибо", Meaning.DONE),
        ("перекрыл воду", Meaning.LOCALISED),
        ("еду", Meaning.ON_THE_WAY),
        ("принял, еду", Meaning.ON_THE_WAY),
        ("в пути", Meaning.ON_THE_WAY),
        ("стоп", Meaning.STOP),
        ("STOP", Meaning.STOP),
        ("не присылайте", Meaning.STOP),
        ("старт", Meaning.START),
    ],
)
def test_reports_and_wishes(body: str, meaning: Meaning) -> None:
    assert heard(body).meaning is meaning


@pytest.mark.parametrize(
    "body",
    [
        "принял?",
        "не принял",
        "не готово",
        "1 2",
        "да нет",
        "11",
        "",
        "   ",
        "нет воды",
        "да там вода хлещет",
        "1 этаж",
        "когда?",
        "Пётр не смог, я в подвале, нужен насос и ещё двое",
        "буду через 20 минут",
        "2 подъезд",
        "+79000000001",
        "да вы что, я вчера был на месте и всё уже сделано было",
    ],
)
def test_what_is_not_clear_is_a_remark(body: str) -> None:
    assert heard(body).meaning is Meaning.NOTE


@given(st.text(max_size=300))
def test_never_raises(body: str) -> None:
    heard(body)
