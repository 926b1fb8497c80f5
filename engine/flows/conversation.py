"""Say, ask, listen: every spoken thing goes through here."""

from __future__ import annotations

import asyncio
from collections import deque

import structlog

from engine.domain.errors import HungUp, VoiceFailed
from engine.domain.wording import WRONG_KEY
from engine.ports import Leg, Sound, Voice

log = structlog.get_logger()

VOICE_SECONDS = 5.0
"""A sentence that is not rendered by then is left out: better a gap than a silent line."""
DIGITS_WAIT_SECONDS = 7.0
"""How long the first digit of a number is waited for."""
DIGIT_GAP_SECONDS = 4.0
"""A longer pause ends the number, for those who forget the hash."""
WRONG = {"en": "There is no such choice."}


class Conversation:
    """A talk on one leg. Everything raises `HungUp` as soon as the far end is gone and the keys that it pressed are heard."""

    def __init__(self, leg: Leg, voice: Voice, language: str = "ru") -> None:
        self.leg, self._voice, self._language = leg, voice, language
        self._kept: deque[str] = deque()

    async def say(self, *parts: str) -> None:
        """Say the parts to their end. Keys pressed meanwhile are kept for the next question."""
        await self.leg.play(*await self._sounds(parts))

    async def introduce(self, *parts: str) -> bool:
        """Say what comes before a question. False if the far end hung up over it, but pressed a key first: the question will find it."""
        try:
            await self.say(*parts)
        except HungUp:
            if not await self.pressed_early():
                raise
            return False
        return True

    async def ask(self, *parts: str, keys: str, wait: float, times: int = 1) -> str | None:
        """Say the parts and wait for one of `keys`; a key is heard at any moment, also before and during the question.

        A key that means nothing here is answered aloud and the question is put again. None if `times` askings, with `wait` seconds of
        silence after each, brought no key that means something.
        """
        sounds = await self._question(parts)
        for _ in range(times):
            key = await self._play_until_key(sounds, wait)
            if key is not None and key in keys:
                return key
            if key is not None:
                await self.say(WRONG.get(self._language, WRONG_KEY))
        return None

    async def ask_digits(self, *parts: str, most: int, times: int = 2) -> str | None:
        """Say the parts and take a number: up to the hash, `most` digits, or a pause. «» is the hash alone, None silence."""
        sounds = await self._question(parts)
        for _ in range(times):
            key = await self._play_until_key(sounds, DIGITS_WAIT_SECONDS)
            if key is None:
                continue
            digits = ""
            while key is not None and key != "#":
                digits = "" if key == "*" else digits + key  # the star begins anew
                if len(digits) == most:
                    break
                key = await self._key(DIGIT_GAP_SECONDS)
            return "".join(digit for digit in digits if digit.isdigit())
        return None

    async def pressed_early(self) -> bool:
        """Whether a key waits that was pressed before it could be asked for. It is kept for the next question."""
        if not self._kept and (key := await self.leg.key(0.0)) is not None:
            self._kept.append(key)
        return bool(self._kept)

    async def listen(self, seconds: float, end_keys: str) -> str | None:
        """Let the far end speak (the leg is recorded) until one of `end_keys` or for `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    key = await self._key(seconds)
                    if key is not None and key in end_keys:
                        return key
        except TimeoutError:
            return None

    async def _play_until_key(self, sounds: tuple[Sound, ...], wait: float) -> str | None:
        """Play; a key stops the sound (barge-in). After its end, `wait` seconds more."""
        playing = asyncio.create_task(self.leg.play(*sounds), name=f"play {self.leg.id}")
        try:
            pressed = asyncio.create_task(self._key(3600.0), name=f"key {self.leg.id}")
            try:
                await asyncio.wait({playing, pressed}, return_when=asyncio.FIRST_COMPLETED)
                if not pressed.done():
                    await playing
                    await asyncio.wait({pressed}, timeout=wait)
                return pressed.result() if pressed.done() else None
            finally:
                await _cancelled(pressed)
        finally:
            await _cancelled(playing)

    async def _question(self, parts: tuple[str, ...]) -> tuple[Sound, ...]:
        """Its sounds; none for who pressed a key and hung up before we came to ask."""
        try:
            return await self._sounds(parts)
        except HungUp:
            if not await self.pressed_early():
                raise
            return ()

    async def _key(self, timeout: float) -> str | None:
        return self._kept.popleft() if self._kept else await self.leg.key(timeout)

    async def _sounds(self, parts: tuple[str, ...]) -> tuple[Sound, ...]:
        """The parts as sounds; one that cannot be spoken is left out, loudly logged. A hang-up is noticed however slow the voice is."""
        speaking = asyncio.create_task(self._speak_all(parts), name=f"speak {self.leg.id}")
        gone = asyncio.create_task(self.leg.ended(), name=f"end of {self.leg.id}")
        try:
            await asyncio.wait({speaking, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise HungUp(gone.result())
            return speaking.result()
        finally:
            await _cancelled(speaking)
            await _cancelled(gone)

    async def _speak_all(self, parts: tuple[str, ...]) -> tuple[Sound, ...]:
        spoken = await asyncio.gather(*(self._speak(part) for part in parts))
        return tuple(sound for sound in spoken if sound is not None)

    async def _speak(self, part: str) -> Sound | None:
        try:
            async with asyncio.timeout(VOICE_SECONDS):
                return await self._voice.speak(part, "ru" if _only_russian(part) else self._language)
        except (VoiceFailed, TimeoutError) as error:
            log.error("a sentence could not be spoken and is left out", words=part[:40], error=repr(error))
            return None


async def until_one_leaves(*legs: Leg, seconds: float) -> None:
    """Wait until one of those who talk with each other is gone, or for so long at most."""
    gone = [asyncio.create_task(leg.ended(), name=f"bridged {leg.id}") for leg in legs]
    try:
        await asyncio.wait(gone, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)


async def _cancelled(task: asyncio.Task[object]) -> None:
    """End a helper task and wait until it is gone, without its result."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # seen; what mattered was raised where it was awaited


def _only_russian(part: str) -> bool:
    """What has no words in the talk's language: an operator's sentence, a cause without a translation."""
    return any("а" <= letter <= "я" for letter in part.lower()) and not any(
        "a" <= letter <= "z" for letter in part.lower()
    )
