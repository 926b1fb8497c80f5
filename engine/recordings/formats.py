"""The formats in which recordings are kept and served, and what makes them. Light: the engine itself imports neither numpy nor pydub."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

ENCODERS = {
    # «audio» rather than «voip»: the latter filters what a court might want to hear, and saves a third only.
    "opus": ("-c:a", "libopus", "-b:a", "32k", "-application", "audio", "-f", "ogg"),
    "flac": ("-c:a", "flac", "-f", "flac"),
    "wav": ("-c:a", "pcm_s16le", "-f", "wav"),
}
CONTENT_TYPES = {"opus": "audio/ogg; codecs=opus", "flac": "audio/flac", "wav": "audio/wav"}


def find_ffmpeg() -> str | None:
    """An ffmpeg: the one on the PATH, else the one that PyPI's `imageio-ffmpeg` carries, else none."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError, OSError):
        return None


def sha256(path: Path) -> str:
    """The file's hash, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
