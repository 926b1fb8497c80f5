"""Legs, and whoever rings and joins them; the voice that speaks on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NewType, Protocol

from engine.domain.model import Outcome

Sound = NewType("Sound", str)
"""A media URI that Asterisk can play: «sound:/absolute/path/without/extension», «tone:…»."""


class Cause(IntEnum):
    """The Q.850 hang-up causes that we send, and those of a leg that broke off, or whose end nobody saw (Asterisk died, or its
    events were missed)."""

    NORMAL = 16
    BUSY = 17
    ANSWERED_ELSEWHERE = 26
    CONGESTION = 34
    LOST = 41
    NO_SOUND = 44
    """Nothing was heard of the far end for so long that Asterisk gave the leg up."""


EndedBy = Literal["caller", "us", "network"]
"""Whose doing the end of a leg was."""


class DialFailed(Exception):
    """The dialled leg never came up. `outcome` says how; `cause` is Q.850, `tech_cause` the SIP status, where known."""

    def __init__(self, outcome: Outcome, cause: int | None = None, tech_cause: int | None = None) -> None:
        super().__init__(f"dial ended: {outcome} (Q.850 {cause}, SIP {tech_cause})")
        self.outcome, self.cause, self.tech_cause = outcome, cause, tech_cause


class Leg(Protocol):
    """One party's channel, as long as it lives. Every awaitable raises `HungUp` promptly once the far end is gone.

    Used as `async with leg:`, it is ended on leaving the block, whatever happened in it.
    """

    @property
    def id(self) -> str:
        """The Asterisk channel's id; it names the recording and, for a dialled leg, is the attempt's id."""
        ...

    @property
    def number(self) -> str | None:
        """The far end's number, E.164 if it could be read so; None if withheld."""
        ...

    @property
    def did(self) -> str | None:
        """The number that was dialled to reach us; None for a leg that we dialled."""
        ...

    @property
    def adopted(self) -> bool:
        """Whether the leg was already up when this engine met it (a restart): answered and recording since before."""
        ...

    @property
    def answered(self) -> bool:
        """Whether the leg is up."""
        ...

    @property
    def hung_up(self) -> int | None:
        """The Q.850 cause once the far end is gone, else None."""
        ...

    @property
    def ended_by(self) -> EndedBy:
        """Who ended the leg: `caller` is its far end; `network` that its sound broke off, or that nobody saw it end; else `us`."""
        ...

    async def answer(self) -> None:
        """Answer; returns when the leg is up. On a leg that is up already: nothing."""
        ...

    async def play(self, *sounds: Sound) -> None:
        """Play the sounds one after the other to their end. Cancelling stops the sound at once (barge-in)."""
        ...

    async def key(self, timeout: float) -> str | None:
        """The next key (0-9 * # A-D), those pressed earlier first; None after `timeout` seconds without one."""
        ...

    def forget_keys(self) -> None:
        """Drop the keys pressed so far and not yet asked for."""
        ...

    async def ended(self) -> int:
        """Wait until the far end is gone; returns the Q.850 cause. (The one awaitable that does not raise `HungUp`.)"""
        ...

    async def machine(self) -> str | None:
        """Listen beside whatever else happens on the leg: why the far end is taken for a machine, None if it is not. Takes seconds.

        A hint: silence is taken for a machine too. Never raises for a leg that ended.
        """
        ...

    async def hang_up(self, cause: Cause = Cause.NORMAL) -> None:
        """End the leg. Twice, or after the far end did: nothing."""
        ...

    async def hand_over(self) -> None:
        """Give an inbound leg to the dialplan's fallback, which records and rings by itself. It is not ours any more, nor ended by us."""
        ...

    async def __aenter__(self) -> Leg: ...

    async def __aexit__(self, *error: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Dial:
    """One call out. `attempt` becomes the channel's id; `caller_id` is our own number; `trunk` counts from the preferred one (modulo)."""

    attempt: str
    number: str
    ring_seconds: float
    caller_id: str | None = None
    trunk: int = 0
    company: str | None = None
    """Names the folder of the recording."""
    phone: str | None = None
    """A desk phone that registers with us, by its name: it is rung, and no trunk; `number` is then not dialled."""
    caller_name: str | None = None
    """What the phone shows beside `caller_id`; trunks may drop it."""


class Telephony(Protocol):
    """Asterisk, seen from a flow."""

    def inbound(self) -> AsyncIterator[Leg]:
        """Every leg that comes in, in order, and each one found alive after a restart (`adopted`). One consumer: `app`."""
        ...

    def dial(self, dial: Dial) -> AbstractAsyncContextManager[Leg]:
        """Ring a number; the block begins when it answers (its recording has begun) and ends the leg on leaving.

        Raises `DialFailed` with the outcome, `AttemptExists` if that channel id is up already, `TelephonyAway`.
        Cancelled while ringing: the ringing stops, with «answered elsewhere».
        """
        ...

    def adopt(self, attempt: str) -> Leg | None:
        """The answered leg of a dial that an earlier engine left behind, alive; None if there is none."""
        ...

    async def hang_up(self, channel: str, cause: Cause = Cause.NORMAL) -> None:
        """End a channel by id, whoever owns it. Already gone: nothing. Raises `TelephonyAway`."""
        ...

    async def alive(self) -> frozenset[str]:
        """The ids of all channels that are up or ringing now. Raises `TelephonyAway`."""
        ...

    def bridge(self, one: Leg, other: Leg, *more: Leg) -> AbstractAsyncContextManager[None]:
        """Let the legs talk to each other while the block lasts.

        Legs that an earlier engine had put together, and that are together still, are left so: they notice nothing.
        """
        ...


class Voice(Protocol):
    """Turns text into speech."""

    async def speak(self, text: str, language: str = "ru") -> Sound:
        """A sound that says `text`; rendered once and then found by its text. Raises `VoiceFailed`."""
        ...
