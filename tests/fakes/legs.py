"""Legs as MixMonitor leaves them on disk: closed, cut by a crash, or still being written."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

RATE = 8_000


def tone(hertz: float, seconds: float, amplitude: int = 8_000) -> bytes:
    """PCM of a sine."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (np.sin(time * 2 * np.pi * hertz) * amplitude).astype("<i2").tobytes()


def header(data_bytes: int) -> bytes:
    """A WAV header as Asterisk writes it; 0 while the file is open."""
    riff = data_bytes + 36 if data_bytes else 0
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + form + struct.pack("<4sI", b"data", data_bytes)


def write_leg(folder: Path, call: str, side: str, pcm: bytes, *, closed: bool = True) -> Path:
    """Lay a leg."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{call}-{side}.wav"
    path.write_bytes(header(len(pcm) if closed else 0) + pcm)
    return path
