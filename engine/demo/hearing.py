"""Was this prompt heard in that recording? Cross-correlation, so that no speech recognition is needed to know.

Needs numpy (the `dev` extra). The prompt is cut into half-second pieces and each is looked for on its own; it was heard when most
pieces are found where they belong. That survives A-law, a change of level, and a packet lost or repeated in between.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 8000
PIECE_SECONDS = 0.5
SLIP_SECONDS = 0.3
"""How far a piece may be from its place: jitter buffers insert and drop packets."""
ALIKE = 0.7
"""Normalised correlation of a piece that counts as found: 0.98 through A-law, below 0.5 for other words of the same voice."""
MOST = 0.7
QUIET = 0.05
"""Pieces whose level is below this share of the prompt's are pauses, and say nothing."""

Samples = NDArray[np.float64]


def heard(recording: Path, prompt: Path, *, first_seconds: float | None = None) -> bool:
    """Whether `prompt` (or its first so many seconds: it may have been cut short by a key) is in `recording`."""
    return heard_at(recording, prompt, first_seconds=first_seconds) is not None


def heard_at(recording: Path, prompt: Path, *, first_seconds: float | None = None) -> float | None:
    """The second of `recording` at which `prompt` begins, or None. Both are 16-bit mono WAVs; the recording may still grow."""
    wanted, whole = load(prompt), load(recording)
    if first_seconds is not None:
        wanted = wanted[: int(first_seconds * RATE)]
    size = int(PIECE_SECONDS * RATE)
    loudness = float(np.sqrt(np.mean(wanted**2))) if len(wanted) else 0.0
    if loudness == 0.0:
        raise ValueError(f"{prompt} is silent: nothing can be recognised in it")
    pieces = [(at, wanted[at : at + size]) for at in range(0, max(len(wanted) - size, 0) + 1, size)]
    pieces = [(at, piece) for at, piece in pieces if float(np.sqrt(np.mean(piece**2))) > QUIET * loudness]
    places = [place - at for at, piece in pieces if (place := _find(whole, piece)) is not None]
    if not places or len(places) < MOST * len(pieces):
        return None
    middle = float(np.median(places))
    in_place = [place for place in places if abs(place - middle) <= SLIP_SECONDS * RATE]
    return max(min(in_place), 0.0) / RATE if len(in_place) >= MOST * len(pieces) else None


def speech_seconds(recording: Path, *, level: float = 300.0) -> float:
    """How much of a recording is louder than `level` (of 32,768), in 20 ms frames: 0 for a silent one."""
    samples = load(recording)
    frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
    return float(np.sum(np.sqrt(np.mean(frames**2, axis=1)) > level)) * 0.02


def load(path: Path) -> Samples:
    """A mono 16-bit WAV at 8 kHz, whatever its rate. Sizes in its header are not believed: they are 0 while it is written."""
    data = path.read_bytes()
    at, rate, channels = 12, RATE, 1
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if kind == b"fmt ":
            channels, rate = (
                int.from_bytes(data[at + 10 : at + 12], "little"),
                int.from_bytes(data[at + 12 : at + 16], "little"),
            )
        if kind == b"data":
            at += 8
            break
        at += 8 + size + size % 2
    body = data[at:]
    samples = np.frombuffer(body[: len(body) // (2 * channels) * 2 * channels], dtype="<i2").astype(
        np.float64
    )
    return _to_8k(samples.reshape(-1, channels).mean(axis=1), rate)


def _to_8k(samples: Samples, rate: int) -> Samples:
    if rate == RATE or not len(samples):
        return samples
    spectrum = np.fft.rfft(samples)
    length = len(samples) * RATE // rate
    return np.asarray(
        np.fft.irfft(spectrum[: length // 2 + 1], length) * (length / len(samples)), dtype=np.float64
    )


def _find(whole: Samples, piece: Samples) -> int | None:
    """Where `piece` is most alike to `whole`, if it is alike at all."""
    if len(whole) < len(piece):
        return None
    piece = piece - piece.mean()
    length = 1 << (len(whole) + len(piece)).bit_length()
    product = np.fft.rfft(whole, length) * np.conj(np.fft.rfft(piece, length))
    likeness = np.fft.irfft(product, length)[: len(whole) - len(piece) + 1]
    running = np.concatenate(([0.0], np.cumsum(whole**2)))
    energy = running[len(piece) :] - running[: -len(piece)]
    floor = float(np.dot(piece, piece)) * 1e-4
    score = likeness / np.sqrt(np.maximum(energy, floor) * float(np.dot(piece, piece)))
    best = int(np.argmax(score))
    return best if score[best] >= ALIKE else None
