"""Speaking: the `Voice` port over RHVoice and its stand-ins, in worker processes, cached on disk."""

from engine.speech.engines import Engine, Program, RHVoice, Service, find_engines
from engine.speech.voice import SpokenVoice

__all__ = ["Engine", "Program", "RHVoice", "Service", "SpokenVoice", "find_engines"]
