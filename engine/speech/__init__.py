"""Speaking: the `Voice` port over RHVoice and its stand-ins (`voice`, `engines`), in worker processes (`worker`), cached on disk.

Nothing is imported here: a worker that renders sound has no need of the house, and starts in a third of the time.
"""
