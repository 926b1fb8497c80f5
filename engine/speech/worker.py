"""The synthesis worker (`python -m engine.speech.worker`): a text and an engine in, an 8 kHz WAV on disk out."""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import urllib.request
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.speech.sound import read_wav, telephone
from engine.workers import Answer, Errand, serve

_PROGRAM_SECONDS = 60.0  # the caller's own time-out is shorter; this one keeps a lost program from living on
Samples = tuple[NDArray[np.int16], int]


def render(errand: Errand) -> Answer:
    """Say `text` (in `language`) with `engine` and write the sound to the file `into`."""
    engine = errand["engine"]
    text = str(errand["text"])
    match engine["kind"]:
        case "rhvoice":
            samples, rate = _rhvoice(engine["prefix"]).say(text, engine["voice"], engine["rate"])
        case "program":
            samples, rate = _program(engine["command"], engine["template"], text)
        case "service":
            samples, rate = _service(engine, text, errand["language"])
        case kind:
            raise ValueError(f"no such engine: {kind}")
    wav = telephone(samples, rate)
    with Path(errand["into"]).open("wb") as file:
        file.write(wav)
        file.flush()
        os.fsync(file.fileno())  # it gets its name next, and must not be found empty after a power cut
    return {"bytes": len(wav)}


class _RHVoice:
    """The RHVoice library, loaded once; it calls back with samples while it speaks."""

    def __init__(self, prefix: Path) -> None:
        from rhvoice_wrapper.rhvoice_proxy import Engine  # loads a C++ library, into this process alone

        for library in ("libsonic.so.0", "libRHVoice_core.so.7"):  # in case the prefix was not patched
            if (path := prefix / "lib" / library).exists():
                ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        self._chunks: list[bytes] = []
        self._rate = 24_000
        self._engine = Engine(lib_path=str(prefix / "lib/libRHVoice.so.5"))
        self._engine.init(
            self._heard, self._rated, data_path=str(prefix / "data"), config_path=str(prefix / "config")
        )

    def _heard(self, samples: Any, count: int, *_: Any) -> bool:
        self._chunks.append(ctypes.string_at(samples, count * 2))
        return True

    def _rated(self, rate: int, *_: Any) -> bool:
        self._rate = rate
        return True

    def say(self, text: str, voice: str, relative_rate: float) -> Samples:
        if not set(voice.lower().split("+")) <= set(self._engine.voices):
            raise ValueError(f"RHVoice has no voice {voice}; it has {', '.join(self._engine.voices)}")
        self._chunks.clear()
        self._engine.set_params(voice_profile=voice, relative_rate=relative_rate)
        self._engine.generate(text)
        return np.frombuffer(b"".join(self._chunks), dtype="<i2"), self._rate


@lru_cache(maxsize=1)
def _rhvoice(prefix: str) -> _RHVoice:
    return _RHVoice(Path(prefix))


def _program(command: list[str], template: str, text: str) -> Samples:
    said = template.replace("{quoted}", _scheme_string(text)).replace("{text}", text)
    done = subprocess.run(  # noqa: S603 - the administrator's own configuration names it
        command, input=said.encode(), capture_output=True, timeout=_PROGRAM_SECONDS, check=False
    )
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"{command[0]} exited with {done.returncode}: {' '.join(last)}")
    return read_wav(done.stdout)


def _scheme_string(text: str) -> str:
    """Text for festival, which gives up at any sign that it does not know, and at a comma that follows no word."""
    known = re.sub(r"[^\w\s.,!?:;-]|_|(?<!\w)-|-(?!\w)", " ", text)
    words = " ".join(re.sub(r"\s+([.,!?:;])", r"\1", known).split())
    return '"' + words.lstrip(" .,!?:;") + '"'


def _service(engine: dict[str, Any], text: str, language: str) -> Samples:
    if not engine["url"].startswith(("http://", "https://")):
        raise ValueError("a speech service needs an http:// or https:// address")
    body: str = engine["body"]
    if body != "{text}":  # a JSON template: what is put in must be quoted as JSON
        text = json.dumps(text, ensure_ascii=False)[1:-1]
    body = body.replace("{language}", language).replace("{text}", text)
    request = urllib.request.Request(  # noqa: S310 - checked above
        engine["url"], body.encode(), engine["headers"], method="POST"
    )
    with urllib.request.urlopen(request, timeout=_PROGRAM_SECONDS) as answer:  # noqa: S310 - likewise
        return read_wav(answer.read())


if __name__ == "__main__":
    serve(render)
