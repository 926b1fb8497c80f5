"""Who has said that they are out of coverage, whichever ticket they said it on. Kept fresh by the service; asked at every step."""

from __future__ import annotations

from datetime import datetime

from engine.domain.events import NoCoverage


class Absences:
    """The last word of each person, by company."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], NoCoverage] = {}

    def note(self, company: str, said: NoCoverage) -> None:
        """Somebody of the company has said it; an older word does not undo a newer one."""
        known = self._said.get((company, said.contact))
        if known is None or said.at >= known.at:
            self._said[company, said.contact] = said

    def of(self, company: str, contact: str, now: datetime) -> NoCoverage | None:
        """What holds now for this person."""
        said = self._said.get((company, contact))
        return said if said is not None and said.until > now else None
