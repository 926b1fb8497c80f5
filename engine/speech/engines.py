"""The synthesisers that a voice may use, as values, and how each is found.

RHVoice is the one to have; festival and espeak-ng stand in for it; a program (text on stdin, WAV on stdout) or an HTTP service can be
configured instead.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RHVOICE_VOICE = "elena"
"""Of the voices whose licence allows everything (irina, elena, anna, aleksandr) the one best understood over a telephone line."""

ENGLISH_VOICE = "slt"


@dataclass(frozen=True, slots=True)
class RHVoice:
    """RHVoice in a prefix that has `lib/libRHVoice.so.5`, `data/` and `config/`. «slt+elena» is a voice that has another one speak
    the words of the other language."""

    prefix: Path
    voice: str = RHVOICE_VOICE
    languages: tuple[str, ...] = ("ru",)
    relative_rate: float = 0.95
    """A little slower than by default: it is heard over a bad line by somebody who was asleep."""

    @property
    def name(self) -> str:
        """What it is called in logs, and in the names of cached sounds."""
        return f"rhvoice/{self.voice}@{self.relative_rate}"

    def errand(self) -> dict[str, Any]:
        """What the worker must know about it."""
        return {
            "kind": "rhvoice",
            "prefix": str(self.prefix),
            "voice": self.voice,
            "rate": self.relative_rate,
        }


@dataclass(frozen=True, slots=True)
class Program:
    """Any program: text on stdin (UTF-8), a 16-bit WAV on stdout."""

    name: str
    command: tuple[str, ...]
    languages: tuple[str, ...] = ("ru",)
    template: str = "{text}"
    """What is written to its stdin. «{quoted}» is the text as a string of Scheme, for festival."""

    def errand(self) -> dict[str, Any]:
        """What the worker must know about it."""
        return {"kind": "program", "command": list(self.command), "template": self.template}


@dataclass(frozen=True, slots=True)
class Service:
    """An HTTP service that answers a POST of the text with a 16-bit WAV. «{text}» and «{language}» are replaced in `body` (as JSON)."""

    name: str
    url: str
    body: str = "{text}"
    headers: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    languages: tuple[str, ...] = ("ru", "en")

    def errand(self) -> dict[str, Any]:
        """What the worker must know about it."""
        return {"kind": "service", "url": self.url, "body": self.body, "headers": dict(self.headers)}


Engine = RHVoice | Program | Service

_FESTIVAL = '({voice}) (utt.save.wave (utt.synth (eval (list (quote Utterance) (quote Text) {{quoted}}))) "-" (quote riff))'
_FESTIVAL_VOICES = (("ru", "voice_msu_ru_nsh_clunits"), ("en", "voice_kal_diphone"))


def find_engines(prefix: Path, voice: str = RHVOICE_VOICE) -> Sequence[Engine]:
    """The engines that are there, the best first: those in `prefix` (see `asterisk/fetch.py voices`), then those on the PATH."""
    found: list[Engine] = []
    if (prefix / "lib/libRHVoice.so.5").exists():
        if (
            prefix / "data/voices" / ENGLISH_VOICE
        ).is_dir():  # with the Russian one for Russian words amid the English
            found.append(RHVoice(prefix, f"{ENGLISH_VOICE}+{voice}", ("en",)))
        found.append(RHVoice(prefix, voice))
    if (prefix / "bin/festival").exists():
        libraries = ("--libdir", str(prefix / "festival"))
        found += _festival(str(prefix / "bin/festival"), *libraries, languages=("ru",))
    elif program := shutil.which("festival"):
        voices = Path("/usr/share/festival/voices")
        languages = (("ru", "russian"), ("en", "english"))
        there = tuple(short for short, folder in languages if (voices / folder).is_dir())
        found += _festival(program, languages=there)
    if program := shutil.which("espeak-ng"):
        for language in ("ru", "en"):
            command = (program, "-v", language, "-s", "140", "--stdin", "--stdout")
            found.append(Program(f"espeak-ng/{language}", command, (language,)))
    return found


def _festival(*command: str, languages: tuple[str, ...]) -> list[Engine]:
    return [
        Program(f"festival/{voice}", (*command, "--pipe"), (language,), _FESTIVAL.format(voice=voice))
        for language, voice in _FESTIVAL_VOICES
        if language in languages
    ]
