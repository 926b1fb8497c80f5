"""The recordings' worker (`python -m engine.recordings.worker`): joins legs, renders what a listener asked for."""

from __future__ import annotations

from engine.recordings.join import decrypt_file, join, render
from engine.workers import Answer, Errand, serve


def do(errand: Errand) -> Answer:
    """One errand, by its `do`."""
    match errand["do"]:
        case "join":
            return join(errand)
        case "render":
            return render(errand)
        case "decrypt":
            return decrypt_file(errand)
        case what:
            raise ValueError(f"no such errand: {what}")


if __name__ == "__main__":
    serve(do)
