"""What `engine.ports.Voice` promises, asked of the fake and of RHVoice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.domain.errors import VoiceFailed
from engine.ports import Voice
from engine.speech.engines import find_engines
from engine.speech.voice import SpokenVoice
from tests.fakes.voice import FakeVoice

RHVOICE = Path(__file__).parents[2] / ".cache/rhvoice"


@pytest.fixture(params=["fake", "real"])
async def voice(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Voice]:
    if request.param == "fake":
        yield FakeVoice()
        return
    if not (engines := find_engines(RHVOICE)):
        pytest.skip("no speech engine: run asterisk/fetch.py voices --into .cache/rhvoice")
    async with SpokenVoice(engines, tmp_path).open() as speaking:
        yield speaking


async def test_same_text_is_same_sound(voice: Voice) -> None:
    once = await voice.speak("Заявка принята.")
    assert once.startswith("sound:/")
    assert await voice.speak("Заявка принята.") == once


async def test_same_words_are_same_sound(voice: Voice) -> None:
    assert await voice.speak("ул. Ленина,  д. 15") == await voice.speak("улица Ленина, дом пятнадцать")


async def test_other_text_is_other_sound(voice: Voice) -> None:
    one, other = await asyncio.gather(voice.speak("Нажмите семь."), voice.speak("Нажмите восемь."))
    assert one != other


async def test_another_language_is_spoken_somehow(voice: Voice) -> None:
    assert await voice.speak("Press one.", language="en")


@pytest.mark.parametrize("text", ["", "  ", "…!"])
async def test_nothing_to_say(voice: Voice, text: str) -> None:
    with pytest.raises(VoiceFailed):
        await voice.speak(text)
