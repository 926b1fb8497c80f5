"""Every question that the hotline can put to a caller whom nobody knows, found by walking its dialogue itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from engine.domain import dialogue_moves as m
from engine.domain.company import Company
from engine.domain.dialogue import talk
from engine.domain.wording_hotline import words

Way = tuple[str, ...]
MESSAGE = "message"
MOST_CHOICES = 5


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question (or the message), and the shortest way of keys to it: one answer after another."""

    question: str
    way: Way
    number_told: bool
    """Whether the caller has heard the ticket's number by the time of the way's last answer."""
    choices: Sequence[str]

    @property
    def answers(self) -> int:
        """How many questions were answered on the way: a message is none."""
        return sum(keys != "#" for keys in self.way)


def prompts(company: Company) -> dict[str, Prompt]:
    """By question. One of the levels of the ordinary menu stands for all of them."""
    now = datetime.now(UTC)
    setting = m.Setting(words("ru"), company, 1, now, now)
    found: dict[str, Prompt] = {}
    ahead: list[Way] = [()]
    while ahead:
        prompt = _after(setting, ahead.pop(0))
        if prompt is None or prompt.question in found or prompt.question.startswith("cause.o."):
            continue
        found[prompt.question] = prompt
        ahead += [(*prompt.way, choice) for choice in prompt.choices]
    return found


def _after(setting: m.Setting, way: Way) -> Prompt | None:
    """What comes when those keys have answered the questions before it; None: nothing that they can be pressed for."""
    dialogue, heard, left, told, told_then = talk(setting), None, list(way), False, False
    while True:
        try:
            move = dialogue.send(heard)
        except StopIteration:
            return None
        heard = None
        match move:
            case m.TakeMessage() if not left:
                return Prompt(MESSAGE, way, told_then, ["#"])
            case m.Ask() if not left:
                return Prompt(move.question, way, told_then, move.keys[:MOST_CHOICES])
            case m.AskDigits() if not left:
                return Prompt(move.question, way, told_then, ["42#"])
            case m.Ask() | m.AskDigits():
                heard, told_then = left.pop(0).rstrip("#"), told
            case m.TakeMessage():
                left.pop(0)
            case m.TellNumber():
                told = True
            case m.LookAtMeters():
                heard = m.Meters(setting.company.meters_of(move.house, move.flat))
            case m.LookUp():
                heard = m.Found()
            case m.HandOver():
                return None
