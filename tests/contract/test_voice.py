"""What `engine.ports.Voice` promises, asked of the fake and of RHVoice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.domain.errors import VoiceFailed
from engine.ports import Sound, Voice
from engine.speech.engines import RHVoice, find_engines
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


async def test_english_is_spoken_by_an_english_voice(tmp_path: Path) -> None:
    """And a Russian address amid it by the Russian one, not left out."""
    engines = find_engines(RHVOICE)
    if not any(isinstance(engine, RHVoice) and "en" in engine.languages for engine in engines):
        pytest.skip("no English voice: run `make english`")
    async with SpokenVoice(engines, tmp_path).open() as speaking:
        assert speaking.speaks("en")
        said = [
            await speaking.speak(text, "en")
            for text in ("Your address:", "Your address: улица Ленина, дом пятнадцать.")
        ]
        russian = await speaking.speak("Your address:", "ru")
    english, mixed = (_seconds(sound) for sound in said)
    assert english > 0.5
    assert mixed > english + 1.0
    assert _bytes(said[0]) != _bytes(russian)


def _bytes(said: Sound) -> bytes:
    return Path(said.removeprefix("sound:") + ".wav").read_bytes()


def _seconds(said: Sound) -> float:
    return len(_bytes(said)) / 16_000
