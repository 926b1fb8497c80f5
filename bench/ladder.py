"""Highest clean levels: climb until something fails, the same way for both sides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bench.lines import say

Attempt = Callable[[float], Awaitable[tuple[int, int]]]
"""One level tried: (calls made, calls failed)."""


async def climb(name: str, levels: Sequence[float], attempt: Attempt) -> tuple[float, int]:
    """The last level before a call fails (0: none), and how many calls were made in all."""
    best, total = 0.0, 0
    for level in levels:
        calls, failed = await attempt(level)
        total += calls
        if failed:
            say(f"{name}: {failed} of {calls} calls failed at {level:g}")
            break
        best = level
    return best, total
