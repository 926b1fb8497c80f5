"""From two legs to one stereo file, its peaks and its hash. Runs in a worker process; needs little memory whatever the length."""

from __future__ import annotations

import json
import os
import subprocess
import warnings
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engine.recordings.crypt import decrypt, encrypt
from engine.recordings.formats import ENCODERS, sha256
from engine.recordings.legs import SAMPLE_BYTES, SIDES, USUAL_RATE, Leg, read_leg
from engine.workers import Answer, Errand

with warnings.catch_warnings():  # without ffmpeg on the PATH pydub warns at import; we tell it where one is
    warnings.simplefilter("ignore")
    from pydub import AudioSegment

PEAKS_A_SECOND = 10
PEAK_FULL_SCALE = 1000
BLOCK_SECONDS = 30
SILENCE_SECONDS = 1.0
"""A pause as long as that is on the silence map."""
EVEN_LEVELS = "speechnorm=p=0.9:e=25:r=0.0005:f=0.0005:t=0.004"
"""Each side is brought near full scale by itself, up to 28 dB; below −48 dBFS there is noise at most, and it stays what it is."""
SILENT_BELOW = 128
"""A leg that never exceeds this amplitude (−48 dBFS) carries line noise at most."""


def join(errand: Errand) -> Answer:
    """Join the legs `in` and `out` (paths; either may be missing) into the file `into`, encoded as `format`, and write `peaks`.

    With `keys` (by the `names` that the two files will have) both are encrypted.
    """
    legs = {side: read_leg(Path(errand[side])) for side in SIDES if errand.get(side)}
    rate = max(leg.rate for leg in legs.values())
    frames = max(round(leg.frames * rate / leg.rate) for leg in legs.values())
    into, peaks_path = Path(errand["into"]), Path(errand["peaks"])
    encoded = errand["format"] != "wav"
    joined = into.with_name(into.name + ".pcm") if encoded else into
    peaks: dict[str, list[int]] = {side: [] for side in SIDES}
    try:
        with joined.open("wb") as file, wave.open(file, "wb") as stereo:
            stereo.setnchannels(2)
            stereo.setsampwidth(SAMPLE_BYTES)
            stereo.setframerate(rate)
            blocks = {side: _blocks(legs.get(side), rate, frames) for side in SIDES}
            for far, ours in zip(blocks["in"], blocks["out"], strict=True):
                stereo.writeframes(AudioSegment.from_mono_audiosegments(far, ours).raw_data)
                peaks["in"] += _peaks(far)
                peaks["out"] += _peaks(ours)
        if encoded:
            encode(errand["ffmpeg"], joined, into, errand["format"])
    finally:
        if encoded:
            joined.unlink(missing_ok=True)
    scale = PEAK_FULL_SCALE / 32768
    shown = {
        "left": [round(p * scale) for p in peaks["in"]],
        "right": [round(p * scale) for p in peaks["out"]],
    }
    about = {"peaks_a_second": PEAKS_A_SECOND, "full_scale": PEAK_FULL_SCALE, "seconds": frames / rate}
    silences = {name: _silences(peaks[side]) for name, side in (("left", "in"), ("right", "out"))}
    drawn = {**about, **shown, "silences": silences, "gaps": errand.get("gaps", [])}
    peaks_path.write_text(json.dumps(drawn, separators=(",", ":")))
    content = {"content": sha256(into)} if errand.get("keys") else {}
    for path, name in zip((into, peaks_path), errand.get("names", ("", "")), strict=True):
        if content:
            _encrypt(path, errand["keys"][name], name)
        else:
            _sync(path)
    return {
        **content,
        "seconds": frames / rate,
        "rate": rate,
        "bytes": into.stat().st_size,
        "sha256": sha256(into),
        "legs": {
            side: {
                "seconds": leg.seconds,
                "whole": leg.whole,
                "silent": max(peaks[side], default=0) < SILENT_BELOW,
            }
            for side, leg in legs.items()
        },
    }


def _blocks(leg: Leg | None, rate: int, frames: int) -> Iterator[AudioSegment]:
    """The leg (or silence, if there is none) in equal blocks, resampled if it must be, padded with silence to `frames`."""
    own_rate = leg.rate if leg else USUAL_RATE
    with leg.path.open("rb") if leg else open(os.devnull, "rb") as file:
        file.seek(leg.offset if leg else 0)
        left = leg.frames * SAMPLE_BYTES if leg else 0
        for start in range(0, frames, BLOCK_SECONDS * rate):
            wanted = min(BLOCK_SECONDS * rate, frames - start) * SAMPLE_BYTES
            data = file.read(min(left, BLOCK_SECONDS * own_rate * SAMPLE_BYTES))
            left -= len(data)
            if own_rate != rate and data:
                data = _segment(data[: len(data) // 2 * 2], own_rate).set_frame_rate(rate).raw_data[:wanted]
            yield _segment(data.ljust(wanted, b"\0"), rate)


def _silences(peaks: list[int]) -> list[tuple[float, float]]:
    """From when to when (seconds) nothing is heard for `SILENCE_SECONDS` or more."""
    quiet = np.concatenate(([0], np.asarray(peaks, dtype=np.int64) < SILENT_BELOW, [0])).astype(np.int8)
    edges = np.flatnonzero(np.diff(quiet)).reshape(-1, 2)
    return [
        (since / PEAKS_A_SECOND, until / PEAKS_A_SECOND)
        for since, until in edges.tolist()
        if until - since >= SILENCE_SECONDS * PEAKS_A_SECOND
    ]


def _encrypt(path: Path, key: str, name: str) -> None:
    """Put the encrypted file in the place of the plain one."""
    part = path.with_name(f"{path.name}.enc")
    try:
        encrypt(path, part, bytes.fromhex(key), name)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _segment(data: bytes, rate: int) -> AudioSegment:
    return AudioSegment(data=data, sample_width=SAMPLE_BYTES, frame_rate=rate, channels=1)


def _peaks(segment: AudioSegment) -> list[int]:
    samples = np.abs(np.frombuffer(segment.raw_data, "<i2").astype(np.int32))
    return [
        int(peak)
        for peak in np.maximum.reduceat(samples, range(0, len(samples), segment.frame_rate // PEAKS_A_SECOND))
    ]


def encode(ffmpeg: str, source: Path, into: Path, form: str, *filters: str) -> None:
    """Have ffmpeg write `source` as `form` (opus, flac, wav). Raises `RuntimeError` with its last words."""
    command = (ffmpeg, "-nostdin", "-v", "error", "-y", "-threads", "1", "-i", str(source), *filters)
    done = subprocess.run(  # noqa: S603 - a program that we found, and files that we named
        (*command, "-bitexact", *ENCODERS[form], str(into)), capture_output=True, check=False
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"ffmpeg exited with {done.returncode}: {' '.join(said)}")


def render(errand: Errand) -> Answer:
    """Make what a listener asked for of a kept file: `leg` (in, out, both) as `format` with `levels`, into the file `into`.

    A file that is encrypted is decrypted with `key` beside `into` first. Raises `Tampered`.
    """
    source, into, leg, form = Path(errand["source"]), Path(errand["into"]), errand["leg"], errand["format"]
    if not errand.get("key"):
        _render(source, into, leg, form, errand)
        return {"bytes": into.stat().st_size}
    plain = into.with_name(f"{into.name}.plain")
    try:
        decrypt(source, plain, bytes.fromhex(errand["key"]), errand["name"])
        if (leg, form, errand["levels"]) == ("both", errand["from"], "original"):
            plain.replace(into)
        else:
            _render(plain, into, leg, form, errand)
    finally:
        plain.unlink(missing_ok=True)
    return {"bytes": into.stat().st_size}


def _render(source: Path, into: Path, leg: str, form: str, errand: Errand) -> None:
    if ffmpeg := errand["ffmpeg"]:
        chain = [] if leg == "both" else [f"pan=mono|c0=c{SIDES.index(leg)}"]
        chain += [EVEN_LEVELS] if errand["levels"] == "even" else []
        filters = ("-af", ",".join(chain)) if chain else ()
        rate = ("-ar", str(errand["rate"])) if form == "wav" else ()
        return encode(ffmpeg, source, into, form, *filters, *rate)
    # A WAV is kept then, and nothing else can be asked for.
    with wave.open(str(source)) as stereo, into.open("wb") as file, wave.open(file, "wb") as mono:
        mono.setnchannels(1)
        mono.setsampwidth(SAMPLE_BYTES)
        mono.setframerate(stereo.getframerate())
        while data := stereo.readframes(BLOCK_SECONDS * stereo.getframerate()):
            mono.writeframes(np.frombuffer(data, "<i2").reshape(-1, 2)[:, SIDES.index(leg)].tobytes())
    return None


def decrypt_file(errand: Errand) -> Answer:
    """Decrypt `source` into `into` as it is. Raises `Tampered`."""
    into = Path(errand["into"])
    decrypt(Path(errand["source"]), into, bytes.fromhex(errand["key"]), errand["name"])
    return {"bytes": into.stat().st_size}


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
