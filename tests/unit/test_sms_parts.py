"""How the network counts, and how texts are kept short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.texts import first_that_fits, is_gsm, parts, shortened, split


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 152, 3),  # the euro's two septets are not torn apart
        ("д" * 70, 1),
        ("д" * 71, 2),
        ("д" * 134, 2),
        ("д" * 135, 3),
        ("д" * 68 + "😀", 1),
        ("д" * 69 + "😀", 2),
        ("д" * 66 + "😀" + "д" * 66, 3),  # nor a surrogate pair
        ("a" * 70 + "№", 2),
    ],
)
def test_parts(body: str, count: int) -> None:
    assert parts(body) == count


@given(st.text(max_size=700) | st.text("ab€[]", min_size=150, max_size=700))
def test_parts_hold_the_text(body: str) -> None:
    units = sum(2 if ord(char) > 0xFFFF else 1 for char in body)
    least = -(-units // 67) if not is_gsm(body) and units > 70 else 1
    assert parts(body) >= least
    assert "".join(split(body)) == body
    assert is_gsm(body) or all(len(piece.encode("utf-16-be")) <= 140 for piece in split(body))


def test_shortened_keeps_the_beginning() -> None:
    assert list(shortened("Прорыв стояка, горячая вода")) == [
        "Прорыв стояка, горячая вода",
        "Прорыв стояка, горячая…",
        "Прорыв стояка…",
        "Прорыв…",
    ]


def test_first_that_fits() -> None:
    assert first_that_fits(["д" * 71, "д" * 70, "д"]) == "д" * 70
    assert first_that_fits(["д" * 200, "д" * 100]) == "д" * 100
