"""The spoken voice: real synthesis, its cache, and what happens when an engine dies, hangs or lies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from engine.domain.errors import VoiceFailed
from engine.ports import Sound
from engine.speech import sound, voice
from engine.speech.engines import Program, RHVoice, Service, find_engines
from engine.speech.voice import SpokenVoice
from engine.speech.worker import _scheme_string

RHVOICE = Path(__file__).parents[2] / ".cache/rhvoice"
ROBOCALL = (
    "Аварийная заявка 1-0-2-4. Прорыв стояка. Улица Ленина, дом 15, квартира 42. Чтобы принять, нажмите семь."
)

TONE = """
import sys, wave, numpy
text = sys.stdin.read()
tone = (numpy.sin(numpy.arange(16000 * 2) * 2 * 3.14159 * 440 / 16000) * 9000).astype("<i2")
with wave.open(sys.stdout.buffer, "wb") as out:
    out.setnchannels(1); out.setsampwidth(2); out.setframerate(16000); out.writeframes(tone.tobytes())
"""
COUNTED = "import os; open(sys.argv[1], 'a').write('x')"


def program(name: str, source: str, *arguments: str) -> Program:
    return Program(name, (sys.executable, "-c", "import sys\n" + source, *arguments))


def file_of(said: Sound) -> Path:
    return Path(said.removeprefix("sound:") + ".wav")


def samples(said: Sound) -> tuple[np.ndarray, wave._wave_params]:
    with wave.open(str(file_of(said))) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getparams()


@pytest.fixture
def rhvoice() -> RHVoice:
    found = [
        engine for engine in find_engines(RHVOICE) if isinstance(engine, RHVoice) and "ru" in engine.languages
    ]
    if not found:
        pytest.skip("no RHVoice: run asterisk/fetch.py voices --into .cache/rhvoice")
    return found[0]


async def test_rhvoice_renders_for_the_telephone(rhvoice: RHVoice, tmp_path: Path) -> None:
    async with SpokenVoice([rhvoice], tmp_path).open() as speaking:
        pcm, params = samples(await speaking.speak(ROBOCALL))
    assert (params.nchannels, params.sampwidth, params.framerate) == (1, 2, 8000)
    assert 6 < params.nframes / 8000 < 14
    peak = 20 * np.log10(np.abs(pcm).max() / 32768)
    speech = pcm[np.abs(pcm) > 100].astype(float)
    rms = 20 * np.log10(np.sqrt((speech**2).mean()) / 32768)
    assert peak <= -2.9
    assert -23 < rms < -17
    assert np.abs(pcm).max() < 32767, "clipped"
    assert not pcm[: int(0.14 * 8000)].any()
    assert pcm[: int(0.25 * 8000)].any(), "the lead is longer than what was asked for"


async def test_second_time_is_found_even_by_another_voice(rhvoice: RHVoice, tmp_path: Path) -> None:
    async with SpokenVoice([rhvoice], tmp_path).open() as speaking:
        first = await speaking.speak("Принято. Заявка за вами.")
    async with SpokenVoice([rhvoice], tmp_path).open() as speaking:
        inode = file_of(first).stat().st_ino
        assert await speaking.speak("Принято. Заявка за вами.") == first
        assert file_of(first).stat().st_ino == inode, "it was rendered again"


async def test_one_text_is_rendered_once_at_a_time(tmp_path: Path) -> None:
    count = tmp_path / "count"
    engine = program("counting", COUNTED + TONE, str(count))
    async with SpokenVoice([engine], tmp_path / "sounds").open() as speaking:
        assert len(set(await asyncio.gather(*(speaking.speak("раз") for _ in range(20))))) == 1
    assert count.read_text() == "x"


async def test_a_cancelled_caller_leaves_the_rendering_to_go_on(tmp_path: Path) -> None:
    count = tmp_path / "count"
    engine = program("counting", COUNTED + TONE, str(count))
    async with SpokenVoice([engine], tmp_path / "sounds").open() as speaking:
        gone = asyncio.create_task(speaking.speak("раз"))
        await asyncio.sleep(0)
        gone.cancel()
        await speaking.speak("раз")
    assert count.read_text() == "x"


async def test_the_next_engine_takes_over(tmp_path: Path) -> None:
    broken = program("broken", "print('no', file=sys.stderr); sys.exit(3)")
    silent = program("silent", TONE.replace("9000", "0"))
    async with SpokenVoice([broken, silent, program("tone", TONE)], tmp_path).open() as speaking:
        pcm, _ = samples(await speaking.speak("что-нибудь"))
    assert 2.0 < len(pcm) / 8000 < 2.5


async def test_when_every_engine_fails_each_is_named(tmp_path: Path) -> None:
    broken = program("broken", "print('no such voice', file=sys.stderr); sys.exit(3)")
    liar = program("liar", "print('this is no sound')")
    async with SpokenVoice([broken, liar], tmp_path).open() as speaking:
        with pytest.raises(VoiceFailed, match=r"broken: .*no such voice.*liar: .*not a WAV"):
            await speaking.speak("что-нибудь")


async def test_an_engine_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "RENDER_SECONDS", 4.0)  # within which a worker starts even on a busy machine
    hangs = program("hangs", "import time; time.sleep(600)")
    async with SpokenVoice([hangs, program("tone", TONE)], tmp_path, processes=1).open() as speaking:
        assert await speaking.speak("раз")


async def test_an_engine_that_failed_twice_is_passed_over_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = tmp_path / "count"
    broken = program("broken", COUNTED + "; sys.exit(1)", str(count))
    async with SpokenVoice([broken, program("tone", TONE)], tmp_path / "sounds").open() as speaking:
        for text in ("раз", "два", "три", "четыре"):
            await speaking.speak(text)
        assert count.read_text() == "xx"
        monkeypatch.setattr(voice, "PASS_OVER_SECONDS", 0.0)
        await speaking.speak("пять")
        assert count.read_text() == "xxx"


async def test_a_worker_that_died_is_replaced(tmp_path: Path, rhvoice: RHVoice) -> None:
    async with SpokenVoice([rhvoice], tmp_path, processes=1).open() as speaking:
        await speaking.speak("раз")
        os.kill(worker(), signal.SIGKILL)
        assert await speaking.speak("два")


async def test_a_crash_in_the_library_takes_only_its_worker(tmp_path: Path) -> None:
    crashing = program("crashing", "import os; os.kill(os.getppid(), 11)")
    async with SpokenVoice([crashing, program("tone", TONE)], tmp_path).open() as speaking:
        assert await speaking.speak("раз")


def worker() -> int:
    """The pid of this process's synthesis worker."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return next(
        int(pid) for pid in listed if b"engine.speech.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )


async def test_a_call_goes_before_the_preparation(tmp_path: Path) -> None:
    slow = program("slow", "import time; time.sleep(0.1)" + TONE)
    async with SpokenVoice([slow], tmp_path, processes=1).open() as speaking:
        preparing = asyncio.create_task(speaking.prepare([f"текст {n}" for n in range(10)]))
        await asyncio.sleep(0)
        await speaking.speak("срочно")
        assert not preparing.done()
        assert await preparing == 10


async def test_no_engine_says_what_to_do(tmp_path: Path) -> None:
    async with SpokenVoice([], tmp_path).open() as speaking:
        with pytest.raises(VoiceFailed, match=r"fetch\.py voices"):
            await speaking.speak("раз")


def test_eviction_spares_what_was_used_lately(tmp_path: Path) -> None:
    now = time.time()
    for age in range(5):
        file = tmp_path / f"{age}.wav"
        file.write_bytes(bytes(1000))
        os.utime(file, (now - age * 3000, now - age * 3000))
    assert voice.evict(tmp_path, limit=0, now=now) == 3000
    assert sorted(file.stem for file in tmp_path.iterdir()) == ["0", "1"]
    assert voice.evict(tmp_path, limit=5000, now=now + 9999) == 0


def test_a_streamed_header_does_not_mislead(tmp_path: Path) -> None:
    pcm = np.arange(-4000, 4000, dtype="<i2").tobytes()
    wav = bytearray(sound.write_wav(pcm, 24_000))
    wav[40:44] = (0x0FFFFFFF).to_bytes(4, "little")  # 5,592 s, as the wrapper writes it
    read, rate = sound.read_wav(bytes(wav))
    assert (len(read), rate) == (8000, 24_000)


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        ('Улица "Ленина" , дом (два).', '"Улица Ленина, дом два."'),
        ("кто-то — «там»; 50 %", '"кто-то там; 50"'),
        (', так \\"', '"так"'),
    ],
)
def test_what_festival_is_told(text: str, scheme: str) -> None:
    assert _scheme_string(text) == scheme


async def test_an_http_service_speaks(tmp_path: Path) -> None:
    asked: list[tuple[str | None, bytes]] = []

    async def say(request: web.Request) -> web.Response:
        asked.append((request.headers.get("Authorization"), await request.read()))
        return web.Response(
            body=sound.write_wav((np.sin(np.arange(8000) / 3) * 9000).astype("<i2").tobytes(), 16_000)
        )

    app = web.Application()
    app.router.add_post("/say", say)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        address = f"http://127.0.0.1:{runner.addresses[0][1]}/say"
        body = '{"text": "{text}", "lang": "{language}"}'
        service = Service("service", address, body, {"Authorization": "Bearer x"})
        async with SpokenVoice([service], tmp_path).open() as speaking:
            pcm, params = samples(await speaking.speak('«Ленина» "5"'))
    finally:
        await runner.cleanup()
    assert params.framerate == 8000
    assert 0.5 < len(pcm) / 8000 < 1.0
    ((authorization, said),) = asked
    assert authorization == "Bearer x"
    assert json.loads(said) == {"text": '«Ленина» "пять"', "lang": "ru"}
