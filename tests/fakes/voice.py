"""A voice that makes no sound but knows what each of its sounds says, so that a test can ask what a leg heard."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable

from engine.domain.errors import VoiceFailed
from engine.domain.spoken import spoken
from engine.ports import Sound


class FakeVoice:
    """Fulfils `engine.ports.Voice`. Set `broken` to make it fail, `seconds` to make each new text take time (the loop's)."""

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.broken = False
        self.asked: list[str] = []
        """Every text that was asked for, in order, as it was given."""
        self.languages: dict[Sound, str] = {}
        """In which language each sound was asked for."""
        self._texts: dict[Sound, str] = {}

    async def speak(self, text: str, language: str = "ru") -> Sound:
        self.asked.append(text)
        words = spoken(text) if language == "ru" else " ".join(text.split())
        if self.broken or not any(letter.isalnum() for letter in words):
            raise VoiceFailed("the fake voice was told to fail, or had nothing to say")
        sound = Sound(f"sound:/fake/{hashlib.sha256(f'{language} {words}'.encode()).hexdigest()[:32]}")
        self.languages[sound] = language
        if sound not in self._texts:
            if self.seconds:
                await asyncio.sleep(self.seconds)
            self._texts[sound] = text
        return sound

    async def prepare(self, texts: Iterable[str], language: str = "ru") -> int:
        return len([await self.speak(text, language) for text in texts])

    def says(self, sound: Sound) -> str:
        """The text that a sound says. Raises `KeyError` for a sound that this voice did not make."""
        return self._texts[sound]

    def heard(self, sounds: Iterable[Sound]) -> list[str]:
        """What somebody heard to whom these sounds were played; what is no speech (a tone) as its URI."""
        return [self._texts.get(sound, sound) for sound in sounds]
