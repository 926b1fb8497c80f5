"""Recordings: from the legs that the dialplan writes to what is kept, found again and listened to."""

from engine.recordings.folder import Listened, RecordingFolder
from engine.recordings.keep import Facts

__all__ = ["Facts", "Listened", "RecordingFolder"]
