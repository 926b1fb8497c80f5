"""What a bench says: one line for each figure, ours beside the baseline."""

from __future__ import annotations

import sys
from collections.abc import Sequence

Line = dict[str, object]


def line(
    bench: str, ours: float, baseline: float | None, unit: str, n: int, failed: int, digits: int = 2
) -> Line:
    """One line of `make bench`. `ratio` is ours to the baseline, None where there is none; `failed` counts wrong results."""
    return {
        "bench": bench,
        "ours": round(ours, digits),
        "baseline": None if baseline is None else round(baseline, digits),
        "ratio": round(ours / baseline, 3) if baseline else None,
        "unit": unit,
        "n": n,
        "failed": failed,
    }


def quantile(values: Sequence[float], part: float) -> float:
    """The value that `part` of all do not exceed; `nan` of nothing."""
    if not values:
        return float("nan")
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def say(text: str) -> None:
    """A remark for whoever watches; figures go to stdout alone."""
    print(text, file=sys.stderr, flush=True)
