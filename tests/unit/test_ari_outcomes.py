"""The table of asterisk.md: how a dial ended, by Q.850, SIP and whether it rang."""

from __future__ import annotations

import pytest

from engine.asterisk.outcomes import outcome_of
from engine.domain.model import Outcome


@pytest.mark.parametrize(
    ("cause", "tech_cause", "rang", "outcome"),
    [
        (17, 486, True, Outcome.BUSY),
        (17, 486, False, Outcome.BUSY),
        (21, 603, True, Outcome.DECLINED),
        (21, 403, True, Outcome.DECLINED),
        (21, 403, False, Outcome.FAILED),
        (1, 404, False, Outcome.UNREACHABLE),
        (19, 480, False, Outcome.UNREACHABLE),
        (19, 480, True, Outcome.NO_ANSWER),
        (22, 410, False, Outcome.UNREACHABLE),
        (34, 503, False, Outcome.FAILED),
        (41, 500, False, Outcome.FAILED),
        (18, 408, False, Outcome.UNREACHABLE),
        (18, 408, True, Outcome.NO_ANSWER),
        (26, 487, True, Outcome.CANCELLED),
        (26, None, True, Outcome.CANCELLED),
        (58, 488, False, Outcome.FAILED),
        (17, None, False, Outcome.BUSY),
        (16, 0, True, Outcome.NO_ANSWER),
        (16, 0, False, Outcome.UNREACHABLE),
        (3, None, False, Outcome.FAILED),
        (None, None, False, Outcome.FAILED),
    ],
)
def test_outcome(cause: int | None, tech_cause: int | None, rang: bool, outcome: Outcome) -> None:
    assert outcome_of(cause, tech_cause, rang) is outcome
