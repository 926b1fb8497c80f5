"""Recordings: from the legs that the dialplan writes to what is kept, sealed, found again and listened to."""

from engine.recordings.archive import Archive, OnHold
from engine.recordings.crypt import KeyLost, KeyRing, Tampered
from engine.recordings.disk import Disk, Level, Room
from engine.recordings.export import Exported, export
from engine.recordings.folder import Listened, RecordingFolder
from engine.recordings.keep import Facts
from engine.recordings.rekey import Rekeyed, rekey
from engine.recordings.seal import load_key, load_public_key, public_pem
from engine.recordings.verify import Wrong, verify

__all__ = [
    "Archive",
    "Disk",
    "Exported",
    "Facts",
    "KeyLost",
    "KeyRing",
    "Level",
    "Listened",
    "OnHold",
    "RecordingFolder",
    "Rekeyed",
    "Room",
    "Tampered",
    "Wrong",
    "export",
    "load_key",
    "load_public_key",
    "public_pem",
    "rekey",
    "verify",
]
