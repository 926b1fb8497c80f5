"""A recording on its way from its legs to what is kept of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.ports import Gap
from engine.recordings import keep
from engine.recordings.archive import Archive
from engine.recordings.crypt import ENCRYPTED, KEYS, Wrapped
from engine.recordings.keep import Facts, LegFacts


class Making:
    """The names of its files, half-made and kept; `keep` is the one moment from which on it is kept."""

    def __init__(self, folder: Path, call: str, form: str, encrypted: bool) -> None:
        self.folder, self.call, self.form, self.encrypted = folder, call, form, encrypted
        ending = ENCRYPTED if encrypted else ""
        self.names = (f"{call}.{form}{ending}", f"{call}.peaks.json{ending}")
        self.sound, self.peaks = folder / f".{call}.part", folder / f".{call}.peaks.part"

    def facts(
        self,
        company: str,
        started: datetime,
        answered: float | None,
        gaps: Sequence[Gap],
        made: dict[str, Any],
    ) -> Facts:
        """What is to be known of it."""
        legs = {side: LegFacts(**leg) for side, leg in made["legs"].items()}
        return Facts(
            recording=self.call,
            call=self.call.partition("@")[0],
            company=company,
            started=started,
            seconds=made["seconds"],
            rate=made["rate"],
            file=self.names[0],
            format=self.form,
            bytes=made["bytes"],
            sha256=made["sha256"],
            legs=legs,
            flaws=keep.find_flaws(legs, made["seconds"], answered),
            answered_seconds=answered,
            gaps=keep.seconds_of(gaps, started, made["seconds"]),
            encrypted=self.encrypted,
            content=made.get("content"),
        )

    def keep(
        self, facts: Facts, wrapped: Wrapped | None, legs: Iterable[Path], archive: Archive | None
    ) -> None:
        """Name the new files, write the facts, seal them, let go of the legs last.

        A crash anywhere between leaves enough to begin again.
        """
        if wrapped:
            wrapped.write(self.folder / f"{self.call}{KEYS}")
        self.sound.replace(self.folder / facts.file)
        self.peaks.replace(self.folder / facts.peaks)
        keep.sync_folder(self.folder)
        keep.write_facts(self.folder, facts)
        if archive:
            archive.seal(self.folder, facts)
        for leg in legs:
            leg.unlink(missing_ok=True)

    def clear(self) -> None:
        """Leave nothing half-made."""
        for part in (self.sound, self.peaks):
            part.unlink(missing_ok=True)
