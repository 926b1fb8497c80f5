"""What a scripted person does when the phone rings, as data.

A `Script` is one call's behaviour, written as it is read::

    anna.rings(0.5).answers().hears(1.0).presses_accept_key()
    boris.busy().then.answers(after=2).presses("2").hangs_up()

`then` begins the behaviour for the following call; the last one repeats for every further call, unless it ends in
`no_more()`. A script whose steps run out stays on the line, like a person who listens, until the other side hangs up.
Scripts hold no state of a call, so one can be set before the call and changed between calls. Durations are seconds.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

BUSY, DECLINED, NOT_FOUND, UNAVAILABLE, OK = 486, 603, 404, 480, 200

DEFAULT_RING_SECONDS = 0.1
FOR_EVER = float("inf")
HEARING_SECONDS = 20.0
"""How long a person waits to hear what the script says they hear, before that is an error."""


@dataclass(frozen=True, slots=True)
class Ring:
    """180 Ringing for at least `seconds`; without a final step after it: for ever."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Refuse:
    """A final answer other than 200."""

    code: int


@dataclass(frozen=True, slots=True)
class Ignore:
    """No SIP answer at all: a dead phone, a lost network."""


@dataclass(frozen=True, slots=True)
class Answer:
    """200 OK."""


@dataclass(frozen=True, slots=True)
class Meet:
    """Wait until everybody of a meeting has come as far: what follows happens in the same moment."""

    meeting: asyncio.Barrier
    timeout: float


@dataclass(frozen=True, slots=True)
class Hear:
    """Wait until `what` was heard: seconds of speech, a prompt's WAV, or a text whose prompt the network looks up."""

    what: float | Path | str
    timeout: float


@dataclass(frozen=True, slots=True)
class HearPause:
    """Wait until something was heard and then nothing for `seconds`: the other side has stopped speaking."""

    seconds: float
    timeout: float


@dataclass(frozen=True, slots=True)
class Press:
    """Keys one after another; the first after `after`, each next one after `gap`."""

    keys: str
    after: float
    gap: float
    info: bool


@dataclass(frozen=True, slots=True)
class PressAcceptKey:
    """The key that this very call draws; the network is asked for it when the step is reached."""

    after: float
    info: bool


@dataclass(frozen=True, slots=True)
class Say:
    """Play a WAV into the call, to its end."""

    wav: Path


@dataclass(frozen=True, slots=True)
class Hold:
    """Stay on the line for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class HangUp:
    """BYE."""


@dataclass(frozen=True, slots=True)
class NoMore:
    """This call should not have come: it is refused and counted as unexpected."""


Step = (
    Ring
    | Refuse
    | Ignore
    | Answer
    | Meet
    | Hear
    | HearPause
    | Press
    | PressAcceptKey
    | Say
    | Hold
    | HangUp
    | NoMore
)


class TakesCalls(ABC):
    """The verbs that say how a call is taken. On a phone they begin a new script, on a script they go on with it."""

    @abstractmethod
    def _open(self) -> Script:
        """The script that a verb goes into."""

    def rings(self, seconds: float = DEFAULT_RING_SECONDS) -> Script:
        """180 for `seconds` before whatever comes next."""
        return self._open()._add(Ring(seconds))

    def rings_out(self) -> Script:
        """180 and never an answer."""
        return self._open()._ringing()._add(Ring(FOR_EVER))

    def answers(self, after: float = 0.0) -> Script:
        """Rings, then 200 after `after` more seconds."""
        return self._open()._ringing(after)._add(Answer())

    def busy(self) -> Script:
        """486 Busy Here."""
        return self.rejects(BUSY)

    def declines_call(self, after: float = 0.0) -> Script:
        """Rings, then 603 Decline: the red button."""
        return self._open()._ringing(after)._add(Refuse(DECLINED))

    def rejects(self, code: int) -> Script:
        """Any final SIP code from 300 to 699, at once (or after `rings()`)."""
        if not 300 <= code <= 699:
            raise ValueError(f"a refusal is a code from 300 to 699, not {code}")
        return self._open()._add(Refuse(code))

    def silent(self) -> Script:
        """No response of any kind, not even 100: the phone is switched off and nobody tells."""
        return self._open()._add(Ignore())

    def no_more(self) -> Script:
        """A call that takes this script is an error of the test's subject."""
        return self._open()._add(NoMore())


class Script(TakesCalls):
    """The steps of one call, and a link to the script of the next one.

    Every verb appends a step and gives the script back. A verb that cannot follow (`presses` before `answers`, anything after
    `busy` or `hangs_up`) raises `ValueError`.
    """

    def __init__(self) -> None:
        self.steps: tuple[Step, ...] = ()
        self.following: Script | None = None

    def meets(self, meeting: asyncio.Barrier, *, timeout: float = HEARING_SECONDS) -> Script:
        """Wait for whoever else meets there: the next step of each is done in the same moment."""
        return self._add(Meet(meeting, timeout))

    def hears(self, what: float | Path | str = 0.5, *, timeout: float = HEARING_SECONDS) -> Script:
        """Wait for seconds of speech, for a prompt (`Path`), or for a text that the network's `prompts` can speak."""
        return self._add(Hear(what, timeout))

    def hears_pause(self, seconds: float = 0.8, *, timeout: float = HEARING_SECONDS) -> Script:
        """Wait until the other side has spoken and then been quiet for `seconds`."""
        return self._add(HearPause(seconds, timeout))

    def presses(self, keys: str, *, after: float = 0.0, gap: float = 0.3, info: bool = False) -> Script:
        """Keys `0`–`9 * # A`–`D`, by RFC 4733, or by SIP INFO when `info`. `after=0` is an early key."""
        if not keys or set(keys) - set("0123456789*#ABCD"):
            raise ValueError(f"{keys!r} cannot be pressed: keys are 0-9, *, #, A-D")
        return self._add(Press(keys, after, gap, info))

    def presses_accept_key(self, *, after: float = 0.0, info: bool = False) -> Script:
        """The key that this call asks for, as told by the network's `accept_key`."""
        return self._add(PressAcceptKey(after, info))

    def says(self, wav: Path) -> Script:
        """Speak a WAV file (16-bit PCM) to its end."""
        return self._add(Say(Path(wav)))

    def holds(self, seconds: float) -> Script:
        """Stay on the line."""
        return self._add(Hold(seconds))

    def hangs_up(self, after: float = 0.0) -> Script:
        """BYE, after so many seconds."""
        return (self._add(Hold(after)) if after else self)._add(HangUp())

    @property
    def then(self) -> Script:
        """The script of the following call, to be continued from here."""
        self.following = self.following or Script()
        return self.following

    def _open(self) -> Script:
        return self

    def _ringing(self, after: float = 0.0) -> Script:
        """Ring, unless the script rings already and nothing is to be waited for."""
        if after or not any(isinstance(step, Ring) for step in self.steps):
            return self._add(Ring(after or DEFAULT_RING_SECONDS))
        return self

    def _add(self, step: Step) -> Script:
        last = self.steps[-1] if self.steps else None
        if isinstance(last, (Refuse, Ignore, HangUp, NoMore)) or last == Ring(FOR_EVER):
            raise ValueError(f"{step} cannot follow {last}: the call is over; begin the next one with .then")
        answered = any(isinstance(each, Answer) for each in self.steps)
        taking = isinstance(step, (Ring, Refuse, Ignore, Answer, NoMore))
        if taking == answered and not isinstance(step, Meet):
            state = "after" if answered else "before"
            raise ValueError(f"{step} cannot come {state} the call is answered")
        self.steps += (step,)
        return self

    def __repr__(self) -> str:
        return f"Script{self.steps}"
