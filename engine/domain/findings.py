"""What is wrong with a company as a whole. Pure: values in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.domain.company import Company
from engine.domain.finding import Finding, Path
from engine.domain.model import Urgency


def findings(
    company: Company, causes: Mapping[str, Urgency], doubtful: frozenset[Path] = frozenset()
) -> Iterator[Finding]:
    """To be written."""
    yield from ()
