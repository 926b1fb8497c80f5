"""Was this prompt heard in that recording? Cross-correlation, so that no speech recognition is needed to know.

Needs numpy (the `dev` extra). The prompt is cut into short pieces and each is looked for on its own; it was heard when most pieces, one of
the last two among them (or two halves of those: a slip spoils the piece that it falls into), are found where they belong. That
survives A-law, a change of level, and a packet lost or repeated now and then: of 60 sentences with a slip each second all were found but
one («Спасибо.»), and none was taken for another that does not contain it or differ from it in a word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 8000
PIECE_SECONDS = 0.25
SLIP_SECONDS = 0.3
"""How far a piece may be from its place: jitter buffers insert and drop packets."""
ALIKE = 0.7
"""Normalised correlation of a piece that counts as found; an undamaged one has 0.99 through A-law."""
HALF_ALIKE = 0.9
"""The same of half a piece, which is more easily alike to something else."""
MOST = 0.6
QUIET = 0.05
"""Pieces whose level is below this share of the prompt's are pauses, and say nothing."""

Samples = NDArray[np.float64]
Piece = tuple[int, Samples]
"""A piece of a prompt, and where in it it begins."""
Find = Callable[[Samples, float], int | None]


def heard(recording: Path, prompt: Path, *, first_seconds: float | None = None) -> bool:
    """Whether `prompt` (or its first so many seconds: it may have been cut short by a key) is in `recording`."""
    return heard_at(recording, prompt, first_seconds=first_seconds) is not None


class Listener:
    """Waits for a prompt in a recording that grows: a look costs what has come since the last one, until the prompt's end has come."""

    def __init__(self, prompt: Path) -> None:
        self._prompt = prompt
        self._pieces = _pieces(load(prompt), prompt)
        (begins, _), (at, last) = self._pieces[-2:][0], self._pieces[-1]
        self._again = at + len(last) - begins + int(SLIP_SECONDS * RATE)
        """So much of what was looked at may be the first half of an end."""
        self._looked = 0

    def heard(self, recording: Path) -> bool:
        """Whether the prompt is there by now."""
        whole = load(recording)
        news = whole[max(0, self._looked - self._again) :]
        self._looked = len(whole)
        find = _finder(news, int(PIECE_SECONDS * RATE))
        return any(_ends(find, self._pieces)) and heard(recording, self._prompt)


def heard_at(recording: Path, prompt: Path, *, first_seconds: float | None = None) -> float | None:
    """The second of `recording` at which `prompt` begins, or None. Both are 16-bit mono WAVs; the recording may still grow."""
    wanted, whole = load(prompt), load(recording)
    if first_seconds is not None:
        wanted = wanted[: int(first_seconds * RATE)]
    pieces = _pieces(wanted, prompt)
    find = _finder(whole, int(PIECE_SECONDS * RATE))
    ends, halves = _ends(find, pieces)
    if not ends and not halves:
        return None
    places = _found(find, pieces, ALIKE)
    middle = float(np.median(places or halves))

    def in_place(found: list[int]) -> list[int]:
        return [place for place in found if abs(place - middle) <= SLIP_SECONDS * RATE]

    if not in_place(ends) and len(in_place(halves)) < 2:
        return None
    there = in_place(places)
    return max(min(there), 0.0) / RATE if there and len(there) >= MOST * len(pieces) else None


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


def _loudness(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0


def _pieces(wanted: Samples, prompt: Path) -> list[Piece]:
    """Those of a prompt that are no pauses. Raises `ValueError` if there is none."""
    loudness, size = _loudness(wanted), int(PIECE_SECONDS * RATE)
    cut = [(at, wanted[at : at + size]) for at in range(0, max(len(wanted) - size, 0) + 1, size)]
    pieces = [(at, piece) for at, piece in cut if _loudness(piece) > QUIET * loudness]
    if not pieces or loudness == 0.0:
        raise ValueError(f"{prompt} is silent: nothing can be recognised in it")
    return pieces


def _ends(find: Find, pieces: Sequence[Piece]) -> tuple[list[int], list[int]]:
    """Where the prompt would begin by its last two pieces, else by halves of them; nothing while it is still being spoken."""
    ends = _found(find, pieces[-2:], ALIKE)
    halves = [] if ends else _found(find, _halves(pieces[-2:]), HALF_ALIKE)
    return ends, halves if len(halves) >= 2 else []


def _found(find: Find, pieces: Sequence[Piece], alike: float) -> list[int]:
    """Where the prompt would begin by each of the pieces that is found."""
    return [place - at for at, piece in pieces if (place := find(piece, alike)) is not None]


def _halves(pieces: Sequence[Piece]) -> list[Piece]:
    size = len(pieces[0][1]) // 2
    return [(at + begin, piece[begin : begin + size]) for at, piece in pieces for begin in (0, size)]


def _finder(whole: Samples, longest: int) -> Find:
    """A function that says where a piece (of at most `longest` samples) is most alike to `whole`, if alike at all."""
    length = 1 << (len(whole) + longest).bit_length()
    spectrum = np.fft.rfft(whole, length)
    running = np.concatenate(([0.0], np.cumsum(whole**2)))

    def find(piece: Samples, alike: float) -> int | None:
        if len(whole) < len(piece):
            return None
        likeness = np.fft.irfft(spectrum * np.conj(np.fft.rfft(piece, length)), length)
        own = float(np.dot(piece, piece))
        energy = np.maximum(running[len(piece) :] - running[: -len(piece)], own * 1e-4)
        score = likeness[: len(energy)] / np.sqrt(energy * own)
        best = int(np.argmax(score))
        return best if score[best] >= alike else None

    return find
