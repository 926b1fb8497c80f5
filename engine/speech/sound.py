"""From what a synthesiser made to what a telephone line carries: 8 kHz mono, trimmed and levelled."""

from __future__ import annotations

import io
import wave

import numpy as np
import soxr
from numpy.typing import NDArray

RATE = 8_000
LEAD_SECONDS = 0.15
"""Silence before the first word: what a phone swallows while its audio path opens."""
TAIL_SECONDS = 0.15
PEAK_DBFS = -3.0
RMS_DBFS = -20.0
_SILENCE_DBFS = -50.0
_FRAME = RATE // 100


def telephone(samples: NDArray[np.int16], rate: int) -> bytes:
    """Render mono 16-bit samples at `rate` Hz as a WAV of 8 kHz, mono, s16. Raises `ValueError` if nothing is heard in them."""
    signal = soxr.resample(samples.astype(np.float32) / 32768.0, rate, RATE, quality="HQ")
    signal = _level(_trim(signal))
    pcm = np.clip(np.rint(signal * 32767.0), -32768, 32767).astype("<i2")
    return write_wav(pcm.tobytes(), RATE)


def read_wav(data: bytes) -> tuple[NDArray[np.int16], int]:
    """Samples (mixed down to mono) and rate of a 16-bit PCM WAV, even one whose header was streamed and tells no true length."""
    try:
        with wave.open(io.BytesIO(data)) as reader:
            channels, width, rate = reader.getnchannels(), reader.getsampwidth(), reader.getframerate()
            pcm = reader.readframes(len(data))
    except (wave.Error, EOFError) as error:
        raise ValueError(f"not a WAV: {error}") from error
    if width != 2:
        raise ValueError(f"a WAV of {8 * width} bits; 16 are needed")
    samples = np.frombuffer(pcm[: len(pcm) // (2 * channels) * (2 * channels)], dtype="<i2")
    if channels > 1:
        samples = samples.reshape(-1, channels).mean(axis=1).astype(np.int16)
    return samples, rate


def write_wav(pcm: bytes, rate: int) -> bytes:
    """A mono 16-bit WAV around little-endian PCM, with a true header."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(pcm)
    return file.getvalue()


def _amplitude(dbfs: float) -> float:
    return float(10.0 ** (dbfs / 20.0))


def _trim(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut silence at both ends and put back the lead and the tail that we want."""
    whole = signal[: len(signal) // _FRAME * _FRAME].reshape(-1, _FRAME)
    loud = np.flatnonzero(np.sqrt((whole**2).mean(axis=1)) > _amplitude(_SILENCE_DBFS))
    if not len(loud):
        raise ValueError("the synthesiser made silence")
    speech = signal[max(0, loud[0] - 1) * _FRAME : (loud[-1] + 2) * _FRAME]
    lead, tail = (np.zeros(round(seconds * RATE), np.float32) for seconds in (LEAD_SECONDS, TAIL_SECONDS))
    return np.concatenate((lead, speech, tail))


def _level(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring speech (pauses not counted) to the wanted RMS, but never a peak above the ceiling."""
    speech = signal[np.abs(signal) > _amplitude(_SILENCE_DBFS)]
    rms = float(np.sqrt((speech**2).mean()))
    gain = min(_amplitude(RMS_DBFS) / rms, _amplitude(PEAK_DBFS) / float(np.abs(signal).max()))
    return signal * np.float32(gain)
