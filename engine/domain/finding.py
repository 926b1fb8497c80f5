"""A mistake in what a company has written: which, where, and how it is mended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

from engine.domain.mistakes import MISTAKES

Step: TypeAlias = str | int
Path: TypeAlias = tuple[Step, ...]


class Severity(StrEnum):
    """What a finding means for its company."""

    ERROR = "error"
    """Refuses it: what is written cannot be meant."""
    RISK = "risk"
    """It is loaded, but somebody may not be reached; `dozvon check` fails."""
    WARNING = "warning"
    """It is loaded; said for tidiness."""


NOTES = {
    Severity.ERROR: ("", ""),
    Severity.RISK: ("риск: ", "risk: "),
    Severity.WARNING: ("замечание: ", "note: "),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake.

    `code` names its sentence in `MISTAKES`, `words` fill it. The pure floor names the place by `path` (`policies, water, steps, 0`);
    whoever read the file adds file, line and column, both from 1. `about_key` tells that the key is meant, not its value.
    """

    code: str
    path: Path = ()
    words: Mapping[str, object] = field(default_factory=dict)
    severity: Severity = Severity.ERROR
    about_key: bool = False
    file: str = ""
    line: int = 1
    column: int = 1

    def at(self, file: str, line: int, column: int) -> Finding:
        """The same finding, placed."""
        return replace(self, file=file, line=line, column=column)

    @property
    def message(self) -> str:
        """What is wrong, in Russian."""
        return self.say("ru")[0]

    @property
    def mend(self) -> str:
        """What to do, in Russian."""
        return self.say("ru")[1]

    def say(self, language: str = "ru") -> tuple[str, str]:
        """What is wrong and what to do, in `ru` or `en`."""
        sentence = MISTAKES[self.code]
        what, mend = sentence.en if language == "en" else sentence.ru
        return what.format_map(self.words), mend.format_map(self.words)

    def line_of_text(self, language: str = "ru") -> str:
        """`file:line:column: what is wrong; what to do`."""
        what, mend = self.say(language)
        note = NOTES[self.severity][language == "en"]
        return f"{self.file}:{self.line}:{self.column}: {note}{what}; {mend}"

    def __str__(self) -> str:
        return self.line_of_text()
