"""Music on hold: a quiet tune, made once. Whoever wants another one puts a WAV (8 kHz, mono, 16 bit) in its place."""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.speech.sound import RATE, write_wav

BEAT_SECONDS = 0.45
CHORDS = ((57, 60, 64), (53, 57, 60), (48, 52, 55), (55, 59, 62))
"""Am, F, C, G, as MIDI notes."""
TUNE = (76, 72, 69, 72, 77, 72, 69, 72, 76, 72, 67, 72, 74, 71, 67, 71)
"""A broken chord above each of them."""
PARTIALS = ((1, 0.6), (2, 0.25), (3, 0.1))
LEVEL = 0.16


def make_melody(path: Path) -> Path:
    """The tune at `path`, a WAV; one that is there already is left as it is."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.concatenate([_bar(number) for number in chain(range(4), range(4))])
        pcm = np.clip(np.rint(samples * LEVEL * 32767), -32768, 32767).astype("<i2").tobytes()
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_bytes(write_wav(pcm, RATE))
        fresh.replace(path)
    return path


def _bar(number: int) -> NDArray[np.float64]:
    """Four beats: the chord, and one note of the tune on each beat."""
    beat = round(BEAT_SECONDS * RATE)
    bar = np.zeros(4 * beat)
    for note in CHORDS[number]:
        bar += 0.5 * _tone(note, bar.size)
    for place, note in enumerate(TUNE[4 * number : 4 * number + 4]):
        bar[place * beat :] += _tone(note, bar.size - place * beat)
    return bar


def _tone(note: int, samples: int) -> NDArray[np.float64]:
    """A plucked string: a few partials that die away, without a click at either end."""
    at = np.arange(samples) / RATE
    hertz = 440.0 * 2 ** ((note - 69) / 12)
    wave = sum(part * np.sin(2 * np.pi * hertz * n * at) for n, part in PARTIALS)
    fade = np.minimum(1.0, np.minimum(at, at[::-1]) / 0.01)
    return np.asarray(wave * np.exp(-2.5 * at) * fade, dtype=np.float64)
